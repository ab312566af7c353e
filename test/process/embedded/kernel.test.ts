import assert from 'node:assert/strict';
import {test} from 'node:test';
import avsc from 'avsc';
import {createTopicDecoder} from '../../../src/process/embedded/decode.ts';
import {createKernel} from '../../../src/process/embedded/kernel.ts';
import type {AvroRecord, AvroValue} from '../../../src/schema/types.ts';
import {field} from '../../support/fields.ts';
import {batchOf, createWorld, eventType, type Logged, planOf, rowsOf, run} from './kernel-world.ts';

const purchase = eventType('purchase', [
  field('user_id', 'string'),
  field('category', 'string'),
  field('country', 'string'),
  field('amount', 'money', {required: true}),
  field('quantity', 'long'),
]);
const world = createWorld([purchase]);
let serial = 0;
const buy = (timestamp: number, category: string | null, amount: number | bigint, more = {}): Logged => ({
  type: purchase,
  partition: 0,
  values: {event_id: `e${serial++}`, timestamp, category, country: 'DE', amount, quantity: 1, ...more},
});
const minute = 60_000;

test('a tumbling window counts, sums and bounds by group, NULL and empty text apart', () => {
  const plan = planOf([purchase], {
    groupBy: ['category'],
    measures: {
      orders: 'count()',
      revenue: 'sum(amount)',
      low: 'min(amount)',
      high: 'max(amount)',
      mean: 'avg(amount)',
    },
  });
  const events = [
    buy(minute + 1, 'toys', 100),
    buy(minute + 2, 'toys', 300),
    buy(minute + 3, null, 7),
    buy(minute + 4, '', 8),
    buy(2 * minute, 'toys', -5),
  ];
  const [deltas] = run(world, [plan], events);
  const rows = rowsOf(plan, deltas!);
  assert.deepEqual(
    new Map(
      [...rows].map(([key, {orders, revenue, low, high, mean}]) => [key, [orders, revenue, low, high, mean]]),
    ),
    new Map([
      [`60000 120000 ["string toys"]`, [2, 400, 100, 300, 2]],
      ['60000 120000 [null]', [1, 7, 7, 7, 0.07]],
      [`60000 120000 ["string "]`, [1, 8, 8, 8, 0.08]],
      [`120000 180000 ["string toys"]`, [1, -5, -5, -5, -0.05]],
    ]),
  );
  assert.deepEqual(
    deltas![0]!.cuts.map(({offset, maxTimeMs, read, aggregated}) => ({offset, maxTimeMs, read, aggregated})),
    [{offset: 5, maxTimeMs: 2 * minute, read: 5, aggregated: 5}],
  );
});

test('records that do not decode are set aside one by one', () => {
  const plan = planOf([purchase], {groupBy: ['category']});
  const good = world.frame(buy(minute, 'toys', 1));
  const unknown = good.slice();
  unknown[4] = 99;
  const magic = good.slice();
  magic[0] = 1;
  const frames = [good, good.subarray(0, good.length - 1), unknown, magic, new Uint8Array(2), good];
  const decoded = world.decoder(purchase.topic, [plan]).decode(batchOf(purchase.topic, 0, 10, frames), 10);
  assert.equal(decoded.rows, 2);
  assert.deepEqual(
    decoded.dead.map(({offset, code}) => [offset, code]),
    [
      [11, 'DECODE'],
      [12, 'UNKNOWN_SCHEMA'],
      [13, 'DECODE'],
      [14, 'DECODE'],
    ],
  );
  assert.equal(decoded.recordOf(1).offset, 15);
});

/** Counts after an event that moves the maximum to `maxMs` and one at `timeMs`. */
function judge(late: 'correct' | 'topic' | 'drop', maxMs: number, timeMs: number) {
  const plan = planOf([purchase], {watermarkMs: 1000, late, correctForMs: 5000});
  const [deltas] = run(world, [plan], [buy(maxMs, 'a', 1), buy(timeMs, 'a', 1)]);
  const {aggregated, corrected, late: lost} = deltas![0]!.cuts[0]!;
  const side = deltas![0]!.side.map((record) =>
    record.kind === 'late' ? [record.watermarkMs, record.missed] : record.kind,
  );
  return {aggregated, corrected, late: lost, side};
}

test('an event is late when its window ends at the watermark or before, to the millisecond', () => {
  const onTime = {aggregated: 2, corrected: 0, late: 0, side: []};
  const corrected = {aggregated: 2, corrected: 1, late: 0, side: []};
  // The window of the second event ends at 120 s; the watermark is a second behind the maximum.
  assert.deepEqual(judge('correct', 120_999, 119_999), onTime);
  assert.deepEqual(judge('correct', 121_000, 119_999), corrected);
  assert.deepEqual(judge('correct', 121_001, 119_999), corrected);
  assert.deepEqual(judge('correct', 125_999, 119_999), corrected);
  const lost = {aggregated: 1, corrected: 0, late: 1};
  assert.deepEqual(judge('correct', 126_000, 119_999), {...lost, side: [[125_000, [60_000]]]});
  assert.deepEqual(judge('topic', 120_999, 119_999), onTime);
  assert.deepEqual(judge('topic', 121_000, 119_999), {...lost, side: [[120_000, [60_000]]]});
  assert.deepEqual(judge('drop', 121_000, 119_999), {...lost, side: []});
});

test('filtered, dead and undecodable records: who moves the watermark', () => {
  const plan = planOf([purchase], {
    where: 'quantity > 0',
    late: 'drop',
    measures: {twice: 'sum(quantity * 2)'},
  });
  const events = [
    buy(minute, 'a', 1),
    // Filtered, and yet it closes the minute.
    buy(2 * minute, 'a', 1, {quantity: 0}),
    buy(minute, 'a', 1),
    // Dead by overflow, and yet it closes the next.
    buy(3 * minute, 'a', 1, {quantity: 2n ** 63n - 1n}),
    buy(2 * minute, 'a', 1),
    buy(3 * minute, 'a', 1),
  ];
  const [deltas] = run(world, [plan], events);
  const {read, aggregated, filtered, late, dead} = deltas![0]!.cuts[0]!;
  assert.deepEqual(
    {read, aggregated, filtered, late, dead},
    {read: 6, aggregated: 2, filtered: 1, late: 2, dead: 1},
  );
  assert.deepEqual(
    deltas![0]!.side.map((record) => [record.kind, record.offset, record.kind === 'dead' ? record.code : '']),
    [['dead', 3, 'EXPRESSION']],
  );
});

test('an end mark moves the running maximum and is no event', () => {
  const plan = planOf([purchase], {late: 'drop'});
  const decoder = world.decoder(purchase.topic, [plan]);
  const kernel = createKernel({plan, worker: 0, decoders: new Map([[purchase.topic, decoder]])});
  kernel.open(purchase.topic, 0, 7, minute);
  const mark = {
    topic: purchase.topic,
    partition: 0,
    baseOffset: 7,
    count: 1,
    appendTimeMs: 0,
    kind: 'mark' as const,
  };
  kernel.process(decoder.decode({...mark, markTimeMs: 3 * minute, bytes: new Uint8Array(0)}, 7));
  kernel.process(decoder.decode(world.batch([buy(minute, 'a', 1)], 8), 8));
  const {offset, maxTimeMs, read, late} = kernel.take().cuts[0]!;
  assert.deepEqual({offset, maxTimeMs, read, late}, {offset: 9, maxTimeMs: 3 * minute, read: 1, late: 1});
});

test('sums and bounds are exact beyond 2^53 and come back', () => {
  const plan = planOf([purchase], {
    measures: {total: 'sum(quantity)', low: 'min(quantity)', high: 'max(quantity)'},
  });
  const totals = (...quantities: (number | bigint)[]) => {
    const [deltas] = run(
      world,
      [plan],
      quantities.map((quantity) => buy(minute, 'a', 1, {quantity})),
    );
    const {total, low, high} = [...rowsOf(plan, deltas!).values()][0]!;
    return [total, low, high];
  };
  const edge = 2 ** 53;
  assert.deepEqual(totals(edge - 1, 1, 1), [2n ** 53n + 1n, 1, edge - 1]);
  assert.deepEqual(totals(edge - 1, 1, 1, -5), [edge - 4, -5, edge - 1]);
  assert.deepEqual(totals(2n ** 60n, 5), [2n ** 60n + 5n, 5, 2n ** 60n]);
  assert.deepEqual(totals(-(2n ** 60n), 5), [5n - 2n ** 60n, -(2n ** 60n), 5]);
  assert.deepEqual(totals(2n ** 63n - 1n, 1), [null, 1, 2n ** 63n - 1n]);
  assert.deepEqual(totals(-(2n ** 63n), -1, 1), [-(2n ** 63n), -(2n ** 63n), 1]);
});

test('writers of other schemas: missing fields, aliases, promotions, other orders, fields nobody knows', () => {
  const plan = planOf(
    [
      eventType('sale', [
        field('city', 'string', {aliases: ['town']}),
        field('price', 'money', {aliases: ['cost']}),
        field('size', 'long'),
        field('ratio', 'double'),
      ]),
    ],
    {
      groupBy: ['city'],
      measures: {price: 'sum(price)', size: 'max(size)', ratio: 'max(ratio)'},
    },
  );
  const time = {name: 'timestamp', type: 'long' as const};
  const id = {name: 'event_id', type: 'string' as const};
  const schemas: [AvroRecord, AvroValue[]][] = [
    [{type: 'record', name: 'a', fields: [id, time]}, ['1', minute]],
    [{type: 'record', name: 'b', fields: [{name: 'town', type: 'string'}, time, {name: 'cost_cents', type: 'int'}, id]}, ['x', minute, 7, '2']],
    [{type: 'record', name: 'c', fields: [id, time, {name: 'more', type: ['null', 'double']}, {name: 'city', type: ['string', 'null']}, {name: 'size', type: 'int'}, {name: 'ratio', type: 'long'}]}, ['3', minute, 1.5, 'x', 2 ** 31 - 1, 2 ** 40]],
    [{type: 'record', name: 'd', fields: [id, time, {name: 'tags', type: {type: 'array', items: 'string'}}, {name: 'city', type: ['null', 'string']}, {name: 'ratio', type: 'float'}]}, ['4', minute, ['t', 'u'], 'x', 0.5]],
    // Not readable as money: dead for this query, which needs it.
    [{type: 'record', name: 'e', fields: [id, time, {name: 'price_cents', type: 'string'}]}, ['5', minute, 'much']],
  ]; // biome-ignore format: a table
  const frames = schemas.map(([schema, values], k) => {
    const type = avsc.Type.forSchema(schema as avsc.Schema, {wrapUnions: false});
    const event = Object.fromEntries(schema.fields.map(({name}, index) => [name, values[index]]));
    return new Uint8Array([0, 0, 0, 0, k + 1, ...type.toBuffer(event)]);
  });
  const decoder = createTopicDecoder('shop.sale', [plan], (schemaId) => schemas[schemaId - 1]?.[0]);
  const kernel = createKernel({plan, worker: 0, decoders: new Map([['shop.sale', decoder]])});
  kernel.open('shop.sale', 0, 0, -Infinity);
  kernel.process(decoder.decode(batchOf('shop.sale', 0, 0, frames), 0));
  const delta = kernel.take();
  const rows = [...rowsOf(plan, [delta])].map(([key, {events, price, size, ratio}]) => [
    key,
    events,
    price,
    size,
    ratio,
  ]);
  assert.deepEqual(rows, [
    ['60000 120000 [null]', 1, null, null, null],
    ['60000 120000 ["string x"]', 3, 7, 2 ** 31 - 1, 2 ** 40],
  ]);
  assert.deepEqual(
    delta.side.map((record) => [record.kind, record.offset, record.kind === 'dead' ? record.code : '']),
    [['dead', 4, 'DECODE']],
  );
});

test('keys that do not fit side by side are numbered; groups stay the same', () => {
  const wide = eventType(
    'wide',
    ['a', 'b', 'c', 'd'].map((name) => field(name, 'string')),
  );
  const own = createWorld([wide]);
  const plan = planOf([wide], {groupBy: ['a', 'b', 'c', 'd']});
  const events = Array.from({length: 3000}, (_, k): Logged => {
    const values = {
      event_id: `e${k}`,
      timestamp: minute,
      a: `a${k % 1500}`,
      b: `b${k % 700}`,
      c: `c${k % 300}`,
      d: `d${k % 1100}`,
    };
    return {type: wide, partition: 0, values};
  });
  const expected = new Map<string, number>();
  for (const {values} of events) {
    const key = JSON.stringify(['a', 'b', 'c', 'd'].map((name) => `string ${values[name]}`));
    expected.set(key, (expected.get(key) ?? 0) + 1);
  }
  const [deltas] = run(own, [plan], events, {
    batchSize: () => 400,
    takeAfter: (k) => (k === 4 ? {} : undefined),
  });
  const rows = [...rowsOf(plan, deltas!)].map(([key, {events}]) => [
    key.split(' ').slice(2).join(' '),
    events,
  ]);
  assert.deepEqual(new Map(rows as [string, number][]), expected);
});

test('a batch that begins elsewhere is refused', () => {
  const plan = planOf([purchase], {});
  const decoder = world.decoder(purchase.topic, [plan]);
  const kernel = createKernel({plan, worker: 0, decoders: new Map([[purchase.topic, decoder]])});
  kernel.open(purchase.topic, 0, 5, -Infinity);
  const batch = world.batch([buy(minute, 'a', 1), buy(minute, 'a', 1), buy(minute, 'b', 1)], 4);
  assert.throws(() => kernel.process(decoder.decode(batch, 4)), /stands elsewhere/);
  kernel.process(decoder.decode(batch, 5));
  assert.equal(kernel.take().cuts[0]!.read, 2);
});
