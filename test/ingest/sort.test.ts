import assert from 'node:assert/strict';
import {existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import fc from 'fast-check';
import {CsvScanner, readCsvHeader} from '../../src/ingest/csv.ts';
import {type RecordScanner, recordBytesMax, StreamRecords} from '../../src/ingest/records.ts';
import {sortedOrder} from '../../src/ingest/runs.ts';
import {sortRecords} from '../../src/ingest/sort.ts';
import {chunksOf, scanAll} from './scan.ts';

const dir = mkdtempSync(join(tmpdir(), 'millrace-sort-'));
process.on('exit', () => rmSync(dir, {recursive: true, force: true}));

function timeOf(scanner: RecordScanner): number {
  const text = Buffer.from(scanner.buffer.subarray(scanner.starts[0]!, scanner.ends[0]!)).toString();
  return text === '' ? Number.NaN : Number(text);
}

async function sorted(text: string, runBytes: number, chunk = 4096) {
  const source = new StreamRecords(chunksOf(Buffer.from(text), chunk), new CsvScanner([]));
  await readCsvHeader(source, 'test.csv');
  const result = await sortRecords(source, {timeOf, dir: join(dir, 'runs'), runBytes});
  const rows = await scanAll(result);
  await result.close();
  return rows;
}

test('the order of indexes is that of a stable sort, for any times', () => {
  const time = fc.oneof(
    fc.integer({min: -5, max: 5}),
    fc.integer({min: -(2 ** 31), max: 2 ** 31 - 1}).map((n) => n * 1000),
    fc.constantFrom(0, 253_402_300_799_999, -62_135_596_800_000),
  );
  fc.assert(
    fc.property(fc.array(time, {maxLength: 200}), (list) => {
      const naive = list.map((_, index) => index).sort((a, b) => list[a]! - list[b]! || a - b);
      assert.deepEqual([...sortedOrder(Float64Array.from(list), list.length)], naive);
    }),
  );
});

test('sorted in memory, in a few runs and in a run for every few rows: the order of a naive sort, ties by row', async () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const rows = Array.from({length: 3000}, (_, i) => [random(500) * 100, `${i}-${'x'.repeat(random(80))}"`]);
  const text = `t,v\n${rows.map(([t, v]) => `${t},"${String(v).replaceAll('"', '""')}"`).join('\r\n')}`;
  const naive = rows
    .map((row, i) => ({row: i + 1, values: row.map(String)}))
    .sort((a, b) => +a.values[0]! - +b.values[0]! || a.row - b.row);
  for (const runBytes of [1 << 26, 100_000, 10_000])
    assert.deepEqual(
      (await sorted(text, runBytes)).map(({row, values}) => ({row, values})),
      naive,
    );
  assert.ok(!existsSync(join(dir, 'runs')), 'the runs are removed');
});

test('bad records keep their place behind the row before them, with their bytes and reasons', async () => {
  const big = 'x'.repeat(2 * recordBytesMax);
  const text = `t,v\n,first\n30,a\nragged\n10,b\n,none\n20,"open\n10,c\n5,${big}\n7,d\n`;
  for (const runBytes of [1 << 26, 200]) {
    const rows = await sorted(text, runBytes);
    assert.deepEqual(
      rows.map(({row, code, raw}) => [row, code, raw.slice(0, 10)]),
      [
        [1, '', ',first'],
        [9, '', '7,d'],
        [4, '', '10,b'],
        [5, '', ',none'],
        [6, 'CSV_QUOTE', '20,"open'],
        [7, '', '10,c'],
        [8, 'RECORD_TOO_LARGE', '5,xxxxxxxx'],
        [2, '', '30,a'],
        [3, 'CSV_RAGGED', 'ragged'],
      ],
    );
    assert.equal(rows[6]!.raw.length, 64 * 1024);
  }
});

test('an aborted sort leaves nothing behind', async () => {
  const source = new StreamRecords(
    chunksOf(Buffer.from(`t\n${'1\n'.repeat(10_000)}`), 100),
    new CsvScanner([]),
  );
  await readCsvHeader(source, 'test.csv');
  const controller = new AbortController();
  let seen = 0;
  const onRecord = () => {
    if (++seen === 5000) controller.abort(new Error('stopped'));
  };
  await assert.rejects(
    sortRecords(source, {
      timeOf,
      dir: join(dir, 'aborted'),
      runBytes: 1000,
      signal: controller.signal,
      onRecord,
    }),
    {message: 'stopped'},
  );
  assert.ok(!existsSync(join(dir, 'aborted')));
});
