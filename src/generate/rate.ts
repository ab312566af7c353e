/** When events come: the rate as a function of event time, and the clock that it drives. */
import type {Generate} from '../model/types.ts';
import {draws, hash, keysOf, unit} from './random.ts';

const dayMs = 86_400_000;
/** A rate with a shape is constant for so long, ms of event time. */
export const sliceMs = 1000;

/** Events per second at an event time, epoch ms. */
export type RateCurve = (timeMs: number) => number;

/** The curve of `rate:`; `perSecond` may be another one than the section's. */
export function rateCurve({rate, seed}: Pick<Generate, 'rate' | 'seed'>, perSecond: number): RateCurve {
  const {daily, bursts} = rate;
  const keys = keysOf(seed, 9);
  return (timeMs) => {
    let now = perSecond;
    if (daily) {
      const angle = (2 * Math.PI * (timeMs - daily.peakMs)) / dayMs;
      now *= daily.lowShare + ((1 - daily.lowShare) * (1 + Math.cos(angle))) / 2;
    }
    if (bursts) {
      const period = Math.floor(timeMs / bursts.everyMs);
      const at = unit(hash(keys.low ^ period, keys.high, draws.burst)) * (bursts.everyMs - bursts.forMs);
      const since = timeMs - period * bursts.everyMs - at;
      if (since >= 0 && since < bursts.forMs) now *= bursts.times;
    }
    return now;
  };
}

/** The event times, one after the other; a function of where it began and how often it was asked. */
export class EventClock {
  /** ms of event time since the generator began, of the next event. */
  elapsedMs: number;
  /** Event time where it began, epoch ms; moved when time is skipped. */
  originMs: number;
  #curve: RateCurve;
  readonly #shaped: boolean;
  #stepMs = 0;
  #sliceEndMs = Number.NEGATIVE_INFINITY;

  constructor(curve: RateCurve, shaped: boolean, originMs: number, elapsedMs: number) {
    this.#curve = curve;
    this.#shaped = shaped;
    this.originMs = originMs;
    this.elapsedMs = elapsedMs;
  }

  /** Another rate from the next event on. */
  set curve(curve: RateCurve) {
    this.#curve = curve;
    this.#sliceEndMs = Number.NEGATIVE_INFINITY;
  }

  /** Leaves out so much event time. */
  skip(ms: number): void {
    this.originMs += ms;
    this.#sliceEndMs = Number.NEGATIVE_INFINITY;
  }

  /** Events per second just now. */
  get perSecond(): number {
    return this.#curve(this.originMs + this.elapsedMs);
  }

  /** Event time of the next event, epoch ms with a fraction; moves on to the one after it. */
  next(): number {
    const elapsedMs = this.elapsedMs;
    if (elapsedMs >= this.#sliceEndMs) {
      // A slice begins at a multiple of its length, so that the steps do not depend on where the clock was restored.
      this.#stepMs = 1000 / this.#curve(this.originMs + Math.floor(elapsedMs / sliceMs) * sliceMs);
      this.#sliceEndMs = this.#shaped
        ? (Math.floor(elapsedMs / sliceMs) + 1) * sliceMs
        : Number.POSITIVE_INFINITY;
    }
    this.elapsedMs = elapsedMs + this.#stepMs;
    return this.originMs + elapsedMs;
  }
}
