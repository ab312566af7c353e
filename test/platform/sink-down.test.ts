/** A ClickHouse server that is down when the platform starts, comes, goes and comes again. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {clickHouseServer, password, user} from '../support/clickhouse.ts';
import {countries, startDown} from './down-world.ts';

const purchases = 6_000;

test('the platform starts without its ClickHouse server, waits for it, loses it once more, and every row is there once', async (t) => {
  const server = await clickHouseServer();
  t.after(() => server.kill());
  await server.kill();
  const {running, told, state, until} = await startDown(
    `backend: clickhouse, clickhouse: {url: "${server.url}", username: ${user}, password: "${password}"}`,
    purchases,
    2_000,
  );
  try {
    const waiting = state('per_minute');
    assert.equal(waiting?.state, 'paused');
    assert.equal(waiting?.reason?.code, 'SINK_UNAVAILABLE');
    const paused = told.find(
      ({name, event}) => name === 'SinkPaused' && event.table === 'shop.per_minute__r1',
    );
    assert.match(String(paused?.event.place), /^sink database \(config\/[a-z/]+\.yaml:\d+:\d+\)/);
    assert.match(String(paused?.event.hint), /is the server up/);
    await until(async () => state('per_hour')?.counts.some(({aggregated}) => aggregated > 0) === true);
    await server.start();
    await until(async () => state('per_minute')?.state === 'running');
    assert.ok(told.some(({name, event}) => name === 'SinkResumed' && event.table === 'shop.per_minute__r1'));
    const ask = async (sql: string) => (await running.outputs.sql('database', sql)).rows[0]![0] as number;
    await until(async () => (await ask('SELECT sum(orders) FROM shop.per_minute')) > 0);
    await server.kill();
    await until(async () => state('per_minute')?.state === 'paused');
    await server.start();
    await running.idle(new AbortController().signal);
    assert.equal(await ask('SELECT sum(orders) FROM shop.per_minute'), purchases);
    assert.equal(await ask('SELECT count() FROM shop.per_minute'), (purchases / 60) * countries.length);
    assert.equal(await ask('SELECT count() FROM shop.purchase'), purchases);
    assert.equal(await ask('SELECT uniqExact(event_id) FROM shop.purchase'), purchases);
  } finally {
    await running.drain();
  }
});
