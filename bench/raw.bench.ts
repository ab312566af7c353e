/**
 * Raw events into PGlite: `node bench/raw.bench.ts [events a round] [rounds]`.
 *   ours   the durable log -> decode -> COPY with the offsets in the same transaction, in the thread of PGlite, from the start of
 *          the delivery until every event is committed
 *   peer   plain COPY of the same rows, prepared as bytes, into the same table and index in a PGlite of its own thread; one
 *          statement a round, its time alone
 * Both take turns, on databases that grow alike; afterwards both hold the same rows: counts, sums and a hash of every row.
 */
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {openLogReader, openLogWriter} from '../src/log/embedded.ts';
import type {LogReader} from '../src/log/types.ts';
import {loadPlatform} from '../src/model/load.ts';
import {rawTable} from '../src/model/tables.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileDecoder} from '../src/schema/decode.ts';
import {frameHeaderBytes, walkRecords} from '../src/schema/frame.ts';
import {openEmbeddedRegistry, subjectOf} from '../src/schema/registry.ts';
import {openSink} from '../src/sinks/host.ts';
import {sinks} from '../src/sinks/registry.ts';
import {tableId} from '../src/sinks/tables.ts';
import type {SinkSpec} from '../src/sinks/types.ts';
import {noTelemetry, type TelemetryEvents} from '../src/telemetry.ts';
import {createPurchases, machine, median, partitions, purchaseTopic, purchaseYaml, range} from './world.ts';

const eventCount = Number(process.argv[2] ?? 100_000);
const rounds = Number(process.argv[3] ?? 9);
/** Events of one batch of the log. */
const batchCount = 1_000;
const batchBytes = 256 * batchCount;
const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const logDir = join(root, 'log');

const digest = (table: string) =>
  `SELECT count(*), sum(amount_cents), sum(_offset), sum(hashtextextended(t::text, 0)::numeric) FROM ${table} t`;

async function purchaseType() {
  mkdirSync(join(root, 'config/domains'), {recursive: true});
  writeFileSync(join(root, 'config/platform.yaml'), 'platform: bench\n');
  writeFileSync(join(root, 'config/domains/ecommerce.yaml'), purchaseYaml);
  const sinkSpecs: Record<string, SinkSpec> = sinks;
  const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
  assert.ok(loaded.ok);
  return loaded.platform.domains[0]!.eventTypes[0]!;
}

/** Rows of the log at and above `from` as COPY reads them: values between tabs; none of these texts needs an escape. */
async function prepare(reader: LogReader, from: number[], decode: ReturnType<typeof compileDecoder>) {
  let text = '';
  const time = (ms: unknown) => new Date(Number(ms)).toISOString();
  for (let partition = 0; partition < partitions; partition++) {
    for (;;) {
      const batches = await reader.read(purchaseTopic, partition, from[partition]!, 8 * 1024 * 1024);
      if (batches.length === 0) break;
      for (const batch of batches) {
        walkRecords(batch, (index, pos, end) => {
          const [id, ms, ...rest] = decode(batch.bytes, pos + frameHeaderBytes, end);
          const books = [partition, batch.baseOffset + index, time(batch.appendTimeMs)];
          text += `${[id, time(ms), ...rest, ...books].join('\t')}\n`;
        });
        from[partition] = batch.baseOffset + batch.count;
      }
    }
  }
  return Buffer.from(text);
}

const eventType = await purchaseType();
const table = rawTable(eventType);
const schema = avroSchema(eventType);
const writer = openLogWriter(logDir);
writer.ensureTopic(purchaseTopic, partitions);
const registry = openEmbeddedRegistry(logDir);
const {id} = await registry.register(subjectOf(purchaseTopic), schema, 'none');
const reader = openLogReader(logDir);
const purchases = createPurchases({id, schema});
const startMs = Date.UTC(2026, 0, 1);

/** Appends a round's events, each partition's in batches. */
async function append(round: number): Promise<void> {
  const scratch = Array.from({length: partitions}, () => ({
    bytes: new Uint8Array(batchBytes),
    at: 0,
    count: 0,
  }));
  const flush = async (partition: number) => {
    const {bytes, at, count} = scratch[partition]!;
    if (count > 0)
      await writer.append({appends: [{topic: purchaseTopic, partition, count, bytes: bytes.slice(0, at)}]});
    scratch[partition] = {bytes, at: 0, count: 0};
  };
  for (let event = 0; event < eventCount; event++) {
    const purchase = purchases.next(startMs + round * eventCount + event);
    const partition = purchases.partitionOf(purchase);
    const to = scratch[partition]!;
    to.at = purchases.write(purchase, to.bytes, to.at);
    assert.ok(to.at > 0);
    if (++to.count === batchCount) await flush(partition);
  }
  for (let partition = 0; partition < partitions; partition++) await flush(partition);
}

let written = 0;
let reached = () => {};
const sink = await openSink({
  name: 'records',
  choice: {backend: 'pglite', options: {dir: 'postgres'}},
  root,
  telemetry: {
    emit(name, payload) {
      if (name === 'SinkFailed') console.error(payload);
      if (name !== 'RowsWritten') return noTelemetry.emit(name, payload);
      written += (payload as TelemetryEvents['RowsWritten']).rows;
      if (written >= eventCount) reached();
    },
  },
});
const peer = new Worker(fileURLToPath(new URL('./sinks-peer.ts', import.meta.url)), {
  workerData: {
    dir: join(root, 'peer'),
    target: 'purchase',
    ddl: `CREATE TABLE purchase (event_id text NOT NULL, timestamp timestamptz(3) NOT NULL, user_id text, product_id text,
      category text NOT NULL, country text NOT NULL, device text NOT NULL, amount_cents bigint NOT NULL,
      _partition integer NOT NULL, _offset bigint NOT NULL, _appended_at timestamptz(3) NOT NULL,
      UNIQUE NULLS NOT DISTINCT (event_id)); SET timezone = 'UTC'`,
  },
});
try {
  await once(peer, 'message');
  await sink.ensure(table);
  const decode = compileDecoder(schema);
  const next = Array.from({length: partitions}, () => 0);
  const ours: number[] = [];
  const theirs: number[] = [];
  const deliver = async () => {
    written = 0;
    const all = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const begin = performance.now();
    await sink.raw!.start({table, topic: purchaseTopic, schema, log: {dir: logDir}, registryDir: logDir});
    await all;
    ours.push(performance.now() - begin);
    await sink.raw!.stop(tableId(table));
  };
  const copy = async (bytes: Uint8Array) => {
    peer.postMessage(bytes);
    theirs.push(((await once(peer, 'message')) as [number])[0]);
  };
  // The first round warms both up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    await append(round);
    const bytes = await prepare(reader, next, decode);
    for (const turn of round % 2 === 0 ? [deliver, copy] : [copy, deliver]) await turn(bytes);
    if (round === 0) ours.length = theirs.length = 0;
  }
  const {rows} = await sink.query!(digest('ecommerce.purchase'));
  peer.postMessage({sql: digest('purchase')});
  const [expected] = (await once(peer, 'message')) as [unknown[]];
  assert.deepEqual(rows[0]!.map(String), expected.map(String), 'both hold the same rows');
  assert.equal(Number(rows[0]![0]), (rounds + 1) * eventCount, 'every event once');
  const speed = (times: number[]) => {
    const rates = times.map((ms) => eventCount / ms);
    return `${median(rates).toFixed(0)}k rows/s (${range(rates)})`;
  };
  const ratios = ours.map((ms, index) => theirs[index]! / ms);
  console.log(machine());
  console.log(
    `raw events into PGlite, ${eventCount} a round, ${rounds} rounds, rows equal: ${speed(ours)}; plain COPY ${speed(theirs)}; ` +
      `${median(ratios).toFixed(2)}x its speed (${range(ratios, 2)})`,
  );
} finally {
  await sink.close();
  await peer.terminate();
  reader.close();
  registry.close();
  await writer.close();
  rmSync(root, {recursive: true, force: true});
}
