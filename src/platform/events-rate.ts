/** How many events a sender may bring: a bucket of tokens for each access token. */
import {type Clock, systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {EventRate} from '../model/types.ts';

/** A refusal that knows when the same request may succeed. */
export class Throttled extends PlatformError {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number, message: string, hint: string) {
    super('EVENTS_RATE', message, {hint});
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Senders that are remembered; whoever was let in has one of few tokens. */
const sendersMax = 1_000;

type Bucket = {level: number; atMs: number};

/**
 * Fills by `perSecond` up to `burst`. How many events a request brings is known only when it was read: it is let in while anything
 * is left, and what it brought is taken then, also below zero. So a sender is over its rate by one request at most, and waits
 * until that is paid.
 */
export class EventBuckets {
  readonly #rate: EventRate | undefined;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();

  /** @param rate undefined: no limit */
  constructor(rate: EventRate | undefined, clock: Clock = systemClock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /**
   * Lets a request in, with one event paid: so requests that are under way at once count.
   * @returns takes the rest when it is known. @throws Throttled
   */
  enter(sender: string): (events: number) => void {
    const rate = this.#rate;
    if (!rate) return () => {};
    const bucket = this.#bucket(sender, rate);
    if (bucket.level < 1) {
      const seconds = Math.max(1, Math.ceil((1 - bucket.level) / rate.perSecond));
      throw new Throttled(
        seconds,
        `more than ${rate.perSecond.toLocaleString('en-US')} events a second came with this token`,
        'wait for the seconds of Retry-After, then send the request again; the limit is server.rate',
      );
    }
    bucket.level -= 1;
    return (events) => {
      this.#bucket(sender, rate).level -= events - 1;
    };
  }

  #bucket(sender: string, {perSecond, burst}: EventRate): Bucket {
    const nowMs = this.#clock.now();
    const known = this.#buckets.get(sender);
    if (known) {
      // A clock that is set back takes nothing away.
      known.level = Math.min(burst, known.level + (Math.max(0, nowMs - known.atMs) * perSecond) / 1000);
      known.atMs = nowMs;
      return known;
    }
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= sendersMax && oldest !== undefined) this.#buckets.delete(oldest);
    const fresh = {level: burst, atMs: nowMs};
    this.#buckets.set(sender, fresh);
    return fresh;
  }
}
