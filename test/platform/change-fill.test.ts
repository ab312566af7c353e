import assert from 'node:assert/strict';
import {test} from 'node:test';
import {lastSwitched} from '../../src/platform/apply.ts';
import {finished} from '../../src/platform/change.ts';
import {mustWait} from '../../src/platform/change-fill.ts';
import {newestRows} from '../../src/platform/change-rows.ts';

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
