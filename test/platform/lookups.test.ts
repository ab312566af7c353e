import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import type {Lookup} from '../../src/model/types.ts';
import {createCurrentLookups} from '../../src/platform/current-lookups.ts';
import {createLookupStore} from '../../src/platform/lookups.ts';
import {cli, filePlatform, makeRoot, writeFiles} from '../support/cli.ts';
import {runToEnd} from '../support/running.ts';

const lookupOf = (csv: string, columns: string[]): Lookup => ({
  domain: 'shop',
  name: 'products',
  key: 'product',
  keyType: 'string',
  columns: columns.map((name) => ({name, type: 'string'})),
  csv,
  nulls: [''],
  refreshMs: null,
});

test('a snapshot of before lacks a column of today: its values are NULL, and the file of today may not lack it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-lookups-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const csv = join(dir, 'products.csv');
  const lookup = (...names: string[]) => lookupOf(csv, names);
  const store = createLookupStore(join(dir, 'kept'));
  writeFileSync(csv, 'product,brand\nshoe,old\n');
  const {id} = (await store.get(lookup('brand'), null))!;
  const after = lookup('color', 'brand');
  await assert.rejects(store.get(after, null), {code: 'LOOKUP_INVALID'});
  writeFileSync(csv, 'product,brand,color\nshoe,new,red\n');
  const current = (await store.get(after, null))!;
  assert.deepEqual(
    [current.columns, current.rows.get('shoe')],
    [
      ['color', 'brand'],
      ['red', 'new'],
    ],
  );
  const before = (await store.get(after, id))!;
  const pipe = join(dir, 'pipe.csv');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(store.get(lookupOf(pipe, ['brand']), null), {code: 'LOOKUP_INVALID'});
  truncateSync(csv, 2 ** 30);
  await assert.rejects(store.get(lookup('brand'), null), {code: 'LOOKUP_INVALID', message: /more than 256/});
  assert.deepEqual([before.columns, before.rows.get('shoe'), before.id], [['brand'], ['old'], id]);
});

test('a file that is bad for a while is told once, and so is that it is good again', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-lookups-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const csv = join(dir, 'products.csv');
  const lookup = lookupOf(csv, ['brand']);
  const told: string[] = [];
  const current = createCurrentLookups(createLookupStore(join(dir, 'kept')), {
    emit: (name) => void told.push(name),
  });
  await assert.rejects(current.read(lookup), {code: 'LOOKUP_INVALID'});
  assert.equal(await current.changed(lookup), undefined);
  writeFileSync(csv, 'product,brand\nshoe,Acme\n');
  const first = await current.read(lookup);
  writeFileSync(csv, 'product,brand\nshoe,Acme\nshoe,Other\n');
  for (let look = 0; look < 3; look++) assert.equal(await current.changed(lookup), undefined);
  assert.equal((await current.read(lookup)).id, first.id);
  writeFileSync(csv, 'product,brand\nshoe,Other\n');
  assert.deepEqual((await current.changed(lookup))!.rows.get('shoe'), ['Other']);
  assert.equal(await current.changed(lookup), undefined);
  assert.deepEqual(told, ['LookupRefused', 'LookupAccepted', 'LookupRefused', 'Log', 'LookupAccepted']);
});

const domainYaml = `domain: shop
event_types:
  - {name: sale, attributes: [product], enrich: [{lookup: products, on: product, take: {brand: brand}}]}
lookups:
  - {name: products, key: product, columns: {brand: string}, from: {csv: ../../data/products.csv}}
inputs:
  - {name: sales, event_type: sale, from: ../../data/sales.csv}
aggregations:
  - {name: brands, from: sale, window: {type: tumbling, size: 1d}, group_by: [brand], measures: {sold: count()}}
`;
const files = {
  'config/platform.yaml': filePlatform,
  'config/domains/shop.yaml': domainYaml,
  'data/sales.csv': 'timestamp,product\n2026-01-05T00:00:00Z,shoe\n',
  'data/products.csv': 'product,brand\nshoe,Acme\n',
};
/** The input reads another file with one more sale. */
const nextSales = (root: string, number: number) =>
  writeFiles(root, {
    'config/domains/shop.yaml': domainYaml.replace('sales.csv', `sales-${number}.csv`),
    [`data/sales-${number}.csv`]: `timestamp,product\n2026-01-05T00:00:0${number}Z,shoe\n`,
  });

/** The reason of the one query and what was told of the lookup. */
async function outcome(root: string) {
  const {running, told} = await runToEnd(root);
  const [query] = running.status().queries;
  const read = query!.counts.reduce((sum, each) => sum + each.read, 0);
  const lookup = told
    .filter(({name}) => name.startsWith('Lookup'))
    .map(({name, event}) => [name, event.hasLast]);
  const warnings = told.filter(({name, event}) => name === 'Log' && event.level === 'warn');
  return {state: query!.state, code: query!.reason?.code, read, lookup, warnings: warnings.length};
}

test('a lookup file that vanished, or is bad at a restart: the last good snapshot is used, and an alert says so', async () => {
  const root = makeRoot(files);
  assert.deepEqual(await outcome(root), {
    state: 'running',
    code: undefined,
    read: 1,
    lookup: [['LookupAccepted', undefined]],
    warnings: 0,
  });
  const refused = {lookup: [['LookupRefused', true]], warnings: 1};
  rmSync(join(root, 'data/products.csv'));
  nextSales(root, 2);
  const validated = await cli(root, 'validate');
  assert.equal(validated.code, 0, validated.stderr);
  assert.match(validated.stderr, /warning FILE_NOT_FOUND .*products\.csv/);
  assert.deepEqual(await outcome(root), {state: 'running', code: undefined, read: 2, ...refused});
  writeFiles(root, {'data/products.csv': 'product,brand\nshoe,Other\nshoe,Third\n'});
  nextSales(root, 3);
  assert.deepEqual(await outcome(root), {state: 'running', code: undefined, read: 3, ...refused});
  writeFiles(root, {'data/products.csv': 'product,brand\nshoe,Acme\nboot,Acme\n'});
  const good = await outcome(root);
  assert.deepEqual([good.state, good.lookup], ['running', [['LookupAccepted', undefined]]]);
});

test('a lookup file that was never there stops its query at the first start, and says so', async () => {
  const root = makeRoot(files);
  rmSync(join(root, 'data/products.csv'));
  assert.deepEqual(await outcome(root), {
    state: 'stopped',
    code: 'LOOKUP_INVALID',
    read: 0,
    lookup: [['LookupRefused', false]],
    warnings: 0,
  });
  writeFiles(root, files);
  assert.equal((await outcome(root)).state, 'running');
});
