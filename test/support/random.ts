/** What is drawn by lot: the same for a seed. */

export type Random = {
  /** In [0, 1). */
  next(): number;
  /** Integer in [0, below). */
  int(below: number): number;
  pick<T>(values: readonly T[]): T;
};

/** mulberry32. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (below: number) => Math.floor(next() * below);
  return {next, int, pick: (values) => values[int(values.length)]!};
}
