/** Waiting for a log that is full. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {AppendResult, AppendTransaction, LogWriter} from '../log/types.ts';
import type {Telemetry} from '../telemetry.ts';

/** Nothing of the transaction was appended, and it can be when space is back, or when another process has ended. */
const passing: ReadonlySet<string> = new Set(['LOG_FULL', 'LOG_DISK_FULL', 'LOG_STANDBY']);
/** How long a full log is left alone before the next attempt, ms. */
const retryMs = 1000;

/**
 * Appends, and while the log is full, or another process writes it, tries again: nothing of the transaction was appended, so it is sent as it is.
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
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        return await log.append(transaction);
      } catch (error) {
        if (!(error instanceof PlatformError && passing.has(error.code))) throw error;
        if (attempt % 30 === 0)
          telemetry.emit('Log', {level: 'warn', message: `${source} waits: ${error.message}`});
        await clock.sleep(retryMs, signal);
      }
    }
  } catch (error) {
    tellRefused(telemetry, transaction);
    throw error;
  }
}

/** Tells of the records of a transaction that the log did not take. */
export function tellRefused(telemetry: Telemetry, {ledger = []}: Pick<AppendTransaction, 'ledger'>): void {
  for (const {domain, eventType, source, received} of ledger)
    if (received > 0) telemetry.emit('EventsRefused', {domain, eventType, source, refused: received});
}
