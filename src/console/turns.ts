/** What costs much is done for so many who ask at a time; the others wait for their turn. */
import {PlatformError} from '../errors.ts';

/** Runs work when it is its turn, in the order of asking; of those who are gone by then none. @throws what the work throws */
export type Turns = <T>(signal: AbortSignal, work: () => Promise<T>) => Promise<T>;

/** @param atOnce so much work at a time */
export function createTurns(atOnce: number): Turns {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  return async (signal, work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      if (signal.aborted) throw new PlatformError('REQUEST_INVALID', 'who asked is gone');
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
