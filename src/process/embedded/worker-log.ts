import {setTimeout} from 'node:timers/promises';
import {PlatformError} from '../../errors.ts';
import type {LogReader} from '../../log/types.ts';
import type {LogTold} from './worker-messages.ts';

/** Pause before the next attempt, ms. */
const pauseMs = 500;

/**
 * Opens the log, however long its brokers are away: a worker that begins just then is no worker that failed.
 * @param tell that it waits, and that it waits no more
 * @returns undefined when the signal was aborted first @throws every other failure of `open`
 */
export async function openWhenThere(
  open: () => Promise<LogReader>,
  tell: (told: LogTold) => void,
  signal: AbortSignal,
): Promise<LogReader | undefined> {
  let sinceMs: number | undefined;
  while (!signal.aborted) {
    try {
      const log = await open();
      if (sinceMs !== undefined) tell({about: 'back', seconds: (performance.now() - sinceMs) / 1000});
      return log;
    } catch (error) {
      if (!(error instanceof PlatformError) || error.code !== 'KAFKA_UNAVAILABLE') throw error;
      if (sinceMs === undefined) tell({about: 'away', message: error.message});
      sinceMs ??= performance.now();
    }
    await setTimeout(pauseMs, undefined, {signal}).catch(() => {});
  }
  return undefined;
}
