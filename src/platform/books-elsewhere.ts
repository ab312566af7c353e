import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {readMaxima} from './books.ts';
import {followCheckpoints} from './ownership.ts';
import type {PlatformDirs} from './places.ts';

/**
 * Running maximum of event time by partition of a topic, epoch ms, as checkpoints know it, whichever process makes them: this
 * machine's copy of a bucket is brought up to date first. Where that fails, it is the last known state, with a warning.
 * @throws CHECKPOINT_*
 */
export async function maximaOf(
  {
    configured,
    isOwner,
    dirs,
    telemetry,
  }: {
    /** The platform with all its queries. */
    configured: Platform;
    /** Whether this process makes the checkpoints. */
    isOwner: boolean;
    dirs: PlatformDirs;
    telemetry: Telemetry;
  },
  topic: string,
): Promise<(number | null)[]> {
  if (!isOwner)
    try {
      await followCheckpoints(configured, dirs);
    } catch (error) {
      if (!(error instanceof PlatformError) || !error.retry) throw error;
      const message = `how far events have come is known as of the last look at the checkpoints: ${error.code} ${error.message}`;
      telemetry.emit('Log', {level: 'warn', message});
    }
  return readMaxima(configured, dirs, topic);
}
