import {resolve} from 'node:path';
import {PlatformError} from '../errors.ts';
import {acquireLock, type Lock} from '../log/lock.ts';
import type {SinkContext} from './types.ts';

/**
 * The directory of an embedded database with its lock `<dir>.lock`, which names the owner to a second opener.
 * @throws LOCKED; SINK_REFUSED when the place cannot be written.
 */
export function ownDirectory(dir: string, context: SinkContext): {dir: string; lock: Lock} {
  const path = resolve(context.root, dir);
  try {
    return {dir: path, lock: acquireLock(`${path}.lock`, {command: context.command ?? 'millrace'})};
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw new PlatformError('SINK_REFUSED', (error as Error).message, {
      cause: error,
      place: path,
      hint: 'make the directory writable, or name another one',
    });
  }
}
