/** A domain with every kind of window, lateness, check, lookup and fault, whose generator differs from seed to seed. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import type {Value} from '../../src/expr/types.ts';
import type {LookupSnapshot} from '../../src/process/types.ts';

export const items = 40;

export const itemsCsv = (): string =>
  [
    'item_id,kind,list_price',
    ...Array.from(
      {length: items},
      (_, item) => `i${item},kind ${item % 5},${item}.${String((item * 7) % 100).padStart(2, '0')}`,
    ),
  ].join('\n');

/** The lookup as the engine has it. */
export const itemsSnapshot = (): LookupSnapshot => ({
  name: 'items',
  id: 'items-1',
  columns: ['kind', 'list_price'],
  rows: new Map(
    Array.from({length: items}, (_, item): [Value, Value[]] => [
      `i${item}`,
      [`kind ${item % 5}`, item * 100 + ((item * 7) % 100)],
    ]),
  ),
});

/** The domain for a seed: rates, skew, pauses and shares of faults differ; every fault is on. */
export function shopYaml(seed: number): string {
  const pick = <T>(values: readonly T[], salt: number): T =>
    values[(seed * 7 + salt * 13 + (seed >> 3)) % values.length]!;
  return `domain: shop
defaults: {watermark: ${pick(['1m', '3m', '5m'], 1)}, correct_for: ${pick(['10m', '1h', '1d'], 2)}}
event_types:
  - name: view
    key: ${pick(['user_id', 'event_id', 'item_id'], 3)}
    attributes: [user_id, session_id, item_id]
    dimensions: [country, device]
    enrich: [{lookup: items, on: item_id, take: {kind: kind}}]
  - name: order
    key: user_id
    attributes: [order_id, user_id, session_id, item_id, {name: note, type: string}, {name: gift, type: boolean}]
    dimensions: [country, {name: tier, type: enum, symbols: [basic, plus]}]
    metrics:
      - {name: amount, type: money}
      - {name: quantity, type: long}
      - {name: weight, type: double}
    derive: {large: amount >= 50.00}
    enrich: [{lookup: items, on: item_id, take: {kind: kind}}]
    checks: {amount_is_positive: amount > 0.00, few: quantity < 9}
lookups:
  - {name: items, key: item_id, columns: {kind: string, list_price: money}, from: {csv: ../lookups/items.csv}}
aggregations:
  - name: per_minute
    from: order
    window: {type: tumbling, size: 1m}
    group_by: [country, tier]
    measures: {orders: count(), revenue: sum(amount), average: avg(weight), large: count(large), users: distinct(user_id), first_item: first(item_id)}
  - name: sliding
    from: [view, order]
    where: country <> 'FR'
    window: {type: sliding, size: 4m, slide: 1m}
    group_by: [kind]
    measures: {views: count(event_type = 'view'), orders: count(event_type = 'order'), rate: orders / views}
    late: ${pick(['correct', 'topic', 'drop'], 4)}
  - name: visits
    from: [view, order]
    window: {type: session, gap: ${pick(['1m', '5m'], 5)}}
    group_by: [user_id]
    measures: {steps: count(), revenue: sum(amount)}
    correct_for: 30d
  - name: days
    from: order
    window: {type: calendar, unit: day, timezone: America/New_York}
    group_by: [kind]
    measures: {orders: count(), most: max(amount), p90: "quantile(amount, 0.9)", share: large / orders, large: count(large)}
generate:
  seed: ${seed}
  start: 2026-03-07T${pick(['00', '04', '23'], 6)}:58:00Z
  rate: ${pick(['2/s', '20/s', '{base: 10/s, bursts: {every: 2m, for: 20s, times: 6}}', '{base: 5/s, daily: {low: 20%}}'], 7)}
  keys: {user_id: {count: ${pick([5, 300], 8)}, zipf: ${pick([0, 1.2], 9)}}, item_id: {count: ${items}, zipf: 1}}
  sessions:
    entity: user_id
    start: view
    steps: {view: {view: 0.4, order: 0.3}, order: {view: 0.5, order: 0.1}}
    pause: ${pick(['{lognormal: [10s, 1.2]}', '{uniform: [0s, 90s]}', '5s'], 10)}
    open_max: ${pick([3, 1000], 11)}
  values:
    country: {weights: {US: 40, DE: 20, FR: 15, BR: 25}, per: entity}
    device: {weights: {mobile: 60, desktop: 40}, per: session}
    order.item_id: {last: view.item_id}
    amount: {lookup: items, column: list_price, by: item_id}
    quantity: {lognormal: [2, 0.8]}
    weight: {normal: [10, 4], min: 0}
    note: {pattern: "n-{n}-##??", null: 30%}
  faults:
    late: {share: ${pick([2, 10], 12)}%, by: ${pick(['30s..10m', '1m..3h'], 13)}}
    out_of_order: {share: 15%, by: 0s..20s}
    duplicate: ${pick([1, 8], 14)}%
    corrupt: ${pick([1, 3], 15)}%
    schema_drift: 1%
`;
}

/** Writes a platform with the domain and `file` sinks, or the databases, into a directory. */
export function makeShopPlatform(root: string, seed: number, sinks: 'files' | 'databases'): void {
  const rows =
    sinks === 'files' ? 'sinks: {rows: {backend: file}}\ndefaults: {aggregates: rows, raw: rows}\n' : '';
  const files = {
    'config/platform.yaml': `platform: shop
log: {embedded: {partitions: 2}}
engine: {embedded: {workers: 1, checkpoint_interval: 60ms, flush: 10ms}}
server: {port: 0}
${rows}`,
    'config/domains/shop.yaml': shopYaml(seed),
    'config/lookups/items.csv': itemsCsv(),
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), text);
  }
}
