/** The kernel against the obvious evaluator, on seeded random plans and events. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Value, ValueType} from '../../../src/expr/types.ts';
import type {Field, Lookup, WindowSpec} from '../../../src/model/types.ts';
import {naive} from '../../../src/process/naive.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import type {LookupSnapshot} from '../../../src/process/types.ts';
import {field} from '../../support/fields.ts';
import {type Random, random} from '../../support/random.ts';
import {
  createWorld,
  eventType,
  keyOf,
  type Logged,
  naiveEvents,
  planOf,
  rowsOf,
  run,
} from './kernel-world.ts';

const texts = [
  '', 'a', 'US', 'DEU', 'toys', 'books', 'gärden', 'electronics', 'thirteenchars', 'x'.repeat(40), 'x'.repeat(41),
  '__proto__', 'constructor', '日本', '\u2028`$x`', "'; drop", 'a very long text '.repeat(20), 'ab', 'abc', 'abcd',
]; // biome-ignore format: a list
const longs: Value[] = [
  0, 1, -1, 63, 64, -64, -65, 8191, 8192, 2 ** 27, 2 ** 28, -(2 ** 31), 2 ** 40, 2 ** 53 - 1, 2 ** 53, -(2 ** 53),
  2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 62n, 2n ** 63n - 1n, -(2n ** 63n),
]; // biome-ignore format: a list

const symbols = ['web', 'phone', 'shop'];

function randomValue(type: ValueType, wild: boolean, {pick, int, next}: Random): Value {
  switch (type) {
    case 'string':
      return wild ? pick(texts) : pick(texts.slice(0, 6));
    case 'enum':
      return pick(symbols);
    case 'uuid':
      return `00000000-0000-4000-8000-00000000000${int(9)}`;
    case 'boolean':
      return next() < 0.5;
    case 'int':
      return pick([0, 1, -1, 5, 100, 2 ** 31 - 1, -(2 ** 31)]);
    case 'date':
      return 20_000 + int(5);
    case 'timestamp':
      return 1_700_000_000_000 + int(1e9);
    case 'double':
      return pick([0, -0, 0.5, 1e300, -3.25, 7]);
    default:
      return wild ? pick(longs) : int(1000) - 100;
  }
}

const fields = (names: string): Field[] =>
  names.split(' ').map((text) => {
    const [name, type, required] = text.split(':') as [string, ValueType, string?];
    return field(name, type, {required: required === '!', ...(type === 'enum' ? {symbols} : {})});
  });

const lookups: Lookup[] = [
  {domain: 'shop', name: 'brands', key: 'name', keyType: 'string', columns: [{name: 'brand', type: 'string'}, {name: 'price', type: 'money'}], csv: '', nulls: [], refreshMs: null}, // biome-ignore format: a row
];
const snapshot: LookupSnapshot = {
  name: 'brands',
  id: '1',
  columns: ['brand', 'price'],
  rows: new Map<Value, Value[]>([
    ['toys', ['acme', 100]],
    ['US', ['acme', null]],
    ['x'.repeat(40), ['long', 5]],
    ['books', [null, 2n ** 60n]],
  ]),
};
const take = (name: string, from: string, type: ValueType) => ({name, from, type});
const sale = eventType(
  'sale',
  fields(
    'user:string city:string channel:enum ref:uuid amount:money:! quantity:long ratio:double gift:boolean size:int day:date at:timestamp',
  ),
  {
    derive: {
      basket: "case when amount >= 100.00 then 'large' else 'small' end",
      total: 'amount * 2',
      label: "upper(city) || '!'",
      doubled: 'quantity + quantity',
      weekday: 'dayofweek(day)',
    },
    checks: {
      enough: 'quantity >= -50',
      twice: "total < 190.00 or city = 'US'",
      used: "channel <> 'phone' or gift or at is null",
      sized: 'size * 3 <> 7',
    },
    enrich: [
      {
        lookup: 'brands',
        on: 'city',
        take: [take('brand', 'brand', 'string'), take('price', 'price', 'money')],
      },
    ],
  },
);
const visit = eventType('visit', fields('user:string:! city:string amount:money page:string'));
const world = createWorld([sale, visit]);

const windows: WindowSpec[] = [
  {type: 'tumbling', sizeMs: 60_000},
  {type: 'sliding', sizeMs: 300_000, slideMs: 60_000},
  {type: 'sliding', sizeMs: 60_000, slideMs: 20_000},
  {type: 'session', gapMs: 30_000},
  {type: 'calendar', unit: 'day', timezone: 'America/New_York'},
  {type: 'tumbling', sizeMs: 7 * 86_400_000},
];
const dimensions = ['user', 'city', 'channel', 'ref', 'basket', 'label', 'brand', 'gift', 'size', 'day', 'quantity', 'ratio', 'event_type', 'amount', 'price', 'weekday', 'total']; // biome-ignore format: a list
const wheres = [undefined, undefined, "city = 'US'", "'US' = city and (quantity > 0 or brand = 'acme')", "gift and user = 'anna' and city <> 'x'", 'quantity > 0', "city = 'US' or amount > 5.00", 'gift', 'not gift or ratio < 1', "label like 'T%'", "basket = 'large' and city is not null", 'price is null', 'size in (0, 1, null)', 'amount between 0.10 and 7.00', 'coalesce(quantity, 1) % 2 = 1', "user <> city", 'event_id is not null', "hour(at) < 12", 'cast(user as long) > 0 or true']; // biome-ignore format: a list
const measures: Record<string, string> = {
  orders: 'count()',
  known: 'count(city)',
  gifts: 'count(gift)',
  toys: "count(city = 'toys' and amount > 1.00)",
  revenue: 'sum(amount)',
  quantities: 'sum(quantity)',
  twice: 'sum(doubled)',
  ratios: 'sum(ratio)',
  low: 'min(quantity)',
  high: 'max(quantity)',
  low_ratio: 'min(ratio)',
  late_day: 'max(at)',
  least: 'min(total)',
  mean: 'avg(amount)',
  sizes: 'avg(size)',
  users: 'distinct(user)',
  cities: 'distinct(city)',
  amounts: 'distinct(amount)',
  labels: 'distinct(label)',
  middle: 'quantile(ratio, 0.5)',
  first_city: 'first(city)',
  last_amount: 'last(amount)',
  last_gift: 'last(gift)',
  first_label: 'first(label)',
  priced: 'sum(price)',
};
const visitMeasures = ['orders', 'known', 'revenue', 'mean', 'users', 'cities', 'first_city', 'last_amount'];

const subset = <T>(list: readonly T[], count: number, {pick}: Random): T[] => [
  ...new Set(Array.from({length: count}, () => pick(list))),
];

function randomPlan(chance: Random, name: string): QueryPlan {
  const {next, pick, int} = chance;
  const both = next() < 0.25;
  const names = both ? visitMeasures : Object.keys(measures);
  const where = both
    ? pick([undefined, "city = 'US' or amount > 5.00", "event_type = 'visit'", "city = 'US'"])
    : pick(wheres);
  return planOf(both ? [sale, visit] : [sale], {
    name,
    window: pick(windows),
    groupBy: both
      ? subset(['user', 'city', 'event_type', 'amount'], int(3), chance)
      : subset(dimensions, int(4), chance),
    measures: Object.fromEntries(['orders', ...subset(names, 6, chance)].map((key) => [key, measures[key]!])),
    watermarkMs: pick([0, 1000, 60_000]),
    late: pick(['correct', 'topic', 'drop']),
    correctForMs: pick([0, 20_000, 86_400_000]),
    lookups,
    ...(where === undefined ? {} : {where}),
  });
}

function randomEvents(chance: Random, count: number, wild: boolean): Logged[] {
  const {next, int, pick} = chance;
  let timeMs = 1_700_000_000_000;
  const share = pick([0, 0, 0.5]);
  let isUnchecked = false;
  return Array.from({length: count}, (_, index): Logged => {
    timeMs += int(4000);
    if (next() < 0.1) isUnchecked = next() < share;
    const type = next() < 0.7 ? sale : visit;
    const values: Record<string, Value> = {};
    for (const {name, type: of, required} of type.fields)
      values[name] = !required && next() < 0.2 ? null : randomValue(of, wild && next() < 0.2, chance);
    const behind = next() < 0.3 ? pick([1, 999, 1000, 1001, 20_000, 59_999, 60_000, 300_000, 90_000_000]) : 0;
    return {
      type,
      partition: int(2),
      isUnchecked,
      values: {...values, event_id: `${int(50)}-${index}`, timestamp: timeMs - behind},
    };
  });
}

function assertSameRows(
  plan: QueryPlan,
  actual: ReturnType<typeof rowsOf>,
  expected: ReturnType<typeof naive>,
  hint: string,
): void {
  const wanted = new Map(
    expected.rows.map((row) => [
      `${row.window_start} ${row.window_end} ${keyOf(plan.groupBy.map(({column}) => row[column]!).map((value) => (Object.is(value, -0) ? 0 : value)))}`,
      row,
    ]),
  );
  assert.deepEqual([...actual.keys()].sort(), [...wanted.keys()].sort(), hint);
  for (const [key, row] of actual)
    for (const [column, value] of Object.entries(row)) {
      const want = wanted.get(key)![column]!;
      const measure = plan.measures.find((candidate) => candidate.column === column);
      const op = measure?.fn === 'value' ? plan.accumulators[measure.accumulator]!.op : measure?.fn;
      const place = `${hint} ${key} ${column}: ${value} is not ${want}`;
      if (op === 'distinct')
        assert.ok(Math.abs(Number(value) - Number(want)) <= 1 + 0.04 * Number(want), place);
      else if (op === 'quantile' && want !== null)
        assert.ok(Math.abs(Number(value) - Number(want)) <= 0.0101 * Math.abs(Number(want)), place);
      else if (typeof want === 'number' && typeof value === 'number' && !Number.isInteger(want))
        assert.ok(Math.abs(value - want) <= 1e-9 * Math.abs(want), place);
      else if (typeof want === 'number')
        assert.ok(Number(value) === want || Math.abs(Number(value) - want) <= 1e-12 * Math.abs(want), place);
      // 2^53 itself may be either.
      else if (typeof want === 'bigint') assert.ok(value !== null && BigInt(value as number) === want, place);
      else assert.equal(value, want, place);
    }
}

const countNames = ['read', 'aggregated', 'corrected', 'lateInPart', 'filtered', 'late', 'dead'] as const;

function checkSeed(seed: number, wild: boolean): void {
  const chance = random(seed);
  const {int, next} = chance;
  const plans = Array.from({length: 3}, (_, k) => randomPlan(chance, `q${k}`));
  const events = randomEvents(chance, 60 + int(200), wild);
  // Some are too far ahead of it.
  const appendTimeMs = next() < 0.3 ? 1_700_000_000_000 - 3_600_000 + int(400_000) : 0;
  const sizes = 1 + int(40);
  const deltas = run(world, plans, events, {
    batchSize: () => 1 + int(sizes),
    takeAfter: () => (next() < 0.2 ? {endGeneration: next() < 0.3} : undefined),
    lookups: [snapshot],
    appendTimeMs,
  });
  plans.forEach((plan, k) => {
    const hint = `seed ${seed} ${plan.id} ${plan.window.type} late ${plan.late}`;
    const expected = naive(plan, naiveEvents(events, appendTimeMs), new Map([['brands', snapshot]]));
    for (const counts of expected.counts) {
      const cuts = deltas[k]!.flatMap(({cuts}) => cuts).filter(
        ({topic, partition}) => topic === counts.topic && partition === counts.partition,
      );
      for (const name of countNames)
        assert.equal(
          cuts.reduce((sum, cut) => sum + cut[name], 0),
          counts[name],
          `${hint} ${name}`,
        );
    }
    assertSameRows(plan, rowsOf(plan, deltas[k]!), expected, hint);
    const side = deltas[k]!.flatMap((delta) => delta.side);
    const places = (kind: string) =>
      side
        .filter((record) => record.kind === kind)
        .map(({topic, partition, offset}) => `${topic} ${partition} ${offset}`);
    const placesOf = (list: {topic: string; partition: number; offset: number}[]) =>
      list.map(({topic, partition, offset}) => `${topic} ${partition} ${offset}`);
    assert.deepEqual(places('dead').sort(), placesOf(expected.dead).sort(), hint);
    assert.deepEqual(places('late').sort(), plan.late === 'drop' ? [] : placesOf(expected.late).sort(), hint);
  });
}

test('tame events: rows, counts and side records are those of the obvious evaluator', () => {
  for (let seed = 1; seed <= 80; seed++) checkSeed(seed, false);
});

test('wild events: int64 extremes, hostile and long texts', () => {
  for (let seed = 1001; seed <= 1080; seed++) checkSeed(seed, true);
});
