/** Trying again what failed for now. */
import {PlatformError} from '../../errors.ts';

const pause = {firstMs: 50, mostMs: 1_000};

/** Whether an error says that the same attempt can succeed later. */
export const mayPass = (error: unknown): boolean =>
  error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE';

/** Does `work` until it succeeds, fails for good, or `patienceMs` are over; then throws its last error. */
export async function patiently<T>(patienceMs: number, work: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + patienceMs;
  for (let pauseMs = pause.firstMs; ; pauseMs = Math.min(pauseMs * 2, pause.mostMs)) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error) || performance.now() + pauseMs > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
