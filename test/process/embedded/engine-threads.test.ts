import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PlatformError} from '../../../src/errors.ts';
import {createEngine, type EmbeddedEngine} from '../../../src/process/embedded/engine.ts';
import type {Telemetry, TelemetryEvents} from '../../../src/telemetry.ts';
import {field} from '../../support/fields.ts';
import {threadsOf} from '../../support/threads.ts';
import {until} from '../../support/until.ts';
import {EngineRig} from './engine-rig.ts';
import {eventType, type Logged, planOf} from './kernel-world.ts';
import {minute} from './rig.ts';

const click = eventType('click', [field('page', 'string', {role: 'dimension'}), field('ms', 'long')]);
const perMinute = planOf([click], {
  name: 'per_minute',
  groupBy: ['page'],
  measures: {n: 'count()', total: 'sum(ms)'},
});
const visits = planOf([click], {
  name: 'visits',
  groupBy: ['page'],
  measures: {n: 'count()'},
  window: {type: 'session', gapMs: minute},
});

const clicks = (count: number, from: number): Logged[] =>
  Array.from({length: count}, (_, index) => ({
    type: click,
    partition: Math.floor(index / 10) % 4,
    values: {
      event_id: `${from + index}`,
      timestamp: 1_000_000_000_000 + (from + index) * 500 + ((index * 7919) % 3) * 20_000,
      page: `p${index % 13}`,
      ms: index,
    },
  }));

/** Waits until the engine has nothing left to do. */
async function settled(engine: EmbeddedEngine, events: number): Promise<void> {
  const untilMs = performance.now() + 60_000;
  while (performance.now() < untilMs) {
    const status = engine.status();
    const hasRead = status.every(({counts}) => counts.reduce((sum, {read}) => sum + read, 0) === events);
    if (status.length > 0 && hasRead && status.every((each) => each.settled)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(JSON.stringify(engine.status()));
}

test('two worker threads share partitions and queries, and resume where they drained', async (t) => {
  const rig = new EngineRig(t, [click], [perMinute, visits], {partitions: 4});
  await rig.append(clicks(400, 0));
  const options = {...rig.options(), workers: 2, flushMs: 5, checkpointIntervalMs: 50};
  const run = async (events: number, more: () => Promise<void>) => {
    const engine = createEngine(options);
    rig.engine = engine as never;
    await engine.start(rig.plans);
    await more();
    await settled(engine, events);
    await engine.drain();
    await engine.stop();
  };
  await run(700, () => rig.append(clicks(300, 400)));
  await run(900, () => rig.append(clicks(200, 700)));
  await rig.start();
  await rig.engine.settle();
  rig.check();
});

test('a worker that ends by itself is started again, and nothing is lost or counted twice', async (t) => {
  const rig = new EngineRig(t, [click], [perMinute, visits], {partitions: 4});
  const threads = threadsOf(t);
  const messages: string[] = [];
  const telemetry: Telemetry = {
    emit: (name, event) => {
      if (name === 'Log') messages.push((event as TelemetryEvents['Log']).message);
    },
  };
  await rig.append(clicks(300, 0));
  const engine = createEngine({
    ...rig.options(),
    telemetry,
    workers: 2,
    flushMs: 5,
    checkpointIntervalMs: 50,
  });
  rig.engine = engine as never;
  await engine.start(rig.plans);
  await settled(engine, 300);
  // The first thread is the checkpoint writer.
  const [, first, second] = threads;
  for (const [round, thread] of [first!, second!].entries()) {
    const appended = rig.append(clicks(300, 300 + round * 300));
    await thread.terminate();
    await appended;
    await settled(engine, 600 + round * 300);
  }
  assert.equal(threads.length, 5);
  assert.match(messages.join(), /engine worker 0 ended .*engine worker 1 ended/s);
  rig.check();
});

test('a worker that is started again waits for a sink as it was told before it ended, and while it was not there', {
  timeout: 240_000,
}, async (t) => {
  const rig = new EngineRig(t, [click], [perMinute, visits], {partitions: 4});
  const threads = threadsOf(t);
  await rig.append(clicks(300, 0));
  const engine = createEngine({...rig.options(), workers: 1, flushMs: 5, checkpointIntervalMs: 50});
  rig.engine = engine as never;
  await engine.start(rig.plans);
  await settled(engine, 300);
  const down = new PlatformError('SINK_UNAVAILABLE', 'it does not answer');
  engine.pause(perMinute.id, down);
  await threads[1]!.terminate();
  engine.pause(visits.id, down);
  await rig.append(clicks(300, 300));
  const shown = () => engine.status().map(({state, reason}) => [state, reason?.code]);
  while (shown().some(([state]) => state !== 'paused')) {
    engine.report();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(shown(), [
    ['paused', 'SINK_UNAVAILABLE'],
    ['paused', 'SINK_UNAVAILABLE'],
  ]);
  for (const {id} of rig.plans) engine.resume(id);
  await settled(engine, 600);
  rig.check();
});

test('a worker that ends while it drains is started again and drains', {timeout: 240_000}, async (t) => {
  const rig = new EngineRig(t, [click], [perMinute, visits], {partitions: 4});
  const threads = threadsOf(t);
  await rig.append(clicks(300, 0));
  const engine = createEngine({...rig.options(), workers: 2, flushMs: 5, checkpointIntervalMs: 50});
  rig.engine = engine as never;
  await engine.start(rig.plans);
  await settled(engine, 300);
  await threads[1]!.terminate();
  // It is not there just now, so that it cannot be told.
  assert.equal(await engine.drain(), true);
  assert.ok(engine.status().every(({settled: isSettled}) => isSettled));
  rig.check();
});

test('a drain that takes too long says what waits and goes on; one whose engine is stopped ends', {
  timeout: 240_000,
}, async (t) => {
  const rig = new EngineRig(t, [click], [perMinute], {partitions: 4});
  const options = {...rig.options(), workers: 2, flushMs: 5, checkpointIntervalMs: 50};
  const startStuck = async () => {
    rig.stuck.add(perMinute.id);
    const engine = createEngine(options);
    rig.engine = engine as never;
    await engine.start(rig.plans);
    await until(() => rig.unacknowledged.length > 0, 'rows');
    // A drain reads no more: everything has to be read by then.
    await until(
      () => engine.status()[0]?.lagEvents === 0 && engine.status()[0]!.counts.length > 0,
      'the end of the log',
    );
    return engine;
  };
  await rig.append(clicks(300, 0));
  const first = await startStuck();
  assert.equal(await first.drain(50), false);
  await until(() => first.status()[0]?.waitsFor?.includes('rows'), 'a drain that waits');
  const drained = first.drain();
  rig.stuck.clear();
  for (const rows of rig.unacknowledged.splice(0)) rig.deliver(rows);
  assert.equal(await drained, true);
  assert.equal(first.status()[0]?.waitsFor, undefined);
  rig.check();
  await first.stop();

  await rig.append(clicks(300, 300));
  const second = await startStuck();
  const draining = second.drain();
  await second.stop();
  assert.equal(await draining, false);
});
