import assert from 'node:assert/strict';
import {test} from 'node:test';
import avsc from 'avsc';
import {checkExpr} from '../../src/expr/check.ts';
import {parseExpr} from '../../src/expr/parse.ts';
import type {ValueType} from '../../src/expr/types.ts';
import {rowIds} from '../../src/ingest/identity.ts';
import {JsonScanner} from '../../src/ingest/jsonl.ts';
import {compileObjectEncoder, type EventObject, noRoom, roomMax} from '../../src/ingest/objects.ts';
import {compileRows, wantedColumns} from '../../src/ingest/validate.ts';
import type {EventType} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {field} from '../support/fields.ts';
import {input, order} from './world.ts';

const latestMs = Date.parse('2030-01-01T00:00:00Z');
const head = order().fields.slice(0, 2);
const types: ValueType[] = [
  'string',
  'int',
  'long',
  'double',
  'boolean',
  'timestamp',
  'date',
  'uuid',
  'money',
  'enum',
];
const one = (type: ValueType, required = false): EventType =>
  order({
    key: 'value',
    fields: [
      ...head,
      field('value', type, {required, ...(type === 'enum' ? {symbols: ['red', 'green']} : {})}),
    ],
  });
const event = (value: unknown) => ({event_id: 'e1', timestamp: 1_700_000_000_000, value});

type Verdict = {bytes: string; partition: number} | {code: string; message: string};

const out = new Uint8Array(roomMax);

function encode(eventType: EventType, given: EventObject, layout?: 'object' | 'list'): Verdict {
  const encoder = compileObjectEncoder(eventType, 7, layout);
  const end = encoder.encode(given, latestMs, out, 3);
  assert.notEqual(end, noRoom);
  if (end < 0) return encoder.explain(given, end);
  return {bytes: Buffer.from(out.subarray(3, end)).toString('hex'), partition: encoder.lastPartition(5)};
}

/** The same event as a line of a file, through the other encoder. */
function encodeLine(eventType: EventType, line: string): Verdict {
  const source = {...input({format: 'jsonl', nulls: [], map: {event_id: 'event_id'}})};
  const scanner = new JsonScanner(wantedColumns(eventType, source));
  const ids = rowIds('shop', 'orders', 'x');
  const rows = compileRows({eventType, input: source, schemaId: 7, partitions: 5, ids}, scanner.columns, 'x');
  const bytes = new TextEncoder().encode(`${line}\n\n`);
  scanner.scan(bytes, 0, bytes.length - 1, true);
  assert.equal(scanner.reason, 0, line);
  const out = new Uint8Array(4096);
  const end = rows.encode(scanner, 1, latestMs, out, 3);
  if (end < 0) return rows.explain(scanner, end);
  return {bytes: Buffer.from(out.subarray(3, end)).toString('hex'), partition: rows.partition(scanner, 1)};
}

const jsonOf = (value: unknown): string =>
  typeof value === 'bigint' ? String(value) : JSON.stringify(value);

/** Scalars that JSON can say. */
const scalars: unknown[] = [
  ...['', 'x', 'Zürich', '𝒳 and ascii', 'a'.repeat(63), 'a'.repeat(64), `${'ü'.repeat(70)}`, ' 12 ', '-7'],
  ...[0, 1, -1, 63, 64, -64, -65, 2 ** 28, -(2 ** 28) - 1, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53 - 1],
  ...[0.5, -0.25, 12.34, 0.07, 1.005, 1e-7, 0.1 + 0.2, 1e15 + 0.5, 4_503_599_627_370.49, 1.1e3],
  ...[2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n, 92_233_720_368_547_758n, 92_233_720_368_547_759n],
  ...[
    '9223372036854775807',
    '92233720368547758.07',
    '92233720368547758.08',
    '1.2.3',
    '1,000.50',
    '1e3',
    'NaN',
  ],
  ...[
    true,
    false,
    'true',
    'F',
    '2024-02-29',
    '2023-02-29',
    '2024-02-29T12:00:00.123456+01:00',
    '2024-02-29 12:00',
  ],
  ...[
    '2ED6657D-e927-568b-95e1-2665a8aea6a2',
    ' 2ed6657d-e927-568b-95e1-2665a8aea6a2',
    '2ed6657de927568b95e12665a8aea6a2',
  ],
  ...[
    'red',
    ' green',
    'blue',
    '1969-12-31T23:59:59.999Z',
    '2029-12-31',
    '2031-01-01',
    -1,
    253_402_300_800_000,
  ],
  null,
];

test('an object and the same event as a line of JSON give the same bytes and partition, or the same code and message', () => {
  let good = 0;
  let bad = 0;
  for (const type of types)
    for (const required of [false, true])
      for (const value of scalars) {
        const eventType = one(type, required);
        const line = `{"event_id":"e1","timestamp":1700000000000,"value":${jsonOf(value)}}`;
        const verdict = encode(eventType, event(value));
        assert.deepEqual(verdict, encodeLine(eventType, line), `${type} of ${jsonOf(value)}`);
        if ('code' in verdict) bad++;
        else good++;
        assert.deepEqual(encode(eventType, ['e1', 1_700_000_000_000, value], 'list'), verdict);
      }
  for (const value of scalars) {
    if (value === null) continue;
    const line = `{"event_id":"e1","timestamp":${jsonOf(value)}}`;
    const eventType = order({fields: head, key: 'event_id'});
    const given = {event_id: 'e1', timestamp: value};
    // A file's line may say more digits than a number can hold; of those an object has bigints.
    assert.deepEqual(encode(eventType, given), encodeLine(eventType, line), `event time ${jsonOf(value)}`);
  }
  assert.ok(good > 300 && bad > 300, `${good} good, ${bad} bad`);
});

test('values that JSON has not: dates, NaN, inexact numbers, half surrogates, objects, undefined', () => {
  const at = new Date('2024-02-29T00:00:00Z');
  const same: [ValueType, unknown, unknown][] = [
    ['timestamp', at, '2024-02-29T00:00:00Z'],
    ['timestamp', BigInt(at.getTime()), '2024-02-29T00:00:00Z'],
    ['date', at, '2024-02-29'],
    ['string', undefined, null],
    ['double', -0, '-0.0'],
    ['long', -0, 0],
    ['money', -0, '0.00'],
    ['money', 0.29, '0.29'],
    ['money', 9_999_999_999_999.99, '9999999999999.99'],
  ];
  for (const [type, value, text] of same)
    assert.deepEqual(
      encode(one(type), event(value)),
      encode(one(type), event(text)),
      `${type} of ${String(value)}`,
    );
  const wrong: [ValueType, unknown, string, string][] = [
    ['long', 1.5, 'TYPE', 'value: "1.5" is no long'],
    ['long', Number.NaN, 'TYPE', 'value: "NaN" is no long'],
    ['long', 2 ** 60, 'RANGE', 'value: "1152921504606847000" does not fit long'],
    ['double', Number.POSITIVE_INFINITY, 'TYPE', 'value: "Infinity" is no double'],
    ['money', 1e20, 'RANGE', 'value: "100000000000000000000" does not fit money'],
    ['money', 0.1 + 0.2, 'MONEY_SCALE', 'value: "0.30000000000000004" has more than two decimals'],
    ['timestamp', new Date(Number.NaN), 'TYPE', 'value: "Invalid Date" is no timestamp'],
    ['date', new Date('2024-02-29T01:00:00Z'), 'TYPE', 'value: "2024-02-29T01:00:00.000Z" is no date'],
    ['string', 'half \ud800', 'UTF8', 'value: half of a surrogate pair'],
    ['string', ['a'], 'TYPE', 'value: "an object or array" is no text'],
    ['string', Symbol('x'), 'TYPE', 'value: "an object or array" is no text'],
    ['enum', {}, 'TYPE', 'value: "an object or array" is no symbol'],
    ['boolean', () => true, 'TYPE', 'value: "an object or array" is not true or false'],
    ['uuid', 7, 'TYPE', 'value: "7" is no uuid'],
  ];
  for (const [type, value, code, message] of wrong)
    assert.deepEqual(encode(one(type), event(value)), {code, message});
});

test('what an object inherits is no value: fields may be called constructor or toString', () => {
  const names = ['constructor', 'toString', 'valueOf', 'hasOwnProperty'];
  const eventType = order({
    fields: [...head, ...names.map((name) => field(name, 'string'))],
    key: 'constructor',
  });
  const schema = avsc.Type.forSchema(avroSchema(eventType) as avsc.Schema);
  const decode = (given: EventObject) => {
    const verdict = encode(eventType, given);
    assert.ok('bytes' in verdict, JSON.stringify(verdict));
    return {...schema.fromBuffer(Buffer.from(verdict.bytes, 'hex').subarray(9))};
  };
  const base = {event_id: 'e1', timestamp: 1};
  assert.deepEqual(decode(base), {...base, ...Object.fromEntries(names.map((name) => [name, null]))});
  assert.deepEqual(decode({...base, constructor: 'c', toString: 't', valueOf: 'v', hasOwnProperty: 'h'}), {
    ...base,
    constructor: 'c',
    toString: 't',
    valueOf: 'v',
    hasOwnProperty: 'h',
  });
});

test('checks see what was read, derived columns too', () => {
  const base = order();
  const scope = new Map(base.fields.map(({name, type, required}) => [name, {type, nullable: !required}]));
  const typed = (text: string, type: ValueType) => {
    const parsed = parseExpr(text);
    assert.ok(parsed.ok);
    const checked = checkExpr(parsed.expr, scope, type);
    assert.ok(checked.ok);
    return checked.typed;
  };
  const total = {name: 'total', type: 'money' as const, text: '', expr: typed('amount * quantity', 'money')};
  scope.set('total', {type: 'money', nullable: true});
  const eventType: EventType = {
    ...base,
    derive: [total],
    checks: [{name: 'large', text: '', expr: typed('total >= 10.00', 'boolean')}],
  };
  const given = (amount: unknown, quantity: unknown) => ({event_id: 'a', timestamp: 1, amount, quantity});
  assert.ok('bytes' in encode(eventType, given(5, 2)));
  assert.ok('bytes' in encode(eventType, given('5.00', null)), 'NULL passes');
  assert.deepEqual(encode(eventType, given(4.99, 2n)), {
    code: 'CHECK:large',
    message: 'the check large is false: total = 9.98',
  });
  const overflow = encode(eventType, given('92233720368547758.07', 2));
  assert.ok('code' in overflow && overflow.code === 'EXPRESSION');
});

test('a buffer that is too small is asked for again, a record over 1 MiB is refused', () => {
  const eventType = order({fields: [...head, field('a', 'string'), field('b', 'string')], key: 'event_id'});
  const encoder = compileObjectEncoder(eventType, 1);
  const given = {event_id: 'e', timestamp: 1, a: 'ü'.repeat(100), b: 'x'.repeat(300)};
  const large = new Uint8Array(4096);
  const end = encoder.encode(given, latestMs, large, 0);
  for (let size = 0; size < 1500; size++) {
    const out = new Uint8Array(size);
    const result = encoder.encode(given, latestMs, out, 0);
    if (result === noRoom) continue;
    assert.equal(result, end, `${size} bytes`);
    assert.deepEqual(out.subarray(0, end), large.subarray(0, end));
  }
  const half = 'y'.repeat(1024 * 512);
  const room = new Uint8Array(roomMax);
  const tooLarge = encoder.encode({...given, a: half, b: half}, latestMs, room, 0);
  assert.deepEqual(encoder.explain(given, tooLarge), {
    code: 'RECORD_TOO_LARGE',
    message: `the record has ${2 * half.length + 5 + 2 + 1 + 2 + 6} bytes`,
  });
  const huge = 'z'.repeat(4 * 1024 * 1024);
  assert.equal(
    encoder.explain(given, encoder.encode({...given, a: huge}, latestMs, room, 0)).code,
    'RECORD_TOO_LARGE',
  );
});
