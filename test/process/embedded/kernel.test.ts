import assert from 'node:assert/strict';
import {test} from 'node:test';
import {batchOf, createWorld, eventType, field, type Logged, planOf, rowsOf, run} from './kernel-world.ts';

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
