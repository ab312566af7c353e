import assert from 'node:assert/strict';
import {test} from 'node:test';
import {random} from '../../support/random.ts';
import {minute, planOf, Rig} from './rig.ts';

const gap = 10;

const openRig = (leavingMin: number, horizonMinutes: number): Promise<Rig> =>
  Rig.open(
    planOf({
      window: {type: 'session', gapMs: gap * minute},
      correctForMs: horizonMinutes * minute,
      limits: {groups: 1e6, memoryBytes: 2 ** 30, stateDiskBytes: 2 ** 30},
    }),
    1,
    leavingMin,
  );

/** One event for each group at its minute, and the watermark at `toMinute`. */
function add(rig: Rig, offset: number, toMinute: number, events: [group: string, at: number][]): void {
  rig.apply({
    cuts: [[0, offset, toMinute * minute]],
    sessions: events.map(([group, at]) => [group, at * minute, at * minute, 1, at]),
  });
}

const rows = (rig: Rig) => rig.table.read('window_end', 'country', 'total', 'events', 'closed');
const tombstones = (rig: Rig) => [...rig.table.rows.values()].filter(({deleted}) => deleted).length;

test('closed sessions leave memory once they were delivered and committed, whatever their number', async () => {
  const rig = await openRig(1000, 1e6);
  try {
    const perRound = 1500;
    let bytesMax = 0;
    for (let round = 0; round < 16; round++) {
      const at = round * 30;
      add(
        rig,
        round + 1,
        at,
        Array.from({length: perRound}, (_, k) => [`user ${round} ${k}`, at]),
      );
      await rig.settle();
      if (round > 2) bytesMax = Math.max(bytesMax, rig.merger.bytes());
      assert.ok(rig.merger.groups.count <= 3 * perRound, `${rig.merger.groups.count} groups in memory`);
    }
    assert.equal(rig.table.rows.size, 16 * perRound);
    assert.ok(rig.keys('z/').length > 10);
    // All of them in memory would be 24,000 sessions of more than 260 bytes, and their groups.
    assert.ok(bytesMax < 6e6, `${bytesMax} bytes`);
    assert.ok(rig.store.sizeBytes('shop.revenue/r1') > 24_000 * 30, 'and they count as state on disk');
    rig.restart();
    assert.ok(rig.merger.groups.count <= 3 * perRound, 'a restart leaves them where they are');
  } finally {
    await rig.close();
  }
});

test('a correction that bridges two sessions on disk makes one row and a tombstone, also after a restart', async () => {
  for (const restarts of [false, true]) {
    const rig = await openRig(1, 1e6);
    try {
      add(rig, 1, 0, [
        ['a', 0],
        ['b', 0],
      ]);
      add(rig, 2, 20, [
        ['a', 20],
        ['b', 20],
      ]);
      add(rig, 3, 100, [['c', 100]]);
      await rig.settle();
      assert.equal(rig.merger.groups.count, 1, 'only the open session is in memory');
      assert.deepEqual(rig.keys('s/').length, 1);
      if (restarts) rig.restart();
      // Of `a` both, of `b` the first; then that again from the run that it left with.
      add(rig, 4, 100, [
        ['a', 10],
        ['b', 5],
      ]);
      await rig.settle();
      assert.equal(rig.merger.groups.count, 1, 'and they leave again');
      if (restarts) rig.restart();
      add(rig, 5, 100, [['b', 3]]);
      await rig.settle();
      assert.deepEqual(rows(rig), [
        [0, 30 * minute, 'a', 30, 3, true],
        [0, 15 * minute, 'b', 8, 3, true],
        [20, 30 * minute, 'b', 20, 1, true],
        [100, 110 * minute, 'c', 100, 1, false],
      ]);
      assert.equal(tombstones(rig), 1);
    } finally {
      await rig.close();
    }
  }
});

test('a session that is corrected while its run is on the way to the store stays in memory and counts once', async () => {
  const rig = await openRig(1, 1e6);
  try {
    add(rig, 1, 0, [['a', 0]]);
    add(rig, 2, 100, [['c', 100]]);
    await rig.checkpoint();
    rig.flush();
    // Its row is marked: this copy takes it along, and the correction comes before the commit.
    const committed = rig.checkpoint();
    assert.equal(rig.merger.groups.count, 2);
    add(rig, 3, 100, [['a', 5]]);
    await committed;
    assert.equal(rig.merger.groups.count, 2, 'it changed, so it stays');
    await rig.settle();
    add(rig, 4, 100, [['a', 7]]);
    await rig.settle();
    rig.restart();
    assert.deepEqual(rows(rig)[0], [0, 17 * minute, 'a', 12, 3, true]);
  } finally {
    await rig.close();
  }
});

test('stored sessions are deleted when no event may touch them any more', async () => {
  const rig = await openRig(1, 60);
  try {
    add(rig, 1, 0, [['a', 0]]);
    add(rig, 2, 50, [['b', 50]]);
    await rig.settle();
    assert.equal(rig.keys('z/').length, 1);
    add(rig, 3, 70, []);
    await rig.settle();
    assert.equal(rig.keys('z/').length, 2, 'the end and the horizon are not past: minute 70');
    add(rig, 4, 71, []);
    await rig.settle();
    assert.equal(rig.keys('z/').length, 1);
    add(rig, 5, 200, []);
    await rig.settle();
    assert.deepEqual([rig.keys('z/'), rig.keys('s/'), rig.merger.groups.count], [[], [], 0]);
  } finally {
    await rig.close();
  }
});

/** Sessions of all events, the obvious way: [start, end, group, total, events]. */
function sessionsOf(events: [string, number][]): unknown[] {
  const found: [number, number, string, number, number][] = [];
  for (const [group, at] of events.toSorted((a, b) => a[1] - b[1])) {
    const last = found.findLast((one) => one[2] === group);
    if (last && at * minute <= last[1]) {
      last[1] = (at + gap) * minute;
      last[3] += at;
      last[4]++;
    } else found.push([at, (at + gap) * minute, group, at, 1]);
  }
  return found.sort((a, b) => a[0] - b[0] || (a[2] < b[2] ? -1 : 1));
}

test('random events, corrections, crashes and restarts give the sessions of the obvious way', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const {int} = random(seed);
    const horizon = seed % 2 === 0 ? 1e6 : 150;
    const rig = await openRig(1 + int(4), horizon);
    try {
      const all: [string, number][] = [];
      const deltas: {offset: number; to: number; events: [string, number][]}[] = [];
      let committed = 0;
      let now = 0;
      const give = ({offset, to, events}: (typeof deltas)[number]) => add(rig, offset, to, events);
      for (let step = 0; step < 150; step++) {
        now += int(6);
        const events = Array.from({length: int(4)}, (): [string, number] => {
          const back = int(3) === 0 ? int(Math.min(now, 140) + 1) : int(3);
          return [`g${int(5)}`, Math.max(0, now - back)];
        });
        all.push(...events);
        deltas.push({offset: step + 1, to: now, events});
        give(deltas.at(-1)!);
        const chance = int(10);
        if (chance < 3) {
          await rig.checkpoint();
          committed = deltas.length;
        }
        if (chance < 5) rig.flush();
        if (chance === 9) {
          rig.restart();
          for (const delta of deltas.slice(committed)) give(delta);
        }
      }
      await rig.settle();
      assert.deepEqual(
        rig.table.read('window_end', 'country', 'total', 'events'),
        sessionsOf(all),
        `seed ${seed}`,
      );
      assert.ok(horizon < 1e6 || rig.keys('z/').length > 0, 'sessions were on disk');
    } finally {
      await rig.close();
    }
  }
});
