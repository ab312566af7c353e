import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import {PlatformError} from '../../../src/errors.ts';
import {openOutboxWriter} from '../../../src/log/writer.ts';
import {openStateReader} from '../../../src/process/embedded/statestore.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import {EngineRig, type EngineRigOptions} from './engine-rig.ts';
import {all, day, events, purchase, random, sessions, sliding, tumbling, view} from './engine-world.ts';
import {type Logged, planOf} from './kernel-world.ts';
import {minute} from './rig.ts';

async function started(
  t: TestContext,
  plans: QueryPlan[],
  options: EngineRigOptions = {},
): Promise<EngineRig> {
  const rig = new EngineRig(t, [purchase, view], plans, options);
  await rig.start();
  return rig;
}

test('every kind of window gives the rows and the ledger of the naive evaluator', async (t) => {
  const rig = await started(t, all, {partitions: 2});
  for (let part = 0; part < 5; part++) {
    await rig.append(events(200, part, 2, day + part * 600_000));
    await rig.engine.settle();
  }
  rig.check();
});

test('a clock that is set back by an hour holds nothing up', async (t) => {
  const rig = await started(t, all, {partitions: 2, workers: 2});
  await rig.clock.advance(7_200_000);
  await rig.append(events(200, 1, 2));
  await rig.engine.settle();
  await rig.clock.advance(-3_600_000);
  await rig.append(events(200, 2, 2, day + 600_000));
  for (let turns = 0; turns < 200; turns++) {
    await rig.clock.advance(100);
    await rig.engine.turn();
  }
  rig.check();
});

test('three workers give the rows of one', async (t) => {
  const rig = await started(t, all, {partitions: 4, workers: 3});
  await rig.append(events(500, 7, 4));
  await rig.engine.settle();
  await rig.append(events(300, 8, 4, day + 1_200_000));
  await rig.engine.settle();
  rig.check();
});

test('crashes at any moment, and restarts with another number of workers, change no row', async (t) => {
  const rig = await started(t, all, {partitions: 3});
  const next = random(99);
  for (let round = 0; round < 12; round++) {
    await rig.append(events(80, 100 + round, 3, day + round * 240_000));
    for (let turns = next(12); turns > 0; turns--) await rig.engine.turn();
    if (next(3) === 0) for (const {id} of all) rig.stuck.add(id);
    for (let turns = next(6); turns > 0; turns--) await rig.engine.turn();
    rig.stuck.clear();
    rig.workers = 1 + next(3);
    await rig.crash();
  }
  await rig.engine.settle();
  rig.check();
});

test('a paused query stops reading while another runs on, and catches up when it is resumed', async (t) => {
  const rig = await started(t, [tumbling, sliding]);
  await rig.append(events(50, 1, 1));
  await rig.engine.settle();
  rig.engine.pause(tumbling.id);
  const before = rig.tables.get(tumbling.id)!.writes;
  await rig.append(events(50, 2, 1, day + 600_000));
  await rig.engine.settle();
  await rig.append(events(50, 3, 1, day + 1_200_000));
  await rig.engine.settle();
  const [paused, running] = rig.engine.status();
  assert.equal(paused!.state, 'paused');
  assert.ok(paused!.lagEvents > 0 && running!.lagEvents === 0);
  assert.equal(rig.tables.get(tumbling.id)!.writes, before);
  rig.engine.resume(tumbling.id);
  await rig.engine.settle();
  rig.check();
});

test('a query that waits for a sink while its topic grows begins anew, and does not wait for what was given up', async (t) => {
  const rig = await started(t, [tumbling]);
  await rig.append(events(50, 1, 1));
  await rig.engine.settle();
  rig.engine.pause(tumbling.id, new PlatformError('SINK_UNAVAILABLE', 'it does not answer'));
  // As the log of a process beside Kafka, whose topics grow.
  await rig.log.close();
  rig.log = openOutboxWriter(rig.logDir, {
    attach: () => ({
      idsFrom: ({startOffset}) => startOffset,
      isGone: () => false,
      usedBytes: () => 0,
      full: () => new PlatformError('LOG_FULL', 'full'),
      within: () => [],
      committed() {},
    }),
  });
  for (const {topic} of [purchase, view]) rig.log.ensureTopic(topic, 2);
  await rig.append(events(50, 2, 2, day + 600_000));
  await rig.clock.advance(2_000);
  await rig.engine.settle();
  assert.equal(rig.engine.status()[0]!.state, 'running');
  rig.check();
});

test('a query whose rows are not acknowledged sends nothing more; changes leave together afterwards', async (t) => {
  const rig = await started(t, [tumbling, sliding]);
  rig.stuck.add(tumbling.id);
  for (let part = 0; part < 4; part++) {
    await rig.append(events(20, part, 1, day + part * 60_000));
    for (let turns = 0; turns < 10; turns++) await rig.engine.turn();
  }
  assert.equal(rig.unacknowledged.length, 1);
  assert.ok(rig.tables.get(sliding.id)!.writes > 0);
  rig.stuck.clear();
  rig.deliver(rig.unacknowledged[0]!);
  await rig.engine.settle();
  rig.check();
});

test('a query that reaches a limit stops alone, and says why', async (t) => {
  const small = {...tumbling, limits: {...tumbling.limits, groups: 3}};
  const rig = await started(t, [small, sliding]);
  await rig.append(events(100, 1, 1));
  await rig.engine.settle();
  const [stopped, running] = rig.engine.status();
  assert.deepEqual([stopped!.state, stopped!.reason?.code], ['stopped', 'QUERY_LIMIT']);
  assert.equal(running!.state, 'running');
  rig.plans = [sliding];
  rig.check();
});

test('a query whose definition changed does not start; the others run on', async (t) => {
  const rig = await started(t, [tumbling, sliding]);
  await rig.append(events(50, 1, 1));
  await rig.engine.settle();
  rig.plans = [{...tumbling, fingerprint: 'edited'}, sliding];
  await rig.append(events(50, 2, 1));
  await rig.crash();
  await rig.engine.settle();
  const [changed] = rig.engine.status();
  assert.equal(changed!.state, 'stopped');
  assert.deepEqual(changed!.reason, {
    code: 'QUERY_CHANGED',
    message: 'the definition of shop.tumbling means something else than the one its rows were made with',
    hint: 'npx millrace rebuild shop.tumbling',
    place: 'shop.tumbling',
  });
  rig.plans = [sliding];
  rig.check();
});

test('a sink that lost what it had marked is filled again from the log', async (t) => {
  const rig = await started(t, [tumbling, sessions]);
  await rig.append(events(200, 1, 1));
  await rig.engine.settle();
  await rig.append(events(10, 2, 1));
  await rig.engine.settle();
  for (const table of rig.tables.values()) {
    assert.ok(table.markedEpoch > 1);
    table.markedEpoch = 1;
    if (table === rig.tables.get(tumbling.id)) table.rows.clear();
  }
  const told: string[] = [];
  const options = rig.options();
  rig.options = () => ({
    ...options,
    telemetry: {emit: (name, event) => name === 'Log' && told.push((event as {message: string}).message)},
  });
  await rig.crash();
  await rig.engine.settle();
  const why = 'its sink lacks rows that it had acknowledged (lost, or an older copy)';
  assert.deepEqual(
    told,
    [tumbling, sessions].map(({id}) => `${id}: ${why}; its rows are made again from the log`),
  );
  assert.deepEqual(rig.resets, [sessions.id], 'keys of sessions depend on the order of reading');
  rig.check();
});

test('a query that begins again while its checkpoint is on the way begins behind it', async (t) => {
  const rig = await started(t, [tumbling], {partitions: 2});
  const next = random(5);
  for (let round = 0; round < 30; round++) {
    await rig.append(events(20, 300 + round, 2, day + round * 60_000));
    for (let turns = 1 + next(6); turns > 0; turns--) await rig.engine.turn();
    rig.engine.fail(tumbling.id, new PlatformError('LOG_IO', 'for a moment'));
    rig.engine.resume(tumbling.id);
  }
  await rig.engine.settle();
  assert.deepEqual(
    rig.engine.status().map(({state}) => state),
    ['running'],
  );
  rig.check();
});

test('a query whose late records cannot be kept stops with the reason, and a resume comes by them again', async (t) => {
  const late = planOf([purchase], {name: 'late', groupBy: ['country'], late: 'topic', watermarkMs: 0});
  const other = planOf([purchase], {name: 'other', groupBy: ['country']});
  const rig = new EngineRig(t, [purchase], [late, other]);
  const options = rig.options();
  let refusal: PlatformError | undefined = new PlatformError('LOG_IO', 'no late events today');
  rig.options = () => ({
    ...options,
    onSide(plan, side, durable) {
      if (refusal) rig.engine.fail(plan.id, refusal);
      else options.onSide(plan, side, durable);
    },
  });
  await rig.start();
  const at = (timestamp: number): Logged => ({
    type: purchase,
    partition: 0,
    values: {event_id: `${timestamp}`, timestamp, country: 'US', amount: 1},
  });
  await rig.append([at(day), at(day + minute), at(day + 59_999)]);
  await rig.engine.settle();
  const [stopped, running] = rig.engine.status();
  assert.deepEqual([stopped!.state, stopped!.reason?.code], ['stopped', 'LOG_IO']);
  assert.equal(running!.state, 'running');
  const reader = openStateReader(rig.stateDir);
  assert.equal(JSON.parse(reader.load('shop.late/r1')!.meta).cuts[0].offset, 0, 'no checkpoint behind them');
  reader.close();
  refusal = undefined;
  rig.engine.resume(late.id);
  await rig.engine.settle();
  assert.deepEqual(
    rig.side.flatMap(({output}) => output.records.map(({kind, offset}) => [kind, offset])),
    [['late', 2]],
  );
  rig.check();
});

test('late and dead records are handed over once they count, and none twice without a crash', async (t) => {
  const late = planOf([purchase], {name: 'late', groupBy: ['country'], late: 'topic', watermarkMs: 0});
  const rig = await started(t, [late]);
  const at = (timestamp: number, id: string): Logged => ({
    type: purchase,
    partition: 0,
    values: {event_id: id, timestamp, country: 'US', amount: 1},
  });
  await rig.append([at(day, 'a'), at(day + minute, 'b'), at(day + 59_999, 'late'), at(day + minute, 'c')]);
  await rig.engine.settle();
  const records = rig.side.flatMap(({output}) => output.records);
  assert.deepEqual(
    records.map((record) => [record.kind, record.offset, record.kind === 'late' && record.missed]),
    [['late', 2, [day]]],
  );
  rig.check();
});

test('windows close with the clock when partitions fall silent, and an end mark closes them at once', async (t) => {
  const rig = await started(t, [tumbling], {partitions: 2});
  const closed = () =>
    rig.tables
      .get(tumbling.id)!
      .read('closed')
      .map(([, is]) => is);
  await rig.append([
    {type: purchase, partition: 0, values: {event_id: 'a', timestamp: day, country: 'US', amount: 1}},
    {
      type: purchase,
      partition: 0,
      values: {event_id: 'b', timestamp: day + minute, country: 'US', amount: 1},
    },
  ]);
  await rig.engine.settle();
  assert.deepEqual(closed(), [false, false]);
  await rig.clock.advance(30_000);
  await rig.engine.settle();
  assert.deepEqual(closed(), [true, false]);
  await rig.mark('shop.purchase', 0, day + 10 * minute);
  await rig.mark('shop.purchase', 1, day + 10 * minute);
  await rig.engine.settle();
  assert.deepEqual(closed(), [true, true]);
  rig.check();
});

test('drain ends with everything read in rows, marks and checkpoints: started again it writes nothing', async (t) => {
  // Sinks that answer at once, and slower than checkpoints are written.
  for (const [ackMs, markMs] of [
    [0, 0],
    [60, 0],
    [0, 60],
  ] as const) {
    const rig = new EngineRig(t, [purchase, view], all, {partitions: 2, workers: 2});
    const {onRows, onMark, ...options} = rig.options();
    rig.options = () => ({
      ...options,
      onRows: (rows) => after(ackMs, () => onRows(rows)),
      onMark: (query, epoch) => after(markMs, () => onMark(query, epoch)),
    });
    await rig.start();
    await rig.append(events(300, 5, 2));
    for (let turns = 0; turns < 4; turns++) await rig.engine.turn();
    await rig.engine.drain();
    for (const status of rig.engine.status()) assert.equal(status.state, 'running');
    await rig.engine.stop();
    await rig.start();
    await rig.engine.settle();
    rig.check();
    const writes = () => [...rig.tables.values()].map((table) => table.writes);
    const before = writes();
    await rig.append(events(60, 6, 2, day + 600_000));
    await rig.clock.advance(1_000);
    for (let turns = 0; turns < 4; turns++) await rig.engine.turn();
    await rig.engine.drain();
    const drained = writes();
    assert.notDeepEqual(drained, before);
    await rig.engine.stop();
    await rig.start();
    await rig.engine.drain();
    assert.deepEqual(writes(), drained, `acknowledged after ${ackMs} ms, marked after ${markMs} ms`);
    await rig.engine.stop();
  }
});

function after(ms: number, call: () => void): void {
  if (ms === 0) call();
  else setTimeout(call, ms);
}

test('sketches, first and last survive crashes: the rows are those of a run without one', async (t) => {
  const sketches = planOf([purchase], {
    name: 'sketches',
    groupBy: ['country'],
    measures: {
      users: 'distinct(user)',
      median: 'quantile(amount, 0.5)',
      opening: 'first(user)',
      closing: 'last(amount)',
    },
    window: {type: 'sliding', sizeMs: 5 * minute, slideMs: minute},
  });
  const parts = [1, 2, 3, 4].map((seed) => events(100, seed, 2, day + seed * 300_000));
  const [calm, rough] = [
    await started(t, [sketches], {partitions: 2}),
    await started(t, [sketches], {partitions: 2}),
  ];
  for (const part of parts) {
    for (const rig of [calm, rough]) {
      await rig.append(part);
      await rig.engine.settle();
    }
    await rough.crash();
  }
  await rough.engine.settle();
  const rows = (rig: EngineRig) =>
    rig.tables.get(sketches.id)!.read('country', 'users', 'median', 'opening', 'closing', 'events');
  assert.deepEqual(rows(rough), rows(calm));
  assert.ok(rows(calm).some(([, , users]) => Number(users) > 3));
});
