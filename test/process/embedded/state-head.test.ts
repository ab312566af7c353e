import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PlatformError} from '../../../src/errors.ts';
import {persist} from '../../../src/process/embedded/state-head.ts';

test('a store that refuses for now is told with the way out, one that is away without: it passes', async () => {
  const told: (string | null)[] = [];
  const patience = {
    signal: new AbortController().signal,
    isPatient: true,
    onTrouble: (message: string | null) => void told.push(message),
  };
  const failures = [
    new PlatformError('STORE_UNAVAILABLE', 'the store is away', {hint: 'see whether it runs'}),
    new PlatformError('STORE_REFUSED', 'the store refuses', {hint: 'give the key that right'}),
  ];
  const answer = await persist(patience, async () => {
    const failure = failures.shift();
    if (failure) throw failure;
    return 'done';
  });
  assert.equal(answer, 'done');
  assert.deepEqual(told, ['the store is away', 'the store refuses: give the key that right', null]);
});
