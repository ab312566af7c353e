/** Statements for several servers: no cluster can be had here, so ClickHouse reads them and says how it understood them. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {after, before, test} from 'node:test';
import {createTable, createView, type Placement} from '../../src/sinks/clickhouse/ddl.ts';
import {alterOn, on} from '../../src/sinks/clickhouse/names.ts';
import {settingsOf} from '../../src/sinks/clickhouse/settings.ts';
import {type HostedSink, openSink} from '../../src/sinks/host.ts';
import {queryTable, rawTable} from '../conformance/sink.ts';
import {clickHouseServer, type TestServer} from '../support/clickhouse.ts';

let server: TestServer;
let sink: HostedSink;
before(async () => {
  server = await clickHouseServer();
  sink = await openSink({name: 'analytics', choice: server.choice(), root: server.dir});
});
after(async () => {
  await sink.close();
  await server.kill();
});

/** The statement as ClickHouse prints it after parsing, on one line. */
async function understood(statement: string): Promise<string> {
  const text = statement.replace(/[\\']/g, (char) => `\\${char}`);
  const {rows} = await sink.query!(`SELECT formatQuerySingleLine('${text}')`);
  return String(rows[0]![0]).replaceAll('`', '');
}

const placed = (replicated: boolean): Placement => ({
  cluster: {name: 'main', replicated},
  tableSettings: () => [],
});
const table = queryTable('revenue', {country: 'string'});

test('tables of a cluster are made on all its servers, with Replicated engines that meet where the servers say', async () => {
  const made = await understood(createTable(placed(true), table));
  assert.match(
    made,
    /^CREATE TABLE IF NOT EXISTS shop\.revenue__r1 ON CLUSTER main \(window_start DateTime64/,
  );
  assert.match(
    made,
    /ENGINE = ReplicatedReplacingMergeTree\(version, deleted\) ORDER BY \(window_start, country\)/,
  );
  const raw = await understood(createTable(placed(true), rawTable('purchase')));
  assert.match(
    raw,
    /ON CLUSTER main .* ENGINE = ReplicatedReplacingMergeTree\(_rank\) ORDER BY \(event_id\)/,
  );
  const plain = await understood(createTable(placed(false), table));
  assert.match(plain, /ON CLUSTER main .* ENGINE = ReplacingMergeTree\(version, deleted\)/);
  const alone = await understood(createTable({tableSettings: () => []}, table));
  assert.match(alone, /^CREATE TABLE IF NOT EXISTS shop\.revenue__r1 \(.* ENGINE = ReplacingMergeTree\(/);
});

test('views are made and replaced on all servers; replicas of a table tell each other of an alteration', async () => {
  for (const verb of ['CREATE VIEW IF NOT EXISTS', 'CREATE OR REPLACE VIEW'])
    assert.match(
      await understood(createView(placed(true), table, verb)),
      new RegExp(
        `^${verb} shop\\.revenue ON CLUSTER main AS SELECT window_start, .* FROM shop\\.revenue__r1 FINAL$`,
      ),
    );
  assert.equal(on(placed(true)), ' ON CLUSTER `main`');
  assert.equal(alterOn(placed(true)), '');
  assert.equal(alterOn(placed(false)), ' ON CLUSTER `main`');
  assert.equal(on({}), '');
});

test('the rights that the guide asks for are rights of ClickHouse', async () => {
  const guide = readFileSync(new URL('../../docs/clickhouse.md', import.meta.url), 'utf8');
  const statements = [...guide.matchAll(/^```sql\n([\s\S]*?)^```/gm)]
    .flatMap(([, block]) => block!.split(';\n'))
    .filter((statement) => statement.trim() !== '');
  assert.equal(statements.length, 6);
  for (const statement of statements) assert.match(await understood(statement), /^(CREATE USER|GRANT) /);
});

test('an insert into replicated tables waits for most replicas, unless the settings say otherwise', () => {
  const values = (options: Record<string, unknown>) => settingsOf({url: 'http://ch:8123', ...options}).values;
  assert.deepEqual(values({}), {});
  assert.deepEqual(values({cluster: {name: 'main'}}), {insert_quorum: 'auto'});
  assert.deepEqual(values({cluster: {name: 'main', replicated: false}}), {});
  const settings = {insert_quorum: 0, insert_quorum_timeout: 5_000};
  assert.deepEqual(values({cluster: {name: 'main'}, settings}), {
    insert_quorum: 0,
    insert_quorum_timeout: 5_000,
  });
  const limits = settingsOf({url: 'http://ch:8123', settings: {max_execution_time: 1_500, max_threads: 2}});
  assert.deepEqual(limits.values, {max_threads: 2});
  assert.deepEqual(limits.queryValues, {max_execution_time: 2});
});

test('requests are compressed, but not to this machine', () => {
  const codec = (url: string, compression?: string) =>
    settingsOf({url, ...(compression ? {compression} : {})}).codec;
  assert.equal(codec('https://clickhouse.example.com:8443'), 'zstd');
  for (const url of ['http://localhost:8123', 'http://127.0.0.1:8123', 'http://[::1]:8123'])
    assert.equal(codec(url), undefined);
  assert.equal(codec('http://localhost:8123', 'gzip'), 'gzip');
  assert.equal(codec('http://clickhouse.example.com:8123', 'none'), undefined);
});
