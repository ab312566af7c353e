/** A small platform whose configuration is edited: files, what is recorded of it, what its rows must be. */
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import type {Value} from '../../src/expr/types.ts';
import {openLogReader} from '../../src/log/embedded.ts';
import {loadPlatform} from '../../src/model/load.ts';
import type {Domain, EventType, Field, Platform} from '../../src/model/types.ts';
import {planOfRevision} from '../../src/platform/apply-plans.ts';
import {definitionOf} from '../../src/platform/apply-record.ts';
import {dirsOf, type PlatformDirs} from '../../src/platform/places.ts';
import {readRevisions} from '../../src/platform/revisions.ts';
import {type NaiveEvent, naive} from '../../src/process/naive.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords} from '../../src/schema/frame.ts';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import type {AvroRecord} from '../../src/schema/types.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {seeded} from '../faults/world.ts';
import {compareRows} from '../support/changelog.ts';

export const platformYaml = `platform: shop
log: {embedded: {partitions: 2, retention: keep}}
engine: {embedded: {workers: 1, checkpoint_interval: 60ms, flush: 10ms}}
sinks:
  rows: {backend: file, file: {dir: .millrace/rows}}
  copies: {backend: file, file: {dir: .millrace/copies}}
defaults: {aggregates: rows, raw: none}
server: {port: 0}
`;

export const shopYaml = `domain: shop
defaults: {watermark: 10m, correct_for: 2h}
event_types:
  - name: purchase
    key: user_id
    attributes:
      - user_id
      - {name: coupon, type: string, doc: what the customer typed}
    dimensions: [country, device]
    metrics:
      - {name: amount, type: money}
      - {name: quantity, type: int}
    derive:
      basket: "case when amount >= 100.00 then 'large' else 'small' end"
    enrich:
      - {lookup: products, on: coupon, take: {brand: brand}}
    checks: {quantity_is_positive: quantity > 0}
  - name: view
    attributes: [user_id]
    dimensions: [country]
lookups:
  - {name: products, key: product_id, columns: {brand: string}, from: {csv: ../../data/products.csv}}
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, order_by: none}
aggregations:
  - name: revenue
    from: purchase
    where: quantity > 1
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures:
      orders: count()
      revenue: sum(amount)
      most: max(quantity)
  - name: baskets
    from: purchase
    window: {type: calendar, unit: day, timezone: Europe/Berlin}
    group_by: [country]
    measures: {large: count(basket = 'large'), orders: count()}
  - name: visits
    from: purchase
    window: {type: session, gap: 30m}
    group_by: [user_id]
    measures: {orders: count()}
    late: topic
`;

const startMs = Date.UTC(2025, 2, 8);

/** Purchases a minute apart, one in eight late by up to 90 minutes, one in 40 by days. */
export function purchasesCsv(rows: number, seed = 5): string {
  const next = seeded(seed);
  const lines = ['timestamp,user_id,coupon,country,device,amount,quantity'];
  for (let row = 0; row < rows; row++) {
    const lagMs = next(8) === 0 ? next(90) * 60_000 : next(40) === 0 ? (24 + next(48)) * 3_600_000 : 0;
    const time = new Date(startMs + row * 60_000 - lagMs).toISOString();
    const country = ['DE', 'FR', 'US'][next(3)];
    lines.push(
      `${time},u${next(9)},p${next(4)},${country},${['phone', 'desktop'][next(2)]},${next(300)}.${String(next(100)).padStart(2, '0')},${1 + next(4)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

export function writeWorld(root: string, files: Record<string, string> = {}): void {
  const all: Record<string, string> = {
    'config/platform.yaml': platformYaml,
    'config/domains/shop.yaml': shopYaml,
    'data/products.csv': 'product_id,brand,label\np0,north,a\np1,south,b\np2,north,c\np3,east,d\n',
    'data/purchases.csv': purchasesCsv(1_500),
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), text);
  }
}

/** Replaces a text in a file of the world; it has to be there. */
export function edit(
  root: string,
  from: string | RegExp,
  to: string,
  file = 'config/domains/shop.yaml',
): void {
  const path = join(root, file);
  const before = readFileSync(path, 'utf8');
  const after = before.replace(from, to);
  if (before === after) throw new Error(`${file} has no ${from}`);
  writeFileSync(path, after);
}

export async function loadWorld(root: string) {
  const sinkSpecs: Record<string, SinkSpec> = sinks;
  const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.diagnostics, null, 1));
  return {platform: loaded.platform, config: loaded.config, dirs: dirsOf(loaded.platform)};
}

/** Every event of the log, as an event type of now reads it: by name or alias, absent fields NULL. */
export async function eventsOf({domains}: Platform, dirs: PlatformDirs): Promise<NaiveEvent[]> {
  const log = openLogReader(dirs.log);
  const registry = openEmbeddedRegistry(dirs.registry.dir, {readOnly: true});
  const events: NaiveEvent[] = [];
  try {
    for (const eventType of domains.flatMap(({eventTypes}) => eventTypes))
      for (let partition = 0; partition < log.partitions(eventType.topic); partition++) {
        const {topic} = eventType;
        for (let offset = log.startOffset(topic, partition); offset < log.endOffset(topic, partition); )
          for (const batch of await log.read(topic, partition, offset, 1 << 20)) {
            const spots: [number, number][] = [];
            if (batch.kind === 'mark')
              events.push({topic, partition, offset, values: {timestamp: batch.markTimeMs!}, mark: true});
            else walkRecords(batch, (_, from, to) => void spots.push([from, to]));
            for (const [index, [from, to]] of spots.entries()) {
              const {schema} = (await registry.byId(schemaIdOf(batch.bytes, from, to)))!;
              const record = schema as AvroRecord;
              const values = compileDecoder(record)(batch.bytes, from + frameHeaderBytes, to) as Value[];
              const written = new Map(record.fields.map(({name}, at) => [name, values[at]!]));
              events.push({
                topic,
                partition,
                offset: batch.baseOffset + index,
                values: readAs(eventType, written),
              });
            }
            offset = batch.baseOffset + (batch.kind === 'mark' ? 1 : batch.count);
          }
      }
  } finally {
    registry.close();
    log.close();
  }
  return events;
}

function readAs({fields}: EventType, written: Map<string, Value>): Record<string, Value> {
  const cents = ({type}: Field, alias: string) => (type === 'money' ? `${alias}_cents` : alias);
  return Object.fromEntries(
    fields.map((field) => {
      const column = [field.column, ...field.aliases.map((alias) => cents(field, alias))].find((name) =>
        written.has(name),
      );
      return [field.name, column === undefined ? null : written.get(column)!];
    }),
  );
}

/** The plan whose rows a query shows, by what the files say now. */
export function shownPlan(platform: Platform, dirs: PlatformDirs, query: string): QueryPlan {
  const [domain = '', name = ''] = query.split('.');
  const known = readRevisions(dirs.revisions)[query] ?? {current: 1, filling: null};
  // Columns stand as in the recorded definition; what they mean is what the files say.
  const recorded = planOfRevision(dirs, query, known, known.current);
  const {plan} = definitionOf(platform, domain, name, known.current);
  return recorded ? {...plan, table: recorded.table} : plan;
}

/**
 * What is wrong with the rows of every query: those that its current revision shows, against the obvious evaluator over the
 * log with the definition in the files.
 */
export async function wrongRows(
  root: string,
  {domains, ...rest}: Platform,
  dirs: PlatformDirs,
  {only, planOf}: {only?: string[]; planOf?: (plan: QueryPlan) => QueryPlan} = {},
): Promise<string[]> {
  const platform = {domains, ...rest};
  const events = await eventsOf(platform, dirs);
  const problems: string[] = [];
  for (const query of only ?? queriesOf(domains)) {
    const plan = shownPlan(platform, dirs, query);
    const all = naive((planOf ?? ((same) => same))(plan), events).rows;
    const rows = plan.emit === 'close' ? all.filter(closedBy(plan, events)) : all;
    for (const sink of plan.sinks) {
      const found = await readLatest(join(root, '.millrace', sink), `${plan.domain}.${plan.table.name}`);
      if (!found) problems.push(`${query}: no table ${plan.table.name} in ${sink}`);
      else problems.push(...compareRows(plan, found.rows, rows).map((problem) => `${query}: ${problem}`));
    }
  }
  return problems;
}

/** Rows that have left with `emit: close`: their windows end before every partition's watermark. */
function closedBy(
  {watermarkMs}: QueryPlan,
  events: NaiveEvent[],
): (row: {[column: string]: Value}) => boolean {
  const maxima = new Map<string, number>();
  for (const {topic, partition, values} of events) {
    const key = `${topic}/${partition}`;
    maxima.set(key, Math.max(maxima.get(key) ?? -Infinity, Number(values.timestamp)));
  }
  const throughMs = Math.min(...maxima.values()) - watermarkMs;
  return ({window_end}) => Number(window_end) <= throughMs;
}

export const queriesOf = (domains: Domain[]): string[] =>
  domains.flatMap(({name, aggregations}) => aggregations.map((query) => `${name}.${query.name}`));
