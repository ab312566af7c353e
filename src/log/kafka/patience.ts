/** Trying again what failed for now. */
import {setTimeout as sleep} from 'node:timers/promises';
import {unlessAborted} from '../../abort.ts';
import type {Clock} from '../../clock.ts';
import {PlatformError} from '../../errors.ts';
import type {KafkaClient} from './client.ts';

/** While brokers answer, and some partition has no leader. */
const reached = {attempts: 6, pauseMs: 250};
const pause = {firstMs: 50, mostMs: 1_000};

/** Whether an error says that the same attempt can succeed later. */
export const mayPass = (error: unknown): boolean =>
  error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE';

/** Does `work` until it succeeds, fails for good, or `patienceMs` are over; then throws its last error, or at once the signal's reason. */
export const patiently = <T>(patienceMs: number, work: () => Promise<T>, signal: AbortSignal): Promise<T> =>
  unlessAborted(again(patienceMs, work, signal), signal);

async function again<T>(patienceMs: number, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const untilMs = performance.now() + patienceMs;
  for (let pauseMs = pause.firstMs; ; pauseMs = Math.min(pauseMs * 2, pause.mostMs)) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error) || performance.now() + pauseMs > untilMs) throw error;
      await sleep(pauseMs, undefined, {signal});
    }
  }
}

/** Topics that were just made are not led everywhere at once: tries again while brokers answer, a few times. Throws KAFKA_*. */
export async function whileReached(
  client: KafkaClient,
  clock: Clock,
  connect: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++)
    try {
      return await connect();
    } catch (error) {
      const isReached = client.metadata.brokers.size > 0;

      if (!isReached || !mayPass(error) || attempt === reached.attempts) throw error;
      await clock.sleep(reached.pauseMs);
      await client.refreshMetadata();
    }
}
