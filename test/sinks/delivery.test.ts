import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {setImmediate as turn} from 'node:timers/promises';
import {testClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import type {Table} from '../../src/model/types.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {createMarker} from '../../src/sinks/marker.ts';
import {reduceToHighest} from '../../src/sinks/reduce.ts';
import {retryDelayMs} from '../../src/sinks/retry.ts';
import {batchOf, columnIndex, pick} from '../../src/sinks/tables.ts';
import type {RowBatch, Sink} from '../../src/sinks/types.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';

/** A sink in memory whose failures a test decides, that upserts by version as the interface says. */
function memorySink(table: Table) {
  const rows = new Map<string, {version: number; total: number}>();
  const sink = {
    rows,
    writes: [] as number[],
    marks: [] as {table: string; epoch: number}[][],
    /** Thrown instead of writing, or, with `after`, once the rows are in. */
    failure: undefined as {error: Error; after?: boolean} | undefined,
    inFlight: 0,
    async ensure() {},
    async write(_: Table, batch: RowBatch) {
      assert.equal(sink.inFlight, 0, 'one batch in flight per table');
      sink.inFlight += 1;
      await turn();
      sink.inFlight -= 1;
      if (sink.failure && !sink.failure.after) throw sink.failure.error;
      const [version, total] = ['version', 'total'].map((name) => batch.columns[columnIndex(table, name)]!);
      const keys = new Set<string>();
      for (let row = 0; row < batch.count; row++) {
        const key = keyText(table, batch, row);
        assert.ok(!keys.has(key), 'a batch has one row a key');
        keys.add(key);
        const next = {version: Number(version![row]), total: Number(total![row])};
        if (next.version > (rows.get(key)?.version ?? -1)) rows.set(key, next);
      }
      sink.writes.push(batch.count);
      if (sink.failure) throw sink.failure.error;
    },
    async mark(marks: {table: string; epoch: number}[]) {
      if (sink.failure) throw sink.failure.error;
      sink.marks.push(marks);
      await turn();
    },
    async marked() {
      return undefined;
    },
    async close() {},
  };
  return sink satisfies Sink;
}

const keyText = (table: Table, batch: RowBatch, row: number) =>
  JSON.stringify(table.key.map((name) => batch.columns[columnIndex(table, name)]![row]));

function setup(rowsMax?: number) {
  const table = queryTable('delivered', {country: 'string'});
  const sink = memorySink(table);
  const clock = testClock();
  const events: string[] = [];
  const delivery = createDelivery({
    sink,
    sinkName: 'memory',
    table,
    clock,
    random: () => 0.5,
    telemetry: {emit: (name) => void events.push(name)},
    callbacks: {
      onPaused: () => void events.push('paused'),
      onResumed: () => void events.push('resumed'),
    },
    ...(rowsMax === undefined ? {} : {rowsMax}),
  });
  const push = (country: string, total: number, version: number) =>
    delivery.push(batchOf(table, [countryRow(country, total, version)]));
  return {table, sink, clock, events, delivery, push};
}

const down = new PlatformError('SINK_UNAVAILABLE', 'connection refused');
const denied = new PlatformError('SINK_REFUSED', 'access denied');

describe('delivery', () => {
  test('batches that wait go out together, the highest version of a key alone', async () => {
    const {sink, push, delivery} = setup();
    await Promise.all([push('DE', 1, 2), push('DE', 2, 4), push('FR', 1, 2), push('DE', 3, 6)]);
    assert.deepEqual(sink.writes, [1, 2]);
    assert.deepEqual(
      [...sink.rows.values()],
      [
        {version: 6, total: 3},
        {version: 2, total: 1},
      ],
    );
    assert.deepEqual(delivery.counts(), {emitted: 4, written: 4, pending: 0, dead: 0});
  });

  test('a large batch goes in several writes', async () => {
    const {sink, delivery, table} = setup(4);
    const rows = Array.from({length: 10}, (_, index) => countryRow(`c${index}`, index, 2));
    await delivery.push(batchOf(table, rows));
    assert.deepEqual(sink.writes, [4, 4, 2]);
    assert.equal(sink.rows.size, 10);
  });

  test('a sink that is down for a minute pauses the delivery, which resumes alone', async () => {
    const {sink, clock, events, delivery, push} = setup();
    sink.failure = {error: down};
    const done = push('DE', 1, 2);
    for (let second = 0; second < 60; second++) await settle(clock, 1000);
    assert.equal(delivery.state(), 'paused');
    assert.equal(delivery.reason()?.code, 'SINK_UNAVAILABLE');
    assert.deepEqual(delivery.counts(), {emitted: 1, written: 0, pending: 1, dead: 0});
    assert.equal(events.filter((name) => name === 'paused').length, 1);
    const more = push('DE', 2, 4);
    sink.failure = undefined;
    await settle(clock, 10_000);
    await Promise.all([done, more]);
    assert.equal(delivery.state(), 'running');
    assert.deepEqual([...sink.rows.values()], [{version: 4, total: 2}]);
    assert.deepEqual(delivery.counts(), {emitted: 2, written: 2, pending: 0, dead: 0});
    for (const name of ['SinkPaused', 'SinkResumed', 'resumed']) assert.ok(events.includes(name), name);
  });

  test('a short failure is tried again without a pause', async () => {
    const {sink, clock, events, push} = setup();
    sink.failure = {error: down};
    const done = push('DE', 1, 2);
    await settle(clock, 50);
    sink.failure = undefined;
    await settle(clock, 1000);
    await done;
    assert.deepEqual(events, ['SinkFailed', 'SinkFailed', 'RowsWritten']);
  });

  test('a sink that commits and loses its answer gets the batch again, which changes nothing', async () => {
    const {sink, clock, push} = setup();
    sink.failure = {error: down, after: true};
    const done = push('DE', 1, 2);
    await settle(clock, 0);
    sink.failure = undefined;
    await settle(clock, 1000);
    await done;
    assert.deepEqual(sink.writes, [1, 1]);
    assert.deepEqual([...sink.rows.values()], [{version: 2, total: 1}]);
  });

  test('a sink that refuses for good: what waits is given up, what comes is refused, until someone resumes it', async () => {
    const {sink, clock, events, delivery, push} = setup();
    sink.failure = {error: denied};
    const all = [push('DE', 1, 2), push('DE', 2, 4), push('FR', 1, 2)].map((each) =>
      assert.rejects(each, {code: 'SINK_REFUSED'}),
    );
    await settle(clock, 3_600_000);
    await Promise.all(all);
    assert.equal(delivery.state(), 'stopped');
    assert.equal(delivery.reason()?.code, 'SINK_REFUSED');
    assert.deepEqual(events, ['SinkFailed']);
    await assert.rejects(push('DE', 3, 6), {code: 'SINK_REFUSED'});
    assert.deepEqual(delivery.counts(), {emitted: 0, written: 0, pending: 0, dead: 0});
    sink.failure = undefined;
    delivery.resume();
    await push('DE', 1, 2);
    assert.equal(delivery.state(), 'running');
    assert.equal(delivery.reason(), undefined);
    assert.deepEqual(delivery.counts(), {emitted: 1, written: 1, pending: 0, dead: 0});
  });

  test('what a query that stopped had under way is given up, and what comes later is written', async () => {
    const {sink, clock, events, delivery, push} = setup();
    sink.failure = {error: down};
    const all = [push('DE', 1, 2), push('FR', 1, 2)].map((each) =>
      assert.rejects(each, {code: 'SINK_CLOSED'}),
    );
    for (let second = 0; second < 60; second++) await settle(clock, 1000);
    assert.equal(delivery.state(), 'paused');
    delivery.abandon();
    await Promise.all(all);
    assert.equal(delivery.state(), 'running');
    sink.failure = undefined;
    await settle(clock, 10_000);
    assert.equal(sink.rows.size, 0);
    await push('DE', 1, 2);
    assert.deepEqual(delivery.counts(), {emitted: 1, written: 1, pending: 0, dead: 0});
    assert.ok(!events.includes('resumed'), 'nobody is told to read on');
  });

  test('one of two sinks failing leaves the other at its pace', async () => {
    const broken = setup();
    const healthy = setup();
    broken.sink.failure = {error: down};
    const pending = broken.push('DE', 1, 2);
    for (let version = 2; version <= 20; version += 2) await healthy.push('DE', version, version);
    assert.deepEqual(healthy.delivery.counts(), {emitted: 10, written: 10, pending: 0, dead: 0});
    broken.delivery.close();
    await assert.rejects(pending, {code: 'SINK_CLOSED'});
  });

  test('closing gives up what is pending, and says so', async () => {
    const {sink, push, delivery} = setup();
    sink.failure = {error: down};
    const both = Promise.allSettled([push('DE', 1, 2), push('FR', 1, 2)]);
    await turn();
    delivery.close();
    for (const each of await both)
      assert.equal(each.status === 'rejected' && (each.reason as PlatformError).code, 'SINK_CLOSED');
    await delivery.drained();
    await assert.rejects(push('DE', 2, 4), {code: 'SINK_CLOSED'});
  });
});

describe('marks', () => {
  test('marks that come while one is in flight go out together, the highest epoch of a table alone', async () => {
    const {sink, clock} = setup();
    const marker = createMarker({
      sink,
      sinkName: 'memory',
      clock,
      random: () => 0.5,
      telemetry: {emit() {}},
    });
    await Promise.all([
      marker.mark('shop.a__r1', 1),
      marker.mark('shop.b__r1', 4),
      marker.mark('shop.a__r1', 3),
      marker.mark('shop.a__r1', 2),
    ]);
    assert.deepEqual(sink.marks, [
      [{table: 'shop.a__r1', epoch: 1}],
      [
        {table: 'shop.b__r1', epoch: 4},
        {table: 'shop.a__r1', epoch: 3},
      ],
    ]);
  });

  test('a sink that refuses marks for good says so to everyone who waits, and is asked again by the next', async () => {
    const {sink, clock} = setup();
    const marker = createMarker({sink, sinkName: 'm', clock, random: () => 0.5, telemetry: {emit() {}}});
    sink.failure = {error: denied};
    await Promise.all(
      ['a', 'b'].map((name) => assert.rejects(marker.mark(`shop.${name}__r1`, 1), {code: 'SINK_REFUSED'})),
    );
    sink.failure = undefined;
    await marker.mark('shop.a__r1', 1);
    assert.deepEqual(sink.marks, [[{table: 'shop.a__r1', epoch: 1}]]);
  });

  test('a mark that fails is tried again', async () => {
    const {sink, clock} = setup();
    const marker = createMarker({sink, sinkName: 'm', clock, random: () => 0.5, telemetry: {emit() {}}});
    sink.failure = {error: down};
    const done = marker.mark('shop.a__r1', 1);
    await settle(clock, 120_000);
    sink.failure = undefined;
    await settle(clock, 10_000);
    await done;
    assert.deepEqual(sink.marks, [[{table: 'shop.a__r1', epoch: 1}]]);
  });
});

test('delays grow exponentially to their maximum, spread over the whole of it', () => {
  const policy = {baseMs: 100, delayMsMax: 10_000, attemptsMax: 5};
  const delays = [1, 2, 3, 8, 40].map((failures) => retryDelayMs(policy, failures, () => 0.5));
  assert.deepEqual(delays, [50, 100, 200, 5_000, 5_000]);
  assert.equal(
    retryDelayMs(policy, 40, () => 0),
    1,
  );
});

/** Lets everything that is ready happen, then moves the clock. */
async function settle(clock: ReturnType<typeof testClock>, ms: number) {
  for (let round = 0; round < 5; round++) await turn();
  await clock.advance(ms);
  for (let round = 0; round < 5; round++) await turn();
}

test('reducing keeps of every key the highest version, as the obvious way does', () => {
  const table = queryTable('reduced', {text: 'string', count: 'long', share: 'double', yes: 'boolean'});
  const texts = [null, '', 'a', 'b', 'ab', 'null', '1', 'é'];
  const counts = [null, 0, 1, -1, 4_294_967_296, 9_007_199_254_740_993n, 9_007_199_254_740_995n];
  const shares = [null, 0.25, 0.5, Number.NaN, Number.POSITIVE_INFINITY, -1e300];
  let seed = 1;
  const next = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const rows = Array.from({length: 20_000}, (_, row) => [
    next(4) * 60_000,
    60_000,
    texts[next(8)]!,
    counts[next(7)]!,
    shares[next(6)]!,
    [null, true, false][next(3)]!,
    row,
    1,
    false,
    false,
    next(50),
  ]);
  const batch = batchOf(table, rows);
  const best = new Map<string, number>();
  rows.forEach((values, row) => {
    const key = values
      .slice(0, 1)
      .concat(values.slice(2, 6))
      .map((value) => `${typeof value} ${value}`)
      .join('|');
    const known = best.get(key);
    if (known === undefined || values[10]! >= rows[known]![10]!) best.set(key, row);
  });
  assert.ok(best.size > 3_000);
  assert.deepEqual(
    reduceToHighest(table, batch),
    pick(
      batch,
      [...best.values()].sort((a, b) => a - b),
    ),
  );
});

describe('a slow sink', () => {
  const rows = (table: Table, count: number, version: number) =>
    batchOf(
      table,
      Array.from({length: count}, (_, row) => countryRow(`c${row}`, row, version)),
    );

  test('gets smaller writes when it gives up large ones, and each row once more at most', async () => {
    const {table, sink, clock, delivery} = setup(10_000);
    const write = sink.write.bind(sink);
    let attempts = 0;
    sink.write = async (_, batch) => {
      attempts++;
      if (batch.count > 1_000) throw new PlatformError('SINK_UNAVAILABLE', 'no answer in time');
      return write(table, batch);
    };
    const pushed = delivery.push(rows(table, 10_000, 2));
    let isOver = false;
    void pushed.then(() => (isOver = true));
    while (!isOver) {
      await turn();
      await clock.advance(10_000);
    }
    assert.ok(sink.writes.every((count) => count <= 1_000));
    assert.equal(
      sink.writes.reduce((sum, count) => sum + count, 0),
      10_000,
    );
    assert.ok(attempts < 60, `${attempts} attempts`);
    assert.deepEqual(delivery.counts(), {emitted: 10_000, written: 10_000, pending: 0, dead: 0});
  });

  test('has the last rows of its keys alone waiting, and all count when they are written', async () => {
    const {table, sink, delivery, push} = setup();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const write = sink.write.bind(sink);
    sink.write = async (_, batch) => {
      await held;
      return write(table, batch);
    };
    const pushes = [push('first', 1, 1)];
    for (let version = 1; version <= 100; version++) pushes.push(delivery.push(rows(table, 100, version)));
    assert.equal(delivery.counts().pending, 10_001);
    assert.ok(delivery.heldRows() < 2_000, `${delivery.heldRows()} rows in memory`);
    release();
    await Promise.all(pushes);
    assert.deepEqual(sink.writes, [1, 100]);
    assert.equal(delivery.counts().written, 10_001);
    assert.equal(sink.rows.size, 101);
    assert.ok([...sink.rows].every(([key, {version}]) => key.includes('first') || version === 100));
    assert.equal(delivery.heldRows(), 0);
  });
});
