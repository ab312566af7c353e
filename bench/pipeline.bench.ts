/**
 * The durable pipeline: `node bench/pipeline.bench.ts [events] [rounds] [queries]`. Ready-made purchases (about 90 bytes, in
 * memory) go through the platform's own parts with their defaults: ingest thread -> log (fsync, group commit, 4 partitions) ->
 * engine worker -> delivery -> chDB in its child process. The time runs from the first append until chDB has acknowledged rows
 * that hold every event; then the counts in chDB are compared. There is no peer: none of the engines of this size is durable.
 * CPU seconds are those of all processes; on a machine that others use they say more than the wall clock.
 */
import assert from 'node:assert/strict';
import type {TelemetryEvents} from '../src/telemetry.ts';
import {
  cpuSecondsOf,
  createPurchases,
  machine,
  median,
  partitions,
  purchaseTopic,
  purchaseYaml,
  range,
  schemaOf,
  startOn,
} from './world.ts';

const eventCount = Number(process.argv[2] ?? 8_000_000);
const rounds = Number(process.argv[3] ?? 3);
/** Events made before the clock starts; they are sent again and again. 100,000 of them are a second of event time. */
const preparedMax = 1_000_000;
const batchBytes = 256 * 1024;
/** Batches on their way to the log at a time. */
const inFlightMax = 32;

type Batch = {partition: number; count: number; bytes: Uint8Array};

/** Batches in shared memory, so that handing them to the ingest thread copies nothing. */
function prepare(schema: Parameters<typeof createPurchases>[0]): Batch[] {
  const purchases = createPurchases(schema);
  const startMs = Date.UTC(2026, 0, 1);
  const scratch = Array.from({length: partitions}, () => ({
    bytes: new Uint8Array(batchBytes),
    at: 0,
    count: 0,
  }));
  const batches: Batch[] = [];
  const flush = (partition: number) => {
    const from = scratch[partition]!;
    const bytes = new Uint8Array(new SharedArrayBuffer(from.at));
    bytes.set(from.bytes.subarray(0, from.at));
    batches.push({partition, count: from.count, bytes});
    from.at = from.count = 0;
  };
  for (let event = 0; event < Math.min(preparedMax, eventCount); event++) {
    const purchase = purchases.next(startMs + Math.floor(event / 100));
    const partition = purchases.partitionOf(purchase);
    const to = scratch[partition]!;
    let end = purchases.write(purchase, to.bytes, to.at);
    if (end < 0) {
      flush(partition);
      end = purchases.write(purchase, to.bytes, 0);
    }
    to.at = end;
    to.count++;
  }
  for (let partition = 0; partition < partitions; partition++)
    if (scratch[partition]!.count > 0) flush(partition);
  return batches;
}

async function round(): Promise<{
  perSecond: number;
  cpuSeconds: number;
  appendSeconds: number;
  bytes: number;
}> {
  const {running, remove} = await startOn({'domains/ecommerce.yaml': purchaseYaml});
  try {
    const batches = prepare(await schemaOf(running, purchaseTopic));
    const bytes = batches.reduce((sum, batch) => sum + batch.bytes.length, 0);
    const perBatch = batches.reduce((sum, {count}) => sum + count, 0) / batches.length;
    const ends = Array.from({length: partitions}, () => 0);
    let reached = () => {};
    const acknowledged = new Promise<void>((resolve) => {
      reached = resolve;
    });
    let isSent = false;
    let acknowledgedThrough: {partition: number; offset: number}[] = [];
    const look = () => {
      const isAll = acknowledgedThrough.every(({partition, offset}) => offset >= ends[partition]!);
      if (isSent && isAll && acknowledgedThrough.length > 0) reached();
    };
    running.metrics.observers.push((name, event) => {
      if (name !== 'RowsAcknowledged') return;
      acknowledgedThrough = (event as TelemetryEvents['RowsAcknowledged']).through;
      look();
    });

    const cpuBefore = cpuSecondsOf(process.pid);
    const begin = performance.now();
    const flying = new Set<Promise<unknown>>();
    let sent = 0;
    for (let at = 0; sent < eventCount; at++) {
      const {partition, count, bytes: records} = batches[at % batches.length]!;
      const append = {topic: purchaseTopic, partition, count, bytes: records};
      const done: Promise<unknown> = running.ingest.append({appends: [append]}).then(({appends}) => {
        ends[partition] = Math.max(ends[partition]!, appends[0]!.baseOffset + count);
        flying.delete(done);
      });
      flying.add(done);
      sent += count;
      if (flying.size >= inFlightMax) await Promise.race(flying);
    }
    await Promise.all(flying);
    const appendSeconds = (performance.now() - begin) / 1000;
    isSent = true;
    look();
    await acknowledged;
    const seconds = (performance.now() - begin) / 1000;
    const cpuSeconds = cpuSecondsOf(process.pid) - cpuBefore;

    const {rows} = await running.outputs.sql(
      'analytics',
      'select toInt64(sum(orders)), toInt64(sum(revenue_cents)) from ecommerce.revenue_per_minute',
    );
    assert.equal(rows[0]![0], sent, 'chDB holds every event once');
    const [status] = running.engine.status();
    assert.equal(status!.state, 'running');
    await running.drain();
    return {
      perSecond: sent / seconds,
      cpuSeconds: cpuSeconds / (sent / 1e6),
      appendSeconds,
      bytes: bytes / batches.length / perBatch,
    };
  } finally {
    remove();
  }
}

console.log(machine());
const results = [];
for (let index = 0; index < rounds; index++) results.push(await round());
const rates = results.map(({perSecond}) => perSecond / 1e6);
console.log(
  `${eventCount} events of ${results[0]!.bytes.toFixed(1)} B, ${rounds} rounds, counts in chDB equal: median ${median(rates).toFixed(2)} M events/s ` +
    `(${range(rates, 2)}), ${median(results.map(({cpuSeconds}) => cpuSeconds)).toFixed(2)} CPU s per M events (${range(
      results.map(({cpuSeconds}) => cpuSeconds),
      2,
    )}), ` +
    `log alone done after ${median(results.map(({appendSeconds}) => appendSeconds)).toFixed(2)} s`,
);
