import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import {minute, planOf, Rig} from './rig.ts';

/** Sessions with a gap of 10 minutes; times in minutes. */
async function withSessions(
  more: Partial<QueryPlan>,
  run: (
    rig: Rig,
    add: (partition: number, offset: number, ...sessions: [string, number, number, number][]) => void,
  ) => Promise<void>,
): Promise<void> {
  const rig = await Rig.open(planOf({window: {type: 'session', gapMs: 10 * minute}, ...more}), 2);
  const add = (partition: number, offset: number, ...sessions: [string, number, number, number][]) => {
    const maxTimeMs = Math.max(...sessions.map(([, , last]) => last * minute));
    rig.apply({
      cuts: [[partition, offset, maxTimeMs]],
      sessions: sessions.map(([group, start, last, total]) => [
        group,
        start * minute,
        last * minute,
        1,
        total,
      ]),
    });
  };
  try {
    await run(rig, add);
  } finally {
    await rig.close();
  }
}

const ends = (rig: Rig) =>
  rig.table
    .read('window_end', 'country', 'total', 'events')
    .map(([start, end, ...rest]) => [start, Number(end) / minute, ...rest]);
const tombstones = (rig: Rig) =>
  [...rig.table.rows.values()]
    .filter(({deleted}) => deleted)
    .map(({window_start, version}) => [Number(window_start) / minute, version]);

test('events closer than the gap, or exactly it, are one session; further apart two', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 0, 5, 1], ['b', 0, 5, 1], ['a', 40, 40, 1]);
    add(0, 2, ['a', 15, 15, 10]);
    rig.apply({cuts: [[0, 3, 0]], sessions: [['b', 15 * minute + 1, 15 * minute + 1, 1, 10]]});
    await rig.settle();
    assert.deepEqual(ends(rig), [
      [0, 25, 'a', 11, 2],
      [0, 15, 'b', 1, 1],
      [15 + 1 / minute, 25 + 1 / minute, 'b', 10, 1],
      [40, 50, 'a', 1, 1],
    ]);
    assert.deepEqual(tombstones(rig), []);
  }));

test('rows of sessions leave only after the checkpoint that knows them', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 0, 0, 1]);
    assert.equal(rig.flush(), 0);
    await rig.checkpoint();
    assert.equal(rig.flush(), 1);
  }));

test('a session that merges two leaves one row and a tombstone in the same flush', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 0, 0, 1], ['a', 20, 20, 2]);
    await rig.settle();
    assert.equal(rig.table.rows.size, 2);
    add(1, 1, ['a', 10, 10, 4]);
    await rig.checkpoint();
    const rows = rig.merger.takeRows()!;
    assert.deepEqual([rows.count, rows.columns[0]], [2, [20 * minute, 0]]);
    rig.table.upsert(rows);
    assert.deepEqual(ends(rig), [[0, 30, 'a', 7, 3]]);
    assert.deepEqual(tombstones(rig), [[20, 2n ** 63n - 1n]]);
  }));

test('an earlier event moves the start, and the old start gets a tombstone', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 10, 12, 1]);
    await rig.settle();
    add(1, 1, ['a', 5, 5, 1]);
    await rig.settle();
    assert.deepEqual(ends(rig), [[5, 22, 'a', 2, 2]]);
    assert.deepEqual(
      tombstones(rig).map(([at]) => at),
      [10],
    );
  }));

test('a start that never left needs no tombstone', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 10, 12, 1]);
    add(1, 1, ['a', 5, 5, 1]);
    await rig.settle();
    assert.equal(rig.table.rows.size, 1);
  }));

test('tombstones survive a crash before they were delivered', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 10, 12, 1]);
    await rig.settle();
    add(1, 1, ['a', 5, 5, 1]);
    await rig.checkpoint();
    rig.restart();
    await rig.settle();
    assert.deepEqual(ends(rig), [[5, 22, 'a', 2, 2]]);
    assert.deepEqual(
      tombstones(rig).map(([at]) => at),
      [10],
    );
    await rig.settle();
    rig.restart();
    assert.equal(rig.flush(), 0);
    assert.equal(rig.merger.wantsCheckpoint(), false, 'nothing is pending any more');
  }));

test('no orphan stays whatever the order in which partitions are read before and after a crash', () =>
  withSessions({}, async (rig, add) => {
    // First run: partition 0 alone was read and its row left; the crash comes before anything else is checkpointed.
    add(0, 1, ['a', 10, 10, 1]);
    await rig.settle();
    add(0, 2, ['a', 30, 30, 1]);
    rig.flush();
    rig.restart();
    // Second run: partition 1 comes first and bridges both.
    add(1, 1, ['a', 20, 20, 1]);
    await rig.settle();
    add(0, 2, ['a', 30, 30, 1]);
    add(1, 2, ['a', 2, 2, 1]);
    await rig.settle();
    assert.deepEqual(ends(rig), [[2, 40, 'a', 4, 4]]);
    assert.deepEqual(
      tombstones(rig).map(([at]) => at),
      [10],
    );
  }));

test('a session closes when its last event and the gap lie before the minimum watermark', () =>
  withSessions({}, async (rig, add) => {
    add(0, 1, ['a', 0, 0, 1]);
    add(1, 1, ['b', 10, 10, 1]);
    add(0, 2, ['b', 10, 10, 1]);
    await rig.settle();
    assert.deepEqual(rig.table.read('country', 'closed'), [
      [0, 'a', false],
      [10, 'b', false],
    ]);
    rig.apply({
      cuts: [
        [0, 3, 10 * minute + 1],
        [1, 2, 10 * minute + 1],
      ],
    });
    await rig.settle();
    assert.deepEqual(rig.table.read('country', 'closed', 'version'), [
      [0, 'a', true, 3],
      [10, 'b', false, 4],
    ]);
    assert.equal(rig.merger.openWindows(), 1);
  }));

test('emit: close sends sessions when they close, and a tombstone only for what was sent', () =>
  withSessions({emit: 'close'}, async (rig, add) => {
    add(0, 1, ['a', 10, 10, 1], ['b', 10, 10, 1]);
    add(1, 1, ['a', 5, 5, 1]);
    await rig.settle();
    assert.equal(rig.table.rows.size, 0);
    rig.apply({
      cuts: [
        [0, 2, 21 * minute],
        [1, 2, 21 * minute],
      ],
    });
    await rig.settle();
    assert.deepEqual(ends(rig), [
      [5, 20, 'a', 2, 2],
      [10, 20, 'b', 1, 1],
    ]);
    add(1, 3, ['b', 1, 1, 5]);
    await rig.settle();
    assert.deepEqual(ends(rig), [
      [1, 20, 'b', 6, 2],
      [5, 20, 'a', 2, 2],
    ]);
    assert.deepEqual(
      tombstones(rig).map(([at]) => at),
      [10],
    );
  }));

test('closed sessions are corrected within the horizon and forgotten past it', () =>
  withSessions({correctForMs: 60 * minute}, async (rig, add) => {
    add(0, 1, ['a', 0, 0, 1]);
    rig.apply({
      cuts: [
        [0, 2, 70 * minute],
        [1, 1, 70 * minute],
      ],
    });
    await rig.settle();
    assert.equal(rig.keys('s/').length, 1, 'last + gap + horizon is not past yet');
    rig.restart();
    add(0, 3, ['a', 10, 10, 1]);
    await rig.settle();
    assert.deepEqual(rig.table.read('version', 'closed'), [[0, 5, true]]);
    rig.apply({
      cuts: [
        [0, 4, 81 * minute],
        [1, 2, 81 * minute],
      ],
    });
    await rig.settle();
    assert.equal(rig.keys('s/').length, 0);
    assert.equal(rig.merger.groups.count, 0);
  }));
