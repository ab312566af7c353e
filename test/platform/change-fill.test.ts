import assert from 'node:assert/strict';
import {test} from 'node:test';
import {lastSwitched} from '../../src/platform/apply.ts';
import {finished, lossOf} from '../../src/platform/change.ts';
import {type Comparison, compareRevisions} from '../../src/platform/change-compare.ts';
import {mustWait} from '../../src/platform/change-fill.ts';
import {newestRows} from '../../src/platform/change-rows.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';

test('a filling waits from the moment that what runs lags more than the limit until it lags half as much', () => {
  let waits = false;
  const told = [0, 1_999, 2_000, 2_001, 1_500, 1_001, 1_000, 1_500].map((lagMs) => {
    waits = mustWait(waits, lagMs, 2_000);
    return waits;
  });
  assert.deepEqual(told, [false, false, false, true, true, true, false, false]);
});

test('a switch keeps what was shown before for a rollback; a switch that is finished again changes nothing', () => {
  const once = finished({current: 1, filling: 2, switching: 2}, 2, {pinned: false, switchedMs: 5});
  assert.deepEqual(once, {current: 2, filling: null, previous: 1, switchedMs: 5});
  const again = finished({...once, switching: 2}, 2, {pinned: false, switchedMs: 5});
  assert.deepEqual(again, once);
  const back = finished({...once, switching: 1}, 1, {pinned: true, switchedMs: 9});
  assert.deepEqual(back, {current: 1, filling: null, previous: 2, switchedMs: 9, pinned: true});
});

test('a rollback without names takes back what the last apply switched', () => {
  assert.deepEqual(
    lastSwitched({
      'a.x': {current: 2, filling: null, previous: 1, switchedMs: 10},
      'a.y': {current: 2, filling: null, previous: 1, switchedMs: 20},
      'a.z': {current: 5, filling: null, previous: 4, switchedMs: 20},
      'a.new': {current: 1, filling: null},
    }),
    ['a.y', 'a.z'],
  );
  assert.deepEqual(lastSwitched({}), []);
});

test('the truth of a table is one statement for every SQL: highest versions, no tombstones', () => {
  const column = (name: string) => ({name, type: 'string' as const, nullable: false});
  const sql = newestRows(
    {
      namespace: 'shop',
      name: 'x__r2',
      kind: 'query',
      columns: [column('window_start'), column('n')],
      key: ['window_start', 'who'],
    },
    10,
  );
  assert.match(sql, /SELECT "window_start", "n" FROM/);
  assert.match(sql, /PARTITION BY "window_start", "who" ORDER BY "version" DESC/);
  assert.match(sql, /FROM "shop"\."x__r2"/);
  assert.match(sql, /"version" < 9223372036854775807/);
});

test('of large tables, where the older revision stopped before: windows that both lists reach, and the oldest', async () => {
  const plan = (name: string) => {
    const columns = ['window_start', 'n'].map((column) => ({name: column, type: 'long', nullable: false}));
    const table = {namespace: 'shop', name, kind: 'query', columns, key: ['window_start']};
    return {id: 'shop.x', sinks: ['rows'], table} as unknown as QueryPlan;
  };
  const compare = async (old: number[], now: number[], isLevel = false) => {
    const rows = async (_: string, {name}: {name: string}, rowsMax: number, oldest = false) => {
      const windows = (name === 'old' ? old : now).toSorted((a, b) => (oldest ? a - b : b - a));
      return windows.slice(0, rowsMax).map((start) => [start, 1]);
    };
    const [found] = await compareRevisions({rows}, plan('old'), plan('now'), isLevel, 5);
    const {same, different, onlyBefore, onlyAfter, isPart} = found!;
    return {same, different, onlyBefore, onlyAfter, isPart};
  };
  const windows = (from: number, to: number, without = 0) =>
    Array.from({length: to - from + 1}, (_, index) => from + index).filter((each) => each !== without);
  const part = {different: 0, isPart: true};
  assert.deepEqual(await compare(windows(1, 10), windows(1, 12)), {
    ...{same: 2, onlyBefore: 0, onlyAfter: 2},
    ...part,
  });
  assert.equal((await compare(windows(1, 10), windows(1, 12, 9))).onlyBefore, 1, 'one is missing');
  assert.equal((await compare(windows(1, 10), windows(2, 12))).onlyBefore, 1, 'the oldest is missing');
  assert.equal((await compare(windows(3, 10), windows(1, 12))).onlyBefore, 0, 'an older one came');
  assert.equal((await compare(windows(1, 10), windows(1, 30))).onlyBefore, 0, 'far behind');
  assert.equal((await compare(windows(1, 10), [])).onlyBefore, 5, 'nothing is there');
  assert.deepEqual(await compare(windows(1, 10), windows(1, 10), true), {
    ...{same: 5, onlyBefore: 0, onlyAfter: 0},
    ...part,
  });
});

test('where the older revision stopped, only rows that would go keep a filled one from being shown', () => {
  const found = (onlyBefore: number) =>
    [{query: 'shop.x', onlyBefore, onlyAfter: 9, different: 9}] as unknown as Comparison[];
  assert.equal(lossOf('backfill', found(0), 180, true), undefined);
  assert.equal(lossOf('backfill', found(4), 0, true), undefined, 'the log has everything');
  assert.match(
    lossOf('backfill', found(4), 180, true)!,
    /^shop\.x: the raw table and the log have less .* lacks 4 of them$/,
  );
  assert.match(lossOf('change', found(4), 180)!, /lacks 4 of them; .*backfill shop\.x --from archive adds/);
  assert.equal(lossOf('rebuild', found(4), 180), undefined);
});
