/** Longest time between two emissions of a query that catches up, ms. Small flushes stretch to so many of theirs at most. */
const paceMsMax = 1_000;
const flushesMax = 40;
/** Emissions of the time that is left. */
const emissionsLeft = 4;
/** From one emission to the next the time at most doubles: how fast a query can read shows only while it reads on and on. */
const growthMax = 2;

/** Where a query's partitions stand: its next offset, and that of the log's next record. */
export type Stand = {offset: number; endOffset: number}[];

/**
 * How far apart a query's emissions are: `flush`, and more while records wait to be read. Rows of windows that the records behind
 * change at once are stale when they arrive; whoever writes and reads them has work for nothing. The nearer the end, the shorter.
 */
export class Pace {
  /** At least so long after an emission the next one leaves, ms. */
  intervalMs: number;
  readonly #flushMs: number;
  #atMs = Number.NEGATIVE_INFINITY;
  #merged = 0;

  constructor(flushMs: number) {
    this.#flushMs = flushMs;
    this.intervalMs = flushMs;
  }

  /** An emission leaves. */
  emitted(nowMs: number, stand: Stand): void {
    let merged = 0;
    let end = 0;
    for (const {offset, endOffset} of stand) {
      merged += offset;
      end += endOffset;
    }
    const tookMs = nowMs - this.#atMs;
    const perMs = (merged - this.#merged) / Math.max(1, tookMs);
    const leftMs = perMs > 0 ? (end - merged) / perMs : 0;
    const most = Math.min(paceMsMax, this.#flushMs * flushesMax, this.intervalMs * growthMax);
    this.intervalMs = Math.max(this.#flushMs, Math.min(most, Math.floor(leftMs / emissionsLeft)));
    this.#atMs = nowMs;
    this.#merged = merged;
  }
}
