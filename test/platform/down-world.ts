/** Purchases that are read at a rate while the database of one of two aggregations, and of the raw events, is away at times. */
import {makeRoot} from '../support/cli.ts';
import {type Started, startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

const startMs = Date.UTC(2026, 0, 31, 12);
/** One a second, so that `per_minute` has a row for each of them and each minute. */
export const countries = ['DE', 'FR', 'US'];

/** @param database `backend: <name>, <name>: {...}` of the sink that goes away; `per_hour` goes into files */
function filesOf(database: string, purchases: number, perSecond: number): Record<string, string> {
  const lines = Array.from({length: purchases}, (_, row) => {
    const time = new Date(startMs + row * 1_000).toISOString();
    return `${time},${countries[row % countries.length]},${row % 100}.50`;
  });
  return {
    'config/platform.yaml': `platform: down
log: {embedded: {partitions: 2}}
engine: {embedded: {checkpoint_interval: 100ms}}
sinks:
  database: {${database}}
  files: {backend: file, file: {dir: .millrace/rows}}
defaults: {aggregates: database, raw: database}
`,
    'config/domains/shop.yaml': `domain: shop
event_types:
  - name: purchase
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, rate: ${perSecond}/s}
aggregations:
  - name: per_minute
    from: purchase
    window: {type: tumbling, size: 1m}
    group_by: [country]
    measures: {orders: count(), revenue: sum(amount)}
  - name: per_hour
    from: purchase
    window: {type: tumbling, size: 1h}
    measures: {orders: count()}
    sinks: [files]
`,
    'data/purchases.csv': `timestamp,country,amount\n${lines.join('\n')}\n`,
  };
}

/** The platform, started; `state` of a query, `until` something holds, at most a minute. */
export async function startDown(database: string, purchases: number, perSecond: number) {
  const {running, told}: Started = await startIn(makeRoot(filesOf(database, purchases, perSecond)), {
    fast: false,
  });
  const state = (name: string) => running.engine.status().find(({query}) => query === `shop.${name}`);
  const holds = (is: () => Promise<boolean> | boolean) => until(is, () => JSON.stringify(running.status()));
  return {running, told, state, until: holds};
}
