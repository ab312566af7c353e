/**
 * A CSV file -> durable log, without a transform and with two: node bench/transforms.bench.ts [rounds]
 * Interleaved; medians of rows per second; the logs of all three hold the same values, beside the ids.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {cpus, loadavg, tmpdir} from 'node:os';
import {join} from 'node:path';
import {systemClock} from '../src/clock.ts';
import {ingestFile} from '../src/ingest/file.ts';
import {openLogReader, openLogWriter} from '../src/log/embedded.ts';
import type {Domain, EventType, Input} from '../src/model/types.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileDecoder} from '../src/schema/decode.ts';
import {walkRecords} from '../src/schema/frame.ts';
import {noTelemetry} from '../src/telemetry.ts';
import {createTransform} from '../src/transforms/runner.ts';
import {purchaseType} from './purchases.ts';

const rounds = Number(process.argv[2] ?? 5);
const count = 100_000;
const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const module = (name: string, text: string): EventType => {
  const path = join(dir, name);
  writeFileSync(path, text);
  return {...purchaseType, transform: {path, timeoutMs: 10_000, outputsMax: 10}};
};
const kinds: Record<string, EventType> = {
  'without a transform': purchaseType,
  'a function': module('plain.ts', 'export default (event) => ({...event, country: event.country});'),
  'an async function': module('async.ts', 'export default async (event) => [event];'),
};
const countries = ['US', 'GB', 'DE', 'FR', 'IT', 'ES', 'NL', 'BR'];
const rows = Array.from(
  {length: count},
  (_, i) =>
    `2026-01-01T00:00:${String(i % 60).padStart(2, '0')}Z,user-${(i * 7919) % 50000},product-${(i * 31) % 2000},toys,${countries[i % 8]},mobile,${((i * 977) % 500000) / 100}`,
);
const path = join(dir, 'purchases.csv');
writeFileSync(path, `timestamp,user_id,product_id,category,country,device,amount\n${rows.join('\n')}\n`);
const input: Input = {
  domain: 'ecommerce',
  name: 'purchases',
  eventType: 'purchase',
  from: path,
  format: 'csv',
  ratePerSecond: null,
  nulls: [''],
  timezone: 'UTC',
  timestampFormat: null,
  orderBy: 'none',
  map: {},
};
const domain = {
  name: 'ecommerce',
  defaults: {futureMaxMs: 3_600_000, deadLetters: {budgetShare: 0, budgetAfter: 1, retentionMs: 1}},
  eventTypes: [purchaseType],
  aggregations: [],
} as unknown as Domain;

/** Values of all events, without their ids, in order of partition and offset. */
async function valuesOf(logDir: string): Promise<string> {
  const decode = compileDecoder(avroSchema(purchaseType));
  const reader = openLogReader(logDir);
  const values: string[] = [];
  for (let partition = 0; partition < 4; partition++)
    for (let offset = 0; ; ) {
      const batches = await reader.read(purchaseType.topic, partition, offset, 4 << 20);
      if (batches.length === 0) break;
      for (const batch of batches) {
        walkRecords(batch, (_, position, end) => {
          values.push(
            decode(batch.bytes, position + 5, end)
              .slice(1)
              .join(),
          );
        });
        offset = batch.baseOffset + batch.count;
      }
    }
  reader.close();
  return values.join('\n');
}

const rates = new Map<string, number[]>();
let expected: string | undefined;
for (let round = 0; round <= rounds; round++)
  for (const [name, eventType] of Object.entries(kinds)) {
    const logDir = join(dir, 'log');
    const log = openLogWriter(logDir);
    const transform =
      eventType.transform && createTransform({eventType, telemetry: noTelemetry, reload: false});
    const start = performance.now();
    const report = await ingestFile({
      domain,
      eventType,
      input,
      path,
      log,
      partitions: 4,
      schemaId: 1,
      deadLetterSchemaId: 2,
      ...(transform && {transform}),
      clock: systemClock,
      telemetry: noTelemetry,
      tempDir: join(dir, 'tmp'),
    });
    const seconds = (performance.now() - start) / 1000;
    await transform?.close();
    await log.close();
    assert.equal(report.appended, count);
    // The first round warms up, and compares.
    if (round === 0) {
      const values = await valuesOf(logDir);
      expected ??= values;
      assert.equal(values, expected, name);
    } else rates.set(name, [...(rates.get(name) ?? []), count / seconds]);
    rmSync(logDir, {recursive: true});
  }
rmSync(dir, {recursive: true});
process.stdout.write(
  `${cpus()[0]?.model}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}, ${count} rows, ${rounds} rounds, medians; the thread's start is in them\n`,
);
for (const [name, list] of rates)
  process.stdout.write(
    `${name.padEnd(22)} ${Math.round(list.toSorted((a, b) => a - b)[list.length >> 1]! / 1000)} k rows/s\n`,
  );
