import assert from 'node:assert/strict';
import {Writable} from 'node:stream';
import {test} from 'node:test';
import {openStdout} from '../../src/sinks/stdout/open.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import {countryRow, queryTable, rawBatch, rawTable} from '../conformance/sink.ts';

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
