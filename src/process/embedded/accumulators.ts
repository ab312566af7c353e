/** Accumulators that are more than a number: HyperLogLog, DDSketch, first and last. Mergeable, order-free. */
import assert from 'node:assert/strict';
import type {Value} from '../../expr/types.ts';
import {hashBytes, hashSource} from './dictionary.ts';
import {hashNumber} from './dictionary-numbers.ts';
import type {AccumulatorObject} from './types.ts';

type Distinct = Extract<AccumulatorObject, {op: 'distinct'}>;
type Quantile = Extract<AccumulatorObject, {op: 'quantile'}>;
type Edge = Extract<AccumulatorObject, {op: 'first' | 'last'}>;

/** Registers of a HyperLogLog. */
export const registerCount = 4096;
/** A sparse HyperLogLog has at most so many tokens; with more it is smaller as registers. */
export const sparseMax = 512;
const indexBits = 12;
/** Longest rank: 64 bits of hash less the index. */
const rankMax = 64 - indexBits + 1;

/**
 * HyperLogLog token of 64 bits of hash: index << 6 | rank, rank from 1, so that a token is never 0. The second half is needed
 * once in 2^20 values and is made only then.
 */
const tokenOf = (hash: number, more: () => number): number => {
  const low = hash << indexBits;
  const rank = low !== 0 ? Math.clz32(low) + 1 : 33 - indexBits + Math.clz32(more());
  return ((hash >>> (32 - indexBits)) << 6) | rank;
};

const tokenSeed = 0x5bd1e995;

/** Token of the UTF-8 text at `start`; `view` must be readable 3 bytes past it. */
export function tokenOfBytes(view: DataView, start: number, length: number): number {
  const hash = hashBytes(view, start, length, tokenSeed);
  const low = hash << indexBits;
  if (low !== 0) return ((hash >>> (32 - indexBits)) << 6) | (Math.clz32(low) + 1);
  return tokenOf(hash, () => hashBytes(view, start, length, 0x27d4eb2f));
}

/**
 * JavaScript of `tokenOfBytes`: an expression over the text of `l` bytes at `q` of `dv`, after the statements in front of it.
 * `rare` is the expression for one value in 2^20.
 */
export const tokenSource = (rare: string): {before: string; token: string} => ({
  before: hashSource('h', tokenSeed),
  token: `h<<${indexBits}?h>>>${32 - indexBits}<<6|Math.clz32(h<<${indexBits})+1:${rare}`,
});

/** Token of a text; the same as of its UTF-8 bytes. */
export function tokenOfText(text: string): number {
  const bytes = Buffer.from(`${text}\0\0\0`);
  return tokenOfBytes(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length - 3);
}

/** Token of a number; -0 and 0 are one value. */
export function tokenOfNumber(value: number): number {
  const hash = Math.imul(hashNumber(value + 0), 0x85ebca6b);
  return tokenOf(hash ^ (hash >>> 15), () => hashNumber((value + 0) * 1.618033988749895));
}

/** Token of any value but NULL. */
export function tokenOfValue(value: Exclude<Value, null>): number {
  if (typeof value === 'string') return tokenOfText(value);
  if (typeof value === 'bigint') return tokenOfText(`${value}n`);
  return tokenOfNumber(Number(value));
}

/** What `distinctOf` works on: registers, and a bit for each that is not 0. Empty between two calls. */
const registers = new Uint8Array(registerCount);
const marks = new Int32Array(registerCount / 32);
const merged = new Int32Array(sparseMax);

/** The sketch of `tokens` from `from` to `to`, one at least, none of them 0, in any order. */
export function distinctOf(tokens: Int32Array, from: number, to: number): Distinct {
  if (to - from <= insertionMax) return sparseOfFew(tokens, from, to);
  let count = 0;
  for (let at = from; at < to; at++) {
    const index = tokens[at]! >>> 6;
    const rank = tokens[at]! & 63;
    const before = registers[index]!;
    if (before >= rank) continue;
    if (before === 0) {
      count++;
      marks[index >>> 5]! |= 1 << (index & 31);
    }
    registers[index] = rank;
  }
  if (count > sparseMax) {
    const dense = registers.slice();
    registers.fill(0);
    marks.fill(0);
    return {op: 'distinct', sparse: null, dense};
  }
  const sparse = new Int32Array(count);
  let place = 0;
  for (let word = 0; word < marks.length; word++)
    for (let bits = marks[word]!; bits !== 0; bits &= bits - 1) {
      const index = (word << 5) | (31 - Math.clz32(bits & -bits));
      sparse[place++] = (index << 6) | registers[index]!;
      registers[index] = 0;
    }
  marks.fill(0);
  return {op: 'distinct', sparse, dense: null};
}

/** So many tokens are sorted faster than registers are looked through. */
const insertionMax = 16;

function sparseOfFew(tokens: Int32Array, from: number, to: number): Distinct {
  let count = 0;
  for (let at = from; at < to; at++) {
    const token = tokens[at]!;
    let place = count;
    while (place > 0 && merged[place - 1]! >>> 6 > token >>> 6) place--;
    // Of two tokens with one index the larger has the larger rank.
    if (place > 0 && merged[place - 1]! >>> 6 === token >>> 6) {
      if (merged[place - 1]! < token) merged[place - 1] = token;
      continue;
    }
    for (let i = count++; i > place; i--) merged[i] = merged[i - 1]!;
    merged[place] = token;
  }
  return {op: 'distinct', sparse: merged.slice(0, count), dense: null};
}

function registersOf(tokens: Int32Array): Uint8Array {
  const dense = new Uint8Array(registerCount);
  for (const token of tokens) dense[token >>> 6] = token & 63;
  return dense;
}

function mergeDistinct(a: Distinct, b: Distinct): Distinct {
  if (a.dense === null && b.dense !== null) return mergeDistinct(b, a);
  if (a.dense !== null) {
    const dense = a.dense.slice();
    if (b.dense !== null) {
      for (let i = 0; i < registerCount; i++) if (b.dense[i]! > dense[i]!) dense[i] = b.dense[i]!;
    } else
      for (const token of b.sparse) if (dense[token >>> 6]! < (token & 63)) dense[token >>> 6] = token & 63;
    return {op: 'distinct', sparse: null, dense};
  }
  return mergeSparse(a.sparse, (b as {sparse: Int32Array}).sparse);
}

function mergeSparse(a: Int32Array, b: Int32Array): Distinct {
  const merged = new Int32Array(a.length + b.length);
  let count = 0;
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const left = i < a.length ? a[i]! : 0x7fffffff;
    const right = j < b.length ? b[j]! : 0x7fffffff;
    // Of two tokens with one index the larger has the larger rank.
    if (left >>> 6 === right >>> 6) {
      merged[count++] = Math.max(left, right);
      i++;
      j++;
    } else if (left < right) {
      merged[count++] = left;
      i++;
    } else {
      merged[count++] = right;
      j++;
    }
  }
  const sparse = merged.slice(0, count);
  if (count <= sparseMax) return {op: 'distinct', sparse, dense: null};
  return {op: 'distinct', sparse: null, dense: registersOf(sparse)};
}

/**
 * Estimated number of distinct values, a whole number; standard error 1.6 %. The improved estimator of Ertl, "New
 * cardinality estimation algorithms for HyperLogLog sketches" (2017), which has no bias at small or middle sizes.
 */
export function distinctCount(object: Distinct): number {
  const histogram = new Float64Array(rankMax + 1);
  if (object.dense !== null) for (const rank of object.dense) histogram[rank]!++;
  else {
    for (const token of object.sparse) histogram[token & 63]!++;
    histogram[0] = registerCount - object.sparse.length;
  }
  let z = registerCount * tau(1 - histogram[rankMax]! / registerCount);
  for (let rank = rankMax - 1; rank >= 1; rank--) z = 0.5 * (z + histogram[rank]!);
  z += registerCount * sigma(histogram[0]! / registerCount);
  return Math.round((registerCount * registerCount) / (2 * Math.LN2 * z));
}

function sigma(start: number): number {
  if (start === 1) return Infinity;
  let x = start;
  let z = x;
  for (let y = 1, before = -1; z !== before; y += y) {
    x *= x;
    before = z;
    z += x * y;
  }
  return z;
}

function tau(start: number): number {
  if (start === 0 || start === 1) return 0;
  let x = start;
  let z = 1 - x;
  for (let y = 0.5, before = -1; z !== before; y *= 0.5) {
    x = Math.sqrt(x);
    before = z;
    z -= (1 - x) ** 2 * y;
  }
  return z / 3;
}

/** Relative accuracy of a DDSketch. */
export const quantileAccuracy = 0.01;
const gamma = (1 + quantileAccuracy) / (1 - quantileAccuracy);
const logGamma = Math.log(gamma);
const bucketMax = 2 ** 31 - 1;

export const createQuantile = (): Quantile => ({
  op: 'quantile',
  positive: new Map(),
  negative: new Map(),
  zeros: 0,
});

/** Adds a value that is not NaN. */
export function addQuantile(sketch: Quantile, value: number): void {
  if (value === 0) sketch.zeros++;
  else {
    const buckets = value > 0 ? sketch.positive : sketch.negative;
    const bucket = Math.min(bucketMax, Math.ceil(Math.log(Math.abs(value)) / logGamma));
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
  }
}

function mergeQuantile(a: Quantile, b: Quantile): Quantile {
  const add = (into: Map<number, number>, from: Map<number, number>) => {
    const sum = new Map(into);
    for (const [bucket, count] of from) sum.set(bucket, (sum.get(bucket) ?? 0) + count);
    return sum;
  };
  return {
    op: 'quantile',
    positive: add(a.positive, b.positive),
    negative: add(a.negative, b.negative),
    zeros: a.zeros + b.zeros,
  };
}

/** The value at rank floor(q x (count - 1)), within 1 % of it; q from 0 to 1. Null when the sketch is empty. */
export function quantileOf({positive, negative, zeros}: Quantile, q: number): number | null {
  const total = (buckets: Map<number, number>) =>
    [...buckets.values()].reduce((sum, count) => sum + count, 0);
  const count = total(negative) + zeros + total(positive);
  if (count === 0) return null;
  let rank = Math.floor(q * (count - 1));
  const middle = (bucket: number) => (2 * gamma ** bucket) / (gamma + 1);
  for (const [bucket, inBucket] of [...negative].sort(([a], [b]) => b - a))
    if ((rank -= inBucket) < 0) return -middle(bucket);
  if ((rank -= zeros) < 0) return 0;
  for (const [bucket, inBucket] of [...positive].sort(([a], [b]) => a - b))
    if ((rank -= inBucket) < 0) return middle(bucket);
  return assert.fail('a rank is below the count');
}

/** Whether (timeMs, eventId) is before what `edge` holds for `first`, after it for `last`. */
export function isBetter(edge: Edge, timeMs: number, eventId: string): boolean {
  if (timeMs !== edge.timeMs) return edge.op === 'first' ? timeMs < edge.timeMs : timeMs > edge.timeMs;
  return edge.op === 'first' ? eventId < edge.eventId : eventId > edge.eventId;
}

/** Both together; the arguments stay as they are. Null is an accumulator that saw nothing. */
export function mergeObjects(
  a: AccumulatorObject | null,
  b: AccumulatorObject | null,
): AccumulatorObject | null {
  if (a === null) return b;
  if (b === null) return a;
  if (a.op === 'distinct' && b.op === 'distinct') return mergeDistinct(a, b);
  if (a.op === 'quantile' && b.op === 'quantile') return mergeQuantile(a, b);
  assert.ok((a.op === 'first' || a.op === 'last') && a.op === b.op, `cannot merge ${a.op} and ${b.op}`);
  return isBetter(a, b.timeMs, b.eventId) ? b : a;
}
