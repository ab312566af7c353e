import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Pace} from '../../../src/process/embedded/worker-pace.ts';

/** Emissions of a query with `backlog` records behind it that merges `perMs` of them, until all are merged. @returns intervals, ms */
function drain(pace: Pace, backlog: number, perMs: number): number[] {
  const intervals: number[] = [];
  for (let offset = 0, nowMs = 0; offset < backlog; nowMs += pace.intervalMs) {
    offset = Math.min(backlog, offset + perMs * pace.intervalMs);
    pace.emitted(nowMs, [
      {offset: offset / 2, endOffset: backlog / 2},
      {offset: offset / 2, endOffset: backlog / 2},
    ]);
    intervals.push(pace.intervalMs);
  }
  return intervals;
}

test('behind, the time between emissions doubles up to a second, and gets shorter as the end comes near', () => {
  const intervals = drain(new Pace(25), 100_000_000, 10_000);
  assert.deepEqual(intervals.slice(0, 8), [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
  assert.equal(intervals.at(-1), 25, 'at the end as usual');
  const longest = intervals.lastIndexOf(1_000);
  for (let at = longest + 1; at < intervals.length; at++)
    assert.ok(intervals[at]! <= intervals[at - 1]!, intervals.join());
  assert.ok(intervals.length < 60, `${intervals.length} emissions of 10 s`);
});

test('of a flush that is short the longest time is short as well, and nothing stretches none', () => {
  assert.equal(Math.max(...drain(new Pace(2), 60_000_000, 10_000)), 80);
  const pace = new Pace(0);
  pace.emitted(10, [{offset: 10, endOffset: 1_000_000}]);
  pace.emitted(20, [{offset: 20, endOffset: 1_000_000}]);
  assert.equal(pace.intervalMs, 0);
});

test('live, and after a rest, emissions leave at every flush', () => {
  const pace = new Pace(25);
  for (let nowMs = 0; nowMs < 1_000; nowMs += 25) {
    // What came in the last milliseconds.
    pace.emitted(nowMs, [{offset: nowMs * 10, endOffset: nowMs * 10 + 40}]);
    assert.equal(pace.intervalMs, 25);
  }
  pace.emitted(3_600_000, [{offset: 10_100, endOffset: 15_000}]);
  assert.equal(pace.intervalMs, 50, 'how fast it reads is not known from a rest: twice as long at most');
  pace.emitted(3_600_050, [{offset: 15_000, endOffset: 15_000}]);
  assert.equal(pace.intervalMs, 25);
  pace.emitted(3_600_075, [{offset: 15_000, endOffset: 15_000}]);
  assert.equal(pace.intervalMs, 25, 'nothing new');
});
