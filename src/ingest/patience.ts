/** Waiting for a log that is full and for a gate that is closed. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {AppendResult, AppendTransaction, LogWriter} from '../log/types.ts';
import type {Telemetry} from '../telemetry.ts';

/** How long a full log is left alone before the next attempt, ms. */
const retryMs = 1000;

/**
 * Appends, and while the log is full tries again: nothing of the transaction was appended, so it is sent as it is.
 * @throws PlatformError LOG_IO; what the signal was aborted with
 */
export async function appendPatiently(
  log: LogWriter,
  transaction: AppendTransaction,
  {
    clock,
    telemetry,
    signal,
    source,
  }: {clock: Clock; telemetry: Telemetry; signal?: AbortSignal; source: string},
): Promise<AppendResult> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await log.append(transaction);
    } catch (error) {
      const full =
        error instanceof PlatformError && (error.code === 'LOG_FULL' || error.code === 'LOG_DISK_FULL');
      if (!full) throw error;
      if (attempt % 30 === 0)
        telemetry.emit('Log', {level: 'warn', message: `${source} waits: ${error.message}`});
      await clock.sleep(retryMs, signal);
    }
  }
}

/** Resolves when the gate opens, rejects when the signal is aborted before. */
export function untilOpen(gate: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return gate;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, {once: true});
    gate.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
