/**
 * Raw events and rows of queries into a PostgreSQL server: `node bench/postgres.bench.ts [events a round] [rounds]`.
 *   ours   the durable log -> decode -> COPY with the offsets in the same transaction, in the thread of the sink, from the start of
 *          the delivery until every event is committed; raw events by day
 *   peer   plain COPY of the same rows, prepared as bytes, into a table of the same definition, partitions and indexes; one
 *          statement a round, its time alone
 * Both take turns, on one server, on tables that grow alike; afterwards both hold the same rows: counts, sums and a hash of every
 * row. Rows of queries: batches of the sizes below, a half of them known keys with a higher version; against one INSERT ... ON
 * CONFLICT from a prepared table of the same rows.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import pg from 'pg';
import {openSink} from '../src/sinks/host.ts';
import {CopyFrom} from '../src/sinks/postgres/copy.ts';
import {batchOf} from '../src/sinks/tables.ts';
import {countryRow, queryTable} from '../test/conformance/sink.ts';
import {password, postgresServer} from '../test/support/postgres.ts';
import {digest, openRawWorld, purchaseColumns, rawMeter, speed} from './raw-world.ts';
import {machine, median, range} from './world.ts';

const eventCount = Number(process.argv[2] ?? 100_000);
const rounds = Number(process.argv[3] ?? 9);
const rowCounts = [100, 400, 1_000, 2_000, 5_000, 20_000];
const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const server = await postgresServer({settings: {max_wal_size: '4GB', shared_buffers: '256MB'}});
const {host, port, user, database} = server;
const world = await openRawWorld(root);
const meter = rawMeter();
const sink = await openSink({
  name: 'records',
  choice: server.choice(),
  root,
  telemetry: meter.telemetry,
});
const peer = new pg.Client({host, port, user, database, password});
await peer.connect();

async function raw(): Promise<void> {
  await sink.ensure(world.table);
  const today = new Date().toISOString().slice(0, 10);
  const next = new Date(Date.parse(today) + 2 * 86_400_000).toISOString().slice(0, 10);
  await peer.query(`SET timezone = 'UTC'; CREATE TABLE purchase (${purchaseColumns}) PARTITION BY RANGE (_appended_at);
    CREATE TABLE purchase_today PARTITION OF purchase (UNIQUE NULLS NOT DISTINCT (event_id)) FOR VALUES FROM ('${today}') TO ('${next}')`);
  const ours: number[] = [];
  const theirs: number[] = [];
  const deliver = async () => {
    ours.push(await meter.deliver(sink, world.job, eventCount));
  };
  const copy = async (bytes: Uint8Array) => {
    const begin = performance.now();
    const {done} = peer.query(new CopyFrom('COPY purchase FROM STDIN', [bytes]));
    await done;
    theirs.push(performance.now() - begin);
  };
  // The first round warms both up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    await world.append(eventCount);
    const bytes = await world.prepare();
    for (const turn of round % 2 === 0 ? [deliver, copy] : [copy, deliver]) await turn(bytes);
    if (round === 0) ours.length = theirs.length = 0;
  }
  const {rows} = await sink.query!(digest('ecommerce.purchase'));
  const expected = (await peer.query({text: digest('purchase'), rowMode: 'array'})).rows[0] as unknown[];
  assert.deepEqual(rows[0]!.map(String), expected.map(String), 'both hold the same rows');
  assert.equal(Number(rows[0]![0]), (rounds + 1) * eventCount, 'every event once');
  const ratios = ours.map((ms, index) => theirs[index]! / ms);
  console.log(
    `raw events into PostgreSQL, ${eventCount} a round, ${rounds} rounds, rows equal: ${speed(ours, eventCount)}; ` +
      `plain COPY ${speed(theirs, eventCount)}; ${median(ratios).toFixed(2)}x its speed (${range(ratios, 2)})`,
  );
}

async function rowsOf(count: number): Promise<void> {
  const table = queryTable(`rows_${count}`, {country: 'string'});
  await sink.ensure(table);
  const columns = table.columns.map(({name}) => name).join(', ');
  await peer.query(`CREATE TABLE peer_${count} (LIKE shop.rows_${count}__r1 INCLUDING ALL);
    CREATE TABLE ready_${count} (LIKE shop.rows_${count}__r1)`);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const from = (round * count) >> 1;
    const rows = Array.from({length: count}, (_, row) => countryRow(`c${from + row}`, round, 2 * round + 2));
    const batch = batchOf(table, rows);
    await peer.query(`TRUNCATE ready_${count}; INSERT INTO ready_${count} SELECT '2026-01-31 12:00Z', '2026-01-31 12:01Z', 'c' || n,
      ${round}, 1, false, false, ${2 * round + 2} FROM generate_series(${from}, ${from + count - 1}) n`);
    const deliver = async () => {
      const begin = performance.now();
      await sink.write(table, batch);
      ours.push(performance.now() - begin);
    };
    const upsert = async () => {
      const begin = performance.now();
      await peer.query(`INSERT INTO peer_${count} AS t SELECT * FROM ready_${count} ON CONFLICT (window_start, country)
        DO UPDATE SET total = excluded.total, events = excluded.events, version = excluded.version WHERE excluded.version > t.version`);
      theirs.push(performance.now() - begin);
    };
    for (const turn of round % 2 === 0 ? [deliver, upsert] : [upsert, deliver]) await turn();
    if (round === 0) ours.length = theirs.length = 0;
  }
  const sums = (name: string) => `SELECT count(*), sum(total), sum(version) FROM ${name}`;
  const {rows} = await sink.query!(sums(`shop.rows_${count}__r1`));
  const expected = (await peer.query({text: sums(`peer_${count}`), rowMode: 'array'})).rows[0] as unknown[];
  assert.deepEqual(rows[0]!.map(String), expected.map(String), columns);
  const ratios = ours.map((ms, index) => theirs[index]! / ms);
  console.log(
    `${count} rows of a query: ${median(ours).toFixed(1)} ms (${range(ours, 1)}); the upsert alone ${median(theirs).toFixed(1)} ms; ${median(ratios).toFixed(2)}x its speed`,
  );
}

try {
  console.log(machine());
  await raw();
  for (const count of rowCounts) await rowsOf(count);
} finally {
  await sink.close();
  await peer.end();
  await world.close();
  await server.stop();
  rmSync(root, {recursive: true, force: true});
}
