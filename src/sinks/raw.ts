import {unlessAborted} from '../abort.ts';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import type {LogSource} from '../log/open.ts';
import type {CheckedType} from '../model/checked.ts';
import type {Table} from '../model/types.ts';
import type {PrivacySetting} from '../privacy/opener.ts';
import type {RegistrySource} from '../schema/registry-open.ts';
import type {AvroRecord} from '../schema/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {givenUpWith, type RawBooks} from './raw-apart.ts';
import {isPast, lagOf, type Observed, observe} from './raw-lag.ts';
import {openSource, type RawSource} from './raw-source.ts';
import {isSameTopic, placeOfRaw, type RawPlace} from './raw-topic.ts';
import {createGate, defaultRetry, type RetryPolicy, retryUntilDone} from './retry.ts';
import {tableId} from './tables.ts';
import type {Sink} from './types.ts';
import {WriteSize} from './write-size.ts';

/** Raw delivery of one event type: from a topic of the log into a raw table. Crosses to the sink's thread or process. */
export type RawJob = {
  table: Table;
  topic: string;
  /** What the table's columns come from; older events are read as this schema sees them. */
  schema: AvroRecord;
  log: LogSource;
  /** Never print it. */
  registry: RegistrySource;
  /** Key of what is protected, for another process; absent without one. Never print it. */
  privacy?: PrivacySetting;
  /** Records that cannot be read, or do not pass, become dead letters here: no query reads the topic, which would make them. */
  letters?: boolean;
  /** What records that other programs appended have to pass; absent: they are all taken. */
  judged?: {type: CheckedType; futureMaxMs: number};
  /** By partition: it ends there. */
  until?: number[];
};

/** Events up to offsets by partition, which are read with columns that went after them. */
export type RawPhase = Required<Pick<RawJob, 'table' | 'schema' | 'until'>>;

export type RawStats = {
  /** `<namespace>.<table>`. */
  table: string;
  state: 'running' | 'paused' | 'held' | 'stopped';
  /** Why it is paused or stopped. */
  reason?: {code: string; message: string; hint?: string};
  /** Events written since the start of this host. */
  written: number;
  /** Events that the sink refused while it took others, and records that cannot be read where no query reads the topic, since the
   * start of this host: each is a dead letter. */
  dead: number;
  /** Events that are being written. */
  pending: number;
  /** Records that do not decode, or do not pass; the engine makes dead letters of them. */
  skipped: number;
  /** Records of the log that are not yet written. */
  lagEvents: number;
  /** Age of the oldest of them, ms. */
  lagMs: number;
  /** Partition -> next offset wanted: the log may be trimmed below it. */
  offsets: Record<number, number>;
};

/** Starts, holds and ends raw deliveries where the sink runs. Tables by `<namespace>.<table>`. */
export type RawControl = {
  start(job: RawJob): Promise<void>;
  /** Holds it until `resume`. */
  pause(table: string): Promise<void>;
  /** Goes on after `pause`, and tries again what was stopped by an error. */
  resume(table: string): Promise<void>;
  /** Resolves when nothing of it is in flight. */
  stop(table: string): Promise<void>;
  stats(): Promise<RawStats[]>;
};

type Environment = {
  sink: Sink;
  sinkName: string;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  telemetry: Telemetry;
  /** Where refused events are kept; without it such an event stops its delivery. */
  books?: RawBooks;
  retry?: RetryPolicy;
};

const readBytesMax = 2 * 1024 * 1024;
const readBytesMin = 16 * 1024;
const waitMs = 500;

type Running = {stop(): Promise<void>; hold(): void; resume(): void; stats(): RawStats};

export function createRawControl(environment: Environment): RawControl {
  const jobs = new Map<string, Running>();
  return {
    async start(job) {
      const id = tableId(job.table);
      if (!jobs.has(id)) jobs.set(id, runJob(job, environment));
    },
    pause: async (table) => jobs.get(table)?.hold(),
    resume: async (table) => jobs.get(table)?.resume(),
    async stop(table) {
      const job = jobs.get(table);
      jobs.delete(table);
      await job?.stop();
    },
    stats: async () => [...jobs.values()].map((job) => job.stats()),
  };
}

function runJob(
  job: RawJob,
  {sink, sinkName, clock, random, telemetry, books, retry = defaultRetry}: Environment,
): Running {
  const id = tableId(job.table);
  const abort = new AbortController();
  const stats: Observed = {
    table: id,
    state: 'running',
    written: 0,
    dead: 0,
    pending: 0,
    skipped: 0,
    lagEvents: 0,
    lagMs: 0,
    offsets: {},
  };
  /** Looks at the lag while a write takes long; undefined between two sources. */
  let look: (() => void) | undefined;
  const size = new WriteSize(readBytesMax, readBytesMin);
  const gate = createGate(abort.signal);
  const because = ({code, message, hint}: PlatformError): void => {
    stats.reason = {code, message, ...(hint === undefined ? {} : {hint})};
  };
  const hooks = {
    onFailed: ({code, message, retry: again}: PlatformError) =>
      telemetry.emit('SinkFailed', {sink: sinkName, table: id, code, message, retry: again}),
    onPaused(error: PlatformError) {
      stats.state = 'paused';
      because(error);
      const {message, hint} = error;
      telemetry.emit('SinkPaused', {sink: sinkName, table: id, message, ...(hint ? {hint} : {})});
    },
    onResumed(pausedMs: number) {
      stats.state = 'running';
      delete stats.reason;
      telemetry.emit('SinkResumed', {sink: sinkName, table: id, seconds: pausedMs / 1000});
    },
    async onStopped(error: PlatformError) {
      stats.state = 'stopped';
      stats.pending = 0;
      because(error);
      await gate.wait();
      stats.state = 'running';
      delete stats.reason;
    },
  };
  const surely = <T>(work: () => Promise<T>) =>
    retryUntilDone(work, {policy: retry, clock, random, signal: abort.signal, hooks});
  const asked = books && givenUpWith(books, abort.signal);
  /** Until it is stopped, or is past `until`. */
  const follow = async (part: RawJob) => {
    const source = await surely(() => openSource(part, telemetry));
    try {
      let place = await surely(() => placeOfRaw(part, source, sink, asked));
      while (!abort.signal.aborted && !isPast(part, source, place.offsets)) {
        // What has the topic's name now may be another one: then the table's offsets are not of it.
        if (!isSameTopic(part, source, place))
          place = await surely(() => placeOfRaw(part, source, sink, asked));
        const here = place;
        look = () => observe(part, source, here.offsets, stats, clock.now());
        if (stats.state === 'held') await gate.wait().then(() => (stats.state = 'running'));
        const moved = await surely(() => step(part, source, here, stats, size, sinkName, telemetry));
        if (!moved) await unlessAborted(source.reader.waitForAppend(waitMs), abort.signal);
      }
    } finally {
      look = undefined;
      source.close();
    }
  };
  const work = async () => {
    try {
      const phases = asked ? await surely(() => asked.before(job.table, job.schema)) : [];
      for (const phase of phases) {
        await surely(() => sink.ensure(phase.table));
        await follow({...job, ...phase});
      }
      if (phases.length > 0) {
        abort.signal.throwIfAborted();
        await surely(() => asked!.settled(id));
        await surely(() => sink.ensure(job.table));
      }
      await follow(job);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    }
  };
  const done = work();
  return {
    async stop() {
      abort.abort(new PlatformError('SINK_CLOSED', `raw delivery of ${id} was stopped`));
      await done;
    },
    hold() {
      if (stats.state === 'running') stats.state = 'held';
    },
    resume() {
      gate.resume();
      if (stats.state === 'held') stats.state = 'running';
    },
    stats() {
      look?.();
      const {oldestMs, ...shown} = stats;
      return {...shown, offsets: {...stats.offsets}};
    },
  };
}

/** When the next partition is read and decoded, which is work of this thread: while the database works, and not before it can. */
const aheadMs = 10;

/** Work that begins in a while, or when its result is asked for. A failure is told to whoever asks. */
function beginLater<T>(work: () => Promise<T>): () => Promise<T> {
  let begun: Promise<T> | undefined;
  const begin = () => {
    begun ??= work();
    return begun;
  };
  const timer = setTimeout(() => begin().catch(() => {}), aheadMs);
  return () => {
    clearTimeout(timer);
    return begin();
  };
}

/** One batch of every partition that has one. @returns whether anything was written. */
async function step(
  job: RawJob,
  source: RawSource,
  place: RawPlace,
  stats: Observed,
  size: WriteSize,
  sinkName: string,
  telemetry: Telemetry,
): Promise<boolean> {
  const {reader, log} = source;
  const {offsets, writer} = place;
  // Known before anything is written: a sink that fails must not look like one that has caught up.
  stats.lagEvents = lagOf(job, log, offsets);
  let moved = false;
  let held: PlatformError | undefined;
  const startOf = (partition: number): number =>
    writer.from(partition) ?? offsets.get(partition) ?? reader.startOffset(job.topic, partition);
  const readRows = async (partition: number) => {
    const batches = await reader.read(job.topic, partition, startOf(partition), size.now);
    // Of another topic: nothing of it counts, before it is decided what the table's offsets are worth.
    return batches.length === 0 || !isSameTopic(job, source, place)
      ? undefined
      : {batches, ...(await source.rowsOf(partition, startOf(partition), batches))};
  };
  // A schema that cannot be asked for holds its own partition; the others go on.
  const hold = (error: unknown): undefined => {
    if (!(error instanceof PlatformError) || error.code !== 'REGISTRY_UNAVAILABLE') throw error;
    held = error;
  };
  const partitions = reader.partitions(job.topic);
  let rows = () => readRows(0);
  for (let partition = 0; partition < partitions; partition++) {
    const start = startOf(partition);
    const read = await rows().catch(hold);
    if (partition + 1 < partitions) rows = beginLater(() => readRows(partition + 1));
    if (read) {
      const {batches, batch, unread, skipped} = read;
      const startMs = performance.now();
      stats.pending = batch.count;
      stats.oldestMs = batches[0]!.appendTimeMs;
      await writer.unread(partition, unread);
      failpoint('raw.before-write');
      const bytes = batches.reduce((sum, each) => sum + each.bytes.length, 0);
      const dead = await writer.write(batch, batches).catch((error) => {
        size.failed(bytes);
        throw error;
      });
      failpoint('raw.after-write');
      const tookMs = performance.now() - startMs;
      size.wrote(bytes, tookMs);
      const of = {sink: sinkName, table: tableId(job.table)};
      telemetry.emit('RowsWritten', {...of, rows: batch.count - dead, seconds: tookMs / 1000});
      if (dead > 0)
        telemetry.emit('RowsRefused', {...of, rows: dead, message: `${dead} raw events were set aside`});
      if (unread.length > 0)
        telemetry.emit('RowsRefused', {
          ...of,
          rows: unread.length,
          message: `${unread.length} records that cannot be read were set aside`,
        });
      offsets.set(partition, batch.toOffset);
      stats.written += batch.count - dead;
      stats.dead += dead + unread.length;
      stats.pending = 0;
      delete stats.oldestMs;
      stats.skipped += skipped;
      moved = true;
    }
    const next = offsets.get(partition) ?? start;
    stats.offsets[partition] = next;
  }
  stats.lagEvents = lagOf(job, log, offsets);
  if (held && !moved) throw held;
  return moved;
}
