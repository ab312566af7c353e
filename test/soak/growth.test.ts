import assert from 'node:assert/strict';
import {test} from 'node:test';
import {growthOf, type Point} from './growth.ts';

const points = (count: number, value: (second: number) => number): Point[] =>
  Array.from({length: count}, (_, seconds) => ({seconds, value: value(seconds)}));

test('a leak of 60 an hour under a sawtooth and faults is found, with its slope', () => {
  const leak = points(1_200, (second) => 300 + second / 60 + (second % 37) - (second % 200 < 5 ? 250 : 0));
  const {grows, perHour, seconds, most} = growthOf(leak, 0.1, 10);
  assert.ok(grows);
  assert.ok(Math.abs(perHour - 60) < 15, String(perHour));
  assert.equal(seconds, 1_199);
  assert.ok(most > 300);
});

test('a sawtooth without a leak does not grow, nor does what is away at times', () => {
  const level = points(1_200, (second) => (second % 100 < 10 ? Number.NaN : 300 + (second % 37)));
  const {grows, median} = growthOf(level, 0.1, 10);
  assert.equal(grows, false);
  assert.ok(median >= 300 && median <= 337);
});

test('a slope that is steep for an hour and was seen for a minute proves nothing', () => {
  const {grows, perHour} = growthOf(
    points(60, (second) => 300 + second / 30),
    0.1,
    10,
  );
  assert.ok(perHour > 100);
  assert.equal(grows, false);
});

test('nothing was sampled', () => {
  assert.deepEqual(growthOf([], 0.1, 10), {median: 0, most: 0, perHour: 0, seconds: 0, grows: false});
});
