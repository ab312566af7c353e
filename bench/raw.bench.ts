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
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {openSink} from '../src/sinks/host.ts';
import {digest, openRawWorld, purchaseColumns, rawMeter, speed} from './raw-world.ts';
import {machine, median, range} from './world.ts';

const eventCount = Number(process.argv[2] ?? 100_000);
const rounds = Number(process.argv[3] ?? 9);
const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const world = await openRawWorld(root);
const meter = rawMeter();
const sink = await openSink({
  name: 'records',
  choice: {backend: 'pglite', options: {dir: 'postgres'}},
  root,
  telemetry: meter.telemetry,
});
const peer = new Worker(fileURLToPath(new URL('./sinks-peer.ts', import.meta.url)), {
  workerData: {
    dir: join(root, 'peer'),
    target: 'purchase',
    ddl: `CREATE TABLE purchase (${purchaseColumns}, UNIQUE NULLS NOT DISTINCT (event_id)); SET timezone = 'UTC'`,
  },
});
try {
  await once(peer, 'message');
  await sink.ensure(world.table);
  const ours: number[] = [];
  const theirs: number[] = [];
  const deliver = async () => {
    ours.push(await meter.deliver(sink, world.job, eventCount));
  };
  const copy = async (bytes: Uint8Array) => {
    peer.postMessage(bytes);
    theirs.push(((await once(peer, 'message')) as [number])[0]);
  };
  // The first round warms both up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    await world.append(eventCount);
    const bytes = await world.prepare();
    for (const turn of round % 2 === 0 ? [deliver, copy] : [copy, deliver]) await turn(bytes);
    if (round === 0) ours.length = theirs.length = 0;
  }
  const {rows} = await sink.query!(digest('ecommerce.purchase'));
  peer.postMessage({sql: digest('purchase')});
  const [expected] = (await once(peer, 'message')) as [unknown[]];
  assert.deepEqual(rows[0]!.map(String), expected.map(String), 'both hold the same rows');
  assert.equal(Number(rows[0]![0]), (rounds + 1) * eventCount, 'every event once');
  const ratios = ours.map((ms, index) => theirs[index]! / ms);
  console.log(machine());
  console.log(
    `raw events into PGlite, ${eventCount} a round, ${rounds} rounds, rows equal: ${speed(ours, eventCount)}; ` +
      `plain COPY ${speed(theirs, eventCount)}; ${median(ratios).toFixed(2)}x its speed (${range(ratios, 2)})`,
  );
} finally {
  await sink.close();
  await peer.terminate();
  await world.close();
  rmSync(root, {recursive: true, force: true});
}
