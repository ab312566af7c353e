/** Raw delivery from a topic of a broker into a sink in memory, with its books in a log of its own. */
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {systemClock} from '../../src/clock.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {writeKeyed} from '../../src/log/kafka/keyed.ts';
import type {KafkaSettings} from '../../src/log/kafka/settings.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../../src/log/kafka/topics.ts';
import {openLogReader} from '../../src/log/reader.ts';
import {openLogWriter} from '../../src/log/writer.ts';
import {rawTable} from '../../src/model/tables.ts';
import type {EventType} from '../../src/model/types.ts';
import {createRawBooks} from '../../src/platform/raw-books.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import {createRawControl, type RawStats} from '../../src/sinks/raw.ts';
import {tableId} from '../../src/sinks/tables.ts';
import type {Sink} from '../../src/sinks/types.ts';
import {noTelemetry} from '../../src/telemetry.ts';

const waitMsMax = 120_000;

/** @param eventType of its id, its time and nothing else. Its topic has one partition. */
export async function rawOnKafka(kafka: KafkaSettings, dir: string, eventType: EventType) {
  const {topic} = eventType;
  const table = rawTable(eventType);
  const id = tableId(table);
  const client = new KafkaClient(kafka);
  const registry = openEmbeddedRegistry(dir);
  const schema = avroSchema(eventType);
  const encoder = compileEncoder(schema, (await registry.register(`${topic}-value`, schema)).id);
  const writer = openLogWriter(join(dir, 'books'));
  writer.ensureTopic(topic, 1);
  const log = openLogReader(join(dir, 'books'));
  const books = createRawBooks('memory', {
    log,
    ingest: {append: (transaction) => writer.append(transaction)},
    schemaIds: {},
    clock: systemClock,
    telemetry: noTelemetry,
  });
  const ids: string[] = [];
  const offsets = new Map<number, number>();
  const sink = {
    ensure: async () => {},
    rawOffsets: async () => new Map(offsets),
    async writeRaw(_, {columns, partition, toOffset}) {
      ids.push(...(columns[0] as string[]));
      offsets.set(partition, toOffset);
    },
  } as Partial<Sink> as Sink;

  async function make(): Promise<void> {
    await ensureTopics(client, [{name: topic, partitions: 1, replication: 1, configs: keptConfigs(kafka)}]);
  }

  await make();
  return {
    async remake() {
      await deleteTopics(client, [topic]);
      await make();
    },
    async produce(events: readonly string[]) {
      const frames = events.map((event) => {
        const buffer = Buffer.alloc(encoder.sizeMax([event, 0]));
        return buffer.subarray(0, encoder.encode([event, 0], buffer, 0));
      });
      await writeKeyed(
        client,
        topic,
        frames.map((value) => ({key: Buffer.from('x'), value, partition: 0})),
      );
    },
    delivered: () => [...ids],
    /** As somebody does who gives the table another name. */
    empty() {
      ids.length = 0;
      offsets.clear();
    },
    async start() {
      const {random} = Math;
      const raw = createRawControl({
        sink,
        sinkName: 'memory',
        clock: systemClock,
        random,
        telemetry: noTelemetry,
        books,
      });
      await raw.start({table, topic, schema, log: {dir: join(dir, 'none'), kafka}, registry: {dir}});
      return {
        async until(isSo: (stats: RawStats) => boolean): Promise<RawStats> {
          for (const endMs = Date.now() + waitMsMax; ; await systemClock.sleep(20)) {
            const [stats] = await raw.stats();
            if (stats && isSo(stats)) return stats;
            assert.ok(Date.now() < endMs, JSON.stringify(stats));
          }
        },
        resume: () => raw.resume(id),
        stop: () => raw.stop(id),
      };
    },
    async close() {
      log.close();
      await writer.close();
      registry.close();
      client.close();
    },
  };
}
