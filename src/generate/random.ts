/**
 * Chance as a function of where it is asked: every draw is a hash of (seed, number of the event, which draw), so that a value does not
 * depend on what was drawn before it, and an event can be made again by itself.
 *
 * The hash is the finaliser of `lowbias32` with a second key added between its rounds (64 bits of key for 32 of result).
 * https://github.com/skeeto/hash-prospector
 */

/** 32 bits for draw `index` of the keys `a` and `b`. @returns a signed 32-bit integer. */
export function hash(a: number, b: number, index: number): number {
  let z = (a + Math.imul(index, goldenRatio)) | 0;
  z ^= z >>> 16;
  z = Math.imul(z, 0x21f0aaad);
  z = ((z ^ (z >>> 15)) + b) | 0;
  z = Math.imul(z, 0x735a2d97);
  return z ^ (z >>> 15);
}

/** The source of `hash` with the keys in `a` and `b`, result in `z`; for generated code. */
export const hashCode = (a: string, b: string, index: number): string =>
  `z=(${a}+${Math.imul(index, goldenRatio)})|0; z^=z>>>16; z=Math.imul(z,0x21f0aaad); z=((z^(z>>>15))+${b})|0; ` +
  'z=Math.imul(z,0x735a2d97); z^=z>>>15;';

const goldenRatio = 0x9e3779b9 | 0;

/** Uniform in [0, 1) of a 32-bit integer. */
export const unit = (bits: number): number => (bits >>> 0) / 4294967296;

/** Draws that are no field's, by number; fields count from 0. */
export const draws = {
  step: -1,
  pause: -2,
  entity: -3,
  fault: -4,
  shift: -5,
  duplicate: -6,
  damage: -7,
  mix: -8,
  burst: -9,
} as const;

/** The two keys of something numbered (events, sessions, entities), from the seed. `kind` tells the streams apart. */
export function keysOf(seed: number, kind: number): {low: number; high: number} {
  const a = seed | 0;
  const b = Math.floor(seed / 4294967296) | 0;
  return {low: hash(a, b, kind * 2), high: hash(a, b, kind * 2 + 1)};
}

/** First key of the n-th of a kind. */
export const keyA = (n: number, low: number): number => Math.imul((n | 0) ^ low, 0x85ebca6b);
/** Second key of the n-th of a kind. */
export const keyB = (n: number, high: number): number =>
  ((Math.imul(n | 0, 0xc2b2ae35) ^ high) + Math.floor(n / 4294967296) * 0x27d4eb2f) | 0;
