/** A platform on a PostgreSQL server that is down when it starts, is killed while it writes, and comes again. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {describeWithPostgres, password, postgresServer} from '../support/postgres.ts';
import {countries, startDown} from './down-world.ts';

const purchases = 12_000;

describeWithPostgres('a platform on PostgreSQL', () => {
  test('it starts without its server, which is then killed twice: every row and event is there once, and the ledger balances', async (t) => {
    const server = await postgresServer();
    t.after(() => server.stop());
    await server.kill();
    const url = `postgres://${server.user}@127.0.0.1:${server.port}/${server.database}`;
    const {running, state, until} = await startDown(
      `backend: postgres, postgres: {url: "${url}", password: "${password}"}`,
      purchases,
      3_000,
    );
    const ask = async (sql: string) => Number((await server.sql(sql))[0]![0]);
    try {
      assert.equal(state('per_minute')?.state, 'paused');
      assert.match(
        state('per_minute')?.reason?.place ?? '',
        /^sink database \(config\/platform\.yaml:5:49\), /,
        'of several sinks the one that it waits for, and its url',
      );
      await until(() => state('per_hour')?.state === 'running');
      await server.restart();
      await until(() => state('per_minute')?.state === 'running');
      for (const wanted of [1_000, 5_000]) {
        await until(
          async () => (await ask('SELECT sum(orders) FROM shop.per_minute').catch(() => 0)) > wanted,
        );
        await server.kill();
        await server.restart();
      }
      await running.idle(new AbortController().signal);
      assert.equal(await ask('SELECT sum(orders) FROM shop.per_minute'), purchases);
      assert.equal(await ask('SELECT count(*) FROM shop.per_minute'), (purchases / 60) * countries.length);
      assert.equal(
        await ask('SELECT sum(revenue_cents) FROM shop.per_minute'),
        await ask('SELECT sum(amount_cents) FROM shop.purchase'),
      );
      assert.equal(await ask('SELECT count(*) FROM shop.purchase'), purchases);
      assert.equal(await ask('SELECT count(DISTINCT event_id) FROM shop.purchase'), purchases);
      const {deliveries} = await running.status();
      for (const {table, emitted, written, pending} of deliveries)
        assert.equal(emitted, written + pending, table);
    } finally {
      await running.drain();
    }
  });
});
