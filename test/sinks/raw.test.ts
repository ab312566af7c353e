import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {systemClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import {openLogWriter} from '../../src/log/embedded.ts';
import type {LogWriter} from '../../src/log/types.ts';
import {rawTable} from '../../src/model/tables.ts';
import type {EventType, Field, Table} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {packRecords} from '../../src/schema/frame.ts';
import {openEmbeddedRegistry, type SchemaRegistry, subjectOf} from '../../src/schema/registry.ts';
import type {AvroValue} from '../../src/schema/types.ts';
import {readAll, readLatest} from '../../src/sinks/file/read.ts';
import {type HostedSink, openSink} from '../../src/sinks/host.ts';
import {createRawControl, type RawControl, type RawStats} from '../../src/sinks/raw.ts';
import {columnIndex, tableId} from '../../src/sinks/tables.ts';
import type {RawBatch, Sink} from '../../src/sinks/types.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {field} from '../support/fields.ts';

const eventType = (name: string, fields: Field[]): EventType => ({
  domain: 'shop',
  name,
  topic: `shop.${name}`,
  key: 'event_id',
  fields: [
    field('event_id', 'string', {role: 'id', required: true}),
    field('timestamp', 'timestamp', {role: 'time', required: true}),
    ...fields,
  ],
  derive: [],
  enrich: [],
  checks: [],
});

const dir = mkdtempSync(join(tmpdir(), 'millrace-raw-'));
const logDir = join(dir, 'log');
let writer: LogWriter;
let registry: SchemaRegistry;
before(() => {
  writer = openLogWriter(logDir);
  registry = openEmbeddedRegistry(logDir);
});
after(async () => {
  await writer.close();
  registry.close();
  rmSync(dir, {recursive: true});
});

const t0 = Date.UTC(2026, 0, 31, 12);

/** Appends events to a partition; a string stands for a frame of these bytes. */
async function append(type: EventType, partition: number, events: (AvroValue[] | string)[]): Promise<void> {
  const {id} = await registry.register(subjectOf(type.topic), avroSchema(type), 'none');
  const encoder = compileEncoder(avroSchema(type), id);
  const frames = events.map((event) => {
    if (typeof event === 'string') return Buffer.from(event, 'latin1');
    const buffer = new Uint8Array(encoder.sizeMax(event));
    return buffer.subarray(0, encoder.encode(event, buffer, 0));
  });
  writer.ensureTopic(type.topic, 2);
  await writer.append({
    appends: [{topic: type.topic, partition, count: frames.length, bytes: packRecords(frames)}],
  });
}

const job = (type: EventType) => ({
  table: rawTable(type),
  topic: type.topic,
  schema: avroSchema(type),
  log: {dir: logDir},
  registry: {dir: logDir},
});

async function until(raw: RawControl, done: (stats: RawStats) => boolean): Promise<RawStats> {
  for (let tries = 0; tries < 6_000; tries++) {
    const [stats] = await raw.stats();
    if (stats && done(stats)) return stats;
    await wait(10);
  }
  throw new Error(`raw delivery does not get there: ${JSON.stringify(await raw.stats())}`);
}

const purchase = eventType('purchase', [field('note', 'string'), field('amount', 'money', {required: true})]);
const purchases = (from: number, count: number) =>
  Array.from({length: count}, (_, index): AvroValue[] => [
    `e${from + index}`,
    t0 + from + index,
    index % 2 === 0 ? null : `note ${from + index}`,
    9_007_199_254_740_993n,
  ]);

test('raw events go from the log to the sink once, over restarts; what does not decode is counted', async () => {
  const open = () => openSink({name: 'files', choice: {backend: 'file', options: {dir: 'files'}}, root: dir});
  await append(purchase, 0, purchases(0, 3_000));
  await append(purchase, 1, ['', '\u0000\u0000\u0000\u0000\u0063xx', 'not a frame', ...purchases(3_000, 2)]);
  const table = rawTable(purchase);
  let sink: HostedSink = await open();
  await sink.ensure(table);
  await sink.raw!.start(job(purchase));
  let stats = await until(sink.raw!, ({written, lagEvents}) => written >= 3_002 && lagEvents === 0);
  assert.deepEqual(stats, {
    table: 'shop.purchase',
    state: 'running',
    written: 3_002,
    dead: 0,
    pending: 0,
    skipped: 3,
    lagEvents: 0,
    lagMs: 0,
    offsets: {0: 3_000, 1: 5},
  });
  await sink.close();
  await append(purchase, 0, purchases(4_000, 10));
  sink = await open();
  await sink.ensure(table);
  await sink.raw!.start(job(purchase));
  stats = await until(sink.raw!, ({lagEvents, offsets}) => lagEvents === 0 && offsets[0] === 3_010);
  assert.equal(stats.written, 10);
  await append(purchase, 1, purchases(5_000, 1));
  await until(sink.raw!, ({written}) => written === 11);
  await sink.close();
  const {batch} = (await readAll(join(dir, 'files'), 'shop', 'purchase'))!;
  assert.equal(batch.count, 3_013);
  assert.equal(new Set(batch.columns[0]).size, 3_013);
  const {rows} = (await readLatest(join(dir, 'files'), 'shop.purchase'))!;
  const row = rows.find((each) => each.event_id === 'e3001')!;
  assert.ok(Number(row._appended_at) > t0);
  assert.deepEqual(
    {...row, _appended_at: null},
    {
      event_id: 'e3001',
      timestamp: t0 + 3_001,
      note: 'note 3001',
      amount_cents: 9_007_199_254_740_993n,
      _partition: 1,
      _offset: 4,
      _appended_at: null,
    },
  );
});

test('events of an older schema are read as the newer one sees them', async () => {
  const older = eventType('visit', [field('page', 'string')]);
  const newer = eventType('visit', [field('url', 'string', {aliases: ['page']}), field('country', 'string')]);
  await append(older, 0, [['v1', t0, '/a']]);
  await append(newer, 0, [['v2', t0, '/b', 'DE']]);
  const {sink, batches} = recorder();
  const raw = createRawControl({
    sink,
    sinkName: 's',
    clock: systemClock,
    random: Math.random,
    telemetry: noTelemetry,
  });
  await raw.start(job(newer));
  await until(raw, ({lagEvents, written}) => lagEvents === 0 && written === 2);
  await raw.stop('shop.visit');
  const table = rawTable(newer);
  const column = (name: string) => batches.flatMap((batch) => batch.columns[columnIndex(table, name)]!);
  assert.deepEqual(column('url'), ['/a', '/b']);
  assert.deepEqual(column('country'), [null, 'DE']);
});

test('a raw delivery whose process is killed is brought back, and repeats nothing', async () => {
  const type = eventType('survivor', [field('note', 'string')]);
  const table = rawTable(type);
  await append(
    type,
    0,
    purchases(0, 500).map((values) => values.slice(0, 3)),
  );
  const sink = await openSink({
    name: 'a',
    choice: {backend: 'chdb', options: {dir: 'clickhouse'}},
    root: dir,
  });
  try {
    await sink.ensure(table);
    await sink.raw!.start(job(type));
    await until(sink.raw!, ({written}) => written === 500);
    const pid = sink.pid()!;
    process.kill(pid, 'SIGKILL');
    await append(
      type,
      1,
      purchases(500, 7).map((values) => values.slice(0, 3)),
    );
    // Nobody calls the sink: it comes back by itself.
    for (let tries = 0; (sink.pid() ?? pid) === pid; tries++) {
      assert.ok(tries < 6_000);
      await wait(10);
    }
    await until(sink.raw!, ({offsets}) => offsets[1] === 7);
    const {rows} = await sink.query!('SELECT count(), uniqExact(event_id), sum(_offset) FROM shop.survivor');
    assert.deepEqual(rows, [[507, 507, (500 * 499) / 2 + 21]]);
  } finally {
    await sink.close();
  }
});

/** A sink that only remembers raw batches. */
function recorder() {
  const batches: RawBatch[] = [];
  const failing = {error: undefined as Error | undefined};
  const sink: Sink = {
    async ensure() {},
    async write() {},
    async mark() {},
    marked: async () => undefined,
    async writeRaw(_: Table, batch: RawBatch) {
      if (failing.error) throw failing.error;
      batches.push(batch);
    },
    rawOffsets: async () => new Map(),
    async close() {},
  };
  return {sink, batches, failing};
}

test('a failing sink pauses raw delivery, a refusing one stops it until it is resumed', async () => {
  const type = eventType('flaky', []);
  const id = tableId(rawTable(type));
  await append(type, 0, [['f1', t0]]);
  const {sink, batches, failing} = recorder();
  const events: string[] = [];
  const raw = createRawControl({
    sink,
    sinkName: 's',
    clock: systemClock,
    random: Math.random,
    telemetry: {emit: (name) => void events.push(name)},
    retry: {baseMs: 2, delayMsMax: 5, attemptsMax: 3},
  });
  failing.error = new PlatformError('SINK_UNAVAILABLE', 'down');
  await raw.start(job(type));
  const paused = await until(raw, ({state}) => state === 'paused');
  assert.equal(paused.reason?.code, 'SINK_UNAVAILABLE');
  failing.error = undefined;
  await until(raw, ({state, written}) => state === 'running' && written === 1);
  failing.error = new PlatformError('SINK_REFUSED', 'denied');
  await append(type, 0, [['f2', t0]]);
  const stopped = await until(raw, ({state}) => state === 'stopped');
  assert.equal(stopped.reason?.message, 'denied');
  failing.error = undefined;
  await raw.resume(id);
  await until(raw, ({written}) => written === 2);
  await raw.pause(id);
  await append(type, 0, [['f3', t0]]);
  await wait(100);
  assert.equal((await raw.stats())[0]?.state, 'held');
  await raw.resume(id);
  await until(raw, ({written}) => written === 3);
  await raw.stop(id);
  assert.deepEqual(await raw.stats(), []);
  assert.deepEqual(
    batches.map(({fromOffset, toOffset}) => [fromOffset, toOffset]),
    [
      [0, 1],
      [1, 2],
      [2, 3],
    ],
  );
  for (const name of ['SinkFailed', 'SinkPaused', 'SinkResumed', 'RowsWritten'])
    assert.ok(events.includes(name), name);
});
