/**
 * Created -> acknowledged in chDB: `node bench/latency.bench.ts [seconds] [rounds]`.
 *   one query     purchases at 10,000 and at 100,000 a second
 *   six queries   the flights of the example platform at 10,000 a second, as `npm start` replays them
 * Open loop: an event is created when the schedule says so, whatever the platform does; those of one millisecond are one append.
 * The platform runs whole, with its defaults (flush 25 ms, 4 partitions, fsync), raw delivery off. A query acknowledges with
 * the offsets that its rows reach, so every event's latency is known, not a sample's: from its creation to the
 * acknowledgement of the first write whose offsets pass it. Events that a query filters count with the rows around them.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {openLogReader} from '../src/log/embedded.ts';
import type {RunningPlatform} from '../src/platform/runtime.ts';
import type {TelemetryEvents} from '../src/telemetry.ts';
import {
  cpuSecondsOf,
  createPurchases,
  machine,
  median,
  partitions,
  purchaseTopic,
  purchaseYaml,
  quantile,
  schemaOf,
  startFrom,
  startOn,
} from './world.ts';

const seconds = Number(process.argv[2] ?? 10);
const rounds = Number(process.argv[3] ?? 3);
const warmUpSeconds = 3;
const repository = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Ready-made records of one partition: `ends[i]` is where record i ends in `bytes`, which is shared memory. */
type Lane = {bytes: Uint8Array; ends: Uint32Array; count: number};
type Latency = {query: string; p50: number; p99: number; max: number; writes: number};
type Outcome = {latencies: Latency[]; cores: number};

/** Purchases for the whole run, in the order and pace of their creation. @returns by partition */
function purchaseLanes(
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

/** Appends what the lanes hold at the given pace and listens for acknowledgements. */
async function measure(
  running: RunningPlatform,
  topic: string,
  lanes: Lane[],
  perSecond: number,
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
  let cpuBefore = 0;
  let failed: unknown;
  for (let created = 0; created < total; ) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (failed !== undefined) throw failed;
    const nowMs = performance.now();
    if (cpuBefore === 0 && nowMs >= beginMs) cpuBefore = cpuSecondsOf(process.pid);
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
  const cores = (cpuSecondsOf(process.pid) - cpuBefore) / ((performance.now() - beginMs) / 1000);
  await all;
  const latencies = queries.map((query) => {
    const {latenciesMs, writes} = found.get(query)!;
    const sorted = Float64Array.from(latenciesMs).sort();
    return {query, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: sorted.at(-1)!, writes};
  });
  return {latencies, cores};
}

async function purchases(perSecond: number): Promise<Outcome> {
  const {running, remove} = await startOn({'domains/ecommerce.yaml': purchaseYaml});
  try {
    const events = (warmUpSeconds + seconds) * perSecond;
    const lanes = purchaseLanes(await schemaOf(running, purchaseTopic), events, perSecond);
    const outcome = await measure(running, purchaseTopic, lanes, perSecond);
    const {rows} = await running.outputs.sql(
      'analytics',
      'select toInt64(sum(orders)) from ecommerce.revenue_per_minute',
    );
    assert.equal(rows[0]![0], events, 'chDB holds every event once');
    await running.drain();
    return outcome;
  } finally {
    remove();
  }
}

const departures = 'flights.departure';

/** Flights as the example's input logs them: ingested once, read back from the log. */
async function flightLanes(root: string, events: number): Promise<Lane[]> {
  const running = await startFrom(root);
  running.inputs.startAll({fast: true});
  await running.inputs.settled();
  const reader = openLogReader(running.dirs.log);
  const perLane: {frames: Uint8Array[]}[] = [];
  for (let partition = 0; partition < reader.partitions(departures); partition++) {
    const frames: Uint8Array[] = [];
    for (let offset = 0; ; ) {
      const batches = await reader.read(departures, partition, offset, 4 << 20);
      if (batches.length === 0) break;
      for (const {kind, bytes, baseOffset, count} of batches) {
        offset = baseOffset + count;
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        if (kind === 'data')
          for (let at = 0, end = 0; at < bytes.length; at = end) {
            end = at + 4 + view.getUint32(at, true);
            frames.push(bytes.subarray(at, end));
          }
      }
    }
    perLane.push({frames});
  }
  reader.close();
  await running.drain();
  rmSync(join(root, '.millrace'), {recursive: true});
  const total = perLane.reduce((sum, {frames}) => sum + frames.length, 0);
  return perLane.map(({frames}) => {
    const kept = frames.slice(0, Math.floor((frames.length * Math.min(events, total)) / total));
    const bytes = new Uint8Array(new SharedArrayBuffer(kept.reduce((sum, frame) => sum + frame.length, 0)));
    let end = 0;
    const ends = Uint32Array.from(kept, (frame) => {
      bytes.set(frame, end);
      return (end += frame.length);
    });
    return {bytes, ends, count: kept.length};
  });
}

async function flights(perSecond: number): Promise<Outcome> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  try {
    for (const each of ['config', 'data'])
      cpSync(join(repository, each), join(root, each), {recursive: true});
    rmSync(join(root, 'config', 'domains', 'ecommerce.yaml'));
    writeFileSync(join(root, 'config', 'platform.yaml'), 'platform: bench\ndefaults: {raw: none}\n');
    const lanes = await flightLanes(root, (warmUpSeconds + seconds) * perSecond);
    const running = await startFrom(root);
    const outcome = await measure(running, departures, lanes, perSecond);
    const counts = await Promise.all(
      ['departures_per_day', 'departures_per_utc_day', 'aircraft_per_month', 'airlines_per_hour'].map(
        (query) => running.outputs.sql('analytics', `select toInt64(sum(departures)) from flights.${query}`),
      ),
    );
    for (const {rows} of counts)
      assert.equal(
        rows[0]![0],
        lanes.reduce((sum, {count}) => sum + count, 0),
        'chDB holds every flight once',
      );
    await running.drain();
    return outcome;
  } finally {
    rmSync(root, {recursive: true, force: true});
  }
}

const ms = (values: number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  return `${median(values).toFixed(0)} ms (${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})`;
};

console.log(
  `${machine()}; ${seconds} s after ${warmUpSeconds} s of warming up, ${rounds} rounds, medians (ranges)`,
);
const variants: [string, () => Promise<Outcome>][] = [
  ['one query, 10,000 events/s', () => purchases(10_000)],
  ['one query, 100,000 events/s', () => purchases(100_000)],
  ['six queries (flights), 10,000 events/s', () => flights(10_000)],
];
const outcomes = variants.map((): Outcome[] => []);
for (let round = 0; round < rounds; round++)
  for (const [index, [, run]] of variants.entries()) outcomes[index]!.push(await run());
for (const [index, [name]] of variants.entries()) {
  const own = outcomes[index]!;
  console.log(`${name}: ${median(own.map(({cores}) => cores)).toFixed(2)} cores`);
  for (const [k, {query}] of own[0]!.latencies.entries()) {
    const of = own.map(({latencies}) => latencies[k]!);
    console.log(
      `  ${query.padEnd(36)} p50 ${ms(of.map(({p50}) => p50))}, p99 ${ms(of.map(({p99}) => p99))}, ` +
        `max ${ms(of.map(({max}) => max))}, ${(median(of.map(({writes}) => writes)) / seconds).toFixed(0)} writes/s`,
    );
  }
}
