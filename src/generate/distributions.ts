/** Tables from which values are drawn in a few operations. */
import type {Distribution} from '../model/types.ts';

/**
 * Walker's alias method with Vose's set-up: an index in proportion to its weight, from one index and one comparison.
 * `keep[i]` of 2^32: with so much chance cell i gives i, else `other[i]`.
 */
export type Alias = {keep: Uint32Array; other: Int32Array};

/** @param weights not negative, one above 0. */
export function aliasOf(weights: ArrayLike<number>): Alias {
  const count = weights.length;
  const keep = new Uint32Array(count).fill(0xffffffff);
  const other = Int32Array.from({length: count}, (_, index) => index);
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[i]!;
  const scaled = Float64Array.from({length: count}, (_, i) => (weights[i]! * count) / total);
  const small: number[] = [];
  const large: number[] = [];
  for (let i = 0; i < count; i++) (scaled[i]! < 1 ? small : large).push(i);
  while (small.length > 0 && large.length > 0) {
    const low = small.pop()!;
    const high = large.pop()!;
    keep[low] = Math.min(0xffffffff, Math.floor(scaled[low]! * 4294967296));
    other[low] = high;
    scaled[high] = scaled[high]! + scaled[low]! - 1;
    (scaled[high]! < 1 ? small : large).push(high);
  }
  return {keep, other};
}

/** Weights 1/k^s of a key space, k from 1. */
export const zipfWeights = (count: number, exponent: number): Float64Array =>
  Float64Array.from({length: count}, (_, index) => (index + 1) ** -exponent);

/** Cells of a table of quantiles. Inside one values are interpolated; in the first and last they are computed. */
export const cells = 4096;

export type Quantiles = {
  /** Value at the start of each cell, and the step to the next. */
  start: Float64Array;
  step: Float64Array;
  /** The value of 32 bits that fall into the first or last cell. */
  tail(bits: number): number;
};

/** Quantiles of a normal or lognormal distribution. */
export function quantilesOf(distribution: Exclude<Distribution, {kind: 'uniform'}>): Quantiles {
  const value = (p: number): number => {
    const z = normalQuantile(p);
    return distribution.kind === 'normal'
      ? distribution.mean + distribution.deviation * z
      : distribution.median * Math.exp(distribution.sigma * z);
  };
  const start = new Float64Array(cells);
  const step = new Float64Array(cells);
  for (let cell = 1; cell < cells - 1; cell++) {
    start[cell] = value(cell / cells);
    step[cell] = value((cell + 1) / cells) - start[cell]!;
  }
  return {start, step, tail: (bits) => value(((bits >>> 0) + 0.5) / 4294967296)};
}

/** A value of a distribution for 32 bits; the slow way, for what is not generated code. */
export function drawer(distribution: Distribution): (bits: number) => number {
  if (distribution.kind === 'uniform') {
    const {from, to} = distribution;
    return (bits) => from + ((bits >>> 0) / 4294967296) * (to - from);
  }
  const {start, step, tail} = quantilesOf(distribution);
  return (bits) => {
    const cell = bits >>> 20;
    return cell === 0 || cell === cells - 1
      ? tail(bits)
      : start[cell]! + (bits & 0xfffff) * 2 ** -20 * step[cell]!;
  };
}

/** Mean of a distribution. */
export function meanOf(distribution: Distribution): number {
  switch (distribution.kind) {
    case 'uniform':
      return (distribution.from + distribution.to) / 2;
    case 'normal':
      return distribution.mean;
    case 'lognormal':
      return distribution.median * Math.exp(distribution.sigma ** 2 / 2);
  }
}

const a = [
  -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
  2.506628277459239,
];
const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
const c = [
  -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
  2.938163982698783,
];
const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];

const poly = (coefficients: readonly number[], x: number): number =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);

/** Quantile of the standard normal distribution, to 1.2e-9; P. J. Acklam's rational approximation. @param p in (0, 1) */
export function normalQuantile(p: number): number {
  const edge = 0.02425;
  if (p < edge) {
    const q = Math.sqrt(-2 * Math.log(p));
    return poly(c, q) / poly([...d, 1], q);
  }
  if (p > 1 - edge) return -normalQuantile(1 - p);
  const q = p - 0.5;
  const r = q * q;
  return (poly(a, r) * q) / poly([...b, 1], r);
}
