import assert from 'node:assert/strict';
import {mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import type {PlatformError} from '../../src/errors.ts';
import {openSink} from '../../src/sinks/host.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';

function temporary(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-damage-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  return root;
}

const files = (dir: string): string[] =>
  readdirSync(dir, {recursive: true, withFileTypes: true})
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const damaged = (error: PlatformError) => {
  assert.equal(error.code, 'SINK_DAMAGED', error.message);
  assert.match(error.hint ?? '', /npx millrace rebuild/);
  return true;
};

const table = queryTable('damage', {country: 'string'});
const batch = batchOf(
  table,
  Array.from({length: 500}, (_, i) => countryRow(`c${i}`, i, 2)),
);

for (const backend of ['chdb', 'pglite']) {
  test(`${backend}: a directory in use is waited for, a damaged one is found`, async (t) => {
    const root = temporary(t);
    const options = {name: 's', choice: {backend, options: {dir: 'db'}}, root};
    const first = await openSink(options);
    t.after(() => first.close());
    await first.ensure(table);
    await first.write(table, batch);
    // As a platform does that is started while a query still reads.
    const opening = openSink(options);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await first.close();
    const second = await opening;
    t.after(() => second.close());
    await second.ensure(table);
    await second.close();
    // The same directory, damaged: what holds the rows is filled with zeros.
    const suspects = files(join(root, 'db')).filter((path) =>
      backend === 'chdb'
        ? path.endsWith('data.bin') && statSync(path).size > 1_000
        : /\/base\/\d+\/\d+$/.test(path),
    );
    const holding = suspects.filter(
      (path) => backend === 'chdb' || readFileSync(path).includes(Buffer.from('c499')),
    );
    assert.ok(holding.length > 0);
    for (const path of holding) writeFileSync(path, Buffer.alloc(statSync(path).size, 0xff));
    await assert.rejects(async () => {
      const third = await openSink(options);
      t.after(() => third.close());
      await third.ensure(table);
      await third.query!('SELECT * FROM shop.damage');
    }, damaged);
  });
}
