/** Appending events with one attribute of personal data against none: batches of 500, durable, both in turn in one run. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {openLogWriter} from '../src/log/writer.ts';
import type {EventType, Field} from '../src/model/types.ts';
import {protectLog} from '../src/privacy/protected-log.ts';
import {createProtector} from '../src/privacy/protector.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import {packRecords} from '../src/schema/frame.ts';

const batch = 500;
const events = 50_000;
const rounds = 5;
const field = (name: string, type: Field['type'], more: Partial<Field> = {}): Field => ({
  name,
  column: name,
  role: 'attribute',
  type,
  required: false,
  aliases: [],
  ...more,
});
const eventType = (pii: boolean): EventType => ({
  domain: 'shop',
  name: 'order',
  topic: 'shop.order',
  key: 'event_id',
  fields: [
    field('event_id', 'string', {role: 'id', required: true}),
    field('timestamp', 'timestamp', {role: 'time', required: true}),
    field('email', 'string', pii ? {pii: 'hash'} : {}),
    field('country', 'string'),
    field('amount', 'long', {role: 'metric', required: true}),
  ],
  derive: [],
  enrich: [],
  checks: [],
});
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Events a second. @param people distinct values; `null`: nothing is protected */
async function run(people: number, isProtected: boolean): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const type = eventType(isProtected);
  const encoder = compileEncoder(avroSchema(type), 1);
  const batches = Array.from({length: events / batch}, (_, at) =>
    packRecords(
      Array.from({length: batch}, (_, index) => {
        const n = at * batch + index;
        const row = [`event-${n}`, n, `person${(n * 7919) % people}@example.com`, 'DE', n];
        const frame = new Uint8Array(encoder.sizeMax(row));
        return frame.subarray(0, encoder.encode(row, frame, 0));
      }),
    ),
  );
  const plain = openLogWriter(join(dir, 'log'));
  const log = isProtected
    ? protectLog(
        plain,
        createProtector([{name: 'shop', eventTypes: [type]}], {dir: join(dir, 'log'), key: 'k'.repeat(32)}),
      )
    : plain;
  log.ensureTopic('shop.order', 1);
  const startMs = performance.now();
  for (const bytes of batches)
    await log.append({appends: [{topic: 'shop.order', partition: 0, count: batch, bytes}]});
  const seconds = (performance.now() - startMs) / 1000;
  await log.close();
  rmSync(dir, {recursive: true});
  return events / seconds;
}

const kinds: [string, number, boolean][] = [
  ['nothing protected', 1_000, false],
  ['hash, 1,000 people', 1_000, true],
  ['hash, every value new', events, true],
];
const figures = new Map<string, number[]>();
for (let round = 0; round < rounds; round++)
  for (const [name, people, isProtected] of kinds)
    figures.set(name, [...(figures.get(name) ?? []), await run(people, isProtected)]);
for (const [name, values] of figures)
  process.stdout.write(`${name}: ${Math.round(median(values)).toLocaleString('en')} events/s\n`);
