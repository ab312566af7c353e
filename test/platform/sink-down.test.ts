/** A ClickHouse server that is down when the platform starts, comes, goes and comes again. */
import assert from 'node:assert/strict';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {clickHouseServer, password, user} from '../support/clickhouse.ts';
import {startIn} from '../support/running.ts';
import {scratchDir} from '../support/scratch.ts';

const rows = 6_000;
const startMs = Date.UTC(2026, 0, 31, 12);

function world(url: string): string {
  const root = scratchDir('down');
  const lines = Array.from({length: rows}, (_, row) => {
    const time = new Date(startMs + row * 1_000).toISOString();
    return `${time},${['DE', 'FR', 'US'][row % 3]},${row % 100}.50`;
  });
  const files = {
    'config/platform.yaml': `platform: down
log: {embedded: {partitions: 2}}
engine: {embedded: {checkpoint_interval: 100ms}}
sinks:
  analytics:
    backend: clickhouse
    clickhouse: {url: "${url}", username: ${user}, password: "${password}"}
  files: {backend: file, file: {dir: .millrace/rows}}
defaults: {raw: analytics}
`,
    'config/domains/shop.yaml': `domain: shop
event_types:
  - name: purchase
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, rate: 2000/s}
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
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), text);
  }
  return root;
}

test('the platform starts without its ClickHouse server, waits for it, loses it once more, and every row is there once', async (t) => {
  const server = await clickHouseServer();
  t.after(() => server.kill());
  await server.kill();
  const root = world(server.url);
  t.after(() => rmSync(root, {recursive: true, force: true}));
  const {running, told} = await startIn(root, {fast: false});
  const state = (query: string) => running.engine.status().find((each) => each.query === `shop.${query}`);
  const until = async (done: () => Promise<boolean>) => {
    const endMs = performance.now() + 30_000;
    while (!(await done())) {
      assert.ok(performance.now() < endMs, JSON.stringify(running.status()));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  try {
    const waiting = state('per_minute');
    assert.equal(waiting?.state, 'paused');
    assert.equal(waiting?.reason?.code, 'SINK_UNAVAILABLE');
    assert.ok(told.some(({name, event}) => name === 'SinkPaused' && event.table === 'shop.per_minute__r1'));
    await until(async () => state('per_hour')?.counts.some(({aggregated}) => aggregated > 0) === true);
    await server.start();
    await until(async () => state('per_minute')?.state === 'running');
    assert.ok(told.some(({name, event}) => name === 'SinkResumed' && event.table === 'shop.per_minute__r1'));
    const ask = async (sql: string) => (await running.outputs.sql('analytics', sql)).rows[0]![0] as number;
    await until(async () => (await ask('SELECT sum(orders) FROM shop.per_minute')) > 0);
    await server.kill();
    await until(async () => state('per_minute')?.state === 'paused');
    await server.start();
    await running.idle(new AbortController().signal);
    assert.equal(await ask('SELECT sum(orders) FROM shop.per_minute'), rows);
    assert.equal(await ask('SELECT count() FROM shop.per_minute'), (rows / 60) * 3);
    assert.equal(await ask('SELECT count() FROM shop.purchase'), rows);
    assert.equal(await ask('SELECT uniqExact(event_id) FROM shop.purchase'), rows);
  } finally {
    await running.drain();
  }
});
