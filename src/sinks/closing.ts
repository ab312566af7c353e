/** The end of a sink, which nobody waits for without end. */
import type {Clock} from '../clock.ts';
import type {Telemetry} from '../telemetry.ts';

/** A sink may take so long to close, ms: less than a drain may, so that a platform ends in good order all the same. */
export const closeMsMax = 20_000;

/**
 * Closes a sink, and goes on without it when that takes longer than `closeMsMax`, which is told. What it has acknowledged is durable,
 * the rest is written again at the next start.
 * @returns whether it closed. Rejects as `close` does
 */
export async function closeInTime(
  sinkName: string,
  close: () => Promise<void>,
  {clock, telemetry}: {clock: Clock; telemetry: Telemetry},
): Promise<boolean> {
  const over = new AbortController();
  const late = clock.sleep(closeMsMax, over.signal).then(
    () => true,
    () => false,
  );
  const closing = close();
  closing.catch(() => {});
  try {
    const isLate = await Promise.race([closing.then(() => false), late]);
    if (isLate)
      telemetry.emit('Log', {
        level: 'error',
        message: `sink ${sinkName} did not close within ${closeMsMax / 1000} s and is left as it is: what it had not acknowledged is written at the next start`,
        fields: {sink: sinkName},
      });
    return !isLate;
  } finally {
    over.abort();
  }
}
