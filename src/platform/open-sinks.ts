/** Sinks that are opened when they are wanted, each once; one that takes long keeps nobody from starting. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';

/** A sink that opens later than this is waited for by its own queries alone, ms. */
export const slowMs = 30_000;
/** An opening that takes longer is given up, and begun anew by the next who wants the sink, ms: an embedded database may have much to repair. */
export const giveUpMs = 300_000;
/** What is still being opened at the end has so long, ms; a process or a thread of its own is then ended. */
const endMs = 2_000;

export type SinkOpenings<T> = {
  /**
   * The sink, opened when it is not yet; one that failed to open is tried again. Once it has kept somebody waiting for `slowMs`, others
   * are not kept: they hear at once that it is not there yet.
   * @throws SINK_UNAVAILABLE when it takes too long, and what opening it throws
   */
  open(name: string): Promise<T>;
  /** Whether it is being opened for longer than anybody waits. */
  isSlow(name: string): boolean;
  opened(name: string): T | undefined;
  all(): T[];
  /** Opens nothing more, and closes what is open. */
  close(): Promise<void>;
};

/** @param open opens a sink; what the signal says ends it, where it can be ended @param close of what was opened, also too late @param who a sink, and where it stands in the configuration */
export function createOpenings<T>(
  open: (name: string, signal: AbortSignal) => Promise<T>,
  close: (opened: T) => Promise<void>,
  clock: Clock,
  who: (name: string) => string,
): SinkOpenings<T> {
  const opened = new Map<string, T>();
  const opening = new Map<string, Promise<T>>();
  const slow = new Set<string>();
  const ending = new AbortController();
  const late = (name: string, ms: number) =>
    new PlatformError('SINK_UNAVAILABLE', `sink ${name} has not opened within ${ms / 1000} s`, {
      hint: 'its database may have much to repair, or what it asks does not answer; it is waited for, and the others go on',
      place: who(name),
    });
  const attempt = async (name: string): Promise<T> => {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, ending.signal]);
    const work = open(name, signal);
    try {
      const found = await inTime(work, giveUpMs, () => late(name, giveUpMs), {clock, signal: ending.signal});
      opened.set(name, found);
      slow.delete(name);
      return found;
    } catch (error) {
      over.abort(error);
      opening.delete(name);
      work.then(close).catch(() => {});
      throw error;
    }
  };
  return {
    isSlow: (name) => slow.has(name),
    opened: (name) => opened.get(name),
    all: () => [...opened.values()],
    open(name) {
      const found = opened.get(name);
      if (found) return Promise.resolve(found);
      if (ending.signal.aborted) return Promise.reject(ending.signal.reason);
      let pending = opening.get(name);
      if (!pending) {
        opening.set(name, (pending = attempt(name)));
        pending.catch(() => {});
      }
      const wait = slow.has(name) ? 0 : slowMs;
      const tooLate = () => {
        slow.add(name);
        return late(name, slowMs);
      };
      return inTime(pending, wait, tooLate, {clock, signal: ending.signal});
    },
    async close() {
      const over = new AbortController();
      const waited = clock.sleep(endMs, over.signal).catch(() => {});
      await Promise.race([Promise.allSettled(opening.values()), waited]);
      over.abort();
      ending.abort(new PlatformError('SINK_CLOSED', 'the sinks are closed'));
      await Promise.all([...opened.values()].map(close));
    },
  };
}

/** What the work gives, or an error when that takes longer. */
async function inTime<T>(
  work: Promise<T>,
  ms: number,
  late: () => PlatformError,
  {clock, signal}: {clock: Clock; signal: AbortSignal},
): Promise<T> {
  const over = new AbortController();
  const timer = clock.sleep(ms, AbortSignal.any([over.signal, signal])).then(() => {
    throw late();
  });
  timer.catch(() => {});
  try {
    return await Promise.race([work, timer]);
  } finally {
    over.abort();
  }
}
