import assert from 'node:assert/strict';
import {test} from 'node:test';
import {onward, testClock} from '../src/clock.ts';

test('where the clock is set back waiting goes on from where it stood, and on as the clock does', async () => {
  const wall = testClock(1_000);
  const clock = onward(wall);
  assert.equal(clock.now(), 1_000);
  await wall.advance(500);
  assert.equal(clock.now(), 1_500);
  await wall.advance(-1_200);
  assert.equal(clock.now(), 1_500);
  await wall.advance(100);
  assert.equal(clock.now(), 1_600);
  await wall.advance(5_000);
  assert.equal(clock.now(), 6_600);
});
