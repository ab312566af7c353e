/**
 * Encoder and decoder of the purchase event against avsc, interleaved: node bench/codec.bench.ts [rounds]
 * Medians of events per second; every round's results are compared first.
 */
import assert from 'node:assert/strict';
import {hash} from 'node:crypto';
import {cpus} from 'node:os';
import avsc from 'avsc';
import {compileDecoder} from '../src/schema/decode.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import type {AvroField, AvroRecord, AvroValue} from '../src/schema/types.ts';
import {uuid5Of} from '../src/schema/uuid5.ts';
import {purchaseOf} from './purchases.ts';

const rounds = Number(process.argv[2] ?? 9);
const count = 100_000;
const opt = (name: string): AvroField => ({name, type: ['null', 'string'], default: null});
const schema: AvroRecord = {
  type: 'record',
  name: 'purchase',
  namespace: 'ecommerce',
  fields: [
    {name: 'event_id', type: 'string'},
    {name: 'timestamp', type: 'long'},
    ...['user_id', 'product_id', 'category', 'country', 'device'].map(opt),
    {name: 'amount_cents', type: 'long'},
  ],
};
const names = schema.fields.map(({name}) => name);
const ids = uuid5Of('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'bench/');
const named = Buffer.alloc(64);
named.write('6ba7b8109dad11d180b400c04fd430c8', 'hex');
const rows: AvroValue[][] = Array.from({length: count}, (_, i) => {
  const {amount, ...rest} = purchaseOf(i);
  return [...Object.values(rest), Math.round(amount * 100)];
});
const objects = rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));

const type = avsc.Type.forSchema(schema as avsc.Schema);
const encoder = compileEncoder(schema, 42);
const decodeAll = compileDecoder(schema);
const decodeThree = compileDecoder(schema, ['timestamp', 'country', 'amount_cents']);
const buffer = Buffer.alloc(count * 200);
const reused = Buffer.alloc(1000);
const ends = new Float64Array(count);
const frames: Buffer[] = [];
{
  let pos = 0;
  for (let i = 0; i < count; i++) {
    const end = encoder.encode(rows[i]!, buffer, pos);
    frames.push(Buffer.from(buffer.subarray(pos + 5, end)));
    assert.deepEqual(frames[i], type.toBuffer(objects[i]), 'the same bytes as avsc');
    assert.deepEqual(decodeAll(frames[i]!, 0, frames[i]!.length), Object.values(type.fromBuffer(frames[i]!)));
    ends[i] = end;
    pos = end;
  }
}

const scratch = new Uint8Array(64);
const jobs: Record<string, () => number> = {
  'encode: ours': () => {
    let pos = 0;
    for (let i = 0; i < count; i++) pos = encoder.encode(rows[i]!, buffer, pos);
    return pos;
  },
  'encode: avsc toBuffer': () => {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += type.toBuffer(objects[i]).length + 5;
    return bytes;
  },
  'encode: avsc, reused buffer': () => {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += type.encode(objects[i], reused, 5);
    return bytes;
  },
  'decode: ours, 8 columns': () => {
    let sum = 0;
    for (let i = 0, pos = 0; i < count; pos = ends[i++]!)
      sum += decodeAll(buffer, pos + 5, ends[i]!)[7] as number;
    return sum;
  },
  'decode: ours, 3 columns': () => {
    let sum = 0;
    for (let i = 0, pos = 0; i < count; pos = ends[i++]!)
      sum += decodeThree(buffer, pos + 5, ends[i]!)[2] as number;
    return sum;
  },
  'decode: avsc': () => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += type.fromBuffer(frames[i]!).amount_cents;
    return sum;
  },
  'uuid5: ours, bytes': () => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += ids.write(i, scratch, 0) - 36 + scratch[0]!;
    return sum;
  },
  'uuid5: ours, string': () => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += ids.of(i).charCodeAt(0);
    return sum;
  },
  'uuid5: crypto.hash, hex digest': () => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const length = named.write(`bench/${i}`, 16, 'latin1');
      sum += hash('sha1', named.subarray(0, 16 + length), 'hex').charCodeAt(0);
    }
    return sum;
  },
};

const rates = new Map<string, number[]>();
const results = new Map<string, number>();
for (let round = 0; round < rounds + 2; round++)
  for (const [name, job] of Object.entries(jobs)) {
    const start = performance.now();
    const result = job();
    const rate = count / (performance.now() - start) / 1000;
    if (round >= 2) rates.set(name, [...(rates.get(name) ?? []), rate]);
    assert.equal(results.get(name) ?? result, result, `${name} gives the same every time`);
    results.set(name, result);
  }
const same = (...list: string[]) => {
  for (const name of list) assert.equal(results.get(name), results.get(list[0]!), name);
};
same('encode: ours', 'encode: avsc toBuffer', 'encode: avsc, reused buffer');
same('decode: ours, 8 columns', 'decode: ours, 3 columns', 'decode: avsc');
same('uuid5: ours, bytes', 'uuid5: ours, string', 'uuid5: crypto.hash, hex digest');

process.stdout.write(
  `${cpus()[0]?.model}, Node ${process.version}, ${count} events, ${rounds} rounds, medians\n`,
);
for (const [name, list] of rates) {
  list.sort((a, b) => a - b);
  process.stdout.write(`${name.padEnd(30)} ${list[list.length >> 1]!.toFixed(2).padStart(7)} M/s\n`);
}
