import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';

/** How a failing sink is tried again: full jitter over an exponentially growing delay. */
export type RetryPolicy = {
  baseMs: number;
  delayMsMax: number;
  /** Failures in a row after which a delivery counts as paused; it goes on trying, at the longest delay. */
  attemptsMax: number;
};

export const defaultRetry: RetryPolicy = {baseMs: 100, delayMsMax: 10_000, attemptsMax: 5};

/** Delay before attempt `failures + 1`: uniform in [0, min(max, base x 2^(failures - 1))), at least 1 ms. */
export function retryDelayMs(policy: RetryPolicy, failures: number, random: () => number): number {
  const ceiling = Math.min(policy.delayMsMax, policy.baseMs * 2 ** Math.min(30, failures - 1));
  return Math.max(1, random() * ceiling);
}

/** What a delivery does between the failure of an attempt and the next one. */
export type RetryHooks = {
  onFailed(error: PlatformError): void;
  onPaused(error: PlatformError): void;
  /** `pausedMs`: since onPaused. */
  onResumed(pausedMs: number): void;
  /** A failure that trying again cannot mend; resolves when someone says `resume`, throws to give the work up. */
  onStopped(error: PlatformError): Promise<void>;
};

/** The sink's own errors as they are; anything else (a plugin's exception, say) counts as one that can pass. */
export function sinkError(error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new PlatformError('SINK_UNAVAILABLE', message, {cause: error});
}

/** Where something stands still until someone says `resume`. */
export type Gate = {
  /** Rejects with the reason of the signal. */
  wait(): Promise<void>;
  resume(): void;
};

export function createGate(signal: AbortSignal): Gate {
  let open: (() => void) | undefined;
  return {
    wait: () =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        open = resolve;
        signal.addEventListener('abort', () => reject(signal.reason), {once: true});
      }),
    resume() {
      open?.();
      open = undefined;
    },
  };
}

/** Runs `work` until it succeeds. @throws only the reason of `signal`, and what `onStopped` throws. */
export async function retryUntilDone<T>(
  work: () => Promise<T>,
  options: {policy: RetryPolicy; clock: Clock; random: () => number; signal: AbortSignal; hooks: RetryHooks},
): Promise<T> {
  const {policy, clock, random, signal, hooks} = options;
  let failures = 0;
  let pausedAtMs: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    try {
      const result = await work();
      if (pausedAtMs !== undefined) hooks.onResumed(clock.now() - pausedAtMs);
      return result;
    } catch (thrown) {
      signal.throwIfAborted();
      const error = sinkError(thrown);
      hooks.onFailed(error);
      if (!error.retry) {
        await hooks.onStopped(error);
        failures = 0;
        continue;
      }
      failures += 1;
      if (failures >= policy.attemptsMax && pausedAtMs === undefined) {
        pausedAtMs = clock.now();
        hooks.onPaused(error);
      }
      await clock.sleep(retryDelayMs(policy, failures, random), signal);
    }
  }
}
