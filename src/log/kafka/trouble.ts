/** Which brokers cannot be read just now, and since when. */
import {PlatformError} from '../../errors.ts';

/** For what is asked of any broker: topics, ends of partitions. */
export const anyBroker = -1;
/** For partitions that nobody speaks for. */
export const noLeader = -2;

export class Trouble {
  readonly #byBroker = new Map<number, {error: PlatformError; since: number}>();

  note(broker: number, error: unknown): void {
    const told =
      error instanceof PlatformError
        ? error
        : new PlatformError('KAFKA_UNAVAILABLE', `a broker does not answer: ${String(error)}`, {
            cause: error,
          });
    this.#byBroker.set(broker, {error: told, since: this.#byBroker.get(broker)?.since ?? performance.now()});
  }

  /** The broker answers. */
  clear(broker: number): void {
    this.#byBroker.delete(broker);
  }

  /** Forgets brokers that nothing is read from any more. */
  keep(brokers: ReadonlySet<number>): void {
    for (const broker of this.#byBroker.keys())
      if (broker !== anyBroker && broker !== noLeader && !brokers.has(broker)) this.#byBroker.delete(broker);
  }

  /** What lasts longest, and for how long, ms. */
  now(): {error: PlatformError; ms: number} | undefined {
    const [worst] = [...this.#byBroker.values()].toSorted((a, b) => a.since - b.since);
    return worst && {error: worst.error, ms: performance.now() - worst.since};
  }
}
