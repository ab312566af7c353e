import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Table} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {DeliveryQueue, type Push} from './delivery-queue.ts';
import {isRowError, type RefusedRow, writeApart} from './refused.ts';
import {defaultRetry, type RetryHooks, type RetryPolicy, retryUntilDone, sinkError} from './retry.ts';
import {slice, tableId} from './tables.ts';
import type {RowBatch, Sink} from './types.ts';
import {WriteSize} from './write-size.ts';

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
  /** Rows in memory, the highest version of a key alone. */
  heldRows(): number;
  /** For how long the oldest of the pending rows has been waiting, ms; 0 when none are. */
  waitingMs(): number;
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

/** Rows of one write, however slow a sink is. */
const rowsMin = 100;

/** `error`: why the sink refuses one of the rows. */
type Attempt = {to: number; error?: PlatformError};

export function createDelivery(options: DeliveryOptions): Delivery {
  const {sink, sinkName, table, clock, random, telemetry, retry = defaultRetry} = options;
  const rowsMax = options.rowsMax ?? 50_000;
  const writesMax = options.writesMax ?? 1;
  const id = tableId(table);
  let abort = new AbortController();
  const counts: DeliveryCounts = {emitted: 0, written: 0, pending: 0, dead: 0};
  const health: Health = {state: 'running', reason: undefined};
  const hooks = healthHooks(health, options);
  const queue = new DeliveryQueue(table);
  let taken: Push[] = [];
  let takenRows = 0;
  let working = false;
  const idle: (() => void)[] = [];
  let writeMs = 0;
  /** Rows refused since one was taken. */
  let refusedInRow = 0;
  const size = new WriteSize(rowsMax, rowsMin);

  const onRefused = options.callbacks?.onRefused;
  /** Writes rows `from`.. of a batch, as many as the sink takes in time: `to` exclusive. @returns also what it says when it refuses one of them */
  const attempt = (batch: RowBatch, from: number, signal: AbortSignal): Promise<Attempt> =>
    retryUntilDone(
      async () => {
        const to = Math.min(batch.count, from + size.now);
        const startMs = performance.now();
        try {
          await sink.write(table, from === 0 && to === batch.count ? batch : slice(batch, from, to));
          size.wrote(to - from, performance.now() - startMs);
          return {to};
        } catch (error) {
          if (onRefused && isRowError(error)) return {to, error};
          size.failed(to - from);
          throw error;
        }
      },
      {policy: retry, clock, random, signal, hooks},
    );
  /** @returns rows that were set aside */
  const write = async (batch: RowBatch, signal: AbortSignal): Promise<number> => {
    let dead = 0;
    for (let from = 0; from < batch.count; ) {
      const startMs = performance.now();
      const {to, error} = await attempt(batch, from, signal);
      if (!error) refusedInRow = 0;
      const refused = error ? await apart(slice(batch, from, to), error, signal) : 0;
      const tookMs = performance.now() - startMs;
      writeMs = writeMs === 0 ? tookMs : writeMs * 0.8 + tookMs * 0.2;
      const rows = to - from - refused;
      telemetry.emit('RowsWritten', {sink: sinkName, table: id, rows, seconds: tookMs / 1000});
      dead += refused;
      from = to;
    }
    return dead;
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
    const one = async (part: RowBatch): Promise<PlatformError | undefined> => {
      for (let from = 0; from < part.count; ) {
        const {to, error: refusal} = await attempt(part, from, signal);
        if (refusal) return refusal;
        from = to;
      }
      return undefined;
    };
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
    while (queue.pushes.length > 0) await writeWaiting();
    // In the same turn as the check above: a push that comes now starts the work again.
    working = false;
    for (const wake of idle.splice(0)) wake();
  };
  /** They are pending no more, and whoever emitted them emits them again. */
  const giveUp = (given: Push[], error: unknown) => {
    for (const {count, reject} of given) {
      counts.emitted -= count;
      counts.pending -= count;
      reject(error);
    }
  };
  const writeWaiting = async () => {
    const {signal} = abort;
    const {batch, pushes} = queue.take(options.distinct ?? false);
    taken = pushes;
    takenRows = batch.count;
    let dead = 0;
    try {
      for (let from = 0; from < batch.count; from += rowsMax * writesMax)
        dead += await writeTogether(batch, from, signal);
    } catch (error) {
      giveUp(pushes, error);
      if (health.state === 'stopped') giveUp(queue.clear(), error);
      return;
    } finally {
      taken = [];
      takenRows = 0;
    }
    for (const {count, resolve} of pushes) {
      counts.written += count;
      counts.pending -= count;
      resolve();
    }
    counts.written -= dead;
    counts.dead += dead;
  };
  const closed = () =>
    new PlatformError('SINK_CLOSED', `sink ${sinkName} was closed while ${id} was written`);
  const end = (error: PlatformError) => {
    abort.abort(error);
    giveUp(queue.clear(), error);
  };
  return {
    push(batch) {
      if (health.state === 'closed') return Promise.reject(closed());
      if (health.state === 'stopped') return Promise.reject(health.reason);
      counts.emitted += batch.count;
      counts.pending += batch.count;
      return new Promise((resolve, reject) => {
        queue.add(batch, {count: batch.count, sinceMs: clock.now(), resolve, reject});
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
    heldRows: () => takenRows + queue.rows,
    waitingMs: () => {
      const [oldest] = taken.length > 0 ? taken : queue.pushes;
      return oldest ? Math.max(0, clock.now() - oldest.sinceMs) : 0;
    },
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
      const {message, place: at, hint} = error;
      telemetry.emit('SinkPaused', {...place, message, ...(at ? {place: at} : {}), ...(hint ? {hint} : {})});
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
