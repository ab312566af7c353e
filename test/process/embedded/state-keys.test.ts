import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PaneKeys} from '../../../src/process/embedded/state-keys.ts';

const textOf = (pieces: {chunk: number; bytes: Uint8Array}[]): Record<number, string> =>
  Object.fromEntries(pieces.map(({chunk, bytes}) => [chunk, Buffer.from(bytes).toString()]));

test('keys leave by chunk, the unfinished chunk again and whole when it has grown', () => {
  const keys = new PaneKeys(2);
  assert.deepEqual(keys.take(), []);
  for (const key of ['a', 'b', 'c']) keys.add(key);
  assert.deepEqual(textOf(keys.take()), {0: 'ab', 1: 'c'});
  assert.deepEqual(keys.take(), [], 'nothing is new');
  for (const key of ['d', 'e', 'f', 'g']) keys.add(key);
  assert.deepEqual(textOf(keys.take()), {1: 'cd', 2: 'ef', 3: 'g'});
  keys.forget();
  keys.add('h');
  assert.deepEqual(textOf(keys.take()), {3: 'gh'});
});

test('keys of many bytes a letter are written whole, whatever room there was', () => {
  const keys = new PaneKeys(1024);
  const added = Array.from({length: 3000}, (_, k) => `5=Zoë-${'漢'.repeat(k % 7)}${k % 2 ? '🙂' : ''}x~`);
  for (const key of added) keys.add(key);
  const texts = textOf(keys.take());
  assert.deepEqual(
    [texts[0], texts[1], texts[2]],
    [0, 1, 2].map((chunk) => added.slice(chunk * 1024, (chunk + 1) * 1024).join('')),
  );
});
