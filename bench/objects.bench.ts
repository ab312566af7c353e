/**
 * Objects -> validated -> encoded frames against avsc's toBuffer, which only encodes: node bench/objects.bench.ts [rounds]
 * Interleaved; medians of events per second; the bytes of both are compared first. The event is that of codec.bench.ts.
 */
import assert from 'node:assert/strict';
import {cpus, loadavg} from 'node:os';
import avsc from 'avsc';
import {checkExpr} from '../src/expr/check.ts';
import {parseExpr} from '../src/expr/parse.ts';
import {compileObjectEncoder} from '../src/ingest/objects.ts';
import type {EventType} from '../src/model/types.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {purchaseOf, purchaseType} from './purchases.ts';

const rounds = Number(process.argv[2] ?? 9);
const count = 100_000;
const text = 'amount >= 0.00';
const parsed = parseExpr(text);
assert.ok(parsed.ok);
const scope = new Map(
  purchaseType.fields.map(({name, type, required}) => [name, {type, nullable: !required}]),
);
const checked = checkExpr(parsed.expr, scope, 'boolean');
assert.ok(checked.ok);
const withCheck: EventType = {...purchaseType, checks: [{name: 'not_negative', text, expr: checked.typed}]};

const events = Array.from({length: count}, (_, i) => purchaseOf(i));
// avsc is given what it can write: cents. Turning units into cents is left to us alone.
const inCents = events.map(({amount, ...rest}) => ({...rest, amount_cents: Math.round(amount * 100)}));

const type = avsc.Type.forSchema(avroSchema(purchaseType) as avsc.Schema);
const encoder = compileObjectEncoder(purchaseType, 42);
const checking = compileObjectEncoder(withCheck, 42);
const latestMs = 1800000000000;
const buffer = new Uint8Array(count * 200);
const reused = Buffer.alloc(1000);
for (let i = 0, pos = 0; i < count; i++) {
  const end = encoder.encode(events[i]!, latestMs, buffer, pos);
  assert.ok(end > pos);
  assert.equal(checking.encode(events[i]!, latestMs, buffer, pos), end);
  assert.deepEqual(Buffer.from(buffer.subarray(pos + 9, end)), type.toBuffer(inCents[i]), 'the same bytes');
  pos = end;
}

const headerBytes = 9;
const jobs: Record<string, () => number> = {
  'ours: validated, record of the log': () => {
    let pos = 0;
    for (let i = 0; i < count; i++) pos = encoder.encode(events[i]!, latestMs, buffer, pos);
    return pos;
  },
  'ours, and one check': () => {
    let pos = 0;
    for (let i = 0; i < count; i++) pos = checking.encode(events[i]!, latestMs, buffer, pos);
    return pos;
  },
  'avsc toBuffer': () => {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += type.toBuffer(inCents[i]).length + headerBytes;
    return bytes;
  },
  'avsc encode, reused buffer': () => {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += type.encode(inCents[i], reused, headerBytes);
    return bytes;
  },
  'avsc isValid, then toBuffer': () => {
    let bytes = 0;
    for (let i = 0; i < count; i++)
      if (type.isValid(inCents[i])) bytes += type.toBuffer(inCents[i]).length + headerBytes;
    return bytes;
  },
};

const rates = new Map<string, number[]>();
let expected: number | undefined;
for (let round = 0; round < rounds + 2; round++)
  for (const [name, job] of Object.entries(jobs)) {
    const start = performance.now();
    const result = job();
    const rate = count / (performance.now() - start) / 1000;
    if (round >= 2) rates.set(name, [...(rates.get(name) ?? []), rate]);
    expected ??= result;
    assert.equal(result, expected, `${name} writes as many bytes`);
  }
const median = (list: number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]!;
const peer = median(rates.get('avsc toBuffer')!);
process.stdout.write(
  `${cpus()[0]?.model}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}, ${count} events, ${rounds} rounds, medians\n`,
);
for (const [name, list] of rates) {
  const rate = median(list);
  process.stdout.write(
    `${name.padEnd(36)} ${rate.toFixed(2).padStart(7)} M/s  ${(rate / peer).toFixed(2).padStart(5)} x toBuffer\n`,
  );
}
