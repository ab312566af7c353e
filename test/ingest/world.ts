import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type Clock, systemClock} from '../../src/clock.ts';
import {readDeadLetters, type StoredDeadLetter} from '../../src/ingest/deadletters.ts';
import {type IngestFileOptions, type IngestReport, ingestFile} from '../../src/ingest/file.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import type {IngestCounts, LogWriter} from '../../src/log/types.ts';
import type {Aggregation, Domain, EventType, Input} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {walkRecords} from '../../src/schema/frame.ts';
import type {AvroValue} from '../../src/schema/types.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {field} from '../support/fields.ts';

/** `shop.order`: order_id, user_id, country, amount (required money), quantity. */
export const order = (more: Partial<EventType> = {}): EventType => ({
  domain: 'shop',
  name: 'order',
  topic: 'shop.order',
  key: 'user_id',
  fields: [
    field('event_id', 'string', {role: 'id', required: true}),
    field('timestamp', 'timestamp', {role: 'time', required: true}),
    field('user_id', 'string'),
    field('country', 'string', {role: 'dimension'}),
    field('amount', 'money', {role: 'metric', required: true}),
    field('quantity', 'long', {role: 'metric'}),
  ],
  derive: [],
  enrich: [],
  checks: [],
  ...more,
});

export const domain = (eventType: EventType, aggregations: Partial<Aggregation>[] = []): Domain => ({
  name: 'shop',
  defaults: {
    watermarkMs: 600_000,
    late: 'correct',
    dedupMs: null,
    correctForMs: 86_400_000,
    futureMaxMs: 3_600_000,
    idleMs: 30_000,
    emit: 'change',
    onTrimmed: 'stop',
    compatibility: 'backward',
    aggregates: 'analytics',
    raw: null,
    deadLetters: {budgetShare: 0.05, budgetAfter: 1000, retentionMs: 1},
    limits: {groups: 1, memoryBytes: 1, stateDiskBytes: 1},
  },
  eventTypes: [eventType],
  lookups: [],
  aggregations: aggregations as Aggregation[],
  inputs: [],
  generate: null,
});

export const input = (more: Partial<Input> = {}): Input => ({
  domain: 'shop',
  name: 'orders',
  eventType: 'order',
  from: null,
  format: 'csv',
  ratePerSecond: null,
  nulls: [''],
  timezone: 'UTC',
  timestampFormat: null,
  orderBy: 'none',
  map: {},
  ...more,
});

export type Logged = {partition: number; offset: number; values: AvroValue[]};
export type Content = {
  events: Logged[];
  letters: StoredDeadLetter[];
  ledger: IngestCounts[];
  marks: number[];
};

/** A directory with a log and input files. */
export class World {
  readonly dir = mkdtempSync(join(tmpdir(), 'millrace-ingest-'));
  readonly clock: Clock;
  log: LogWriter;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
    this.log = openLogWriter(join(this.dir, 'log'), {clock});
  }

  file(name: string, content: string | Uint8Array): string {
    mkdirSync(join(this.dir, 'in'), {recursive: true});
    const path = join(this.dir, 'in', name);
    writeFileSync(path, content);
    return path;
  }

  ingest(path: string, more: Partial<IngestFileOptions> = {}): Promise<IngestReport> {
    const eventType = more.eventType ?? order();
    return ingestFile({
      domain: more.domain ?? domain(eventType),
      eventType,
      input: input(),
      path,
      log: this.log,
      partitions: 3,
      schemaId: 7,
      deadLetterSchemaId: 8,
      clock: this.clock,
      telemetry: noTelemetry,
      tempDir: join(this.dir, 'tmp'),
      ...more,
    });
  }

  /** Everything that is in the log, read back by other code than wrote it. */
  async content(eventType = order()): Promise<Content> {
    const reader = openLogReader(join(this.dir, 'log'));
    const decode = compileDecoder(avroSchema(eventType));
    const events: Logged[] = [];
    const marks: number[] = [];
    for (let partition = 0; partition < reader.partitions(eventType.topic); partition++)
      for (let offset = 0; ; ) {
        const batches = await reader.read(eventType.topic, partition, offset, 1 << 20);
        if (batches.length === 0) break;
        for (const batch of batches) {
          if (batch.kind === 'mark') marks.push(batch.markTimeMs!);
          else
            walkRecords(batch, (index, position, end) => {
              events.push({
                partition,
                offset: batch.baseOffset + index,
                values: decode(batch.bytes, position + 5, end),
              });
            });
          offset = batch.baseOffset + batch.count;
        }
      }
    const letters: StoredDeadLetter[] = [];
    for await (const letter of readDeadLetters(reader, eventType.domain)) letters.push(letter);
    const ledger = reader.ledger();
    reader.close();
    return {events, letters, ledger, marks};
  }

  async close(): Promise<void> {
    await this.log.close();
    rmSync(this.dir, {recursive: true, force: true});
  }
}

/** Runs `body` with a world and removes it afterwards. */
export async function withWorld<T>(body: (world: World) => Promise<T>, clock?: Clock): Promise<T> {
  const world = new World(clock);
  try {
    return await body(world);
  } finally {
    await world.close();
  }
}
