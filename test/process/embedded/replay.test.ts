import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {type TestContext, test} from 'node:test';
import type {ReplayTold} from '../../../src/process/embedded/replay-feed.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import {compileEncoder} from '../../../src/schema/encode.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import {replayEventSchema, replayEventValues, replayTopic} from '../../../src/schema/replay.ts';
import {EngineRig} from './engine-rig.ts';
import {day, events, purchase, random, view} from './engine-world.ts';
import {planOf} from './kernel-world.ts';
import {minute} from './rig.ts';

const everMs = 1e14;
/** In New York. */
const midnight = day + 3_600_000;
const measures = {orders: 'count()', revenue: 'sum(amount)', most: 'max(amount)'};
const sliding = {type: 'sliding', sizeMs: 5 * minute, slideMs: minute} as const;
const base = {groupBy: ['country'], measures, watermarkMs: minute};
const windows = {
  tumbling: base,
  sliding: {...base, window: sliding},
  daily: {...base, window: {type: 'calendar', unit: 'day', timezone: 'America/New_York'} as const},
  sessions: {...base, groupBy: ['user'], window: {type: 'session', gapMs: minute} as const},
};

/** A query that sets late events aside, and the same one that counts all of them. */
const pair = (name: keyof typeof windows): [QueryPlan, QueryPlan] => [
  planOf([purchase], {...windows[name], name, late: 'topic'}),
  planOf([purchase], {...windows[name], name: `all_${name}`, late: 'correct', correctForMs: everMs}),
];

async function started(t: TestContext, plans: QueryPlan[], partitions: number): Promise<EngineRig> {
  const rig = new EngineRig(t, [purchase, view], plans, {partitions});
  for (const {id, domain} of plans) {
    rig.log.ensureTopic(replayTopic(id), 1);
    rig.log.ensureTopic(`replay.${domain}`, 1);
  }
  await rig.start();
  return rig;
}

const encoder = compileEncoder(replayEventSchema, 999);
let attempts = 0;

type Place = {topic: string; partition: number; offset: number; frame: Uint8Array};

/** Gives events to a query. @param timeOf event time by place */
async function replay(rig: EngineRig, plan: QueryPlan, places: Place[], timeMs: number): Promise<void> {
  const frames = places.map(({topic, partition, offset, frame}) => {
    const id = `attempt-${++attempts}`;
    const about = {id, timeMs: 0, domain: plan.domain, query: plan.query, letter: id};
    const values = replayEventValues({...about, topic, partition, offset, eventTimeMs: timeMs, frame});
    const bytes = new Uint8Array(encoder.sizeMax(values));
    return bytes.subarray(0, encoder.encode(values, bytes, 0));
  });
  const topic = replayTopic(plan.id);
  await rig.log.append({appends: [{topic, partition: 0, count: frames.length, bytes: packRecords(frames)}]});
}

const asideOf = (rig: EngineRig, {id}: QueryPlan): Place[] => {
  const seen = new Map<string, Place>();
  for (const {query, output} of rig.side)
    if (query === id)
      for (const record of output.records)
        seen.set(`${record.topic}/${record.partition}/${record.offset}`, record);
  return [...seen.values()];
};
const toldOf = (rig: EngineRig, {id}: QueryPlan): ReplayTold[] =>
  rig.side.flatMap(({query, output}) => (query === id ? output.replays : []));

/** Rows without what says how far the engine is. */
function rowsOf(rig: EngineRig, {id}: QueryPlan): string[] {
  const rows = [...rig.tables.get(id)!.rows.values()].filter(({deleted}) => deleted === false);
  return rows
    .map(({closed: _, deleted: __, version, ...row}) =>
      JSON.stringify({...row, version: Math.floor(Number(version) / 2)}),
    )
    .sort();
}

function sums(rig: EngineRig, {id}: QueryPlan) {
  const {counts} = rig.engine.status().find(({query}) => query === id)!;
  const sum = (name: 'read' | 'aggregated' | 'filtered' | 'late' | 'dead' | 'replayed') =>
    counts.reduce((total, count) => total + count[name], 0);
  const all = {
    read: sum('read'),
    aggregated: sum('aggregated'),
    late: sum('late'),
    replayed: sum('replayed'),
  };
  assert.equal(all.read, all.aggregated + sum('filtered') + all.late + sum('dead'));
  return all;
}

for (const name of Object.keys(windows) as (keyof typeof windows)[])
  test(`late events of ${name} that are replayed count as if they had never been late, also when everything is read again`, async (t) => {
    const [strict, lenient] = pair(name);
    // The third partition stays empty, so that every window keeps its state.
    const rig = await started(t, [strict, lenient], 3);
    for (let part = 0; part < 3; part++) {
      await rig.append(events(200, part, 2, midnight - 300_000 + part * 600_000));
      await rig.engine.settle();
    }
    const late = asideOf(rig, strict);
    assert.ok(late.length > 0);
    const before = sums(rig, strict);
    assert.equal(before.late, late.length);
    assert.notDeepEqual(rowsOf(rig, strict), rowsOf(rig, lenient));
    await replay(rig, strict, late, day);
    await rig.engine.settle();
    // A second time, and an event that was never set aside: nothing happens.
    await replay(rig, strict, late.slice(0, 3), day);
    await replay(rig, strict, [{...late[0]!, partition: 2, offset: 0}], day);
    await rig.append(events(50, 50, 2, midnight + 2_000_000));
    await rig.engine.settle();
    const outcomes = toldOf(rig, strict).map(({outcome}) => outcome);
    assert.deepEqual(
      [
        outcomes.filter((outcome) => outcome === 'counted').length,
        outcomes.filter((outcome) => outcome === 'duplicate').length,
      ],
      [late.length, 4],
    );
    const again = asideOf(rig, strict).slice(late.length);
    await replay(rig, strict, again, day);
    await rig.engine.settle();
    const expected = rowsOf(rig, strict);
    // What only some sliding windows missed is in the others and is not set aside.
    if (name !== 'sliding') assert.deepEqual(expected, rowsOf(rig, lenient));
    const after = sums(rig, strict);
    assert.deepEqual(after, {
      ...after,
      late: 0,
      replayed: late.length + again.length,
      aggregated: after.read,
    });

    // From the log alone, by another order of reading.
    await rig.engine.stop();
    rmSync(rig.stateDir, {recursive: true});
    for (const table of rig.tables.values()) {
      table.rows.clear();
      table.markedEpoch = 0;
    }
    rig.workers = 2;
    await rig.start();
    await rig.engine.settle();
    assert.deepEqual(rowsOf(rig, strict), expected);
    assert.deepEqual(sums(rig, strict), after);
  });

test('crashes at any moment of a replay count each event once', async (t) => {
  const [strict, lenient] = pair('tumbling');
  const rig = await started(t, [strict, lenient], 3);
  const next = random(5);
  await rig.append(events(300, 9, 2));
  await rig.engine.settle();
  for (let round = 0; round < 8; round++) {
    await rig.append(events(40, 60 + round, 2, day + 900_000 + round * 120_000));
    const late = asideOf(rig, strict);
    // All of them again and again: those that were counted before count no more.
    await replay(rig, strict, late, day);
    for (let turns = next(8); turns > 0; turns--) await rig.engine.turn();
    if (next(2) === 0) rig.stuck.add(strict.id);
    for (let turns = next(5); turns > 0; turns--) await rig.engine.turn();
    rig.stuck.clear();
    rig.workers = 1 + next(2);
    await rig.crash();
  }
  await rig.engine.settle();
  await replay(rig, strict, asideOf(rig, strict), day);
  await rig.engine.settle();
  assert.deepEqual(rowsOf(rig, strict), rowsOf(rig, lenient));
  const {read, aggregated} = sums(rig, strict);
  assert.equal(aggregated, read);
});

test('an event whose window is gone is refused, and stays what it was', async (t) => {
  const [strict] = pair('tumbling');
  const rig = await started(t, [strict], 1);
  await rig.append(events(400, 3, 1));
  await rig.engine.settle();
  const late = asideOf(rig, strict);
  const before = rowsOf(rig, strict);
  await replay(rig, strict, late, day);
  await rig.engine.settle();
  const told = toldOf(rig, strict);
  assert.equal(told.length, late.length);
  assert.ok(told.every(({outcome, message}) => outcome === 'refused' && message?.includes('backfill')));
  assert.deepEqual(rowsOf(rig, strict), before);
  assert.equal(sums(rig, strict).late, late.length);
});

test('a window stays while something waits to be counted in it', async (t) => {
  const [strict] = pair('tumbling');
  const rig = await started(t, [strict], 2);
  await rig.append(events(200, 3, 1));
  await rig.engine.settle();
  const [late] = asideOf(rig, strict);
  await rig.engine.stop();
  // The other partition has nothing yet; when it passes the window, the window's state would go.
  await replay(rig, strict, [late!], day);
  await rig.append(events(200, 4, 1, day + 6_000_000).map((event) => ({...event, partition: 1})));
  await rig.append(events(50, 5, 1, day + 9_000_000).map((event) => ({...event, partition: 0})));
  await rig.start();
  await rig.engine.settle();
  assert.deepEqual(
    toldOf(rig, strict).map(({outcome}) => outcome),
    ['counted'],
  );
});
