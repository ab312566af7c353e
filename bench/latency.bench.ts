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
import {type Lane, measure, type Outcome, purchaseLanes} from './paced.ts';
import {machine, median, purchaseTopic, purchaseYaml, schemaOf, startFrom, startOn} from './world.ts';

const seconds = Number(process.argv[2] ?? 10);
const rounds = Number(process.argv[3] ?? 3);
const warmUpSeconds = 3;
const repository = join(dirname(fileURLToPath(import.meta.url)), '..');

async function purchases(perSecond: number): Promise<Outcome> {
  const {running, remove} = await startOn({'domains/ecommerce.yaml': purchaseYaml});
  try {
    const events = (warmUpSeconds + seconds) * perSecond;
    const lanes = purchaseLanes(await schemaOf(running, purchaseTopic), events, perSecond);
    const outcome = await measure(running, purchaseTopic, lanes, perSecond, warmUpSeconds);
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
    const outcome = await measure(running, departures, lanes, perSecond, warmUpSeconds);
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
