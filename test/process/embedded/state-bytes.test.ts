import assert from 'node:assert/strict';
import {test} from 'node:test';
import {distinctOf, tokenOfNumber} from '../../../src/process/embedded/accumulators.ts';
import {
  ByteReader,
  ByteWriter,
  readObjects,
  writeObjects,
} from '../../../src/process/embedded/state-bytes.ts';
import {keyOf, splitKeys, valuesOf} from '../../../src/process/embedded/state-groups.ts';
import type {AccumulatorObject} from '../../../src/process/embedded/types.ts';

function sketch(values: number): AccumulatorObject {
  return distinctOf(
    Int32Array.from({length: values}, (_, value) => tokenOfNumber(value)),
    0,
    values,
  );
}

function roundTrip(column: (AccumulatorObject | null)[]): (AccumulatorObject | null)[] {
  const writer = new ByteWriter();
  writeObjects(writer, [null, ...column], 1, column.length + 1);
  return readObjects(new ByteReader(writer.take()), column.length);
}

test('objects are read back as they were written', () => {
  const distinct = [sketch(3), null, sketch(5000), sketch(40)];
  const many = distinct[2];
  assert.ok(many?.op === 'distinct' && many.dense, 'many values are registers');
  assert.deepEqual(roundTrip(distinct), distinct);
  const quantile: AccumulatorObject = {
    op: 'quantile',
    positive: new Map([
      [2 ** 31 - 1, 1],
      [-5, 3],
    ]),
    negative: new Map([[7, 2]]),
    zeros: 4,
  };
  const edges: AccumulatorObject[] = [null, 'täxt', 1.5, 2n ** 63n - 1n, true, false].map((value, index) => ({
    op: index % 2 ? 'first' : 'last',
    timeMs: index,
    eventId: `e${index}`,
    value,
  }));
  assert.deepEqual(roundTrip([quantile, null, ...edges]), [quantile, null, ...edges]);
  assert.deepEqual(roundTrip([null, null]), [null, null]);
});

test('bytes that end too early are damage, not other values', () => {
  const writer = new ByteWriter();
  writeObjects(writer, [sketch(40)], 0, 1);
  const bytes = writer.take();
  for (let length = 0; length < bytes.length; length += 7)
    assert.throws(() => readObjects(new ByteReader(bytes.subarray(0, length)), 1), {
      code: 'CHECKPOINT_CORRUPT',
    });
});

test('keys of groups tell NULL from text that looks like it, and are split and read back', () => {
  const tuples = [
    [null, null],
    ['~', ''],
    ['', null],
    ['3=abc', 'ä€😀'],
    ['a', '1=b'],
  ];
  const keys = tuples.map((tuple) => keyOf(2, (dimension) => tuple[dimension]!));
  assert.equal(new Set(keys).size, tuples.length);
  assert.deepEqual(splitKeys(keys.join(''), 2), keys);
  assert.deepEqual(
    keys.map((key) => valuesOf(key, ['string', 'string'])),
    tuples,
  );
  const typed = [-3, 2n ** 60n, 0.1, true, null];
  const key = keyOf(5, (dimension) => typed[dimension]!);
  assert.deepEqual(valuesOf(key, ['int', 'long', 'double', 'boolean', 'date']), typed);
});
