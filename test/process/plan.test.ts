import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {buildPlan} from '../../src/process/plan/build.ts';
import {explainPlan} from '../../src/process/plan/explain.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import {ecommerceFiles, ecommerceYaml} from '../support/ecommerce.ts';
import {loadDomain} from '../support/platform.ts';

async function plansOf(yaml: string, files: Record<string, string> = ecommerceFiles) {
  const domain = await loadDomain(yaml, files);
  return new Map(
    domain.aggregations.map((aggregation): [string, QueryPlan] => [
      aggregation.name,
      buildPlan(domain, aggregation),
    ]),
  );
}

const golden = (name: string) => readFileSync(new URL(`plans/${name}.txt`, import.meta.url), 'utf8');

/** What depends on the tz database of this Node is no part of the files. */
function masked(plan: QueryPlan): string {
  const text = explainPlan(plan);
  if (plan.tzdata === null) return text;
  return text.replace(plan.fingerprint, '<fingerprint>').replace(plan.tzdata, '<version>');
}

// A fingerprint in these files that changes stops every user's query after an upgrade: it must not by accident.
for (const query of ['revenue_per_minute', 'conversion_per_day', 'brands_per_hour', 'visits'])
  test(`explain plan of ecommerce.${query} reads as in plans/${query}.txt`, async () => {
    assert.equal(masked((await plansOf(ecommerceYaml)).get(query)!), golden(query));
  });

test('only fields that a query needs are decoded, with those its derived and enriched columns need', async () => {
  const plans = await plansOf(ecommerceYaml);
  const fieldsOf = (query: string) =>
    plans.get(query)!.sources.map(({fields}) => fields.map(({name}) => name));
  assert.deepEqual(fieldsOf('revenue_per_minute'), [
    ['timestamp', 'user_id', 'category', 'country', 'amount', 'quantity'],
  ]);
  assert.deepEqual(fieldsOf('conversion_per_day'), [
    ['timestamp', 'country'],
    ['timestamp', 'country'],
  ]);
  assert.deepEqual(fieldsOf('brands_per_hour'), [
    ['event_id', 'timestamp', 'product_id', 'coupon', 'amount'],
  ]);
});

test('measures share accumulators, and counting a required field is counting events', async () => {
  const {accumulators, measures} = (await plansOf(ecommerceYaml)).get('revenue_per_minute')!;
  assert.deepEqual(
    accumulators.map(({op}) => op),
    ['count', 'sum', 'distinct', 'count'],
  );
  assert.deepEqual(
    measures.map((measure) => [
      measure.column,
      measure.fn,
      'sum' in measure ? [measure.sum, measure.count] : null,
    ]),
    [
      ['orders', 'value', null],
      ['revenue_cents', 'sum', [1, 0]],
      ['average', 'avg', [1, 0]],
      ['buyers', 'value', null],
      ['large', 'value', null],
      ['large_share', 'ratio', null],
    ],
  );
});

test('a required double has a count of its own, since NaN in it is NULL', async () => {
  const yaml = (type: string) => `
domain: d
event_types: [{name: a, metrics: [{name: x, type: ${type}}]}]
aggregations: [{name: q, from: a, window: {type: tumbling, size: 1m}, measures: {mean: avg(x)}}]`;
  assert.equal((await plansOf(yaml('long'))).get('q')!.accumulators.length, 2);
  assert.equal((await plansOf(yaml('double'))).get('q')!.accumulators.length, 3);
});

const replaced = (from: string, to: string): string => {
  assert.ok(ecommerceYaml.includes(from), `the domain has no "${from}"`);
  return ecommerceYaml.replace(from, to);
};
const query = 'name: revenue_per_minute\n    from: purchase';

/** Edits after which rows of revenue_per_minute say something else: text of the domain -> what it becomes. */
const meaning: [what: string, from: string, to: string][] = [
  ['the type of a field', '{name: quantity, type: long}', '{name: quantity, type: double}'],
  [
    'whether a field is required',
    '{name: quantity, type: long}',
    '{name: quantity, type: long, required: false}',
  ],
  [
    'the name that a field had before',
    '{name: quantity, type: long}',
    '{name: quantity, type: long, aliases: [pieces]}',
  ],
  ['where', 'where: quantity > 0', 'where: quantity > 1'],
  ['where that is no more', 'where: quantity > 0', ''],
  ['the size of the window', 'size: 1m', 'size: 2m'],
  ['the kind of window', '{type: tumbling, size: 1m}', '{type: sliding, size: 1m, slide: 1m}'],
  ['a dimension', '[category, country]\n', '[category, device]\n'],
  ['the order of dimensions', '[category, country]\n', '[country, category]\n'],
  ['a new measure', 'orders: count()\n', 'orders: count()\n      dearest: max(amount)\n'],
  ['the name of a measure', 'average: avg(amount)', 'mean: avg(amount)'],
  ['what a measure sums', 'sum(amount)', 'sum(amount * quantity)'],
  ['the condition of a count', "basket = 'large'", "basket = 'small'"],
  ['a derived column that it uses', 'amount >= 100.00', 'amount >= 50.00'],
  ['the watermark', 'watermark: 10m', 'watermark: 5m'],
  ['what happens to late events', 'late: correct', 'late: topic'],
  ['how long late events correct', 'late: correct', 'late: correct\n    correct_for: 2d'],
];

/** Edits that leave its rows as they are. */
const harmless: [what: string, from: string, to: string][] = [
  ['nothing', '', ''],
  ['the sinks', query, `${query}\n    sinks: [rows, more]`],
  ['the limits', query, `${query}\n    limits: {groups: 10, memory: 1MiB}`],
  ['when rows leave', 'emit: change', 'emit: close'],
  ['how long a silent partition is waited for', query, `${query}\n    idle: 5s`],
  [
    'the documentation of a field',
    '{name: quantity, type: long}',
    '{name: quantity, type: long, doc: Pieces.}',
  ],
  [
    'a new field that it does not use',
    '- {name: coupon, type: string}',
    '- gift\n      - {name: coupon, type: string}',
  ],
  ['the type of a field that it does not use', '{name: coupon, type: string}', '{name: coupon, type: long}'],
  ['the partition key', 'key: user_id', 'key: order_id'],
  [
    'how long events could correct a query that sends them to the late topic',
    'late: topic',
    'late: topic\n    correct_for: 7d',
  ],
  ['a check', 'amount > 0.00', 'amount > 1.00'],
  ['another query', 'size: 1h', 'size: 2h'],
  ['a lookup column that it does not use', 'take: {brand: brand}', 'take: {brand: brand, price: list_price}'],
  ['how often a lookup is read', 'refresh: 5m', 'refresh: 1m'],
  ['the order of derived columns that it does not use', 'derive:\n', 'derive:\n      loud: upper(coupon)\n'],
  ['how an expression is written', 'where: quantity > 0', 'where: "(quantity)>0"'],
];

const withSinks = {
  ...ecommerceFiles,
  'platform.yaml':
    'sinks: {rows: {backend: stdout}, more: {backend: stdout}}\ndefaults: {aggregates: rows, raw: none}\n',
};
const fingerprintOf = async (yaml: string, name: string) =>
  (await plansOf(yaml, withSinks)).get(name)!.fingerprint;

for (const [what, from, to] of meaning)
  test(`the fingerprint changes with ${what}`, async () => {
    const before = await fingerprintOf(ecommerceYaml, 'revenue_per_minute');
    assert.notEqual(await fingerprintOf(replaced(from, to), 'revenue_per_minute'), before);
  });

for (const [what, from, to] of harmless)
  test(`the fingerprint stays with ${what}`, async () => {
    // An edit of another query must not touch this one, nor one that is for its own.
    const name = to.includes('late: topic') ? 'brands_per_hour' : 'revenue_per_minute';
    const before = await fingerprintOf(ecommerceYaml, name);
    assert.equal(await fingerprintOf(replaced(from, to), name), before);
  });

test('the fingerprint changes with the lookup column that a query takes, and with the time zone of its days', async () => {
  const brands = await fingerprintOf(ecommerceYaml, 'brands_per_hour');
  assert.notEqual(
    await fingerprintOf(replaced('take: {brand: brand}', 'take: {brand: list_price}'), 'brands_per_hour'),
    brands,
  );
  assert.notEqual(
    await fingerprintOf(replaced('products, on: product_id', 'products, on: order_id'), 'brands_per_hour'),
    brands,
  );
  const days = await fingerprintOf(ecommerceYaml, 'conversion_per_day');
  assert.notEqual(
    await fingerprintOf(replaced('America/New_York', 'Europe/Berlin'), 'conversion_per_day'),
    days,
  );
});
