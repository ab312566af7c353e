/**
 * What the sinks cost over their engines: `node bench/sinks.bench.ts [rounds]`.
 *   rows into chDB      delivery -> child process -> ClickHouse, against prepared TabSeparated bytes given to chDB alone
 *   raw into PGlite     writeRaw -> worker -> COPY with offsets, against plain COPY of prepared text, same table and index
 * Both sides take turns in one run; the time of a peer is that of its statement alone.
 */
import {type ChildProcess, fork} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {cpus, tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {systemClock} from '../src/clock.ts';
import {createDelivery} from '../src/sinks/delivery.ts';
import {openSink} from '../src/sinks/host.ts';
import {batchOf} from '../src/sinks/tables.ts';
import {encodeTsv} from '../src/sinks/tsv.ts';
import type {RawBatch} from '../src/sinks/types.ts';
import {noTelemetry} from '../src/telemetry.ts';
import {queryTable, rawTable} from '../test/conformance/sink.ts';

const rounds = Number(process.argv[2] ?? 9);
const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const peerPath = fileURLToPath(new URL('./sinks-peer.ts', import.meta.url));
const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const t0 = Date.UTC(2026, 0, 31, 12);
const clickHouse = {
  deleted: ['0', '1'] as [string, string],
  nonFinite: {nan: 'nan', plus: 'inf', minus: '-inf'},
  nul: '\\0',
  zone: '',
};
const postgres = {...clickHouse, deleted: ['f', 't'] as [string, string], nul: '', zone: '+00'};

function report(what: string, rows: number, ours: number[], peer: number[], peerName: string): void {
  const [a, b] = [median(ours), median(peer)];
  const speed = (ms: number) => `${ms.toFixed(1)} ms, ${Math.round(rows / ms)}k rows/s`;
  console.log(
    `${what}, ${rows} rows: ${speed(a)}; ${peerName}: ${speed(b)}; ${(a / b).toFixed(2)}x its time`,
  );
}

async function rowsIntoChdb(): Promise<void> {
  const table = queryTable('bench', {country: 'string', device: 'string'}, [
    {name: 'orders', type: 'long', nullable: false},
    {name: 'revenue_cents', type: 'money', nullable: true},
    {name: 'average', type: 'double', nullable: true},
  ]);
  const sink = await openSink({name: 'analytics', choice: {backend: 'chdb', options: {dir: 'ours'}}, root});
  await sink.ensure(table);
  const random = Math.random;
  const delivery = createDelivery({
    sink,
    sinkName: 'analytics',
    table,
    clock: systemClock,
    random,
    telemetry: noTelemetry,
    rowsMax: 1_000_000,
  });
  const ddl = `CREATE DATABASE shop;
    CREATE TABLE shop.bench (window_start DateTime64(3, 'UTC'), window_end DateTime64(3, 'UTC'),
    country LowCardinality(Nullable(String)), device LowCardinality(Nullable(String)), orders Int64,
    revenue_cents Nullable(Int64), average Nullable(Float64), events Int64, closed Bool, deleted UInt8, version UInt64)
    ENGINE = ReplacingMergeTree(version, deleted) ORDER BY (window_start, country, device) SETTINGS allow_nullable_key = 1`;
  const peer: ChildProcess = fork(peerPath, [join(root, 'peer'), ddl, 'shop.bench'], {
    serialization: 'advanced',
  });
  await once(peer, 'message');
  const written = {ours: 0, peer: 0};
  for (const rows of [100, 1_000, 20_000, 200_000]) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const batch = batchOf(
        table,
        Array.from({length: rows}, (_, i) => [
          t0 + round * 60_000,
          t0 + (round + 1) * 60_000,
          `c${i % 500}`,
          `d${Math.floor(i / 500)}`,
          i,
          i * 99,
          99.5,
          i + 1,
          false,
          false,
          2 * i + 2,
        ]),
      );
      const startMs = performance.now();
      await delivery.push(batch);
      ours.push(performance.now() - startMs);
      const bytes = Buffer.from(encodeTsv(table, batch, clickHouse));
      peer.send(bytes);
      const [ms] = (await once(peer, 'message')) as [number];
      theirs.push(ms);
      written.ours += rows;
      written.peer += rows;
    }
    report('rows into chDB', rows, ours, theirs, 'chDB alone, prepared bytes');
  }
  const {rows} = await sink.query!('SELECT count(), sum(orders) FROM shop.bench');
  console.log(
    `  in the table (keys repeat between sizes): ${rows[0]!.join(', ')} of ${written.ours} written`,
  );
  peer.disconnect();
  await sink.close();
}

async function rawIntoPglite(): Promise<void> {
  const table = rawTable('bench');
  const sink = await openSink({name: 'records', choice: {backend: 'pglite', options: {dir: 'pg'}}, root});
  await sink.ensure(table);
  const peer = new Worker(peerPath, {
    workerData: {
      dir: join(root, 'pg-peer'),
      target: 'bench',
      ddl: `CREATE TABLE bench (event_id text NOT NULL UNIQUE NULLS NOT DISTINCT, timestamp timestamptz(3) NOT NULL, note text,
        amount_cents bigint NOT NULL, _partition integer NOT NULL, _offset bigint NOT NULL, _appended_at timestamptz(3) NOT NULL)`,
    },
  });
  await once(peer, 'message');
  const rows = 10_000;
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const from = round * rows;
    const batch: RawBatch = {
      ...batchOf(
        table,
        Array.from({length: rows}, (_, i) => [
          `0190163d-8694-739b-aea5-${String((from + i) * 7919).padStart(12, '0')}`,
          t0 + from + i,
          `note ${i}`,
          i * 100,
          0,
          from + i,
          t0,
        ]),
      ),
      topic: 'shop.bench',
      partition: 0,
      fromOffset: from,
      toOffset: from + rows,
    };
    const startMs = performance.now();
    await sink.writeRaw!(table, batch);
    ours.push(performance.now() - startMs);
    peer.postMessage(encodeTsv(table, batch, postgres));
    const [ms] = (await once(peer, 'message')) as [number];
    theirs.push(ms);
  }
  report('raw into PGlite', rows, ours, theirs, 'plain COPY, prepared text');
  const {rows: count} = await sink.query!('SELECT count(*) FROM shop.bench');
  console.log(`  in the table: ${count[0]![0]} of ${rounds * rows} written`);
  await peer.terminate();
  await sink.close();
}

console.log(`node ${process.version}, ${cpus().length} x ${cpus()[0]!.model}, medians of ${rounds} rounds`);
await rowsIntoChdb();
await rawIntoPglite();
rmSync(root, {recursive: true});
