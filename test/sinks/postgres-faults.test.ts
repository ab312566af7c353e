/** What happens to rows and raw events when a PostgreSQL server, or the way to it, fails. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {chownSync, mkdirSync, mkdtempSync, rmSync, statSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, type TestContext, test} from 'node:test';
import {systemClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import type {BackendChoice, Table} from '../../src/model/types.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {type HostedSink, openSink} from '../../src/sinks/host.ts';
import {connectServer} from '../../src/sinks/postgres/server.ts';
import {settingsOf} from '../../src/sinks/postgres/settings.ts';
import type {RefusedRow} from '../../src/sinks/refused.ts';
import {defaultRetry, retryUntilDone} from '../../src/sinks/retry.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {countryRow, queryTable, rawBatch, rawTable} from '../conformance/sink.ts';
import {describeWithPostgres, password, postgresServer, type TestServer} from '../support/postgres.ts';
import {type TcpProxy, tcpProxy} from '../support/tcp-proxy.ts';

describeWithPostgres('a PostgreSQL server that fails', () => {
  let server: TestServer;
  let proxy: TcpProxy;
  before(async () => {
    server = await postgresServer();
    proxy = await tcpProxy(server);
  });
  after(async () => {
    await proxy.close();
    await server.stop();
  });

  async function openFor(t: TestContext, choice: BackendChoice) {
    const sink = await openSink({name: 'records', choice, root: server.dir});
    t.after(() => sink.close());
    return sink;
  }
  const throughProxy = (more: Record<string, unknown> = {}) =>
    server.choice({url: `postgres://${server.user}@127.0.0.1:${proxy.port}/${server.database}`, ...more});

  const retry = {...defaultRetry, baseMs: 20, delayMsMax: 100};
  const surely = <T>(work: () => Promise<T>): Promise<T> =>
    retryUntilDone(work, {
      policy: retry,
      clock: systemClock,
      random: () => 0.5,
      signal: AbortSignal.timeout(120_000),
      hooks: {
        onFailed() {},
        onPaused() {},
        onResumed() {},
        async onStopped(error) {
          throw error;
        },
      },
    });

  /** Rows of keys of their own, delivered as the engine does, with short delays between attempts. */
  function deliveryOf(sink: HostedSink, table: Table, onRefused?: (rows: RefusedRow[]) => Promise<void>) {
    const callbacks = onRefused ? {callbacks: {onRefused}} : {};
    return createDelivery({
      sink,
      sinkName: 'records',
      table,
      clock: systemClock,
      random: () => 0.5,
      telemetry: noTelemetry,
      retry,
      ...callbacks,
    });
  }

  const isError =
    (code: string, message: RegExp, hint = /./) =>
    (error: unknown): true => {
      assert.ok(error instanceof PlatformError, `${error}`);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.match(error.hint ?? '', hint);
      assert.doesNotMatch(JSON.stringify({...error, message: error.message, stack: error.stack}), /battery/);
      return true;
    };

  const count = async (name: string, what = 'count(*)'): Promise<number> =>
    Number((await server.sql(`SELECT ${what} FROM shop.${name}`))[0]![0]);

  const countries = (from: number, to: number, version = 2) =>
    Array.from({length: to - from}, (_, index) => countryRow(`c${from + index}`, version, version));

  /** Rows and raw events, batch after batch, until they are checked. */
  async function load(sink: HostedSink, name: string) {
    const table = queryTable(name, {country: 'string'});
    const raw = rawTable(`${name}_raw`);
    await surely(() => sink.ensure(table));
    await surely(() => sink.ensure(raw));
    const delivery = deliveryOf(sink, table);
    let running = true;
    let batches = 0;
    const size = 1_500;
    const work = (async () => {
      for (; running; batches++) {
        const from = batches * size;
        await Promise.all([
          delivery.push(batchOf(table, countries(from, from + size))),
          surely(() => sink.writeRaw!(raw, rawBatch(raw, 0, from, from + size))),
        ]);
      }
    })();
    return {
      batches: () => batches,
      async until(more: number) {
        for (const wanted = batches + more; batches < wanted; ) {
          await Promise.race([work, new Promise((resolve) => setTimeout(resolve, 10))]);
        }
      },
      /** Ends it; every row and raw event that was acknowledged is there once, and no other. */
      async check() {
        running = false;
        await work;
        const wanted = batches * size;
        assert.equal(await count(`${name}__r1`), wanted);
        assert.equal(await count(`${name}__r1`, 'sum(total)'), 2 * wanted);
        assert.equal(await count(`${name}_raw`), wanted);
        assert.equal(await count(`${name}_raw`, 'count(DISTINCT _offset)'), wanted);
        assert.deepEqual(await sink.rawOffsets!(raw), new Map([[0, wanted]]));
        assert.deepEqual(delivery.counts(), {emitted: wanted, written: wanted, pending: 0, dead: 0});
      },
    };
  }

  test('kill -9 of the server in the midst of batches, twice: what was acknowledged is there once', async (t) => {
    const sink = await openFor(t, server.choice());
    const loaded = await load(sink, 'killed');
    for (let round = 0; round < 2; round++) {
      await loaded.until(4);
      await server.kill();
      await server.restart();
    }
    await loaded.until(3);
    await loaded.check();
  });

  test('its sessions are ended by an administrator: statements are prepared again and nothing is lost', async (t) => {
    const sink = await openFor(t, server.choice({pool: 2}));
    const loaded = await load(sink, 'terminated');
    for (let round = 0; round < 4; round++) {
      await loaded.until(2);
      await server.sql(
        `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'millrace'`,
      );
    }
    await loaded.until(2);
    await loaded.check();
  });

  test('a server that only reads, as one that stands by, is waited for', async (t) => {
    const sink = await openFor(t, server.choice({pool: 1}));
    const loaded = await load(sink, 'reading');
    await loaded.until(2);
    await server.sql('ALTER SYSTEM SET default_transaction_read_only = on');
    await server.sql('SELECT pg_reload_conf()');
    const table = queryTable('reading', {country: 'string'});
    const writes = async () => {
      for (;;) await sink.write(table, batchOf(table, countries(0, 1)));
    };
    await assert.rejects(writes(), isError('SINK_UNAVAILABLE', /read-only transaction/, /^/));
    await server.sql('ALTER SYSTEM RESET default_transaction_read_only');
    await server.sql('SELECT pg_reload_conf()');
    await loaded.until(2);
    await loaded.check();
  });

  /** COMMIT as the client sends it: https://www.postgresql.org/docs/15/protocol-message-formats.html (Query) */
  const commit = Buffer.from('Q\0\0\0\u000bCOMMIT\0', 'latin1');

  for (const [how, title] of [
    ['cut', 'the connection is cut before COMMIT'],
    ['silence', 'COMMIT is carried out and its answer lost'],
  ] as const)
    test(`${title}: the retry changes nothing`, async (t) => {
      const sink = await openFor(t, throughProxy());
      t.after(() => proxy.interfere({}));
      const table = queryTable(`commit_${how}`, {country: 'string'});
      const raw = rawTable(`commit_${how}_raw`);
      for (const each of [table, raw]) await sink.ensure(each);
      // Their day is there.
      await sink.writeRaw!(raw, rawBatch(raw, 0, 0, 10));
      let isArmed = true;
      proxy.interfere({
        request(bytes) {
          if (!isArmed || !bytes.includes(commit)) return undefined;
          isArmed = false;
          return how;
        },
      });
      const events = rawBatch(raw, 0, 10, 50);
      await assert.rejects(sink.writeRaw!(raw, events), isError('SINK_UNAVAILABLE', /terminated|ECONNRESET/));
      assert.equal(await count(`commit_${how}_raw`), how === 'cut' ? 10 : 50);
      await sink.writeRaw!(raw, events);
      assert.equal(await count(`commit_${how}_raw`), 50);
      isArmed = true;
      const delivery = deliveryOf(sink, table);
      await delivery.push(batchOf(table, countries(0, 2_000)));
      assert.ok(!isArmed, 'it was met');
      await delivery.push(batchOf(table, countries(1_000, 3_000, 4)));
      assert.equal(await count(`commit_${how}__r1`), 3_000);
      assert.equal(await count(`commit_${how}__r1`, 'sum(total)'), 1_000 * 2 + 2_000 * 4);
    });

  test('a server that is down is SINK_UNAVAILABLE, at the first look and later, and is found when it is back', async (t) => {
    await server.kill();
    const sink = await openFor(t, server.choice());
    const table = queryTable('down', {country: 'string'});
    await assert.rejects(sink.ensure(table), isError('SINK_UNAVAILABLE', /ECONNREFUSED/, /is the server up/));
    await assert.rejects(sink.marked('shop.down__r1'), isError('SINK_UNAVAILABLE', /ECONNREFUSED/));
    await assert.rejects(sink.query!('SELECT 1'), isError('SINK_UNAVAILABLE', /ECONNREFUSED/));
    await server.restart();
    await sink.ensure(table);
    await server.kill();
    await assert.rejects(
      sink.write(table, batchOf(table, countries(0, 1))),
      isError('SINK_UNAVAILABLE', /./),
    );
    await server.restart();
    await sink.write(table, batchOf(table, countries(0, 1)));
    assert.equal(await count('down__r1'), 1);
  });

  test('a server that does not answer at all is given up after the time-out', async (t) => {
    const sink = await openFor(t, throughProxy({connect_timeout: 300}));
    t.after(() => proxy.interfere({}));
    proxy.interfere({answer: () => Buffer.alloc(0)});
    await assert.rejects(sink.marked('x'), isError('SINK_UNAVAILABLE', /timeout/));
  });

  test('a statement that takes too long ends by the time-out and is tried again', async (t) => {
    const sink = await openFor(t, server.choice({statement_timeout: 300}));
    const table = queryTable('locked', {country: 'string'});
    await sink.ensure(table);
    const locked = server.sql('BEGIN; LOCK TABLE shop.locked__r1; SELECT pg_sleep(1); COMMIT');
    await new Promise((resolve) => setTimeout(resolve, 200));
    await assert.rejects(
      sink.write(table, batchOf(table, countries(0, 1))),
      isError('SINK_UNAVAILABLE', /statement timeout/, /^/),
    );
    await surely(() => sink.write(table, batchOf(table, countries(0, 1))));
    await locked;
    assert.equal(await count('locked__r1'), 1);
  });

  test('too many connections pass by themselves', async (t) => {
    await server.sql(`CREATE ROLE few LOGIN PASSWORD '${password}' CONNECTION LIMIT 0`);
    const url = `postgres://few@127.0.0.1:${server.port}/${server.database}`;
    const sink = await openFor(t, server.choice({url, pool: 1}));
    await assert.rejects(sink.marked('x'), isError('SINK_UNAVAILABLE', /too many connections/, /^/));
    await server.sql('ALTER ROLE few CONNECTION LIMIT 1');
    await server.sql(
      'GRANT USAGE ON SCHEMA millrace TO few; GRANT ALL ON ALL TABLES IN SCHEMA millrace TO few',
    );
    assert.equal(await sink.marked('x'), undefined);
  });

  test('a full disk is waited for', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-full-'));
    const mounted =
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=777', 'millrace-test', dir]).status === 0;
    t.after(() => {
      if (mounted) spawnSync('umount', ['-l', dir]);
      rmSync(dir, {recursive: true, force: true});
    });
    if (!mounted && process.env.CI === 'true') assert.fail('CI needs the right to mount a tmpfs');
    if (!mounted) return t.skip('a tmpfs cannot be mounted here');
    const sink = await openFor(t, server.choice());
    const table = queryTable('full', {country: 'string'});
    await sink.ensure(table);
    const place = join(dir, 'space');
    mkdirSync(place);
    const {uid, gid} = statSync(join(server.dir, 'data'));
    chownSync(place, uid, gid);
    await server.sql(`CREATE TABLESPACE small LOCATION '${place}'`);
    await server.sql('ALTER TABLE shop.full__r1 SET TABLESPACE small');
    t.after(() =>
      server.sql('DROP TABLE shop.full__r1 CASCADE').then(() => server.sql('DROP TABLESPACE small')),
    );
    const ballast = join(dir, 'ballast');
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096', 'count=2000']);
    const rows = batchOf(table, countries(0, 5_000));
    await assert.rejects(sink.write(table, rows), isError('SINK_UNAVAILABLE', /No space left/, /^/));
    rmSync(ballast);
    await sink.write(table, rows);
    assert.equal(await count('full__r1'), 5_000);
  });

  test('a connection that is closed lets what runs end, and nothing begins any more', async () => {
    await server.sql('CREATE DATABASE closing');
    const {options} = server.choice({
      url: `postgres://${server.user}@127.0.0.1:${server.port}/closing`,
      pool: 1,
    });
    const connection = await connectServer(settingsOf(options), {readOnly: false});
    const running = connection.query('SELECT 1 FROM pg_sleep(0.3)');
    const refused = {code: 'SINK_CLOSED'};
    const waiting = assert.rejects(connection.query('SELECT 2'), refused);
    const closing = connection.close();
    await assert.rejects(connection.query('SELECT 3'), refused);
    assert.deepEqual((await running).rows, [[1]]);
    await waiting;
    await closing;
    await connection.close();
    await assert.rejects(connection.query('SELECT 4'), refused);
    const open = "SELECT count(*)::int FROM pg_stat_activity WHERE datname = 'closing'";
    while ((await server.sql(open))[0]![0] !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});
