/**
 * Refill of a revision from the log: `node bench/refill.bench.ts [events] [rounds]`. A platform holds purchases (about 90 bytes,
 * 4 partitions) in its durable log, with their rows in chDB. `rebuild` then fills a new revision beside the running one, as the
 * command does: engine of its own, checkpoints, rows to chDB, comparison with the old rows, switch. The clock runs from the
 * command until the new revision stands where the old one does, with every row acknowledged; then until the view is switched.
 * The rows of both revisions are compared, and the count in chDB after each round.
 */
import assert from 'node:assert/strict';
import {refillRunning} from '../src/platform/rebuild.ts';
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
const rounds = Number(process.argv[3] ?? 5);
const preparedMax = 500_000;
const batchBytes = 256 * 1024;

const {running, remove} = await startOn({'domains/ecommerce.yaml': purchaseYaml});
try {
  const purchases = createPurchases(await schemaOf(running, purchaseTopic));
  const startMs = Date.UTC(2026, 0, 1);
  const scratch = Array.from({length: partitions}, () => ({
    bytes: new Uint8Array(batchBytes),
    at: 0,
    count: 0,
  }));
  const batches: {partition: number; count: number; bytes: Uint8Array}[] = [];
  for (let event = 0; event < Math.min(preparedMax, eventCount); event++) {
    const purchase = purchases.next(startMs + Math.floor(event / 100));
    const partition = purchases.partitionOf(purchase);
    const to = scratch[partition]!;
    let end = purchases.write(purchase, to.bytes, to.at);
    if (end < 0) {
      batches.push({partition, count: to.count, bytes: to.bytes.slice(0, to.at)});
      to.at = to.count = 0;
      end = purchases.write(purchase, to.bytes, 0);
    }
    to.at = end;
    to.count++;
  }
  let sent = 0;
  let bytes = 0;
  for (let at = 0; sent < eventCount; at++) {
    const batch = batches[at % batches.length]!;
    await running.ingest.append({appends: [{topic: purchaseTopic, ...batch}]});
    sent += batch.count;
    bytes += batch.bytes.length;
  }
  await running.idle(new AbortController().signal);

  const fills: number[] = [];
  const wholes: number[] = [];
  const cpus: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const cpuBefore = cpuSecondsOf(process.pid);
    const begin = performance.now();
    let filledMs = 0;
    const options = {yes: false, lagMaxMs: 2_000, signal: new AbortController().signal};
    for await (const line of refillRunning(
      running,
      {query: 'ecommerce.revenue_per_minute', why: 'rebuild'},
      options,
    )) {
      if ('comparison' in line) {
        filledMs = performance.now() - begin;
        const {same, different, onlyBefore, onlyAfter} = line.comparison;
        assert.ok(same > 0);
        assert.deepEqual([different, onlyBefore, onlyAfter], [0, 0, 0], 'a rebuild makes the same rows');
      }
      assert.ok(!('waits' in line));
    }
    wholes.push((performance.now() - begin) / 1000);
    cpus.push((cpuSecondsOf(process.pid) - cpuBefore) / (sent / 1e6));
    fills.push(sent / filledMs / 1000);
    const {rows} = await running.outputs.sql(
      'analytics',
      'select toInt64(sum(orders)) from ecommerce.revenue_per_minute',
    );
    assert.equal(rows[0]![0], sent, 'the view holds every event once');
  }
  await running.drain();
  console.log(machine());
  console.log(
    `${sent} events of ${(bytes / sent).toFixed(1)} B, ${rounds} rounds, rows equal: median ${median(fills).toFixed(2)} M events/s (${range(fills, 2)}) until the new revision stands beside the old one, ` +
      `${median(wholes).toFixed(2)} s (${range(wholes, 2)}) with comparison and switch, ${median(cpus).toFixed(2)} CPU s per M events (${range(cpus, 2)})`,
  );
} finally {
  remove();
}
