/** Records of other programs are judged as ingestion judges events: the same codes, messages and order. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {compileJudge, timeMsMax} from '../../src/ingest/judge.ts';
import {compileObjectEncoder, roomMax} from '../../src/ingest/objects.ts';
import {checkedType} from '../../src/model/checked.ts';
import type {EventType} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import type {AvroRecord, AvroSchema, AvroValue} from '../../src/schema/types.ts';
import {loadDomain} from '../support/platform.ts';

const yaml = `domain: shop
event_types:
  - name: order
    attributes: [{name: email, pii: hash}, {name: note}]
    dimensions: [country, {name: channel, type: enum, symbols: [web, shop]}]
    metrics:
      - {name: amount, type: money, aliases: [price]}
      - {name: ratio, type: double, required: false}
      - {name: size, type: int, required: false}
    derive: {total: amount * 2, unused: size * 1000000000, half: size / 2}
    checks:
      positive: total > 0.00
      known: country <> 'XX' or channel = 'web'
      mailed: email like '%@%'
      number: cast(note as long) < 10
      sane: ratio < 2 or half > 100
`;

const platform = `platform: cases
sinks: {rows: {backend: stdout}}
defaults: {aggregates: rows, raw: none}
pii: {key: ${'k'.repeat(32)}}
`;

const domain = await loadDomain(yaml, {'platform.yaml': platform});
const order = domain.eventTypes[0]!;
const day = Date.UTC(2026, 0, 5);
const event = {
  event_id: 'e1', timestamp: day, email: 'a@b', note: '7', country: 'DE', channel: 'web', amount: 12, ratio: 0.5, size: 3,
}; // biome-ignore format: a row
type Given = Record<keyof typeof event, unknown>;

/** What ingestion says of the same values; undefined when it takes them. */
function ingested(given: Given, latestMs: number): {code: string; message: string} | undefined {
  const encoder = compileObjectEncoder(order, 1);
  const end = encoder.encode(given, latestMs, new Uint8Array(roomMax), 0);
  return end >= 0 ? undefined : encoder.explain(given, end);
}

function frameOf(schema: AvroRecord, values: AvroValue[], id = 1): Uint8Array {
  const encoder = compileEncoder(schema, id);
  const bytes = new Uint8Array(encoder.sizeMax(values));
  return bytes.subarray(0, encoder.encode(values, bytes, 0));
}

const schemas = new Map<number, AvroSchema>();
const judge = compileJudge(checkedType(order), (id) => schemas.get(id));
const judged = (frame: Uint8Array, latestMs = timeMsMax) => {
  // Somewhere in a batch.
  const bytes = Buffer.concat([Buffer.alloc(3), frame, Buffer.from([1, 2])]);
  const refusal = judge(bytes, 3, 3 + frame.length, latestMs);
  return refusal && {...refusal};
};
const own = avroSchema(order as EventType);
schemas.set(1, own);

test('a check fails with the code and the message that it has at ingestion, the first of them and after the time', () => {
  const cases: [Partial<Given>, number?][] = [
    [{}],
    [{amount: -1, note: '99'}],
    [{amount: 0}],
    [{country: 'XX', channel: 'shop'}],
    [{country: 'XX'}],
    [{country: null, channel: null, note: null, ratio: null, size: null}],
    [{note: '10'}],
    [{note: 'ten'}],
    [{ratio: 3}],
    [{ratio: 3, size: 300}],
    [{email: 'nobody'}],
    [{amount: -1, timestamp: day + 1}, day],
    [{timestamp: -1, amount: -1}],
  ];
  const told = cases.map(([more, latestMs = timeMsMax]) => {
    const given = {...event, ...more};
    // Cents, as Avro has them.
    const row = order.fields.map(({name}) =>
      name === 'amount' ? Number(given.amount) * 100 : given[name as keyof Given],
    );
    const [mine, theirs] = [judged(frameOf(own, row as AvroValue[]), latestMs), ingested(given, latestMs)];
    assert.equal(mine?.code, theirs?.code, JSON.stringify(more));
    if (!mine?.code.startsWith('TIMESTAMP')) assert.equal(mine?.message, theirs?.message);
    assert.equal(mine?.stage, mine && (mine.code.startsWith('TIMESTAMP') ? 'decode' : 'check'));
    return mine?.code;
  });
  assert.deepEqual(told, [
    undefined,
    'CHECK:positive',
    'CHECK:positive',
    'CHECK:known',
    undefined,
    undefined,
    'CHECK:number',
    'EXPRESSION',
    'CHECK:sane',
    undefined,
    'CHECK:mailed',
    'TIMESTAMP_FUTURE',
    'TIMESTAMP_RANGE',
  ]);
  const {message} = judged(frameOf(own, ['e', day, 'nobody', null, 'DE', 'web', 100, null, null]))!;
  assert.equal(message, 'the check mailed is false: email = ***');
});

test('what another schema wrote is read as the event type sees it, and what its checks cannot see is no event', () => {
  const fields = (...all: [name: string, type: AvroSchema][]): AvroRecord => ({
    type: 'record',
    name: 'Purchase',
    fields: [['timestamp', 'long'] as [string, AvroSchema], ...all].map(([name, type]) => ({name, type})),
  });
  let id = 10;
  const of = (schema: AvroRecord, values: AvroValue[]) => {
    schemas.set(++id, schema);
    const told = judged(frameOf(schema, values, id));
    return told && `${told.stage} ${told.code} ${told.message.replaceAll(String(id), '<id>')}`;
  };
  const price = ['price_cents', 'int'] as [string, AvroSchema];
  assert.equal(of(fields(price), [day, 5]), undefined);
  assert.equal(
    of(fields(price), [day, -5]),
    'check CHECK:positive the check positive is false: total = -0.10',
  );
  assert.equal(
    of(fields(['more', {type: 'array', items: 'string'}], price, ['ratio', 'double'], ['size', 'int']), [
      day,
      ['x'],
      5,
      2.5,
      5,
    ]),
    'check CHECK:sane the check sane is false: ratio = 2.5, half = 2.5',
  );
  assert.equal(of(fields(price, ['ratio', 'double']), [day, 5, Number.NaN]), undefined, 'NaN is NULL');
  assert.equal(of(fields(price, ['note', 'bytes']), [day, 5, Buffer.from('3')]), undefined);
  // An enum of another name, with more symbols.
  const channel = (...symbols: string[]): [string, AvroSchema] => [
    'channel',
    {type: 'enum', name: 'Way', symbols},
  ];
  assert.equal(of(fields(price, channel('phone', 'web')), [day, 5, 'web']), undefined);
  assert.equal(
    of(fields(price, channel('phone', 'web')), [day, 5, 'phone']),
    'decode DECODE field channel holds a symbol that its type does not have',
  );
  assert.equal(
    of(fields(), [day]),
    'decode DECODE field amount_cents is required, and schema <id> does not have it',
  );
  assert.equal(
    of(fields(['price_cents', ['null', 'long']]), [day, null]),
    'decode DECODE field amount_cents is required, and the record has none',
  );
  assert.equal(
    of(fields(['price_cents', 'double']), [day, 5]),
    'decode DECODE field amount_cents was written as double and cannot be read as money',
  );
  // Left to whoever reads it: no time, a time of another type, no frame, no schema.
  assert.equal(
    of({type: 'record', name: 'x', fields: [{name: 'amount_cents', type: 'long'}]}, [-1]),
    undefined,
  );
  assert.equal(
    of({type: 'record', name: 'x', fields: [{name: 'timestamp', type: 'string'}]}, ['now']),
    undefined,
  );
  const frame = frameOf(own, ['e', day, null, null, null, null, -1, null, null]);
  assert.equal(judged(frame)!.code, 'CHECK:positive');
  for (const body of [frame.subarray(0, -1), Buffer.concat([frame, Buffer.from([0])])])
    assert.equal(judged(body)!.code, 'DECODE');
  // A text that no check looks at, and that is none.
  const odd = frameOf(own, ['e!', day, null, null, null, null, 1, null, null]);
  odd[odd.indexOf(0x21)] = 0xff;
  assert.equal(judged(odd)!.code, 'DECODE');
  assert.equal(judged(Buffer.from('{"amount": -1}')), undefined);
  assert.equal(judged(new Uint8Array(0)), undefined);
  assert.equal(judged(frameOf(own, ['e', day, null, null, null, null, -1, null, null], 999)), undefined);
});

test('a protected value says that ingestion has judged the record before', () => {
  const values: AvroValue[] = [
    'e',
    day,
    'pii1:AAAAAAAAAAAAAAAAAAAAAA:zzzz',
    null,
    null,
    null,
    100,
    null,
    null,
  ];
  assert.equal(judged(frameOf(own, values)), undefined);
});

test('without checks only the time is judged', () => {
  const only = compileJudge({...checkedType(order), checks: [], derive: []}, () => own);
  const frame = frameOf(own, ['e', day, null, null, 'XX', 'shop', -5, 9, null]);
  assert.equal(only(frame, 0, frame.length, timeMsMax), undefined);
  assert.equal(only(frame, 0, frame.length, day - 1)!.code, 'TIMESTAMP_FUTURE');
});
