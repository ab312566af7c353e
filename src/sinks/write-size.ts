/** A write that takes longer than that is larger than it should be, ms: well within the time-outs of servers. */
const slowMs = 5_000;
/** What a failure leaves of it. */
const failedShare = 1 / 8;

/**
 * How much goes out in one write: as much as may be while a sink is quick, and less while it is slow or fails. A write that a
 * time-out ends has to begin anew, and one that is always too large for a slow sink would never end.
 */
export class WriteSize {
  readonly #max: number;
  readonly #min: number;
  #now: number;

  /** @param max the usual size, in any unit @param min never less */
  constructor(max: number, min: number) {
    this.#max = max;
    this.#min = Math.min(min, max);
    this.#now = max;
  }

  get now(): number {
    return this.#now;
  }

  /** A write of `size` was acknowledged after `ms`. */
  wrote(size: number, ms: number): void {
    if (ms > slowMs) this.#set(Math.min(this.#now, size / 2));
    else if (ms < slowMs / 4 && size >= this.#now) this.#set(this.#now * 2);
  }

  failed(size: number): void {
    this.#set(Math.min(this.#now, size * failedShare));
  }

  #set(size: number): void {
    this.#now = Math.round(Math.min(this.#max, Math.max(this.#min, size)));
  }
}
