/** Lookups whose rows are in PostgreSQL. */
import assert from 'node:assert/strict';
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, type TestContext, test} from 'node:test';
import type {Value} from '../../src/expr/types.ts';
import type {Lookup} from '../../src/model/types.ts';
import type {Ask} from '../../src/platform/ask.ts';
import {createCurrentLookups} from '../../src/platform/current-lookups.ts';
import {readRows} from '../../src/platform/lookup-rows.ts';
import {createLookupStore} from '../../src/platform/lookups.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {type HostedSink, openSink} from '../../src/sinks/host.ts';
import {makeRoot, writeFiles} from '../support/cli.ts';
import {describeWithPostgres, password, postgresServer, type TestServer} from '../support/postgres.ts';
import {runToEnd, startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

describeWithPostgres('lookups in PostgreSQL', () => {
  let server: TestServer;
  let sink: HostedSink;
  before(async () => {
    server = await postgresServer();
    sink = await openSink({name: 'business', choice: server.choice(), root: server.dir});
  });
  after(async () => {
    await sink.close();
    await server.stop();
  });

  const lookup = (more: Partial<Lookup>): Lookup => ({
    domain: 'shop',
    name: 'products',
    key: 'id',
    keyType: 'string',
    columns: [{name: 'brand', type: 'string'}],
    csv: null,
    sink: 'business',
    table: 'public.products',
    nulls: ['\0'],
    refreshMs: null,
    ...more,
  });
  function storeIn(t: TestContext) {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-lookups-'));
    t.after(() => rmSync(dir, {recursive: true, force: true}));
    return {dir, store: createLookupStore(dir, (_, sql) => sink.query!(sql))};
  }

  test('values of every type, NULL, and texts that are hard to write', async (t) => {
    const hard = ['', ' x ', 'a,b', '"quoted"', 'line\nbreak\r\n', '\\N', 'NULL', 'é👩‍🚀', "'"];
    await server.sql(`CREATE TABLE "Types" (id integer, text text, int integer, long bigint, double double precision, boolean boolean,
      timestamp timestamptz, date date, uuid uuid, money numeric(12,4))`);
    await server.sql(`INSERT INTO "Types" VALUES (1, 'x', -5, 9007199254740993, 1.5e300, true, '2026-01-31 12:00:00.25+01', '2026-01-31',
      '0190163d-8694-739b-aea5-966c26f8ad91', 12.34), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`);
    for (const [index, text] of hard.entries())
      await server.sql(
        `INSERT INTO "Types" (id, text) VALUES (${10 + index}, E'${text.replace(/[\\']/g, '\\$&')}')`,
      );
    const types = ['int', 'long', 'double', 'boolean', 'timestamp', 'date', 'uuid', 'money'] as const;
    const columns = [{name: 'text', type: 'string' as const}, ...types.map((type) => ({name: type, type}))];
    const {store} = storeIn(t);
    const wanted = lookup({table: 'Types', keyType: 'int', columns});
    const {id, rows} = (await store.get(wanted, null))!;
    assert.deepEqual(rows.get(1), [
      'x',
      -5,
      9_007_199_254_740_993n,
      1.5e300,
      true,
      Date.UTC(2026, 0, 31, 11, 0, 0, 250),
      20_484,
      '0190163d-8694-739b-aea5-966c26f8ad91',
      1234,
    ]);
    assert.deepEqual(
      rows.get(2),
      columns.map((): Value => null),
    );
    assert.deepEqual(
      hard.map((_, index) => rows.get(10 + index)![0]),
      hard,
    );
    const kept = (await store.get(wanted, id))!;
    assert.deepEqual([...kept.rows].sort(), [...rows].sort());
  });

  test('the same rows are the same snapshot, in whatever order they are stored; another row is another one', async (t) => {
    await server.sql(`CREATE TABLE public.products (id text, brand text, stock integer)`);
    await server.sql(`INSERT INTO public.products VALUES ('shoe', 'Acme', 1), ('hat', NULL, 1)`);
    const {store, dir} = storeIn(t);
    const first = (await store.get(lookup({}), null))!;
    await server.sql('UPDATE public.products SET stock = stock + 1');
    await server.sql("DELETE FROM public.products WHERE id = 'shoe'");
    await server.sql("INSERT INTO public.products VALUES ('shoe', 'Acme', 9)");
    assert.equal((await store.get(lookup({}), null))!.id, first.id);
    await server.sql("UPDATE public.products SET brand = '' WHERE id = 'hat'");
    const second = (await store.get(lookup({}), null))!;
    assert.notEqual(second.id, first.id);
    assert.deepEqual([first.rows.get('hat'), second.rows.get('hat')], [[null], ['']]);
    assert.equal(
      readdirSync(join(dir, 'shop/products')).filter((name) => name.endsWith('.rows.csv')).length,
      2,
    );
    const query = lookup({
      query: 'SELECT id, upper(brand) AS brand FROM public.products WHERE brand IS NOT NULL',
    });
    delete query.table;
    assert.deepEqual((await store.get(query, null))!.rows.get('shoe'), ['ACME']);
  });

  test('what is wrong is told once, the last good rows stay, and it is good again by itself', async (t) => {
    await server.sql(
      `CREATE TABLE public.wares (id text, brand text); INSERT INTO public.wares VALUES ('shoe', 'Acme')`,
    );
    const told: string[] = [];
    const {store} = storeIn(t);
    const current = createCurrentLookups(store, {
      emit(name, payload) {
        told.push(name === 'LookupRefused' ? (payload as {message: string}).message : name);
      },
    });
    const wares = lookup({table: 'public.wares'});
    const first = await current.read(wares);
    const steps: [string, RegExp | undefined][] = [
      ["INSERT INTO public.wares VALUES ('shoe', 'Other')", /the key "shoe" stands twice/],
      [
        "DELETE FROM public.wares WHERE brand = 'Other'; INSERT INTO public.wares VALUES (NULL, 'None')",
        /the key "id" is NULL/,
      ],
      [
        'DELETE FROM public.wares WHERE id IS NULL; ALTER TABLE public.wares RENAME COLUMN brand TO maker',
        /column "brand" does not exist/,
      ],
      ['ALTER TABLE public.wares RENAME COLUMN maker TO brand', undefined],
    ];
    for (const [sql, message] of steps) {
      told.length = 0;
      await server.sql(sql);
      for (let look = 0; look < 2; look++) assert.equal(await current.changed(wares), undefined, sql);
      if (message) assert.match(told[0]!, message);
      assert.deepEqual(told.slice(1), message ? ['Log'] : []);
      assert.equal((await current.read(wares)).id, first.id);
    }
    told.length = 0;
    await server.kill();
    assert.equal(await current.changed(wares), undefined);
    assert.match(told[0]!, /ECONNREFUSED|terminated/);
    await server.restart();
    await server.sql("UPDATE public.wares SET brand = 'New'");
    assert.deepEqual((await current.changed(wares))!.rows.get('shoe'), ['New']);
    await assert.rejects(store.get(lookup({table: 'nothing'}), null), {
      code: 'LOOKUP_INVALID',
      message: /nothing/,
    });
    const ask: Ask = (_, sql) => sink.query!(sql);
    const large = lookup({query: 'SELECT n::text AS id, NULL AS brand FROM generate_series(1, 11) n'});
    delete large.table;
    assert.ok((await readRows(large, ask, {rowsMax: 11})).length > 0);
    await assert.rejects(readRows(large, ask, {rowsMax: 10}), {
      code: 'LOOKUP_INVALID',
      message: /more than 10 rows/,
    });
    await assert.rejects(readRows(large, ask, {bytesMax: 20}), {
      code: 'LOOKUP_INVALID',
      message: /larger than/,
    });
  });

  test('without a platform the rows that were read last stand for those of now', async (t) => {
    await server.sql(
      `CREATE TABLE public.lately (id text, brand text); INSERT INTO public.lately VALUES ('shoe', 'Acme')`,
    );
    const {dir, store} = storeIn(t);
    const lately = lookup({table: 'public.lately'});
    const offline = createLookupStore(dir);
    await assert.rejects(offline.get(lately, null), {code: 'LOOKUP_INVALID', message: /not read yet/});
    const {id} = (await store.get(lately, null))!;
    assert.equal((await offline.get(lately, null))!.id, id);
  });

  test('a platform takes a new state while it runs; rows that were made keep what they were made with', async () => {
    await server.sql(
      `CREATE TABLE public.goods (product text, brand text); INSERT INTO public.goods VALUES ('shoe', 'Acme')`,
    );
    const root = makeRoot();
    const sales = (from: number, to: number) =>
      Array.from({length: to - from}, (_, index) => `2026-01-31T12:00:00Z,shoe,${from + index}`).join('\n');
    writeFiles(root, {
      'config/platform.yaml': `platform: lookups
sinks:
  analytics: {backend: file, file: {dir: .millrace/rows}}
  business: {backend: postgres, postgres: {url: "postgres://${server.user}@127.0.0.1:${server.port}/${server.database}", password: "${password}"}}
defaults: {raw: none}
`,
      'config/domains/shop.yaml': `domain: shop
event_types:
  - {name: sale, attributes: [product], enrich: [{lookup: products, on: product, take: {brand: brand}}]}
lookups:
  - {name: products, key: product, columns: {brand: string}, from: {sink: business, table: public.goods}, refresh: 1s}
inputs:
  - {name: sales, event_type: sale, from: ../../data/sales.csv}
aggregations:
  - {name: brands, from: sale, window: {type: tumbling, size: 1d}, group_by: [brand], measures: {sold: count()}, sinks: [business]}
`,
      'data/sales.csv': `timestamp,product,n\n${sales(0, 100)}\n`,
    });
    const brands = async () =>
      (await server.sql('SELECT brand, sold::integer FROM shop.brands ORDER BY 1')).map((row) =>
        row.join(' '),
      );
    await runToEnd(root);
    assert.deepEqual(await brands(), ['Acme 100']);
    const {running, told} = await startIn(root);
    await server.sql("UPDATE public.goods SET brand = 'Other'");
    await until(
      () => told.some(({event}) => /has a new snapshot/.test(String(event.message))),
      'a new snapshot',
    );
    await running.drain();
    writeFiles(root, {
      'data/sales.csv': `timestamp,product,n\n${sales(0, 100)}\n`,
      'data/more.csv': `timestamp,product,n\n${sales(0, 50)}\n`,
    });
    const yaml = `inputs:\n  - {name: sales, event_type: sale, from: ../../data/sales.csv}\n  - {name: more, event_type: sale, from: ../../data/more.csv}\n`;
    const domain = readFileSync(join(root, 'config/domains/shop.yaml'), 'utf8');
    writeFiles(root, {'config/domains/shop.yaml': domain.replace(/inputs:\n.*\n/, yaml)});
    await runToEnd(root);
    assert.deepEqual(await brands(), ['Acme 100', 'Other 50']);
  });

  test('a query whose lookup has never been read waits for its database and starts by itself; others run', async () => {
    await server.sql(
      `CREATE TABLE public.first (product text, brand text); INSERT INTO public.first VALUES ('shoe', 'Acme')`,
    );
    const root = makeRoot({
      'config/platform.yaml': `platform: first
sinks:
  analytics: {backend: file, file: {dir: .millrace/rows}}
  business: {backend: postgres, postgres: {url: "postgres://${server.user}@127.0.0.1:${server.port}/${server.database}", password: "${password}"}}
defaults: {raw: none, aggregates: analytics}
`,
      'config/domains/shop.yaml': `domain: shop
event_types:
  - {name: sale, attributes: [product], enrich: [{lookup: products, on: product, take: {brand: brand}}]}
  - {name: visit, attributes: [page]}
lookups:
  - {name: products, key: product, columns: {brand: string}, from: {sink: business, table: public.first}}
inputs:
  - {name: sales, event_type: sale, from: ../../data/sales.csv}
aggregations:
  - {name: brands, from: sale, window: {type: tumbling, size: 1d}, group_by: [brand], measures: {sold: count()}}
  - {name: visits, from: visit, window: {type: tumbling, size: 1d}, measures: {seen: count()}}
`,
      'data/sales.csv': 'timestamp,product\n2026-01-31T12:00:00Z,shoe\n',
    });
    await server.kill();
    const {running, told} = await startIn(root);
    try {
      const states = () =>
        Object.fromEntries(running.engine.status().map(({query, state}) => [query, state]));
      await until(
        () => states()['shop.visits'] === 'running',
        () => JSON.stringify(states()),
      );
      assert.equal(states()['shop.brands'], 'paused');
      const failed = told.filter(({name}) => name === 'SinkFailed').map(({event}) => event.sink);
      assert.deepEqual(failed, ['business'], 'the database of the lookup, not the sink of its rows');
      await server.restart();
      await running.idle(new AbortController().signal);
      assert.deepEqual(states(), {'shop.brands': 'running', 'shop.visits': 'running'});
    } finally {
      await running.drain();
    }
    const {rows} = (await readLatest(join(root, '.millrace/rows'), 'shop.brands__r1'))!;
    assert.deepEqual(
      rows.map(({brand, sold}) => [brand, sold]),
      [['Acme', 1]],
    );
  });
});
