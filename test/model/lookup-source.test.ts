/** Where a lookup comes from: a file, or a table or query of a sink. */
import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {loadPlatform} from '../../src/model/load.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';

async function load(t: TestContext, lookup: string) {
  const root = mkdtempSync(join(tmpdir(), 'millrace-model-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  mkdirSync(join(root, 'config/domains'), {recursive: true});
  writeFileSync(
    join(root, 'config/platform.yaml'),
    `platform: p
sinks:
  business: {backend: postgres, postgres: {url: "postgres://app@localhost/acme"}}
  files: {backend: file}
`,
  );
  writeFileSync(
    join(root, 'config/domains/shop.yaml'),
    `domain: shop
lookups:
  - {name: products, key: product_id, columns: {brand: string}, ${lookup}}
`,
  );
  return loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs: sinks as Record<string, SinkSpec>});
}

test('a table and a query of a sink', async (t) => {
  for (const [from, wanted] of [
    ['{sink: business, table: public.products}', {csv: null, sink: 'business', table: 'public.products'}],
    ['{sink: records, query: "SELECT 1;"}', {csv: null, sink: 'records', query: 'SELECT 1'}],
  ] as const) {
    const loaded = await load(t, `from: ${from}, refresh: 5m`);
    assert.ok(loaded.ok, JSON.stringify(loaded.ok || loaded.diagnostics));
    const {csv, sink, table, query, refreshMs} = loaded.platform.domains[0]!.lookups[0]!;
    assert.deepEqual({csv, sink, ...(table ? {table} : {}), ...(query ? {query} : {})}, wanted);
    assert.equal(refreshMs, 300_000);
    assert.ok(Object.hasOwn(loaded.platform.sinks, wanted.sink), 'the sink is there');
  }
});

for (const [lookup, code, message] of [
  ['from: {}', 'VALUE_INVALID', /not said where the rows come from/],
  ['from: {csv: x.csv, sink: business, table: t}', 'VALUE_INVALID', /from a file or from a sink/],
  ['from: {table: products}', 'VALUE_INVALID', /which database/],
  ['from: {sink: business}', 'VALUE_INVALID', /which rows/],
  ['from: {sink: business, table: t, query: "SELECT 1"}', 'VALUE_INVALID', /not from both/],
  ['from: {sink: business, table: "a; DROP TABLE b"}', 'VALUE_INVALID', /right form/],
  ['from: {sink: nowhere, table: t}', 'SINK_UNKNOWN', /nowhere/],
  ['from: {sink: files, table: t}', 'SINK_CAPABILITY', /cannot be asked/],
  ['from: {sink: business, table: t}, null: [NA]', 'VALUE_INVALID', /texts in a file/],
] as const)
  test(`${lookup} is a mistake`, async (t) => {
    const loaded = await load(t, lookup);
    assert.ok(!loaded.ok);
    const [first, ...others] = loaded.diagnostics.filter(({severity}) => severity === 'error');
    assert.deepEqual(others, []);
    assert.equal(first!.code, code);
    assert.match(first!.message, message);
    assert.ok(first!.hint);
  });

test('a password in the URL of a server is refused, and not repeated', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-model-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  mkdirSync(join(root, 'config'), {recursive: true});
  const check = async (url: string) => {
    writeFileSync(
      join(root, 'config/platform.yaml'),
      `sinks: {business: {backend: postgres, postgres: {url: "${url}"}}}\n`,
    );
    const sinkSpecs = sinks as Record<string, SinkSpec>;
    const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
    assert.ok(!loaded.ok);
    const found = loaded.diagnostics.find(({code}) => code === 'VALUE_INVALID');
    assert.ok(found);
    const {message, hint} = found;
    assert.doesNotMatch(`${message} ${hint}`, /hunter2/);
    return `${message}; ${hint}`;
  };
  assert.match(await check('postgres://app:hunter2@localhost/acme'), /holds no password; write password/);
  assert.match(await check('mysql://app:hunter2@localhost/acme'), /begins with postgres:/);
  assert.match(await check('hunter2 is no url'), /no URL/);
});
