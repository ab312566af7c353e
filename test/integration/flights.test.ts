/** The example platform on all 336,776 flights, against the same questions asked of the CSV file by ClickHouse itself. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {cpSync, createWriteStream, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {after, before, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {query} from 'chdb';
import {openFile} from '../../src/ingest/open.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const root = mkdtempSync(join(tmpdir(), 'millrace-flights-'));
const millrace = (...args: string[]) =>
  spawnSync(process.execPath, [join(repository, 'bin', 'millrace.js'), ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });

type Row = Record<string, number | string | null>;
const rowsOf = (sql: string, ...options: string[]): Row[] => {
  const {stdout, stderr, status} = millrace('query', sql, '--json', ...options);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Row[];
};

/** ClickHouse's answer, without anything of ours: a query of the platform may not read files. */
const answerOf = (sql: string): Row[] =>
  query(`${sql} SETTINGS output_format_json_quote_64bit_integers = 0`, 'JSONEachRow')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);

/** The file as a table: `NA` is NULL, times are UTC. */
const flights = `(SELECT
  parseDateTime64BestEffort(time_hour, 3, 'UTC') AS at, carrier, origin, nullIf(tailnum, 'NA') AS tail,
  toInt32OrNull(dep_time) AS dep_time, toInt32OrNull(dep_delay) AS delay
  FROM file('${join(root, 'flights.csv')}', 'CSVWithNames',
  'year String, month String, day String, dep_time String, sched_dep_time String, dep_delay String, arr_time String, sched_arr_time String, arr_delay String, carrier String, flight String, tailnum String, origin String, dest String, air_time String, distance String, hour String, minute String, time_hour String'))`;

let first: ReturnType<typeof millrace>;
before(async () => {
  cpSync(join(repository, 'config'), join(root, 'config'), {recursive: true});
  // The flights alone: the example's other domain is made of synthetic events.
  rmSync(join(root, 'config', 'domains', 'ecommerce.yaml'));
  cpSync(join(repository, 'data'), join(root, 'data'), {recursive: true});
  const {chunks} = await openFile(join(repository, 'data', 'flights.csv.zip'));
  await pipeline(chunks, createWriteStream(join(root, 'flights.csv')));
  first = millrace('run', '--fast', '--until-idle', '--port', '0');
});
after(() => rmSync(root, {recursive: true, force: true}));

test('the run ends by itself with exit code 0', () => {
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stderr, /336,776 events in the log/);
});

test('known figures of the data: flights, cancellations, flights of United', () => {
  const [totals] = rowsOf(
    'SELECT sum(departures) AS flights, sum(cancellations) AS cancelled FROM flights.departures_per_day',
  );
  assert.deepEqual(totals, {flights: 336_776, cancelled: 8_255});
  const [united] = rowsOf(
    "SELECT sum(departures) AS flights FROM flights.departures_per_day WHERE carrier = 'UA'",
  );
  assert.deepEqual(united, {flights: 58_665});
});

for (const [view, zone] of [
  ['departures_per_day', 'America/New_York'],
  ['departures_per_utc_day', 'UTC'],
] as const)
  test(`days of ${zone} by carrier: departures, cancellations, delays`, () => {
    const ours = rowsOf(
      `SELECT toString(toDate(toTimeZone(window_start, '${zone}'))) AS day, carrier, departures, cancellations, delayed, average_delay, worst_delay FROM flights.${view} ORDER BY day, carrier`,
    );
    const theirs = answerOf(
      `SELECT toString(toDate(toTimeZone(at, '${zone}'))) AS day, carrier, count() AS departures, countIf(dep_time IS NULL) AS cancellations, countIf(dep_time IS NOT NULL AND delay > 15) AS delayed, avg(delay) AS average_delay, max(delay) AS worst_delay FROM ${flights} GROUP BY day, carrier ORDER BY day, carrier`,
    );
    assert.equal(ours.length, theirs.length);
    for (const [index, row] of ours.entries()) {
      const {average_delay: a, ...rest} = row;
      const {average_delay: b, ...expected} = theirs[index]!;
      assert.deepEqual(rest, expected);
      assert.ok(
        a === b || Math.abs(Number(a) - Number(b)) <= 1e-12 * Math.max(1, Math.abs(Number(b))),
        `${a} against ${b} on ${row.day}`,
      );
    }
  });

test('sliding hours every ten minutes by origin', () => {
  const ours = rowsOf(
    'SELECT toInt64(toUnixTimestamp(window_start)) AS start, origin, departures FROM flights.traffic ORDER BY start, origin',
  );
  const theirs = answerOf(
    `SELECT toInt64(start) AS start, origin, count() AS departures FROM (SELECT arrayJoin(arrayMap(i -> intDiv(toUnixTimestamp(at), 600) * 600 - i * 600, range(6))) AS start, origin FROM ${flights}) GROUP BY start, origin ORDER BY start, origin`,
  );
  assert.deepEqual(ours, theirs);
});

test('distinct aircraft by carrier and month lie within four standard errors', () => {
  const ours = rowsOf(
    "SELECT toString(toStartOfMonth(toTimeZone(window_start, 'America/New_York'))) AS month, carrier, aircraft, departures FROM flights.aircraft_per_month ORDER BY month, carrier",
  );
  const theirs = answerOf(
    `SELECT toString(toStartOfMonth(toTimeZone(at, 'America/New_York'))) AS month, carrier, uniqExact(tail) AS aircraft, count() AS departures FROM ${flights} GROUP BY month, carrier ORDER BY month, carrier`,
  );
  assert.equal(ours.length, theirs.length);
  let squares = 0;
  for (const [index, {aircraft, ...rest}] of ours.entries()) {
    const {aircraft: exact, ...expected} = theirs[index]!;
    assert.deepEqual(rest, expected);
    const error = (Number(aircraft) - Number(exact)) / Number(exact);
    assert.ok(Math.abs(error) <= 4 * 0.016_25, `${aircraft} against ${exact}`);
    squares += error * error;
  }
  assert.ok(Math.sqrt(squares / ours.length) <= 1.3 * 0.016_25);
});

test('a measure of other measures is that of its own row', () => {
  const [row] = rowsOf(
    'SELECT countIf(abs(on_time_share - on_time / departures) > 1e-12) AS wrong, count() AS checked FROM flights.airlines_per_hour',
  );
  assert.equal(row!.wrong, 0);
  assert.ok(Number(row!.checked) > 100_000);
});

test('raw events are in PostgreSQL, each once', () => {
  const [row] = rowsOf(
    'SELECT count(*)::int AS events, count(DISTINCT event_id)::int AS ids, count(dep_time)::int AS flown FROM flights.departure',
    '--sink',
    'records',
  );
  assert.deepEqual(row, {events: 336_776, ids: 336_776, flown: 328_521});
});

test('the ledger balances', () => {
  const {stdout, status} = millrace('ledger', '--json');
  assert.equal(status, 0);
  const ledger = JSON.parse(stdout) as {ingest: {appended: number}[]; query: {query: string; read: number}[]};
  assert.equal(
    ledger.ingest.reduce((sum, {appended}) => sum + appended, 0),
    336_776,
  );
  const read = new Map<string, number>();
  for (const {query, read: count} of ledger.query) read.set(query, (read.get(query) ?? 0) + count);
  assert.deepEqual([...new Set(read.values())], [336_776]);
});

test('started again it does nothing twice', () => {
  const again = millrace('run', '--fast', '--until-idle', '--port', '0');
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stderr, /336,776 events in the log, 0 rows written in this run/);
});
