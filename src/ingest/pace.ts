import type {Clock} from '../clock.ts';

/** Events leave in steps of this length, ms: short enough to look even, long enough to cost nothing. */
export const paceStepMs = 20;
/** What was not used while something else held it back is made up for at most this long, ms. */
const catchUpMs = 5 * paceStepMs;

/** Limits a stream to a rate. */
export type Pace = {
  /** Waits until something may leave. @returns how many, at least 1; Infinity without a rate. */
  ready(signal?: AbortSignal): Promise<number>;
  /** So many left. */
  sent(count: number): void;
};

/** @param ratePerSecond null: no limit. */
export function pace(ratePerSecond: number | null, clock: Clock): Pace {
  if (ratePerSecond === null) return {ready: async () => Number.POSITIVE_INFINITY, sent: () => {}};
  const perMs = ratePerSecond / 1000;
  let lastMs = clock.now();
  let credit = Math.max(1, perMs * paceStepMs);
  const refill = () => {
    const nowMs = clock.now();
    // A wall clock may be set back: that is no time that passed.
    credit = Math.min(credit + Math.max(0, nowMs - lastMs) * perMs, Math.max(1, perMs * catchUpMs));
    lastMs = nowMs;
  };
  return {
    async ready(signal) {
      refill();
      while (credit < 1) {
        await clock.sleep(Math.max(paceStepMs, Math.ceil((1 - credit) / perMs)), signal);
        refill();
      }
      return Math.floor(credit);
    },
    sent: (count) => {
      credit -= count;
    },
  };
}
