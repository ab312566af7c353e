import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Telemetry} from '../telemetry.ts';
import {defaultRetry, type RetryPolicy, retryUntilDone} from './retry.ts';
import type {Sink} from './types.ts';

/** The same as of a delivery. */
export type MarkHealth = {onPaused(error: PlatformError): void; onResumed(): void};

type Waiting = {
  epoch: number;
  health: MarkHealth | undefined;
  done: {resolve(): void; reject(error: unknown): void}[];
};

/** Tells a sink which checkpoint epochs it has wholly, for all its tables together. */
export type Marker = {
  /**
   * `table`: `<namespace>.<table>`. Resolves when a mark of this epoch or a later one is durable in the sink; rejects with the
   * sink's error when it refuses marks for good. @param health told when marks fail for a while, and when they work again
   */
  mark(table: string, epoch: number, health?: MarkHealth): Promise<void>;
  close(): void;
};

/**
 * Marks that come while one statement is in flight go out with the next one, the highest epoch of a table alone. Failures
 * are tried again as in a delivery.
 */
export function createMarker(options: {
  sink: Sink;
  sinkName: string;
  clock: Clock;
  random: () => number;
  telemetry: Telemetry;
  retry?: RetryPolicy;
}): Marker {
  const {sink, sinkName, clock, random, telemetry, retry = defaultRetry} = options;
  const abort = new AbortController();
  let waiting = new Map<string, Waiting>();
  let taken = new Map<string, Waiting>();
  let working = false;
  let pausedBy: PlatformError | undefined;
  const tell = (what: (health: MarkHealth) => void) => {
    for (const {health} of [...taken.values(), ...waiting.values()]) if (health) what(health);
  };
  const hooks = {
    onFailed(error: PlatformError) {
      const {code, message, retry: again} = error;
      telemetry.emit('SinkFailed', {
        sink: sinkName,
        table: 'millrace.delivered',
        code,
        message,
        retry: again,
      });
    },
    onPaused(error: PlatformError) {
      pausedBy = error;
      tell((health) => health.onPaused(error));
    },
    onResumed() {
      pausedBy = undefined;
      tell((health) => health.onResumed());
    },
    async onStopped(error: PlatformError) {
      throw error;
    },
  };
  const work = async () => {
    working = true;
    while (waiting.size > 0) {
      taken = waiting;
      waiting = new Map();
      const marks = [...taken].map(([table, {epoch}]) => ({table, epoch}));
      try {
        await retryUntilDone(() => sink.mark(marks), {
          policy: retry,
          clock,
          random,
          signal: abort.signal,
          hooks,
        });
        for (const {done} of taken.values()) for (const each of done) each.resolve();
      } catch (error) {
        pausedBy = undefined;
        for (const {done} of taken.values()) for (const each of done) each.reject(error);
      }
      taken = new Map();
    }
    working = false;
  };
  return {
    mark(table, epoch, health) {
      return new Promise((resolve, reject) => {
        if (abort.signal.aborted) return reject(abort.signal.reason);
        const entry = waiting.get(table) ?? {epoch, health, done: []};
        entry.epoch = Math.max(entry.epoch, epoch);
        entry.done.push({resolve, reject});
        waiting.set(table, entry);
        if (pausedBy) health?.onPaused(pausedBy);
        if (!working) void work();
      });
    },
    close() {
      abort.abort(new PlatformError('SINK_CLOSED', `sink ${sinkName} was closed while marks were written`));
    },
  };
}
