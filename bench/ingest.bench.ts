/**
 * CSV file -> durable log, validated: `ingestFile` against the obvious way (lines, split, objects, avsc, the same log), the
 * same file and the same events, interleaved. Run: node bench/ingest.bench.ts [flights.csv.zip] [rounds]
 */
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {cpus, tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import avsc from 'avsc';
import {systemClock} from '../src/clock.ts';
import {checkExpr} from '../src/expr/check.ts';
import {parseExpr} from '../src/expr/parse.ts';
import {ingestFile} from '../src/ingest/file.ts';
import {domainNamespace} from '../src/ingest/identity.ts';
import {openFile} from '../src/ingest/open.ts';
import {openLogReader, openLogWriter} from '../src/log/embedded.ts';
import {partitionOf} from '../src/log/partition.ts';
import type {Domain, EventType, Field, Input} from '../src/model/types.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {packRecords} from '../src/schema/frame.ts';
import {uuid5Of} from '../src/schema/uuid5.ts';
import {noTelemetry} from '../src/telemetry.ts';

const path = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../data/flights.csv.zip');
const rounds = Number(process.argv[3] ?? 5);
const partitions = 4;

const field = (name: string, type: Field['type'], role: Field['role'], required = false): Field => ({
  name,
  column: name,
  role,
  type,
  required,
  aliases: [],
});
const fields = [
  field('event_id', 'string', 'id', true),
  field('timestamp', 'timestamp', 'time', true),
  field('flight_no', 'string', 'attribute'),
  field('tail', 'string', 'attribute'),
  field('carrier', 'string', 'dimension'),
  field('origin', 'string', 'dimension'),
  field('dest', 'string', 'dimension'),
  field('distance', 'long', 'metric', true),
  field('delay_min', 'long', 'metric'),
];
const parsed = parseExpr('distance > 0');
assert.ok(parsed.ok);
const checked = checkExpr(
  parsed.expr,
  new Map(fields.map(({name, type, required}) => [name, {type, nullable: !required}])),
  'boolean',
);
assert.ok(checked.ok);
const expr = checked.typed;

const eventType: EventType = {
  domain: 'flights',
  name: 'departure',
  topic: 'flights.departure',
  key: 'event_id',
  fields,
  derive: [],
  enrich: [],
  checks: [{name: 'distance_is_positive', expr, text: 'distance > 0'}],
};
const domain = {
  name: 'flights',
  defaults: {futureMaxMs: 3_600_000, deadLetters: {budgetShare: 0.05, budgetAfter: 1000, retentionMs: 1}},
  eventTypes: [eventType],
  aggregations: [],
  lookups: [],
  inputs: [],
} as unknown as Domain;
const input = (orderBy: Input['orderBy']): Input => ({
  domain: 'flights',
  name: 'departures',
  eventType: 'departure',
  from: path,
  format: 'csv',
  ratePerSecond: null,
  nulls: ['NA', ''],
  timezone: 'UTC',
  timestampFormat: null,
  orderBy,
  map: {timestamp: 'time_hour', flight_no: 'flight', tail: 'tailnum', delay_min: 'dep_delay'},
});

async function ours(dir: string, orderBy: Input['orderBy']): Promise<number> {
  const log = openLogWriter(join(dir, 'log'));
  const report = await ingestFile({
    domain,
    eventType,
    input: input(orderBy),
    path,
    log,
    partitions,
    schemaId: 1,
    deadLetterSchemaId: 2,
    clock: systemClock,
    telemetry: noTelemetry,
    tempDir: join(dir, 'tmp'),
  });
  await log.close();
  assert.equal(report.rejected, 0);
  return report.appended;
}

/** What one would write first: whole lines, split at commas (this file has no quotes), an object a row, avsc, batches of 5,000. */
async function obvious(dir: string): Promise<number> {
  const log = openLogWriter(join(dir, 'log'));
  log.ensureTopic(eventType.topic, partitions);
  const type = avsc.Type.forSchema(avroSchema(eventType) as avsc.Schema);
  const ids = uuid5Of(domainNamespace('flights'), 'departures/flights.csv/');
  const header = Buffer.from([0, 0, 0, 0, 1]);
  let frames: Buffer[][] = Array.from({length: partitions}, () => []);
  let pending = 0;
  const flush = async () => {
    const appends = frames.map((list, partition) => ({
      topic: eventType.topic,
      partition,
      count: list.length,
      bytes: packRecords(list),
    }));
    await log.append({appends: appends.filter(({count}) => count > 0)});
    frames = Array.from({length: partitions}, () => []);
    pending = 0;
  };
  const number = (text: string | null): number | null => {
    if (text === null) return null;
    const value = Number(text);
    if (!Number.isInteger(value)) throw new Error(`not an integer: ${text}`);
    return value;
  };
  let rest = '';
  let names: string[] | undefined;
  let row = 0;
  const decoder = new TextDecoder();
  for await (const chunk of (await openFile(path)).chunks) {
    const lines = (rest + decoder.decode(chunk, {stream: true})).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const cells = line.split(',');
      if (names === undefined) {
        names = cells;
        continue;
      }
      row++;
      const record: Record<string, string | null> = {};
      for (let i = 0; i < names.length; i++)
        record[names[i]!] = cells[i] === 'NA' || cells[i] === '' ? null : cells[i]!;
      const event = {
        event_id: ids.of(row),
        timestamp: Date.parse(record.time_hour!),
        flight_no: record.flight,
        tail: record.tailnum,
        carrier: record.carrier,
        origin: record.origin,
        dest: record.dest,
        distance: number(record.distance!),
        delay_min: number(record.dep_delay!),
      };
      if (Number.isNaN(event.timestamp) || event.distance === null || event.distance <= 0)
        throw new Error(`bad row ${row}`);
      frames[partitionOf(null, event.event_id, partitions)]!.push(
        Buffer.concat([header, type.toBuffer(event)]),
      );
      if (++pending === 5000) await flush();
    }
  }
  await flush();
  await log.close();
  return row;
}

/** Hash of all events of the log, by partition. */
async function contentOf(dir: string): Promise<string> {
  const reader = openLogReader(join(dir, 'log'));
  const hash = createHash('sha256');
  for (let partition = 0; partition < partitions; partition++)
    for (let offset = 0; ; ) {
      const batches = await reader.read(eventType.topic, partition, offset, 4 << 20);
      if (batches.length === 0) break;
      for (const batch of batches) {
        hash.update(batch.bytes);
        offset = batch.baseOffset + batch.count;
      }
    }
  reader.close();
  return hash.digest('hex');
}

const runs = {
  'obvious way, order of the file': obvious,
  'ingestFile, order_by: none': (dir: string) => ours(dir, 'none'),
  'ingestFile, order_by: timestamp': (dir: string) => ours(dir, 'timestamp'),
};
const rates: Record<string, number[]> = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
for (let round = 0; round <= rounds; round++) {
  const contents: string[] = [];
  for (const [name, run] of Object.entries(runs)) {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
    try {
      const start = performance.now();
      const rows = await run(dir);
      const seconds = (performance.now() - start) / 1000;
      // The first round warms up.
      if (round > 0) rates[name]!.push(rows / seconds);
      contents.push(await contentOf(dir));
    } finally {
      rmSync(dir, {recursive: true, force: true});
    }
  }
  assert.equal(contents[0], contents[1], 'both ways log the same bytes');
}
const median = (list: number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
console.log(
  `${cpus()[0]?.model ?? ''}, ${cpus().length} cores; node ${process.version}; ${rounds} rounds, interleaved, medians`,
);
for (const [name, list] of Object.entries(rates)) {
  const sorted = list.toSorted((a, b) => a - b);
  console.log(
    `${name.padEnd(34)} ${Math.round(median(list)).toLocaleString('en').padStart(9)} rows/s  (${sorted.map((rate) => `${Math.round(rate / 1000)}k`).join(' ')})`,
  );
}
