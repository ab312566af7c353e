/** Appends that wait until Kafka has what they appended, or until that takes too long. */
import type {Lane} from './lane.ts';

type Waiter = {lanes: Lane[]; left: number; untilMs: number; resolve: (arrived: boolean) => void};

/** How often it is looked whose time is up, ms. */
const lookMs = 25;

export class Waiting {
  readonly #afterMs: number;
  readonly #byLane = new Map<Lane, {until: number; waiter: Waiter}[]>();
  /** In the order in which they began to wait. */
  #all: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param afterMs nobody waits longer */
  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /**
   * @param isOver whether it makes no sense to wait
   * @returns true when every lane has arrived at its offset, false when it took too long or `release` was called for one
   */
  wait(places: readonly {lane: Lane; until: number}[], isOver: () => boolean): Promise<boolean> {
    const open = places.filter(({lane, until}) => lane.acknowledged < until);
    if (open.length === 0) return Promise.resolve(true);
    if (isOver() || open.some(({lane}) => lane.isSpooling)) {
      for (const {lane} of open) lane.letGo();
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      const waiter: Waiter = {
        lanes: open.map(({lane}) => lane),
        left: open.length,
        untilMs: performance.now() + this.#afterMs,
        resolve,
      };
      for (const {lane, until} of open) {
        const waiters = this.#byLane.get(lane);
        if (waiters) waiters.push({until, waiter});
        else this.#byLane.set(lane, [{until, waiter}]);
      }
      this.#all.push(waiter);
      this.#timer ??= setInterval(() => this.#look(), lookMs);
    });
  }

  /** The lane has come further. */
  arrived(lane: Lane): void {
    const waiters = this.#byLane.get(lane);
    if (!waiters) return;
    let done = 0;
    for (const {until, waiter} of waiters) {
      if (until > lane.acknowledged) break;
      done++;
      waiter.left--;
      if (waiter.left === 0) waiter.resolve(true);
    }
    if (done > 0) waiters.splice(0, done);
  }

  /** Nobody waits for the lane any more. */
  release(lane: Lane): void {
    for (const {waiter} of this.#byLane.get(lane) ?? []) this.#giveUp(waiter);
    this.#byLane.delete(lane);
  }

  /** Nobody waits any more. */
  releaseAll(): void {
    for (const waiter of this.#all) this.#giveUp(waiter);
    this.#all = [];
    this.#byLane.clear();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #giveUp(waiter: Waiter): void {
    if (waiter.left <= 0) return;
    waiter.left = 0;
    // Its bytes belong to whoever gave them, from now on.
    for (const lane of waiter.lanes) lane.letGo();
    waiter.resolve(false);
  }

  #look(): void {
    const nowMs = performance.now();
    let done = 0;
    for (const waiter of this.#all) {
      if (waiter.left > 0 && waiter.untilMs > nowMs) break;
      this.#giveUp(waiter);
      done++;
    }
    this.#all.splice(0, done);
    if (this.#all.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    // Those whose lanes arrived later are of nobody's interest.
    for (const [lane, waiters] of this.#byLane)
      if (waiters.every(({waiter}) => waiter.left <= 0)) this.#byLane.delete(lane);
  }
}
