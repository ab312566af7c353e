import assert from 'node:assert/strict';
import {appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {openFiles} from '../../src/sinks/file/open.ts';
import {readAll, readLatest} from '../../src/sinks/file/read.ts';
import {openStore} from '../../src/sinks/file/store.ts';
import {batchOf, tableId} from '../../src/sinks/tables.ts';
import {countryRow, queryTable, rawBatch, rawTable, type Subject, testSink} from '../conformance/sink.ts';

const subject = (format: string): Subject => ({
  choice: (dir) => ({backend: 'file', options: {dir: join(dir, 'files'), format}}),
  latest: async (_, dir, table) => (await readLatest(join(dir, 'files'), tableId(table)))?.rows ?? [],
  count: async (_, dir, table) =>
    (await readAll(join(dir, 'files'), table.namespace, table.name))?.batch.count ?? 0,
});

testSink('file, jsonl', subject('jsonl'));
testSink('file, parquet', subject('parquet'));

const temporary = () => mkdtempSync(join(tmpdir(), 'millrace-file-'));

test('a torn last line is cut off before anything is written behind it', async (t) => {
  const root = temporary();
  t.after(() => rmSync(root, {recursive: true}));
  const table = queryTable('torn', {country: 'string'});
  const write = async (version: number) => {
    const sink = await openFiles({dir: 'files'}, {root, name: 'files'});
    await sink.ensure(table);
    await sink.write(table, batchOf(table, [countryRow('DE', version, version)]));
    await sink.close();
  };
  await write(2);
  const path = join(root, 'files/shop/torn__r1.jsonl');
  appendFileSync(path, '{"window_start":"2026-');
  assert.equal((await readLatest(join(root, 'files'), 'shop.torn__r1'))?.rows.length, 1);
  await write(4);
  const versions = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).version);
  assert.deepEqual(versions, [2, 4]);
});

test('a torn raw batch is continued where it was torn', async (t) => {
  const root = temporary();
  t.after(() => rmSync(root, {recursive: true}));
  const table = rawTable('torn_raw');
  const first = await openFiles({dir: 'files'}, {root, name: 'files'});
  await first.ensure(table);
  await first.writeRaw!(table, rawBatch(table, 0, 0, 4));
  await first.close();
  appendFileSync(
    join(root, 'files/shop/torn_raw.jsonl'),
    '{"event_id":"0-4","timestamp":"2026-01-31T12:00:00.004Z","note":"x","amount_cents":1,"_partition":0,"_offset":4,"_appended_at":"2026-01-31T12:00:00.000Z"}\n{"event_id":"0-5","time',
  );
  const second = await openFiles({dir: 'files'}, {root, name: 'files'});
  assert.deepEqual(await second.rawOffsets!(table), new Map([[0, 5]]));
  await second.writeRaw!(table, rawBatch(table, 0, 4, 8));
  await second.close();
  const {batch} = (await readAll(join(root, 'files'), 'shop', 'torn_raw'))!;
  assert.deepEqual(batch.columns[5], [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('a journal becomes a Parquet file, whose rows and offsets are the same', async (t) => {
  const root = temporary();
  t.after(() => rmSync(root, {recursive: true}));
  const table = rawTable('rolled');
  const sink = await openFiles({dir: root, format: 'parquet'}, {root, name: 'files'});
  await sink.ensure(table);
  await sink.close();
  const store = await openStore(root, table, 'parquet', () => 0);
  await store.append(rawBatch(table, 0, 0, 25_000));
  await store.roll();
  await store.append(rawBatch(table, 0, 25_000, 25_010));
  await store.close();
  assert.deepEqual(readdirSync(join(root, 'shop/rolled')).sort(), ['000001.parquet', '000002.jsonl']);
  const {batch} = (await readAll(root, 'shop', 'rolled'))!;
  assert.equal(batch.count, 25_010);
  assert.deepEqual(batch.columns, rawBatch(table, 0, 0, 25_010).columns);
  const again = await openStore(root, table, 'parquet', () => 0);
  assert.deepEqual(again.offsets, new Map([[0, 25_010]]));
  await again.close();
});

test('a journal whose Parquet file is finished is removed at start, and its rows are there once', async (t) => {
  const root = temporary();
  t.after(() => rmSync(root, {recursive: true}));
  const table = rawTable('half_rolled');
  const sink = await openFiles({dir: root, format: 'parquet'}, {root, name: 'files'});
  await sink.ensure(table);
  await sink.close();
  const store = await openStore(root, table, 'parquet', () => 0);
  await store.append(rawBatch(table, 3, 0, 5));
  await store.roll();
  await store.close();
  // As after a crash between the rename of the Parquet file and the removal of the journal and the note of its offsets.
  const {encodeLines} = await import('../../src/sinks/file/lines.ts');
  rmSync(join(root, 'shop/half_rolled.offsets.json'));
  appendFileSync(join(root, 'shop/half_rolled/000001.jsonl'), encodeLines(table, rawBatch(table, 3, 0, 5)));
  assert.equal((await readAll(root, 'shop', 'half_rolled'))!.batch.count, 5);
  const again = await openStore(root, table, 'parquet', () => 0);
  assert.deepEqual(again.offsets, new Map([[3, 5]]));
  await again.close();
  assert.equal((await readAll(root, 'shop', 'half_rolled'))!.batch.count, 5);
  assert.deepEqual(readdirSync(join(root, 'shop/half_rolled')).sort(), ['000001.parquet', '000002.jsonl']);
});
