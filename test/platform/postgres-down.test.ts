/** A platform on a PostgreSQL server that is down when it starts, is killed while it writes, and comes again. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {makeRoot} from '../support/cli.ts';
import {describeWithPostgres, password, postgresServer} from '../support/postgres.ts';
import {startIn} from '../support/running.ts';

const rows = 12_000;
const startMs = Date.UTC(2026, 0, 31, 12);

const files = (url: string): Record<string, string> => {
  const lines = Array.from({length: rows}, (_, row) => {
    const time = new Date(startMs + row * 1_000).toISOString();
    return `${time},${['DE', 'FR', 'US'][row % 3]},${row % 100}.50`;
  });
  return {
    'config/platform.yaml': `platform: down
log: {embedded: {partitions: 2}}
engine: {embedded: {checkpoint_interval: 100ms}}
sinks:
  business: {backend: postgres, postgres: {url: "${url}", password: "${password}"}}
  files: {backend: file, file: {dir: .millrace/rows}}
defaults: {aggregates: business, raw: business}
`,
    'config/domains/shop.yaml': `domain: shop
event_types:
  - name: purchase
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, rate: 3000/s}
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
};

describeWithPostgres('a platform on PostgreSQL', () => {
  test('it starts without its server, which is then killed twice: every row and event is there once, and the ledger balances', async (t) => {
    const server = await postgresServer();
    t.after(() => server.stop());
    await server.kill();
    const root = makeRoot(files(`postgres://${server.user}@127.0.0.1:${server.port}/${server.database}`));
    const {running} = await startIn(root, {fast: false});
    const state = (query: string) =>
      running.engine.status().find((each) => each.query === `shop.${query}`)?.state;
    const until = async (done: () => Promise<boolean> | boolean) => {
      const endMs = performance.now() + 60_000;
      while (!(await done())) {
        assert.ok(performance.now() < endMs, JSON.stringify(running.status()));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const ask = async (sql: string) => Number((await server.sql(sql))[0]![0]);
    try {
      assert.equal(state('per_minute'), 'paused');
      await until(() => state('per_hour') === 'running');
      await server.restart();
      await until(() => state('per_minute') === 'running');
      for (const wanted of [1_000, 5_000]) {
        await until(
          async () => (await ask('SELECT sum(orders) FROM shop.per_minute').catch(() => 0)) > wanted,
        );
        await server.kill();
        await server.restart();
      }
      await running.idle(new AbortController().signal);
      assert.equal(await ask('SELECT sum(orders) FROM shop.per_minute'), rows);
      assert.equal(await ask('SELECT count(*) FROM shop.per_minute'), (rows / 60) * 3);
      assert.equal(
        await ask('SELECT sum(revenue_cents) FROM shop.per_minute'),
        await ask('SELECT sum(amount_cents) FROM shop.purchase'),
      );
      assert.equal(await ask('SELECT count(*) FROM shop.purchase'), rows);
      assert.equal(await ask('SELECT count(DISTINCT event_id) FROM shop.purchase'), rows);
      const {deliveries} = await running.status();
      for (const {table, emitted, written, pending} of deliveries)
        assert.equal(emitted, written + pending, table);
    } finally {
      await running.drain();
    }
  });
});
