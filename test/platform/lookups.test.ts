import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import type {Lookup} from '../../src/model/types.ts';
import {createLookupStore} from '../../src/platform/lookups.ts';

test('a snapshot of before lacks a column of today: its values are NULL, and the file of today may not lack it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-lookups-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const csv = join(dir, 'products.csv');
  const lookup = (...names: string[]): Lookup => ({
    domain: 'shop',
    name: 'products',
    key: 'product',
    keyType: 'string',
    columns: names.map((name) => ({name, type: 'string'})),
    csv,
    nulls: [''],
    refreshMs: null,
  });
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
  assert.deepEqual([before.columns, before.rows.get('shoe'), before.id], [['brand'], ['old'], id]);
});
