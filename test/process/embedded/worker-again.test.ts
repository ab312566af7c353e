import assert from 'node:assert/strict';
import {test} from 'node:test';
import {StopAndAgain} from '../../../src/process/embedded/worker-again.ts';

test('what takes long to begin has not come through by that: the same stop is told once', () => {
  const again = new StopAndAgain();
  const full = {code: 'CHECKPOINT_DISK_FULL', message: 'no room'};
  assert.equal(again.stopped(full, 0), false);
  for (let nowMs = 5_000; nowMs < 60_000; nowMs += 15_000) {
    assert.equal(again.isDue(nowMs), true);
    again.tried();
    assert.equal(again.isDue(nowMs), false);
    // Its state is large.
    again.begun(nowMs + 9_000);
    for (const runMs of [0, 1_999]) assert.equal(again.isSteady(nowMs + 9_000 + runMs), false);
    assert.equal(again.stopped(full, nowMs + 10_000), true);
    assert.equal(again.isSteady(nowMs + 14_000), false);
  }
  again.tried();
  again.begun(100_000);
  assert.equal(again.isSteady(102_000), true);
  assert.deepEqual(again.over(102_000), {code: full.code, seconds: 102});
  assert.equal(again.isSteady(110_000), false);
});
