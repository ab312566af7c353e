import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {AppendTransaction} from '../log/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {IngestThread} from './ingest-thread.ts';

/**
 * Appends what was set aside, or what says that it will be. A full disk is waited for: the checkpoint or the delivery waits
 * with it, so nothing is lost.
 * @throws what does not pass, saying that it could not be kept
 */
export async function appendSide(
  {ingest, clock, telemetry}: {ingest: Pick<IngestThread, 'append'>; clock: Clock; telemetry: Telemetry},
  transaction: AppendTransaction,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await ingest.append(transaction);
      return;
    } catch (error) {
      if (!(error instanceof PlatformError) || !error.retry) throw notKept(error);
      if (attempt % 30 === 0)
        telemetry.emit('Log', {
          level: 'warn',
          message: `late events and dead letters wait: ${error.message}`,
        });
      await clock.sleep(1_000);
    }
  }
}

/** The same failure, saying what could not be done. */
function notKept(error: unknown): Error {
  const {message} = error as Error;
  const text = `late events and dead letters cannot be kept: ${message}`;
  if (!(error instanceof PlatformError)) return new Error(text, {cause: error});
  const hint = error.hint ?? 'mend the cause, then: npx millrace resume with the name of the query';
  return new PlatformError(error.code, text, {cause: error, hint});
}
