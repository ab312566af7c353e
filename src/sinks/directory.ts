import {resolve} from 'node:path';
import {type Clock, systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {acquireLock, type Lock} from '../log/lock.ts';
import type {SinkContext} from './types.ts';

/** A command that only reads has a database for seconds: so long a start waits for it. */
const waitMs = 5_000;
const againMs = 100;

/**
 * The directory of an embedded database with its lock `<dir>.lock`, which names the owner to a second opener. One that holds
 * it is waited for.
 * @throws LOCKED; SINK_REFUSED when the place cannot be written.
 */
export async function ownDirectory(
  dir: string,
  context: SinkContext,
  clock: Clock = systemClock,
): Promise<{dir: string; lock: Lock}> {
  const path = resolve(context.root, dir);
  try {
    for (const untilMs = clock.now() + waitMs; ; ) {
      try {
        return {dir: path, lock: acquireLock(`${path}.lock`, {command: context.command ?? 'millrace'})};
      } catch (error) {
        const isHeld = error instanceof PlatformError && error.code === 'LOCKED';
        if (!isHeld || clock.now() >= untilMs) throw error;
        await clock.sleep(againMs);
      }
    }
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw new PlatformError('SINK_REFUSED', (error as Error).message, {
      cause: error,
      place: path,
      hint: 'make the directory writable, or name another one',
    });
  }
}
