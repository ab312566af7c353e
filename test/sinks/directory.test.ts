/** Who gets the directory of an embedded database, and what one that only reads leaves behind in it. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {testClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import {ownDirectory} from '../../src/sinks/directory.ts';
import {openSink} from '../../src/sinks/host.ts';

function temporary(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-directory-'));
  t.after(() => rmSync(root, {recursive: true}));
  return root;
}

test('a directory that somebody holds is waited for, for some seconds', async (t) => {
  const context = {root: temporary(t), name: 's', command: 'millrace query'};
  const clock = testClock();
  const first = await ownDirectory('db', context, clock);
  const refused = assert.rejects(ownDirectory('db', context, clock), (error) => {
    assert.ok(error instanceof PlatformError && error.code === 'LOCKED');
    assert.match(error.message, /process \d+ \(millrace query\)/);
    assert.match(error.hint!, /stop process/);
    return true;
  });
  await clock.advance(5_100);
  await refused;
  const second = ownDirectory('db', context, clock);
  await clock.advance(1_000);
  first.lock.release();
  await clock.advance(200);
  (await second).lock.release();
});

for (const [backend, schemas, statement] of [
  ['chdb', 'SELECT name FROM system.databases', 'CREATE DATABASE made'],
  ['pglite', 'SELECT schema_name FROM information_schema.schemata', 'CREATE SCHEMA made'],
] as const)
  test(`${backend}: who only reads makes nothing, also no books of Millrace's own`, async (t) => {
    const options = {name: 's', choice: {backend, options: {dir: 'db'}}, root: temporary(t)};
    const names = async (readOnly: boolean) => {
      const sink = await openSink({...options, readOnly});
      try {
        await assert.rejects(sink.query!(statement), {code: 'SINK_QUERY'});
        if (readOnly) await assert.rejects(sink.mark([{table: 'shop.sales__r1', epoch: 1}]));
        return (await sink.query!(schemas)).rows.flat();
      } finally {
        await sink.close();
      }
    };
    assert.ok(!(await names(true)).includes('millrace'));
    assert.ok((await names(false)).includes('millrace'));
    const after = await names(true);
    assert.ok(after.includes('millrace') && !after.includes('made'));
  });
