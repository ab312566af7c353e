import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Table} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {reduceToHighest} from './reduce.ts';
import {isRowError, type RefusedRow, writeApart} from './refused.ts';
import {defaultRetry, type RetryHooks, type RetryPolicy, retryUntilDone, sinkError} from './retry.ts';
import {concat, slice, tableId} from './tables.ts';
import type {RowBatch, Sink} from './types.ts';

export type DeliveryState = 'running' | 'paused' | 'stopped' | 'closed';

/** Rows since the delivery was made: emitted = written + pending + dead. */
export type DeliveryCounts = {
  /** Rows handed to `push`. */
  emitted: number;
  /** Rows that the sink has, superseded ones included: after a drain it equals `emitted`. */
  written: number;
  /** Rows handed over and not yet acknowledged. */
  pending: number;
  /** Rows that the sink refused and that were set aside as dead letters. */
  dead: number;
};

export type DeliveryCallbacks = {
  /** The sink fails for a while: stop reading; it is tried again by itself. */
  onPaused?(error: PlatformError): void;
  onResumed?(): void;
  /**
   * Rows that the sink refuses while it takes others; resolves when they are kept elsewhere, and only then the others count as
   * written. Without it such a row stops the delivery.
   */
  onRefused?(rows: RefusedRow[]): Promise<void>;
};

/** The way of one query's rows into one table of one sink. */
export type Delivery = {
  /**
   * Resolves when the rows are durable in the sink, however long that takes. Rejects with SINK_CLOSED when they were given up,
   * and with the sink's error when it refuses them for good: then also all that wait, and all that come until `resume`.
   * Batches that wait for the one in flight go out together, the highest version of a key alone.
   */
  push(batch: RowBatch): Promise<void>;
  /** Writes rows at once, past those that wait, and counts them when they are written. @throws the sink's error */
  resend(batch: RowBatch): Promise<void>;
  /** Takes rows again after the sink refused some for good. */
  resume(): void;
  /** Gives up what is pending, and takes what comes after: for a query that stopped, whose rows come again. */
  abandon(): void;
  state(): DeliveryState;
  /** The failure that paused or stopped it. */
  reason(): PlatformError | undefined;
  counts(): DeliveryCounts;
  /** How long a write of this table takes, ms, moving average: a flush more often than this only queues. */
  writeMs(): number;
  /** Resolves when nothing is pending. */
  drained(): Promise<void>;
  /** Gives up what is pending; its promises reject with SINK_CLOSED. */
  close(): void;
};

export type DeliveryOptions = {
  sink: Sink;
  /** Name of the sink in the configuration. */
  sinkName: string;
  table: Table;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  telemetry: Telemetry;
  callbacks?: DeliveryCallbacks;
  retry?: RetryPolicy;
  /** Rows of one write; a larger batch goes in several. */
  rowsMax?: number;
  /** Writes of one batch at once, where it goes in several; default 1. */
  writesMax?: number;
  /** Whether a batch that is pushed has one row a key by itself. */
  distinct?: boolean;
};

type Waiting = {batch: RowBatch; resolve: () => void; reject: (error: unknown) => void};

export function createDelivery(options: DeliveryOptions): Delivery {
  const {sink, sinkName, table, clock, random, telemetry, retry = defaultRetry} = options;
  const rowsMax = options.rowsMax ?? 50_000;
  const writesMax = options.writesMax ?? 1;
  const id = tableId(table);
  let abort = new AbortController();
  const counts: DeliveryCounts = {emitted: 0, written: 0, pending: 0, dead: 0};
  const health: Health = {state: 'running', reason: undefined};
  const hooks = healthHooks(health, options);
  let waiting: Waiting[] = [];
  let working = false;
  const idle: (() => void)[] = [];
  let writeMs = 0;
  /** Rows refused since one was taken. */
  let refusedInRow = 0;

  const onRefused = options.callbacks?.onRefused;
  /** @returns what the sink says when it refuses a row of the batch, which is then not written */
  const attempt = (batch: RowBatch, signal: AbortSignal): Promise<PlatformError | undefined> =>
    retryUntilDone(
      async () => {
        try {
          await sink.write(table, batch);
          return undefined;
        } catch (error) {
          if (onRefused && isRowError(error)) return error;
          throw error;
        }
      },
      {policy: retry, clock, random, signal, hooks},
    );
  /** @returns rows that were set aside */
  const write = async (batch: RowBatch, signal: AbortSignal): Promise<number> => {
    const startMs = performance.now();
    const error = await attempt(batch, signal);
    if (!error) refusedInRow = 0;
    const refused = error ? await apart(batch, error, signal) : 0;
    const tookMs = performance.now() - startMs;
    writeMs = writeMs === 0 ? tookMs : writeMs * 0.8 + tookMs * 0.2;
    telemetry.emit('RowsWritten', {
      sink: sinkName,
      table: id,
      rows: batch.count - refused,
      seconds: tookMs / 1000,
    });
    return refused;
  };
  /** The parts of a batch from one row on that may be written at once. */
  const writeTogether = async (batch: RowBatch, first: number, signal: AbortSignal): Promise<number> => {
    if (batch.count <= rowsMax) return write(batch, signal);
    const parts: Promise<number>[] = [];
    for (let from = first; from < batch.count && parts.length < writesMax; from += rowsMax)
      parts.push(write(slice(batch, from, from + rowsMax), signal));
    // All of them end before one's failure is told: nothing of this batch is written after that.
    const ended = await Promise.allSettled(parts);
    const failed = ended.find((each) => each.status === 'rejected');
    if (failed) throw failed.reason;
    return ended.reduce((sum, each) => sum + (each.status === 'fulfilled' ? each.value : 0), 0);
  };
  const apart = async (batch: RowBatch, error: PlatformError, signal: AbortSignal): Promise<number> => {
    const one = (part: RowBatch) => attempt(part, signal);
    const rows = await writeApart(batch, error, one, refusedInRow).catch((failure) => {
      if (!(failure instanceof PlatformError) || failure.code !== 'SINK_REFUSED') throw failure;
      refusedInRow = 0;
      return hooks.onStopped(failure).then(() => []);
    });
    refusedInRow = rows.length === batch.count ? refusedInRow + rows.length : 0;
    telemetry.emit('RowsRefused', {sink: sinkName, table: id, rows: rows.length, message: error.message});
    await onRefused!(rows);
    return rows.length;
  };
  const work = async () => {
    working = true;
    while (waiting.length > 0) await writeWaiting();
    // In the same turn as the check above: a push that comes now starts the work again.
    working = false;
    for (const wake of idle.splice(0)) wake();
  };
  /** They are pending no more, and whoever emitted them emits them again. */
  const giveUp = (given: Waiting[], error: unknown) => {
    for (const {batch, reject} of given) {
      counts.emitted -= batch.count;
      counts.pending -= batch.count;
      reject(error);
    }
  };
  const writeWaiting = async () => {
    const taken = waiting;
    const {signal} = abort;
    waiting = [];
    let dead = 0;
    try {
      const all = concat(taken.map((each) => each.batch));
      const batch = taken.length === 1 && options.distinct ? all : reduceToHighest(table, all);
      for (let from = 0; from < batch.count; from += rowsMax * writesMax)
        dead += await writeTogether(batch, from, signal);
    } catch (error) {
      giveUp(taken, error);
      if (health.state === 'stopped') giveUp(waiting.splice(0), error);
      return;
    }
    for (const each of taken) {
      counts.written += each.batch.count;
      counts.pending -= each.batch.count;
      each.resolve();
    }
    counts.written -= dead;
    counts.dead += dead;
  };
  const closed = () =>
    new PlatformError('SINK_CLOSED', `sink ${sinkName} was closed while ${id} was written`);
  const end = (error: PlatformError) => {
    abort.abort(error);
    giveUp(waiting.splice(0), error);
  };
  return {
    push(batch) {
      if (health.state === 'closed') return Promise.reject(closed());
      if (health.state === 'stopped') return Promise.reject(health.reason);
      counts.emitted += batch.count;
      counts.pending += batch.count;
      return new Promise((resolve, reject) => {
        waiting.push({batch, resolve, reject});
        if (!working) void work();
      });
    },
    async resend(batch) {
      await sink.write(table, batch).catch((error) => {
        throw sinkError(error);
      });
      counts.emitted += batch.count;
      counts.written += batch.count;
    },
    resume() {
      if (health.state === 'stopped') becomeRunning(health);
    },
    abandon() {
      if (health.state === 'closed') return;
      end(new PlatformError('SINK_CLOSED', `what waited for ${id} was given up: its query stopped`));
      abort = new AbortController();
      if (health.state === 'paused') becomeRunning(health);
    },
    state: () => health.state,
    reason: () => health.reason,
    counts: () => ({...counts}),
    writeMs: () => writeMs,
    drained: () => (working ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve()),
    close() {
      if (health.state === 'closed') return;
      health.state = 'closed';
      end(closed());
    },
  };
}

type Health = {state: DeliveryState; reason: PlatformError | undefined};

function becomeRunning(health: Health): void {
  health.state = 'running';
  health.reason = undefined;
}

/** What failures do to the delivery's state, and who is told. */
function healthHooks(
  health: Health,
  {sinkName, table, telemetry, callbacks = {}}: DeliveryOptions,
): RetryHooks {
  const place = {sink: sinkName, table: tableId(table)};
  const become = (state: DeliveryState, reason: PlatformError) => {
    health.state = state;
    health.reason = reason;
  };
  return {
    onFailed: ({code, message, retry}) => telemetry.emit('SinkFailed', {...place, code, message, retry}),
    onPaused(error) {
      become('paused', error);
      telemetry.emit('SinkPaused', {...place, message: error.message});
      callbacks.onPaused?.(error);
    },
    onResumed(pausedMs) {
      becomeRunning(health);
      telemetry.emit('SinkResumed', {...place, seconds: pausedMs / 1000});
      callbacks.onResumed?.();
    },
    async onStopped(error) {
      become('stopped', error);
      throw error;
    },
  };
}
