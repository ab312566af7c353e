import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {testClock} from '../../src/clock.ts';
import {closeMsMax} from '../../src/sinks/closing.ts';
import {openSink} from '../../src/sinks/host.ts';
import {findSinks, sinks} from '../../src/sinks/registry.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import type {Telemetry} from '../../src/telemetry.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';

const example = fileURLToPath(new URL('../../examples/plugins/csv-sink.ts', import.meta.url));

function temporary(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-plugin-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  return root;
}

test('a user’s module brings a sink that is opened like any other', async (t) => {
  const root = temporary(t);
  const options = {
    name: 'changes',
    choice: {backend: 'csv', options: {dir: 'out'}},
    root,
    plugins: [example],
  };
  const table = queryTable('sold', {country: 'string'});
  const sink = await openSink(options);
  await sink.ensure(table);
  await sink.write(table, batchOf(table, [countryRow('DE, "west"', 12, 2), countryRow(null, 1, 2)]));
  await sink.mark([{table: 'shop.sold__r1', epoch: 3}]);
  await sink.close();
  assert.equal(
    readFileSync(join(root, 'out/shop.sold__r1.csv'), 'utf8'),
    'window_start,window_end,country,total,events,closed,deleted,version\n' +
      '1769860800000,1769860860000,"DE, ""west""",12,1,false,false,2\n' +
      '1769860800000,1769860860000,,1,1,false,false,2\n',
  );
  const again = await openSink(options);
  await again.ensure(table);
  assert.equal(await again.marked('shop.sold__r1'), 3);
  await again.close();
});

for (const isolation of ['worker', 'process'])
  test(`a plugin’s sink without any import runs in a ${isolation}, and its errors arrive`, async (t) => {
    const root = temporary(t);
    writeFileSync(
      join(root, 'mine.js'),
      `class Mine {
        rows = 0;
        async ensure() {}
        async write(table, batch) { if (batch.count > 1) throw new Error('one at a time'); this.rows += batch.count; }
        async mark() {}
        async marked() { return this.rows; }
        async close() {}
      }
      export const sinks = [{name: 'mine', summary: 's', fields: {}, capabilities: {isolation: '${isolation}'}, open: async () => new Mine()}];`,
    );
    const sink = await openSink({
      name: 'm',
      choice: {backend: 'mine', options: {}},
      root,
      plugins: [join(root, 'mine.js')],
    });
    t.after(() => sink.close());
    const table = queryTable('mine', {country: 'string'});
    await sink.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    assert.equal(await sink.marked('x'), 1);
    const two = batchOf(table, [countryRow('DE', 1, 2), countryRow('FR', 1, 2)]);
    await assert.rejects(sink.write(table, two), /one at a time/);
    assert.equal(sink.query, undefined);
    assert.equal(sink.raw, undefined);
  });

test('a sink whose close hangs is left after a time, and that is told', async (t) => {
  const root = temporary(t);
  const hanging = ['inline', 'worker', 'process'].map(
    (isolation) =>
      `{name: '${isolation}', summary: 's', fields: {}, capabilities: {isolation: '${isolation}'}, open: async () => new Mine()}`,
  );
  writeFileSync(
    join(root, 'hangs.js'),
    `class Mine {
      async ensure() {}
      async write() {}
      async mark() {}
      async marked() {}
      close() { return new Promise(() => setInterval(() => {}, 1_000).unref()); }
    }
    export const sinks = [${hanging}];`,
  );
  const clock = testClock();
  const told: string[] = [];
  const telemetry: Telemetry = {
    emit: (name, event) => void (name === 'Log' && told.push((event as {message: string}).message)),
  };
  const open = (backend: string) =>
    openSink({
      name: backend,
      choice: {backend, options: {}},
      root,
      plugins: [join(root, 'hangs.js')],
      clock,
      telemetry,
    });
  const sinks = await Promise.all(['inline', 'worker', 'process'].map(open));
  const pid = sinks[2]!.pid()!;
  const closed = Promise.all(sinks.map((sink) => sink.close()));
  await clock.advance(closeMsMax - 1);
  assert.deepEqual(told, []);
  await clock.advance(1);
  await closed;
  assert.deepEqual(told.map((message) => /^sink (\w+) did not close within 20 s/.exec(message)?.[1]).sort(), [
    'inline',
    'process',
    'worker',
  ]);
  assert.throws(() => process.kill(pid, 0), {code: 'ESRCH'});
});

test('a plugin that cannot be used is refused with what is wrong', async (t) => {
  const root = temporary(t);
  const path = join(root, 'bad.mjs');
  const refused = async (text: string, message: RegExp) => {
    const file = `${path.slice(0, -4)}-${Math.abs(text.length)}.mjs`;
    writeFileSync(file, text);
    await assert.rejects(findSinks([file]), (error: Error & {code: string; hint: string}) => {
      assert.equal(error.code, 'PLUGIN_INVALID');
      assert.match(error.message, message);
      assert.ok(error.hint);
      return true;
    });
  };
  await refused('export const sinks = {};', /not a list/);
  await refused('export const sinks = [null];', /no name/);
  await refused('export const sinks = [{name: "a b"}];', /no name of letters/);
  await refused('export const sinks = [{name: "ab"}];', /open/);
  await refused('export const sinks = [{name: "abc", open() {}}];', /isolation/);
  await refused(
    'export const sinks = [{name: "file", open() {}, capabilities: {isolation: "inline"}}];',
    /exists/,
  );
  await refused('throw new Error("boom at load");', /boom at load/);
  await assert.rejects(findSinks([join(root, 'nowhere.ts')]), {code: 'PLUGIN_INVALID'});
  const unknown = {name: 'x', choice: {backend: 'kafak', options: {}}, root};
  await assert.rejects(openSink(unknown), {code: 'SINK_UNKNOWN'});
});

test('every sink of the registry is described', () => {
  for (const [name, spec] of Object.entries(sinks)) {
    assert.equal(spec.name, name);
    assert.match(spec.summary, /\.$/);
    for (const field of Object.values(spec.fields)) assert.match(field.doc, /\.$/);
  }
});
