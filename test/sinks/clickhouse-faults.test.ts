/** What happens to rows and raw events when a ClickHouse server, or the way to it, fails. */
import assert from 'node:assert/strict';
import {after, before, type TestContext, test} from 'node:test';
import {systemClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import type {BackendChoice, Table} from '../../src/model/types.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {type HostedSink, openSink} from '../../src/sinks/host.ts';
import {batchOf, tableId} from '../../src/sinks/tables.ts';
import {noTelemetry, type Telemetry} from '../../src/telemetry.ts';
import {countryRow, queryTable, rawBatch, rawTable} from '../conformance/sink.ts';
import {makeAuthority} from '../support/certificates.ts';
import {
  clickHouseServer,
  clickHouseServerFor,
  clickHouseSubject,
  password,
  type TestServer,
  user,
} from '../support/clickhouse.ts';
import {type HttpProxy, httpProxy} from '../support/http-proxy.ts';

let server: TestServer;
let proxy: HttpProxy;
before(async () => {
  server = await clickHouseServer();
  proxy = await httpProxy(server.url);
});
after(async () => {
  await proxy.close();
  await server.kill();
});

async function openFor(t: TestContext, choice: BackendChoice, telemetry: Telemetry = noTelemetry) {
  const sink = await openSink({name: 'analytics', choice, root: server.dir, telemetry});
  t.after(() => sink.close());
  return sink;
}

/** Rows of keys of their own, delivered as the engine does, with short delays between attempts. */
function deliveryOf(sink: HostedSink, table: Table, telemetry: Telemetry = noTelemetry) {
  return createDelivery({
    sink,
    sinkName: 'analytics',
    table,
    clock: systemClock,
    random: () => 0.5,
    telemetry,
    retry: {baseMs: 20, delayMsMax: 100, attemptsMax: 3},
  });
}

const isError =
  (code: string, message: RegExp, hint: RegExp) =>
  (error: unknown): true => {
    assert.ok(error instanceof PlatformError, `${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.match(error.hint ?? '', hint);
    assert.doesNotMatch(JSON.stringify({...error, message: error.message, stack: error.stack}), /battery/);
    return true;
  };

const isInsert = (url: string) => url.includes('INSERT');
const rowsOf = async (sink: HostedSink, table: Table) =>
  (await clickHouseSubject.latest(sink, server.dir, table)).length;

test('the server is killed again and again in the middle of inserts: every row is there once', async (t) => {
  const sink = await openFor(t, server.choice());
  const table = queryTable('killed', {country: 'string'});
  const raw = rawTable('raw_killed');
  for (const each of [table, raw]) await sink.ensure(each);
  const told: string[] = [];
  const delivery = deliveryOf(sink, table, {emit: (name) => told.push(name)});
  const pushes: Promise<void>[] = [];
  let offset = 0;
  const writeRaw = async () => {
    // The raw delivery tries again, as this does.
    for (;;)
      try {
        await sink.writeRaw!(raw, rawBatch(raw, 0, offset, offset + 500));
        offset += 500;
        return;
      } catch (error) {
        assert.equal((error as PlatformError).code, 'SINK_UNAVAILABLE', String(error));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
  };
  const rounds = 24;
  for (let round = 0; round < rounds; round++) {
    const rows = Array.from({length: 2_000}, (_, i) => countryRow(`c${round}-${i}`, i, 2));
    pushes.push(delivery.push(batchOf(table, rows)));
    const events = writeRaw();
    if (round % 8 === 4) {
      await new Promise((resolve) => setTimeout(resolve, round / 4));
      await server.kill();
      await server.start();
    }
    await events;
  }
  await Promise.all(pushes);
  assert.equal(await rowsOf(sink, table), rounds * 2_000);
  assert.deepEqual(await sink.rawOffsets!(raw), new Map([[0, rounds * 500]]));
  assert.equal(await clickHouseSubject.count(sink, server.dir, raw), rounds * 500);
  assert.ok(told.includes('SinkFailed'), 'the failures were told');
});

test('a server that is down when the sink opens: the first call says so, and a later one works', async (t) => {
  await server.kill();
  const sink = await openFor(t, server.choice());
  const table = queryTable('down', {country: 'string'});
  await assert.rejects(sink.ensure(table), isError('SINK_UNAVAILABLE', /ECONNREFUSED/, /is the server up/));
  await assert.rejects(
    sink.query!('SELECT 1'),
    isError('SINK_UNAVAILABLE', /ECONNREFUSED/, /is the server up/),
  );
  await server.start();
  await sink.ensure(table);
  await sink.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
  assert.equal(await rowsOf(sink, table), 1);
});

for (const mode of ['swallow', 'cut'] as const)
  test(`${mode === 'swallow' ? 'answers are lost' : 'connections end in the middle of an insert'}: nothing is missing or there twice`, async (t) => {
    const sink = await openFor(t, server.choice({url: proxy.url}));
    const table = queryTable(mode, {country: 'string'});
    const raw = rawTable(`raw_${mode}`);
    for (const each of [table, raw]) await sink.ensure(each);
    const delivery = deliveryOf(sink, table);
    proxy.become(mode, isInsert);
    const before = proxy.disturbed();
    const rows = Array.from({length: 5_000}, (_, i) => countryRow(`c${i}`, i, 2));
    const written = delivery.push(batchOf(table, rows));
    const failed = {code: 'SINK_UNAVAILABLE'};
    const batch = rawBatch(raw, 0, 0, 5_000);
    await assert.rejects(sink.writeRaw!(raw, batch), failed);
    while (proxy.disturbed() < before + 4) await new Promise((resolve) => setTimeout(resolve, 5));
    proxy.become('pass');
    await written;
    await sink.writeRaw!(raw, batch);
    assert.equal(await rowsOf(sink, table), 5_000);
    assert.equal(await clickHouseSubject.count(sink, server.dir, raw), 5_000);
    assert.deepEqual(await sink.rawOffsets!(raw), new Map([[0, 5_000]]));
  });

test('an insert whose answer was lost, and that is not seen yet when it is made again, is made once', async (t) => {
  const table = rawTable('raw_token');
  const first = await openFor(t, server.choice());
  const second = await openFor(t, server.choice());
  await first.ensure(table);
  // Both believe that the table is empty, as somebody does who asked while an insert was under way.
  for (const sink of [first, second]) assert.deepEqual(await sink.rawOffsets!(table), new Map());
  for (const sink of [first, second]) await sink.writeRaw!(table, rawBatch(table, 0, 0, 100));
  assert.equal(await clickHouseSubject.count(first, server.dir, table), 100);
});

test('an answer that takes longer than request_timeout fails for a while', async (t) => {
  const table = queryTable('slow', {country: 'string'});
  await (await openFor(t, server.choice())).ensure(table);
  const sink = await openFor(t, server.choice({url: proxy.url, request_timeout: 1_000}));
  proxy.become({delayMs: 2_500}, isInsert);
  const batch = batchOf(table, [countryRow('DE', 1, 2)]);
  await assert.rejects(sink.write(table, batch), isError('SINK_UNAVAILABLE', /Timeout/i, /is the server up/));
  proxy.become('pass');
  // On a machine with much else to do a second may be too short for anything.
  const patient = await openFor(t, server.choice({url: proxy.url}));
  await patient.write(table, batch);
  assert.equal(await rowsOf(patient, table), 1);
});

test('a wrong password is for good, and is not printed', async (t) => {
  const table = queryTable('denied', {country: 'string'});
  for (const wrong of [{password: 'wrong battery'}, {username: 'nobody'}]) {
    const sink = await openFor(t, server.choice(wrong));
    const denied = isError('SINK_REFUSED', /Authentication failed.*516/, /username and password/);
    await assert.rejects(sink.ensure(table), denied);
    await assert.rejects(sink.query!('SELECT 1'), denied);
  }
});

test('rows go compressed and come back compressed', async (t) => {
  for (const compression of ['gzip', 'zstd']) {
    const sink = await openFor(t, server.choice({compression}));
    const table = queryTable(compression, {country: 'string'});
    await sink.ensure(table);
    const rows = Array.from({length: 3_000}, (_, i) => countryRow(`land ${i}`, i, 2));
    await sink.write(table, batchOf(table, rows));
    const {rows: found} = await sink.query!(`SELECT country FROM shop.${compression} ORDER BY total`);
    assert.equal(found.length, 3_000);
    assert.deepEqual(found[2_999], ['land 2999']);
  }
});

test('HTTPS: the server’s certificate is proven by tls.ca, ours by tls.cert', async (t) => {
  const authority = makeAuthority();
  t.after(() => authority.remove());
  const own = authority.sign('127.0.0.1');
  const secure = await clickHouseServerFor(t, {tls: {...own, clientCa: authority.ca}});
  const client = authority.sign('millrace');
  const tls = {ca: authority.ca, ...client};
  const table = queryTable('secure', {country: 'string'});
  const sink = await openFor(t, secure.choice({tls}));
  await sink.ensure(table);
  await sink.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
  assert.equal(await rowsOf(sink, table), 1);
  const unproven = isError('SINK_REFUSED', /does not prove who it is/, /tls\.ca/);
  await assert.rejects((await openFor(t, secure.choice({tls: client}))).ensure(table), unproven);
  await (await openFor(t, secure.choice({tls: {...client, insecure: true}}))).ensure(table);
  const stranger = await openFor(t, secure.choice({tls: {ca: authority.ca}}));
  await assert.rejects(stranger.ensure(table), {name: 'PlatformError'});
  const elsewhere = secure.choice({tls, url: secure.url.replace('127.0.0.1', 'localhost')});
  await assert.rejects((await openFor(t, elsewhere)).ensure(table), unproven);
});

test('options that contradict each other are refused with the way out', async () => {
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{url: `http://${user}@localhost:8123`}, /holds a user/],
    [{url: 'http://localhost:8123?user=x'}, /has parameters/],
    [{tls: {ca: 'none.pem'}}, /begins with http:/],
    [{url: 'https://localhost:8443', tls: {ca: 'none.pem'}}, /tls\.ca cannot be read/],
    [{url: 'https://localhost:8443', tls: {cert: 'none.pem'}}, /needs its key/],
  ];
  for (const [options, message] of wrong)
    await assert.rejects(
      openSink({name: 'analytics', choice: server.choice(options), root: server.dir}),
      isError('SINK_REFUSED', message, /./),
    );
});

test('inserts into a table with too many parts become rarer, and it is told', async (t) => {
  const told: {parts: number; pauseSeconds: number}[] = [];
  const telemetry: Telemetry = {
    emit: (name, event) =>
      name === 'PartsCounted' && told.push(event as unknown as {parts: number; pauseSeconds: number}),
  };
  const sink = await openFor(t, server.choice({parts: 10}), telemetry);
  const table = queryTable('crowded', {country: 'string'});
  await sink.ensure(table);
  const headers = {'X-ClickHouse-User': user, 'X-ClickHouse-Key': password};
  const stopped = await fetch(server.url, {
    method: 'POST',
    headers,
    body: `SYSTEM STOP MERGES shop.${table.name}`,
  });
  assert.equal(stopped.status, 200, await stopped.text());
  let writes = 0;
  const write = () => sink.write(table, batchOf(table, [countryRow(`c${writes++}`, 1, 2)]));
  for (let part = 0; part < 30; part++) await write();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await write();
  while (!told.some(({parts}) => parts > 20)) await new Promise((resolve) => setTimeout(resolve, 10));
  const {parts, pauseSeconds} = told.at(-1)!;
  assert.equal(parts, 31);
  assert.equal(pauseSeconds, 2.1);
  const startMs = performance.now();
  await write();
  assert.ok(performance.now() - startMs > 1_000, 'the insert waited');
  assert.equal(await rowsOf(sink, table), 32);
});

test('a table with another engine, and a server without the cluster, are refused', async (t) => {
  const sink = await openFor(t, server.choice());
  const table = queryTable('foreign', {country: 'string'});
  await sink.ensure(table);
  const other = {...table, name: 'foreign__r2'};
  const made = await fetch(server.url, {
    method: 'POST',
    headers: {'X-ClickHouse-User': user, 'X-ClickHouse-Key': password},
    body: `CREATE TABLE shop.foreign__r2 AS shop.foreign__r1 ENGINE = MergeTree ORDER BY (window_start, country)
      SETTINGS allow_nullable_key = 1`,
  });
  assert.equal(made.status, 200, await made.text());
  await assert.rejects(
    sink.ensure(other),
    isError('SINK_TABLE_DIFFERS', /engine is MergeTree instead of ReplacingMergeTree/, /RENAME TABLE/),
  );
  const clustered = await openFor(t, server.choice({cluster: {name: 'main'}}));
  await assert.rejects(
    clustered.ensure(table),
    isError('SINK_REFUSED', /knows no cluster "main"/, /leave cluster out/),
  );
  assert.equal(tableId(other), 'shop.foreign__r2');
});
