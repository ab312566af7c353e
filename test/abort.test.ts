import assert from 'node:assert/strict';
import {getEventListeners} from 'node:events';
import {test} from 'node:test';
import {unlessAborted} from '../src/abort.ts';

test('work that ends first says how, and leaves nothing with the signal', async () => {
  const {signal} = new AbortController();
  assert.equal(await unlessAborted(Promise.resolve(1), signal), 1);
  await assert.rejects(unlessAborted(Promise.reject(new Error('no')), signal), /no/);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('an abort ends the wait, also one that came before it; what the work says later is nobody’s', async () => {
  const stop = new AbortController();
  const work = Promise.withResolvers<number>();
  const waits = unlessAborted(work.promise, stop.signal);
  stop.abort(new Error('over'));
  await assert.rejects(waits, /over/);
  await assert.rejects(unlessAborted(new Promise(() => {}), stop.signal), /over/);
  work.reject(new Error('late'));
  await new Promise((resolve) => setImmediate(resolve));
});
