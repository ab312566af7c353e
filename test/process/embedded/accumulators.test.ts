import assert from 'node:assert/strict';
import {test} from 'node:test';
import {
  addQuantile,
  createQuantile,
  distinctCount,
  distinctOf,
  mergeObjects,
  quantileOf,
  sparseMax,
  tokenOfNumber,
  tokenOfText,
} from '../../../src/process/embedded/accumulators.ts';
import type {AccumulatorObject} from '../../../src/process/embedded/types.ts';

type Distinct = Extract<AccumulatorObject, {op: 'distinct'}>;

const sketch = (tokens: number[]): Distinct => distinctOf(Int32Array.from(tokens), 0, tokens.length);
const texts = (from: number, to: number) =>
  Array.from({length: to - from}, (_, k) => tokenOfText(`u_${String(from + k).padStart(7, '0')}`));
const numbers = (from: number, to: number) =>
  Array.from({length: to - from}, (_, k) => tokenOfNumber(from + k));

for (const [what, tokensOf] of [
  ['texts that count up', texts],
  ['whole numbers', numbers],
] as const)
  test(`distinct: ${what} are counted within four standard errors, RMS within 1.3`, () => {
    const errors: number[] = [];
    for (const size of [1, 10, 100, 500, 3000, 10_000, 20_000, 60_000])
      for (let run = 0; run < 8; run++) {
        const count = distinctCount(sketch(tokensOf(run * 100_000, run * 100_000 + size)));
        const error = count / size - 1;
        assert.ok(Math.abs(error) <= 4 * 0.01625 || Math.abs(count - size) <= 1, `${size}: ${count}`);
        if (size >= 3000) errors.push(error);
      }
    const rms = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length);
    assert.ok(rms < 1.3 * 0.01625, `RMS ${rms}`);
  });

test('distinct: sparse and dense, in whatever order and number of parts, are one state', () => {
  for (const size of [3, 40, 500, 520, 700, 5000]) {
    const whole = sketch(texts(0, size));
    for (const cut of [1, 2, size >> 1, size - 1]) {
      const parts = [texts(0, cut), texts(cut >> 1, size)].map(sketch);
      assert.deepEqual(mergeObjects(parts[0]!, parts[1]!), whole, `${size} cut at ${cut}`);
      assert.deepEqual(mergeObjects(parts[1]!, parts[0]!), whole, `${size} cut at ${cut}, the other way`);
    }
    assert.equal(
      whole.dense !== null,
      whole.dense !== null && whole.dense.filter((rank) => rank > 0).length > sparseMax,
    );
  }
});

test('distinct: -0 and 0 are one value', () => {
  assert.equal(tokenOfNumber(-0), tokenOfNumber(0));
});

test('quantile: within 1 % at every rank, over 24 orders of magnitude, both signs and zero', () => {
  const values = Array.from({length: 4001}, (_, k) => {
    const x = (k * 2654435761) % 4001;
    return x % 7 === 0 ? 0 : (x % 2 === 0 ? 1 : -1) * 10 ** ((x % 49) / 2 - 12) * (1 + x / 4001);
  });
  const halves = [createQuantile(), createQuantile()];
  for (const [k, value] of values.entries()) addQuantile(halves[k % 2]!, value);
  const merged = mergeObjects(halves[0]!, halves[1]!) as ReturnType<typeof createQuantile>;
  const sorted = values.toSorted((a, b) => a - b);
  for (let k = 0; k <= 100; k++) {
    const exact = sorted[Math.floor((k / 100) * (values.length - 1))]!;
    const estimate = quantileOf(merged, k / 100)!;
    assert.ok(
      Math.abs(estimate - exact) <= 0.01 * Math.abs(exact) + 1e-300,
      `${k} %: ${estimate} for ${exact}`,
    );
  }
  assert.equal(quantileOf(createQuantile(), 0.5), null);
});

test('first and last go by time, then by event id', () => {
  const at = (timeMs: number, eventId: string, op: 'first' | 'last') => ({
    op,
    timeMs,
    eventId,
    value: eventId,
  });
  const merge = (op: 'first' | 'last', ...places: [number, string][]) =>
    places.map(([timeMs, id]): AccumulatorObject | null => at(timeMs, id, op)).reduce(mergeObjects);
  assert.deepEqual(merge('first', [2, 'a'], [1, 'c'], [1, 'b']), at(1, 'b', 'first'));
  assert.deepEqual(merge('last', [2, 'a'], [2, 'b'], [1, 'z']), at(2, 'b', 'last'));
  assert.deepEqual(mergeObjects(null, at(1, 'a', 'first')), at(1, 'a', 'first'));
});
