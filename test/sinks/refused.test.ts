import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {systemClock, testClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {openSink} from '../../src/sinks/host.ts';
import type {RefusedRow} from '../../src/sinks/refused.ts';
import {batchOf, columnIndex, tableId} from '../../src/sinks/tables.ts';
import type {RowBatch, Sink} from '../../src/sinks/types.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';

const table = queryTable('refused', {country: 'string'});

/** A sink that takes no row whose key it is told to refuse, and what was set aside. */
function setup(
  isBad: (country: string) => boolean,
  keep: (rows: RefusedRow[]) => Promise<void> = async () => {},
) {
  const written: string[] = [];
  const refused: RefusedRow[] = [];
  let writes = 0;
  const sink: Sink = {
    async ensure() {},
    async write(_, batch: RowBatch) {
      writes++;
      const countries = batch.columns[columnIndex(table, 'country')] as string[];
      const bad = countries.find(isBad);
      if (bad !== undefined) throw new PlatformError('SINK_ROW', `no room for ${bad}`);
      written.push(...countries);
    },
    async mark() {},
    async marked() {
      return undefined;
    },
    async close() {},
  };
  const delivery = createDelivery({
    sink,
    sinkName: 'picky',
    table,
    clock: testClock(),
    random: () => 0.5,
    telemetry: noTelemetry,
    callbacks: {
      async onRefused(rows) {
        await keep(rows);
        refused.push(...rows);
      },
    },
  });
  return {delivery, written, refused, writes: () => writes};
}

const rows = (count: number): RowBatch =>
  batchOf(
    table,
    Array.from({length: count}, (_, index) => countryRow(`c${index}`, 2, index)),
  );

test('the rows that a sink refuses are found, set aside with its words, and all others are written', async () => {
  const {delivery, written, refused, writes} = setup((country) => country === 'c17' || country === 'c801');
  await delivery.push(rows(1_000));
  assert.deepEqual(
    refused.map(({row, code, message}) => [row[columnIndex(table, 'country')], code, message]),
    [
      ['c17', 'SINK_ROW', 'no room for c17'],
      ['c801', 'SINK_ROW', 'no room for c801'],
    ],
  );
  assert.equal(new Set(written).size, 998);
  assert.equal(written.length, 998);
  // Two paths of ten levels, two writes each, and the first.
  assert.ok(writes() <= 2 * 10 * 2 + 1, `${writes()} writes`);
  assert.deepEqual(delivery.counts(), {emitted: 1_000, written: 998, pending: 0, dead: 2});
  assert.equal(delivery.state(), 'running');
});

test('rows count as written only when the refused ones are kept elsewhere', async () => {
  const failure = new PlatformError('LOG_IO', 'the disk failed');
  const {delivery} = setup(
    (country) => country === 'c3',
    async () => {
      throw failure;
    },
  );
  await assert.rejects(delivery.push(rows(10)), failure);
  assert.equal(delivery.counts().written, 0);
});

test('a sink that takes no row at all is stopped, not set aside row by row', async () => {
  const {delivery, refused} = setup(() => true);
  await assert.rejects(delivery.push(rows(500)), {code: 'SINK_REFUSED', message: /none of 64 rows/});
  assert.equal(delivery.state(), 'stopped');
  assert.equal(refused.length, 0);
});

test('a row that was refused is sent again and counted', async () => {
  let isBad = true;
  const {delivery, written} = setup(() => isBad);
  await delivery.push(rows(1));
  await assert.rejects(delivery.resend(rows(1)), {code: 'SINK_ROW'});
  isBad = false;
  await delivery.resend(rows(1));
  assert.deepEqual(written, ['c0']);
  assert.deepEqual(delivery.counts(), {emitted: 2, written: 1, pending: 0, dead: 1});
});

test('PostgreSQL refuses a key that no index page holds: that row alone is set aside', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-refused-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const sink = await openSink({
    name: 'records',
    choice: {backend: 'pglite', options: {dir}},
    root: dir,
    plugins: [],
  });
  t.after(() => sink.close());
  await sink.ensure(table);
  const refused: RefusedRow[] = [];
  const delivery = createDelivery({
    sink,
    sinkName: 'records',
    table,
    clock: systemClock,
    random: Math.random,
    telemetry: noTelemetry,
    callbacks: {onRefused: async (found) => void refused.push(...found)},
  });
  // Random, since PostgreSQL compresses what it can before it refuses.
  const large = randomBytes(6_000).toString('base64');
  const keys = ['DE', 'FR', large, 'US', ''];
  await delivery.push(
    batchOf(
      table,
      keys.map((key, index) => countryRow(key, 2, index)),
    ),
  );
  assert.equal(refused.length, 1);
  assert.equal(refused[0]!.row[columnIndex(table, 'country')], large);
  assert.match(refused[0]!.message, /index row.*54000/);
  const {rows: found} = await sink.query!(`SELECT country FROM ${tableId(table)} ORDER BY 1`);
  assert.deepEqual(found.flat(), ['', 'DE', 'FR', 'US']);
});
