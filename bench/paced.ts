/** Events at a pace into a platform that runs in this process, and when each of them was acknowledged by its queries' sinks. */
import assert from 'node:assert/strict';
import type {RunningPlatform} from '../src/platform/runtime.ts';
import type {TelemetryEvents} from '../src/telemetry.ts';
import {cpuSecondsOf, createPurchases, partitions, quantile} from './world.ts';

/** Ready-made records of one partition: `ends[i]` is where record i ends in `bytes`, which is shared memory. */
export type Lane = {bytes: Uint8Array; ends: Uint32Array; count: number};
type Latency = {query: string; p50: number; p99: number; max: number; writes: number};
/** Latencies in ms by query; cores that this process and its children used. */
export type Outcome = {latencies: Latency[]; cores: number};

/** Purchases for the whole run, in the order and pace of their creation. @returns by partition */
export function purchaseLanes(
  schema: Parameters<typeof createPurchases>[0],
  events: number,
  perSecond: number,
): Lane[] {
  const purchases = createPurchases(schema);
  const lanes = Array.from({length: partitions}, () => ({
    bytes: new Uint8Array(new SharedArrayBuffer(110 * Math.ceil(events * 0.6) + 1024)),
    ends: new Uint32Array(events),
    count: 0,
  }));
  const startMs = Date.now();
  for (let event = 0; event < events; event++) {
    const purchase = purchases.next(startMs + Math.floor((event * 1000) / perSecond));
    const lane = lanes[purchases.partitionOf(purchase)]!;
    const end = purchases.write(purchase, lane.bytes, lane.count === 0 ? 0 : lane.ends[lane.count - 1]!);
    assert.ok(end > 0, 'the lane is large enough');
    lane.ends[lane.count++] = end;
  }
  return lanes;
}

/**
 * Appends what the lanes hold at the given pace and listens for acknowledgements.
 * @param servers processes below this one whose CPU time is not the platform's
 */
export async function measure(
  running: RunningPlatform,
  topic: string,
  lanes: Lane[],
  perSecond: number,
  warmUpSeconds: number,
  servers: number[] = [],
): Promise<Outcome> {
  const total = lanes.reduce((sum, {count}) => sum + count, 0);
  const createdMs = lanes.map(({count}) => new Float64Array(count));
  const sent = lanes.map(() => 0);
  const queries = running.platform.domains.flatMap(({name, aggregations}) =>
    aggregations.map((aggregation) => `${name}.${aggregation.name}`),
  );
  const reached = new Map(queries.map((query) => [query, lanes.map(() => 0)]));
  const found = new Map(queries.map((query) => [query, {latenciesMs: [] as number[], writes: 0}]));
  let beginMs = Infinity;
  let done = () => {};
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  running.metrics.observers.push((name, event) => {
    if (name !== 'RowsAcknowledged') return;
    const nowMs = performance.now();
    const {query, through} = event as TelemetryEvents['RowsAcknowledged'];
    const at = reached.get(query)!;
    const {latenciesMs} = found.get(query)!;
    if (nowMs >= beginMs) found.get(query)!.writes++;
    for (const {partition, offset} of through)
      for (; at[partition]! < offset; at[partition]!++) {
        const created = createdMs[partition]![at[partition]!]!;
        if (created >= beginMs) latenciesMs.push(nowMs - created);
      }
    if (
      [...reached.values()].every((offsets) => offsets.every((offset, lane) => offset >= lanes[lane]!.count))
    )
      done();
  });

  const startMs = performance.now();
  beginMs = startMs + warmUpSeconds * 1000;
  const cpuSeconds = () =>
    cpuSecondsOf(process.pid) - servers.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  let cpuBefore = 0;
  let failed: unknown;
  for (let created = 0; created < total; ) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (failed !== undefined) throw failed;
    const nowMs = performance.now();
    if (cpuBefore === 0 && nowMs >= beginMs) cpuBefore = cpuSeconds();
    const due = Math.min(total, Math.floor(((nowMs - startMs) * perSecond) / 1000));
    const appends = [];
    for (const [partition, lane] of lanes.entries()) {
      const from = sent[partition]!;
      // Every lane keeps its share of the whole at any time.
      const to = due === total ? lane.count : Math.floor((lane.count * due) / total);
      if (to === from) continue;
      // An event is due at its own moment, though the timer is later.
      for (let index = from; index < to; index++)
        createdMs[partition]![index] = startMs + (index / lane.count) * (total / perSecond) * 1000;
      const bytes = lane.bytes.subarray(from === 0 ? 0 : lane.ends[from - 1], lane.ends[to - 1]);
      appends.push({topic, partition, count: to - from, bytes});
      sent[partition] = to;
    }
    created = due;
    if (appends.length > 0)
      running.ingest.append({appends}).catch((error: unknown) => {
        failed = error;
      });
  }
  const cores = (cpuSeconds() - cpuBefore) / ((performance.now() - beginMs) / 1000);
  await all;
  const latencies = queries.map((query) => {
    const {latenciesMs, writes} = found.get(query)!;
    const sorted = Float64Array.from(latenciesMs).sort();
    return {query, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: sorted.at(-1)!, writes};
  });
  return {latencies, cores};
}
