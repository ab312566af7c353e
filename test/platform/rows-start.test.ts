import assert from 'node:assert/strict';
import {test} from 'node:test';
import {knownSinks} from '../../src/platform/rows-start.ts';

test('a query that came after this process had started has no sink here, which is told once', () => {
  const told: string[] = [];
  const telemetry = {
    emit: (_: string, event: object) => void told.push((event as {message: string}).message),
  };
  const sinksOf = knownSinks({'shop.sales': ['db', 'files']}, telemetry);
  assert.deepEqual(sinksOf('shop.sales'), ['db', 'files']);
  assert.deepEqual([sinksOf('shop.added'), sinksOf('shop.added'), sinksOf('shop.other')], [[], [], []]);
  assert.deepEqual(
    told.map(
      (message) => /^rows of (\S+) go nowhere from here: .* start this process again/.exec(message)?.[1],
    ),
    ['shop.added', 'shop.other'],
  );
});
