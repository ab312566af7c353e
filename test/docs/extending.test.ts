/** The examples of docs/extending.md do what the page says, and the page shows them as they are. */
import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type TestContext, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {loadPlatform} from '../../src/model/load.ts';
import {openSink} from '../../src/sinks/host.ts';
import {sinks} from '../../src/sinks/registry.ts';
import {batchOf, tombstoneVersion} from '../../src/sinks/tables.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';

const example = (name: string) => fileURLToPath(new URL(`../../examples/plugins/${name}`, import.meta.url));

function temporary(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-extending-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  return root;
}

/** The platform of a directory with this platform.yaml. */
async function loadWith(t: TestContext, platformYaml: string) {
  const root = temporary(t);
  mkdirSync(join(root, 'config', 'domains'), {recursive: true});
  writeFileSync(join(root, 'config', 'platform.yaml'), platformYaml);
  writeFileSync(
    join(root, 'config', 'domains', 'shop.yaml'),
    'event_types: [{name: sale, attributes: [user_id]}]\n',
  );
  const sinkSpecs: Record<string, SinkSpec> = {...sinks};
  return {root, loaded: await loadPlatform({from: root, sinkSpecs, variables: {PATH: process.env.PATH}})};
}

test('the page shows the examples as they are', () => {
  const text = readFileSync(new URL('../../docs/extending.md', import.meta.url), 'utf8');
  for (const name of ['sqlite-sink.ts', 'command-secrets.ts']) {
    const source = readFileSync(example(name), 'utf8');
    // The head of a file says how to name it in platform.yaml, which the page says in its own words.
    const body = source.slice(source.indexOf('import '));
    assert.ok(text.includes(`\`\`\`ts\n${body}\`\`\``), `docs/extending.md does not show ${name} as it is`);
  }
});

test('the SQLite sink of the examples keeps the highest version of each key, NULL apart from empty text', async (t) => {
  const root = temporary(t);
  const options = {
    name: 'reports',
    choice: {backend: 'sqlite', options: {file: join(root, 'reports.db')}},
    root,
    plugins: [example('sqlite-sink.ts')],
  };
  const table = queryTable('sold', {country: 'string'});
  const sink = await openSink(options);
  await sink.ensure(table);
  const first = batchOf(table, [countryRow('DE', 10, 2), countryRow(null, 1, 2), countryRow('', 5, 2)]);
  const second = batchOf(table, [countryRow('DE', 9_223_372_036_854_775_807n, 4), countryRow('FR', 7, 2)]);
  const gone = batchOf(table, [countryRow('FR', null, tombstoneVersion, true)]);
  for (const batch of [second, first, gone, second, first, first]) await sink.write(table, batch);
  await sink.mark([{table: 'shop.sold__r1', epoch: 3}]);
  await sink.mark([{table: 'shop.sold__r1', epoch: 2}]);
  await sink.close();

  const again = await openSink(options);
  await again.ensure(table);
  assert.equal(await again.marked('shop.sold__r1'), 3);
  assert.equal(await again.marked('shop.other__r1'), undefined);
  await again.close();
  const database = new DatabaseSync(join(root, 'reports.db'), {readOnly: true});
  const select = database.prepare(
    'SELECT country, total, deleted FROM "shop.sold__r1" ORDER BY country IS NULL, country',
  );
  select.setReadBigInts(true);
  assert.deepEqual(
    select.all().map((row) => Object.values(row)),
    [
      ['', 5n, 0n],
      ['DE', 9_223_372_036_854_775_807n, 0n],
      ['FR', null, 1n],
      [null, 1n, 0n],
    ],
  );
  database.close();
});

test('the SQLite sink rolls back a batch that fails, and says so', async (t) => {
  const root = temporary(t);
  const sink = await openSink({
    name: 'reports',
    choice: {backend: 'sqlite', options: {file: join(root, 'reports.db')}},
    root,
    plugins: [example('sqlite-sink.ts')],
  });
  const table = queryTable('sold', {country: 'string'});
  await sink.ensure(table);
  const bad = batchOf(table, [countryRow('DE', 1, 2), countryRow('FR', 'no number', 2)]);
  await assert.rejects(sink.write(table, bad), /cannot store TEXT value in INTEGER column/);
  await sink.write(table, batchOf(table, [countryRow('US', 1, 2)]));
  await sink.close();
  const database = new DatabaseSync(join(root, 'reports.db'), {readOnly: true});
  assert.deepEqual(
    database
      .prepare('SELECT country FROM "shop.sold__r1"')
      .all()
      .map(({country}) => country),
    ['US'],
  );
  database.close();
});

test('sinks and secret backends of plugins are named in the configuration like those of Millrace', async (t) => {
  const {loaded, root} = await loadWith(
    t,
    `plugins: [${JSON.stringify(example('sqlite-sink.ts'))}, ${JSON.stringify(example('command-secrets.ts'))}]
secrets: {backend: command, command: {run: [printf, word-for-%s]}}
sinks: {reports: {backend: sqlite, sqlite: {file: reports.db}}}
defaults: {aggregates: reports, raw: none}
server: {token: "\${secret:token}"}
`,
  );
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(loaded.platform.sinks.reports, {
    backend: 'sqlite',
    options: {file: join(root, 'reports.db')},
  });
  assert.equal(loaded.platform.server.token?.reveal(), 'word-for-token');
});

test('an option that a plugin’s sink requires is missed with its place', async (t) => {
  const {loaded} = await loadWith(
    t,
    `plugins: [${JSON.stringify(example('sqlite-sink.ts'))}]\nsinks: {reports: {backend: sqlite}}\n`,
  );
  assert.ok(!loaded.ok);
  const missing = loaded.diagnostics.filter(({code}) => code === 'KEY_MISSING');
  assert.equal(missing.length, 1, JSON.stringify(loaded.diagnostics));
  assert.match(missing[0]!.message, /file/);
});
