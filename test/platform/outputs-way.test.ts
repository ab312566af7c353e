/** The ways of one query's rows into several sinks, one of which is slow. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setImmediate as turn} from 'node:timers/promises';
import {testClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import {pushAll, Way} from '../../src/platform/outputs-way.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import type {Sink} from '../../src/sinks/types.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';

const table = queryTable('both', {country: 'string'});
const clock = testClock();

/** A way into a sink that takes what it is given when it is let. */
function wayInto(name: string) {
  const written: number[] = [];
  let gate: Promise<void> | undefined;
  let open = () => {};
  const sink: Sink = {
    async ensure() {},
    async write(_, batch) {
      await gate;
      written.push(batch.count);
    },
    async mark() {},
    marked: async () => undefined,
    async close() {},
  };
  const delivery = createDelivery({
    sink,
    sinkName: name,
    table,
    clock,
    random: () => 0.5,
    telemetry: {emit() {}},
  });
  return {
    written,
    way: new Way(name, delivery, {onPaused() {}, onResumed() {}}),
    hold() {
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    release: () => open(),
  };
}

const rows = (from: number, count: number) =>
  batchOf(
    table,
    Array.from({length: count}, (_, row) => countryRow(`c${from + row}`, 1, 2)),
  );

/** Whether a promise is resolved once everything that can happen has happened. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  promise.then(
    () => (over = true),
    () => (over = true),
  );
  for (let count = 0; count < 20; count++) await turn();
  return over;
}

test('a slow sink holds neither another one nor its query until too many rows wait for it; what follows all of them waits', async () => {
  const [quick, slow] = [wayInto('quick'), wayInto('slow')];
  const ways = [quick.way, slow.way];
  slow.hold();
  let taken: Promise<void>[] = [];
  let written: Promise<void>[] = [];
  for (let from = 0; from < 3; from++) {
    const pushed = pushAll(ways, rows(from * 20_000, 20_000), [], false);
    taken.push(pushed.taken);
    written.push(pushed.written);
    assert.equal(await isOver(pushed.taken), from < 2, `batch ${from}`);
    assert.equal(await isOver(pushed.written), false);
  }
  assert.deepEqual(quick.written, [20_000, 20_000, 20_000]);
  assert.equal(await isOver(quick.way.settled), true);
  assert.equal(await isOver(slow.way.settled), false);
  clock.advance(4_000);
  const places = [{topic: 'shop.purchase', partition: 0, offset: 70}];
  const status = {lagEvents: 5, lagMs: 100, positions: places} as never;
  assert.equal(slow.way.status('shop.both__r1', status).lagMs, 4_000);
  assert.equal(quick.way.status('shop.both__r1', status).lagMs, 100);
  slow.release();
  await Promise.all([...taken, ...written, slow.way.settled]);
  assert.deepEqual(slow.written, [20_000, 40_000]);
  [taken, written] = [[], []];

  // Where the sinks are compared, rows count when all have them.
  slow.hold();
  const strict = pushAll(ways, rows(0, 1), [], true);
  assert.equal(await isOver(strict.taken), false);
  slow.release();
  await strict.taken;
});

test('the lag of a sink is what its query has not read, and what was read since the rows that it has', async () => {
  const [quick, slow] = [wayInto('quick'), wayInto('slow')];
  const ways = [quick.way, slow.way];
  const at = (offset: number) => [{topic: 'shop.purchase', partition: 0, offset}];
  await pushAll(ways, rows(0, 10), at(100), false).written;
  slow.hold();
  const {taken, written} = pushAll(ways, rows(0, 10), at(160), false);
  await taken;
  const status = {lagEvents: 7, lagMs: 0, positions: at(170)} as never;
  assert.equal(slow.way.status('shop.both__r1', status).lagEvents, 77);
  assert.equal(quick.way.status('shop.both__r1', status).lagEvents, 7);
  slow.release();
  await written;
  assert.equal(slow.way.status('shop.both__r1', status).lagEvents, 7);
});

test('what was given up does not keep what comes after it from being marked; a refusal reaches who waits for either', async () => {
  const {way, hold, release} = wayInto('slow');
  hold();
  const underWay = way.push(rows(0, 1), []);
  const waiting = way.push(rows(1, 1), []);
  way.abandon();
  await assert.rejects(waiting, {code: 'SINK_CLOSED'});
  await way.settled;
  release();
  await underWay;
  const refusing = wayInto('refusing').way;
  refusing.delivery.push = () => Promise.reject(new PlatformError('SINK_REFUSED', 'access denied'));
  const {taken, written} = pushAll([refusing, refusing], rows(0, 1), [], false);
  await assert.rejects(taken, {code: 'SINK_REFUSED'});
  await assert.rejects(written, {code: 'SINK_REFUSED'});
});
