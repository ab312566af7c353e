/** Copies the log of a test into topics of a broker, record for record at the same offsets, so that an engine can read it there. */
import assert from 'node:assert/strict';
import {type EncodedBatch, encodeBatch, encodeEmpty, setProducer} from '../../src/log/kafka/batch-write.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {isTransient} from '../../src/log/kafka/codes.ts';
import {fetchOffsets} from '../../src/log/kafka/group-offsets.ts';
import {produce} from '../../src/log/kafka/produce.ts';
import {fenceHeader, markHeader, outboxHeader} from '../../src/log/kafka/record.ts';
import type {KafkaSettings} from '../../src/log/kafka/settings.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../../src/log/kafka/topics.ts';
import {WireWriter} from '../../src/log/kafka/wire.ts';
import type {LogReader, RecordBatch} from '../../src/log/types.ts';

const produceMs = 10_000;
const createPartitions = {name: 'CreatePartitions', key: 37, version: 1};
const deleteRecords = {name: 'DeleteRecords', key: 21, version: 1};

export const plainSettings = (brokers: string[]): KafkaSettings => ({
  brokers,
  clientId: 'test',
  security: {protocol: 'plaintext'},
  topics: {partitions: 1, replication: 1, retentionMs: null},
});

export class KafkaMirror {
  readonly settings: KafkaSettings;
  readonly #client: KafkaClient;
  readonly #shipped = new Map<string, number>();
  /** Offsets of the log are so much higher than those of a topic that was made anew. */
  readonly #moved = new Map<string, number>();
  #log: LogReader | undefined;

  constructor(brokers: string[]) {
    this.settings = plainSettings(brokers);
    this.#client = new KafkaClient(this.settings);
  }

  /** Makes topics as those of the log, without what earlier ones of their names held. @param partitionsMax of each, for now */
  async begin(log: LogReader, partitionsMax = Number.POSITIVE_INFINITY): Promise<void> {
    this.#log = log;
    this.#shipped.clear();
    this.#moved.clear();
    const topics = log.topics();
    await deleteTopics(this.#client, topics);
    const configs = keptConfigs(this.settings);
    await ensureTopics(
      this.#client,
      topics.map((name) => ({
        name,
        partitions: Math.min(partitionsMax, log.partitions(name)),
        replication: 1,
        configs,
      })),
    );
  }

  /** Sends what the log got since the last time. */
  async ship(): Promise<void> {
    const log = this.#log!;
    for (const topic of log.topics())
      for (let partition = 0; partition < this.#client.metadata.topics.get(topic)!.length; partition++) {
        const place = `${topic}/${partition}`;
        for (let offset = this.#shipped.get(place) ?? 0; offset < log.endOffset(topic, partition); )
          for (const batch of await log.read(topic, partition, offset, 1 << 20)) {
            await this.#send(batch);
            offset = batch.baseOffset + batch.count;
            this.#shipped.set(place, offset);
          }
      }
  }

  /** Deletes a topic and makes it anew: what is shipped from now on is at its beginning. Records of the log go on. */
  async remake(topic: string): Promise<void> {
    const partitions = this.#client.metadata.topics.get(topic)!.length;
    await deleteTopics(this.#client, [topic]);
    await ensureTopics(this.#client, [
      {name: topic, partitions, replication: 1, configs: keptConfigs(this.settings)},
    ]);
    for (let partition = 0; partition < partitions; partition++)
      this.#moved.set(`${topic}/${partition}`, this.#shipped.get(`${topic}/${partition}`) ?? 0);
  }

  /** Gives a topic more partitions. */
  async grow(topic: string, partitions: number): Promise<void> {
    const body = new WireWriter();
    body.array([topic], (name) =>
      body
        .string(name)
        .int32(partitions)
        .array(null, () => {}),
    );
    body.int32(produceMs).boolean(false);
    const reader = await this.#client.request({to: 'controller', api: createPartitions, body: body.bytes});
    reader.int32();
    reader.array(() =>
      assert.deepEqual([reader.string(), reader.int16()], [topic, 0], reader.nullableString()!),
    );
    const isLed = () => this.#client.metadata.topics.get(topic)!.filter(({leader}) => leader >= 0).length;
    while (isLed() < partitions) await this.#client.refreshMetadata();
  }

  /** Deletes what lies before an offset, as retention does. */
  async trim(topic: string, partition: number, offset: number): Promise<void> {
    const body = new WireWriter();
    body.array([topic], (name) =>
      body.string(name).array([partition], (index) => body.int32(index).int64(offset)),
    );
    body.int32(produceMs);
    const {leader} = this.#client.partition(topic, partition)!;
    const reader = await this.#client.request({to: leader, api: deleteRecords, body: body.bytes});
    reader.int32();
    reader.array(() => {
      reader.string();
      reader.array(() =>
        assert.deepEqual([reader.int32(), reader.long(), reader.int16()], [partition, offset, 0]),
      );
    });
  }

  /** An offset that holds no record: what follows in the partition cannot be compared with the log any more. */
  async gap(topic: string, partition: number): Promise<void> {
    const encoded = encodeEmpty({timeMs: 0, compression: 'none', headers: [[fenceHeader, '0']]});
    await this.#produce(topic, partition, encoded);
  }

  /** Next offset by partition of a group. */
  async groupOffsets(group: string, topic: string, partitions: number): Promise<number[]> {
    const found = await fetchOffsets(this.#client, group, topic, partitions);
    return found.toSorted((a, b) => a.partition - b.partition).map(({offset}) => offset);
  }

  /** Whether every partition has a leader that can be reached. */
  async isUp(): Promise<boolean> {
    try {
      const {topics} = await this.#client.refreshMetadata();
      return [...topics.values()].flat().every(({leader}) => leader >= 0);
    } catch {
      return false;
    }
  }

  close(): void {
    this.#client.close();
  }

  async #send({topic, partition, baseOffset, count, bytes, markTimeMs, appendTimeMs: timeMs}: RecordBatch) {
    const head = {timeMs, compression: 'none'} as const;
    const encoded =
      markTimeMs === undefined
        ? encodeBatch([{bytes, at: 0}], {...head, headers: []}, 1 << 24, 1 << 24)
        : encodeEmpty({
            ...head,
            headers: [
              [outboxHeader, 'mirror'],
              [markHeader, String(markTimeMs)],
            ],
          });
    assert.equal(encoded.count, count);
    const moved = this.#moved.get(`${topic}/${partition}`) ?? 0;
    assert.equal(await this.#produce(topic, partition, encoded), baseOffset - moved);
  }

  /** @returns offset of its first record */
  async #produce(topic: string, partition: number, encoded: EncodedBatch): Promise<number> {
    setProducer(encoded, {id: -1, epoch: -1, sequence: -1});
    for (;;) {
      const {leader} = this.#client.partition(topic, partition)!;
      const [answer] = await produce(
        this.#client,
        leader,
        [{topic, partition, bytes: encoded.bytes}],
        produceMs,
      );
      if (answer?.code === 0) return answer.baseOffset;
      // A topic that was made a moment ago, or a broker that was started: it refused, and will not for long.
      assert.ok(answer && isTransient(answer.code), JSON.stringify(answer));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await this.#client.refreshMetadata();
    }
  }
}
