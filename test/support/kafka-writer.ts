/** What tests of the Kafka writer share: a broker, a proxy before it, writers in directories of their own, what arrived. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type Kafka, type KafkaOptions, startKafka} from '../../src/cluster/kafka.ts';
import {openKafkaReader} from '../../src/log/kafka/reader.ts';
import type {KafkaSettings} from '../../src/log/kafka/settings.ts';
import {keptConfigs} from '../../src/log/kafka/topics.ts';
import {type KafkaWriter, openKafkaWriter} from '../../src/log/kafka/writer.ts';
import type {KafkaWriterOptions} from '../../src/log/kafka/writer-options.ts';
import type {RecordBatch} from '../../src/log/types.ts';
import {packRecords} from '../../src/schema/frame.ts';
import type {TelemetryEvents} from '../../src/telemetry.ts';
import {readAll} from './log-records.ts';
import {addressOf, type FaultyProxy, startProxy} from './proxy.ts';

export type Told = {name: keyof TelemetryEvents; event: unknown};

/** A record as events are: a frame of schema 1 whose first field is the id, and text behind it. */
export function recordOf(id: string, text = ''): Uint8Array {
  const idBytes = Buffer.from(id);
  assert.ok(idBytes.length < 64, 'its length takes one byte');
  return Buffer.concat([Buffer.from([0, 0, 0, 0, 1, idBytes.length * 2]), idBytes, Buffer.from(text)]);
}

/** Id of a record of `recordOf`. */
export const idOf = (frame: Uint8Array): string =>
  Buffer.from(frame.subarray(6, 6 + frame[5]! / 2)).toString();

/** A batch of such records, one for each id. */
export const batchOfIds = (ids: readonly string[], text = '') => ({
  count: ids.length,
  bytes: packRecords(ids.map((id) => recordOf(id, text))),
});

/** Ids of the records of data batches, in their order. */
export function idsIn(batches: readonly RecordBatch[]): string[] {
  const ids: string[] = [];
  for (const {kind, bytes} of batches) {
    if (kind !== 'data') continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length; ) {
      const length = view.getUint32(at, true);
      ids.push(idOf(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
  }
  return ids;
}

export class KafkaRig {
  readonly kafka: Kafka;
  /** Before each broker. */
  readonly proxies: FaultyProxy[];
  readonly #dirs: string[] = [];
  readonly #writers: KafkaWriter[] = [];

  private constructor(kafka: Kafka, proxies: FaultyProxy[]) {
    this.kafka = kafka;
    this.proxies = proxies;
  }

  static async start(options: KafkaOptions & {brokers?: 1 | 3} = {}): Promise<KafkaRig> {
    const proxies = await Promise.all(Array.from({length: options.brokers ?? 1}, () => startProxy()));
    const kafka = await startKafka({
      ...options,
      listeners: ['proxied'],
      proxiedPorts: proxies.map(({port}) => port),
    });
    for (const [index, proxy] of proxies.entries())
      proxy.connectTo(addressOf(kafka.listeners.proxied![index]!));
    return new KafkaRig(kafka, proxies);
  }

  get proxy(): FaultyProxy {
    return this.proxies[0]!;
  }

  /** @param through `proxy`: every connection goes through the proxies */
  settings(through: 'proxy' | 'plain' = 'plain'): KafkaSettings {
    return {
      brokers: through === 'plain' ? this.kafka.brokers : this.proxies.map(({port}) => `127.0.0.1:${port}`),
      clientId: 'test',
      security: {protocol: 'plaintext'},
      topics: {partitions: 2, replication: this.kafka.brokers.length, retentionMs: null},
      client: {connectMs: 1_000},
    };
  }

  dir(): string {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-outbox-'));
    this.#dirs.push(dir);
    return dir;
  }

  /** Options of a writer to topics, by their numbers of partitions. */
  options(topics: Record<string, number>, given: Partial<KafkaWriterOptions> = {}): KafkaWriterOptions {
    const kafka = given.kafka ?? this.settings('proxy');
    return {
      dir: given.dir ?? this.dir(),
      kafka,
      topics: Object.entries(topics).map(([name, partitions]) => ({
        name,
        partitions,
        replication: kafka.topics.replication,
        configs: keptConfigs(kafka),
      })),
      spoolBytesMax: 2 ** 30,
      spoolAfterMs: 2_000,
      compression: 'none',
      telemetry: {emit: () => {}},
      ...given,
    };
  }

  /** A writer, which is closed at the end at the latest. */
  async writer(
    topics: Record<string, number>,
    given: Partial<KafkaWriterOptions> = {},
  ): Promise<KafkaWriter> {
    const writer = await openKafkaWriter(this.options(topics, given));
    this.#writers.push(writer);
    return writer;
  }

  /** All batches of each partition of a topic, read past the proxies. */
  async read(topic: string): Promise<RecordBatch[][]> {
    const reader = await openKafkaReader({dir: join(tmpdir(), 'no-outbox'), kafka: this.settings()});
    try {
      const partitions = Array.from({length: reader.partitions(topic)}, (_, index) => index);
      return await Promise.all(partitions.map((partition) => readAll(reader, topic, partition)));
    } finally {
      reader.close();
    }
  }

  /** Ids in a topic, by partition. */
  async ids(topic: string): Promise<string[][]> {
    return (await this.read(topic)).map(idsIn);
  }

  async stop(): Promise<void> {
    for (const proxy of this.proxies) proxy.restore();
    for (const writer of this.#writers) await writer.close();
    for (const proxy of this.proxies) await proxy.close();
    await this.kafka.stop();
    for (const dir of this.#dirs) rmSync(dir, {recursive: true, force: true});
  }
}
