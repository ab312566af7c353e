import assert from 'node:assert/strict';
import {Writable} from 'node:stream';
import {after, test} from 'node:test';
import type {Table} from '../../src/model/types.ts';
import {decodeLine} from '../../src/sinks/file/lines.ts';
import {reduceToHighest} from '../../src/sinks/reduce.ts';
import {openStdout} from '../../src/sinks/stdout/open.ts';
import {batchOf, tableId} from '../../src/sinks/tables.ts';
import {countryRow, queryTable, rawBatch, rawTable, testSink} from '../conformance/sink.ts';

/** What was printed for sinks, taken out of the output of this process: the test runner has the rest. */
const printed: string[] = [];
const write = process.stdout.write;
process.stdout.write = ((...args: Parameters<typeof write>) => {
  const [chunk] = args;
  if (typeof chunk !== 'string' || !chunk.startsWith('{"table":')) return write.apply(process.stdout, args);
  for (const line of chunk.trimEnd().split('\n')) printed.push(line);
  return true;
}) as typeof write;
after(() => {
  process.stdout.write = write;
});

/** All rows of a table, as whoever reads the output has them. */
function rowsOf(table: Table) {
  const prefix = `{"table":${JSON.stringify(tableId(table))},"row":`;
  const lines = printed.filter((line) => line.startsWith(prefix));
  return batchOf(
    table,
    lines.map((line) => decodeLine(table, line.slice(prefix.length, -1))),
  );
}

testSink('stdout', {
  choice: () => ({backend: 'stdout', options: {}}),
  async latest(_, __, table) {
    const {count, columns} = reduceToHighest(table, rowsOf(table));
    const row = (at: number) => table.columns.map(({name}, index) => [name, columns[index]![at]!]);
    return Array.from({length: count}, (_, at) => Object.fromEntries(row(at))).filter(
      ({deleted}) => deleted !== true,
    );
  },
  count: async (_, __, table) => rowsOf(table).count,
});

function collector() {
  let text = '';
  const stream = new Writable({
    highWaterMark: 16,
    write(chunk, _, done) {
      text += chunk;
      setImmediate(done);
    },
  });
  return {
    stream,
    lines: () =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
  };
}

test('every row is a line of JSON with its table, int64 exact', async () => {
  const {stream, lines} = collector();
  const sink = openStdout(stream);
  const table = queryTable('printed', {country: 'string'});
  await sink.ensure(table);
  await sink.write(
    table,
    batchOf(table, [countryRow('DE', 9_007_199_254_740_993n, 2), countryRow(null, 1, 2)]),
  );
  assert.deepEqual(lines(), [
    {
      table: 'shop.printed__r1',
      row: {
        window_start: '2026-01-31T12:00:00.000Z',
        window_end: '2026-01-31T12:01:00.000Z',
        country: 'DE',
        total: '9007199254740993',
        events: 1,
        closed: false,
        deleted: false,
        version: 2,
      },
    },
    {
      table: 'shop.printed__r1',
      row: {
        window_start: '2026-01-31T12:00:00.000Z',
        window_end: '2026-01-31T12:01:00.000Z',
        country: null,
        total: 1,
        events: 1,
        closed: false,
        deleted: false,
        version: 2,
      },
    },
  ]);
});

test('raw events are printed once while the process lives', async () => {
  const {stream, lines} = collector();
  const sink = openStdout(stream);
  const table = rawTable('printed_raw');
  await sink.writeRaw!(table, rawBatch(table, 0, 0, 4));
  await sink.writeRaw!(table, rawBatch(table, 0, 2, 6));
  assert.deepEqual(
    lines().map((line) => line.row._offset),
    [0, 1, 2, 3, 4, 5],
  );
  assert.deepEqual(await sink.rawOffsets!(table), new Map([[0, 6]]));
});
