/**
 * The platform of the fault runs: a small domain with every kind of window, made from a seed, in a directory of its own.
 * Whatever is not the fault itself is the same in every run.
 */
import assert from 'node:assert/strict';
import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';

/** Uniform whole numbers below a bound, the same ones for the same seed. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const hourMs = 3_600_000;
/** 8 March 2025, the day before New York's clocks go forward. */
const startMs = Date.UTC(2025, 2, 8);
const stepMs = 120_000;
const countries = ['DE', 'FR', 'US'];
const devices = ['phone', 'desktop', ''];
export const products = 30;

/** Minutes, hours or days behind its place in the file: in order, disordered, late, beyond a day. */
function lag(next: (below: number) => number, row: number): number {
  const kind = next(100);
  if (kind < 80) return 0;
  if (kind < 93) return next(8) * 60_000;
  if (kind < 98) return 20 * 60_000 + next(4) * hourMs;
  return row > 800 ? (26 + next(12)) * hourMs : 0;
}

/** A row in 40 is bad in one of four ways; one in 60 has a note that is no number; a few of the US have points near 2^62. */
export function purchases(rows: number, seed = 7): string {
  const next = seeded(seed);
  const lines = ['timestamp,user_id,product_id,note,country,device,amount,quantity,points'];
  for (let row = 0; row < rows; row++) {
    const time = new Date(startMs + row * stepMs - lag(next, row)).toISOString();
    const bad = next(40) === 0 ? next(4) : -1;
    const country = countries[next(3)]!;
    lines.push(
      [
        bad === 0 ? '' : time,
        `u${next(20)}`,
        `p${next(products)}`,
        next(60) === 0 ? 'many' : `${next(1000)}`,
        country,
        devices[next(3)]!,
        bad === 1 ? 'much' : `${next(300)}.${String(next(100)).padStart(2, '0')}`,
        bad === 2 ? '-1' : `${1 + next(4)}`,
        country === 'US' && next(5) === 0 ? '4611686018427387904' : `${next(1_000_000)}`,
      ].join(',') + (bad === 3 ? ',one,too,many' : ''),
    );
  }
  return `${lines.join('\n')}\n`;
}

/** JSON lines with ids of their own; one in 20 comes a second time, as it was. */
export function views(rows: number, seed = 11): string {
  const next = seeded(seed);
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    const again = row > 30 && next(20) === 0;
    const time = new Date(startMs + row * stepMs * 2 - lag(next, row)).toISOString();
    const event = {id: `view-${row}`, timestamp: time, user_id: `u${next(20)}`, country: countries[next(3)]};
    lines.push(again ? lines[row - 1 - next(30)]! : JSON.stringify(event));
  }
  return `${lines.join('\n')}\n`;
}

/** The lookup file; `label` differs from one version of the file to the next, `brand` never does. */
export function productsCsv(version: number): string {
  const lines = ['product_id,brand,label'];
  for (let product = 0; product < products; product++)
    lines.push(`p${product},brand ${product % 4},v${version}-${product % 2}`);
  return `${lines.join('\n')}\n`;
}

const shop = (ratePerSecond: number | null) => `domain: shop
defaults: {watermark: 10m, correct_for: 1d, dead_letters: {budget: 20%}}
event_types:
  - name: purchase
    key: user_id
    attributes: [user_id, product_id, note]
    dimensions: [country, device]
    metrics:
      - {name: amount, type: money}
      - {name: quantity, type: long}
      - {name: points, type: long}
    derive:
      basket: "case when amount >= 100.00 then 'large' else 'small' end"
      noted: cast(note as long)
    enrich:
      - {lookup: products, on: product_id, take: {brand: brand, label: label}}
    checks: {quantity_is_positive: quantity > 0}
  - name: view
    key: user_id
    attributes: [user_id]
    dimensions: [country]
lookups:
  - {name: products, key: product_id, columns: {brand: string, label: string}, from: {csv: ../../data/products.csv}, refresh: 1s}
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, order_by: none${ratePerSecond === null ? '' : `, rate: ${ratePerSecond}/s`}}
  - {name: views, event_type: view, from: ../../data/views.jsonl, order_by: none, map: {event_id: id}${ratePerSecond === null ? '' : `, rate: ${ratePerSecond / 2}/s`}}
aggregations:
  - name: per_hour
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures:
      orders: count()
      revenue: sum(amount)
      average: avg(amount)
      buyers: distinct(user_id)
      high: quantile(amount, 0.9)
      first_product: first(product_id)
      last_product: last(product_id)
    sinks: SINKS
  - name: sliding
    from: purchase
    window: {type: sliding, size: 2h, slide: 30m}
    group_by: [country, device]
    measures: {orders: count(), revenue: sum(amount), most: max(quantity)}
    late: topic
  - name: visits
    from: purchase
    window: {type: session, gap: 25m}
    group_by: [user_id]
    measures: {orders: count(), revenue: sum(amount)}
    correct_for: 30d
  - name: per_day
    from: [purchase, view]
    window: {type: calendar, unit: day, timezone: America/New_York}
    group_by: [country]
    measures:
      views: count(event_type = 'view')
      orders: count(event_type = 'purchase')
      large: count(basket = 'large')
      rate: orders / views
  - name: strict
    from: purchase
    where: quantity > 1
    window: {type: tumbling, size: 1h}
    group_by: [device]
    measures: {orders: count(), items: sum(quantity)}
    late: drop
    emit: close
  - name: scores
    from: purchase
    window: {type: tumbling, size: 6h}
    group_by: [country]
    measures: {notes: sum(noted), points: sum(points)}
    late: topic
  - name: brands
    from: purchase
    window: {type: calendar, unit: day}
    group_by: [brand]
    measures: {orders: count(), revenue: sum(amount)}
  - name: labels
    from: purchase
    window: {type: tumbling, size: 12h}
    group_by: [label]
    measures: {orders: count()}
    correct_for: 30d
`;

export type WorldOptions = {
  rows?: number;
  /** Purchases a second; null: no limit. */
  ratePerSecond?: number | null;
  /** `files`: two `file` sinks; `databases`: chDB and PGlite. */
  sinks?: 'files' | 'databases';
  /** Threads of the engine. */
  workers?: number;
  /** Lines added to platform.yaml. */
  platform?: string;
};

/** Queries of the domain; rows of `labels` depend on when its lookup was switched and are compared through the journal. */
export const queries = ['per_hour', 'sliding', 'visits', 'per_day', 'strict', 'scores', 'brands', 'labels'];

/** Writes configuration and data of a world into a directory. */
export function makeWorld(root: string, options: WorldOptions = {}): void {
  const {rows = 1_800, ratePerSecond = 6_000, sinks = 'files', workers = 1, platform = ''} = options;
  const sinkLines =
    sinks === 'files'
      ? 'sinks:\n  rows: {backend: file, file: {dir: .millrace/rows}}\n  copies: {backend: file, file: {dir: .millrace/copies}}\ndefaults: {aggregates: rows, raw: rows}\n'
      : '';
  const files = {
    'config/platform.yaml': `platform: faults
log: {embedded: {partitions: 2}}
engine: {embedded: {workers: ${workers}, checkpoint_interval: 60ms, flush: 10ms}}
${sinkLines}${platform}`,
    'config/domains/shop.yaml': shop(ratePerSecond).replace(
      'SINKS',
      sinks === 'files' ? '[rows, copies]' : '[analytics, records]',
    ),
    'data/purchases.csv': purchases(rows),
    'data/views.jsonl': views(rows / 2),
    'data/products.csv': productsCsv(0),
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), text);
  }
}

/** Puts the flaky sink (flaky-sink.ts) before one of the two sinks of a world. */
export function breakSink(root: string, sink: 'rows' | 'copies', mode: string): void {
  const path = join(root, 'config/platform.yaml');
  const plain = `${sink}: {backend: file, file: {dir: .millrace/${sink}}}`;
  const text = readFileSync(path, 'utf8');
  assert.ok(text.includes(plain));
  const flaky = `${sink}: {backend: flaky, flaky: {dir: .millrace/${sink}, mode: ${mode}}}`;
  writeFileSync(
    path,
    `${text.replace(plain, flaky)}plugins: [${join(import.meta.dirname, 'flaky-sink.ts')}]\n`,
  );
}

/** Replaces the lookup file as a whole. */
export function replaceLookup(root: string, version: number): void {
  const path = join(root, 'data/products.csv');
  writeFileSync(`${path}.new`, productsCsv(version));
  renameSync(`${path}.new`, path);
}
