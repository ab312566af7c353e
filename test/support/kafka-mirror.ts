/** Copies the log of a test into topics of a broker, record for record at the same offsets, so that an engine can read it there. */
import assert from 'node:assert/strict';
import {encodeBatch, encodeEmpty, setProducer} from '../../src/log/kafka/batch-write.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {produce} from '../../src/log/kafka/produce.ts';
import {markHeader} from '../../src/log/kafka/record.ts';
import type {KafkaSettings} from '../../src/log/kafka/settings.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../../src/log/kafka/topics.ts';
import type {LogReader, RecordBatch} from '../../src/log/types.ts';

const produceMs = 10_000;

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
  #log: LogReader | undefined;

  constructor(brokers: string[]) {
    this.settings = plainSettings(brokers);
    this.#client = new KafkaClient(this.settings);
  }

  /** Makes topics as those of the log, without what earlier ones of their names held. */
  async begin(log: LogReader): Promise<void> {
    this.#log = log;
    this.#shipped.clear();
    const topics = log.topics();
    await deleteTopics(this.#client, topics);
    const configs = keptConfigs(this.settings);
    await ensureTopics(
      this.#client,
      topics.map((name) => ({name, partitions: log.partitions(name), replication: 1, configs})),
    );
  }

  /** Sends what the log got since the last time. */
  async ship(): Promise<void> {
    const log = this.#log!;
    for (const topic of log.topics())
      for (let partition = 0; partition < log.partitions(topic); partition++) {
        const place = `${topic}/${partition}`;
        for (let offset = this.#shipped.get(place) ?? 0; offset < log.endOffset(topic, partition); )
          for (const batch of await log.read(topic, partition, offset, 1 << 20)) {
            await this.#send(batch);
            offset = batch.baseOffset + batch.count;
            this.#shipped.set(place, offset);
          }
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
        : encodeEmpty({...head, headers: [[markHeader, String(markTimeMs)]]});
    assert.equal(encoded.count, count);
    setProducer(encoded, {id: -1, epoch: -1, sequence: -1});
    const {leader} = this.#client.partition(topic, partition)!;
    const [answer] = await produce(
      this.#client,
      leader,
      [{topic, partition, bytes: encoded.bytes}],
      produceMs,
    );
    assert.deepEqual([answer?.code, answer?.baseOffset], [0, baseOffset]);
  }
}
