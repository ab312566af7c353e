/** Whether a figure that was sampled over time grows. */

/** A figure at a time. */
export type Point = {seconds: number; value: number};

export type Growth = {
  /** Median of the points. */
  median: number;
  most: number;
  perHour: number;
  /** Between the first point and the last one. */
  seconds: number;
  grows: boolean;
};

/** Pairs of points are compared; more points than that are thinned out first. */
const pointsMax = 400;

const medianOf = (values: readonly number[]): number =>
  values.length === 0 ? 0 : [...values].sort((a, b) => a - b)[values.length >> 1]!;

/**
 * The slope is the median of those of all pairs of points (Theil and Sen), which a few outliers do not move: what a fault holds up
 * for seconds is none. @param points warm-up left out; those that are NaN are left out, too
 * @param hourlyMax it grows when an hour adds more than this share of the median, and more than `floor`; half of that has to be seen
 */
export function growthOf(points: readonly Point[], hourlyMax: number, floor: number): Growth {
  const known = points.filter(({value}) => Number.isFinite(value));
  const step = Math.ceil(known.length / pointsMax);
  const thin = known.filter((_, index) => index % Math.max(1, step) === 0);
  const slopes: number[] = [];
  for (const [index, a] of thin.entries())
    for (const b of thin.slice(index + 1))
      if (b.seconds > a.seconds) slopes.push((b.value - a.value) / (b.seconds - a.seconds));
  const median = medianOf(known.map(({value}) => value));
  const perHour = medianOf(slopes) * 3_600;
  const seconds = (known.at(-1)?.seconds ?? 0) - (known[0]?.seconds ?? 0);
  // A short run is not made an hour of: what it has seen must be something.
  const seen = (perHour * seconds) / 3_600;
  return {
    median,
    most: Math.max(0, ...known.map(({value}) => value)),
    perHour,
    seconds,
    grows: perHour > Math.max(floor, median * hourlyMax) && seen > floor / 2,
  };
}
