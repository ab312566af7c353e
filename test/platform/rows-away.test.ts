import assert from 'node:assert/strict';
import {test} from 'node:test';
import {SinksAway} from '../../src/platform/rows-away.ts';

test('a table whose sink does not open is tried again later and later, each at its own pace, and the sink is told of once', () => {
  let nowMs = 0;
  const told: string[] = [];
  const telemetry = {
    emit: (_: string, event: object) => void told.push((event as {message: string}).message),
  };
  const away = new SinksAway(telemetry, () => nowMs);
  /** When the table is tried within so many ms, with looks 100 ms apart. */
  const tried = (withinMs: number, message: string): number[] => {
    const fromMs = nowMs;
    const times: number[] = [];
    for (; nowMs < fromMs + withinMs; nowMs += 100) {
      if (!away.isDue('slow', 'one')) continue;
      times.push(nowMs - fromMs);
      away.failed('slow', 'one', new Error(message));
    }
    return times;
  };
  assert.deepEqual(tried(40_000, 'gone'), [0, 500, 1_500, 3_500, 7_500, 15_500, 25_500, 35_500]);
  assert.ok(away.isDue('slow', 'two') && away.isDue('other', 'one'));
  away.failed('slow', 'two', new Error('gone'));
  assert.deepEqual(told, ['rows for the sink slow wait: gone']);
  assert.ok(!away.isDue('slow', 'two'));
  away.opened('slow', 'two');
  tried(20_000, 'no password');
  assert.deepEqual(told.slice(1), ['rows for the sink slow wait: no password']);
  away.opened('slow', 'one');
  assert.deepEqual(tried(1_000, 'no password'), [0, 500]);
  assert.equal(told.length, 3, 'it was back between the two');
});
