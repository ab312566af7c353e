import type {Clock} from '../../clock.ts';
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {LogReader} from '../../log/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {QueryStatus} from '../types.ts';
import {commitOf, readCheckpoint, stateName} from './checkpoint.ts';
import type {EmitFailure} from './emit.ts';
import {Merger} from './merger.ts';
import type {PartitionPlace} from './merger-time.ts';
import type {StateStore} from './statestore.ts';
import type {Delta, SideRecord} from './types.ts';
import {errorOf, failureOf} from './worker-failure.ts';
import {
  type Failure,
  type PeerMessage,
  type QueryStart,
  readerOf,
  type WorkerEvent,
} from './worker-messages.ts';

/** Batches of late and dead records that may be on their way to the log before the query stops reading. */
const sideBatchesMax = 8;
/** A query whose checkpoint found the disk full tries again from its last one after so long. */
const diskFullRetryMs = 5_000;
/** Rows of sessions wait for a checkpoint, so theirs come more often: at least so far apart. */
const orderedCheckpointMs = 100;

export type OwnerOptions = {
  start: QueryStart;
  firstRun: number;
  /** This worker, and how many there are. */
  worker: number;
  workers: number;
  log: LogReader;
  store: StateStore;
  clock: Clock;
  flushMs: number;
  checkpointIntervalMs: number;
  toWorker(worker: number, message: PeerMessage): void;
  toMain(event: WorkerEvent): void;
  setBusy(busy: boolean): void;
};

/**
 * Runs one query's merger: opens it from its checkpoint, lets the feeds read, merges their deltas, sends rows one emission at
 * a time, writes checkpoints. What fails here stops this query alone.
 */
export class QueryOwner {
  readonly plan: QueryPlan;
  #options: OwnerOptions;
  #places: PartitionPlace[];
  #merger: Merger | undefined;
  #run: number;
  #state: QueryStatus['state'] = 'running';
  #reason: Failure | undefined;
  #isPaused = false;
  #isDraining = false;
  #committing = false;
  #checkpointMs = -Infinity;
  #emitMs = -Infinity;
  #retryMs = Infinity;
  /** Workers that were told to hold and have not said `held`. */
  #holding: Set<number> | undefined;
  /** Lookups with a newer snapshot: name -> id. */
  #switches = new Map<string, string>();
  #switching: Record<string, string> = {};
  /** Epoch of the checkpoint that makes the switch effective; 0 when none is on its way. */
  #switchEpoch = 0;
  #sideBatch = 0;
  #side = new Set<number>();
  #sideWaiters: (() => void)[] = [];

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.#run = options.firstRun;
    this.plan = options.start.plan;
    const {log} = options;
    this.#places = this.plan.sources.flatMap(({topic}) =>
      Array.from({length: log.partitions(topic)}, (_, partition) => ({
        topic,
        partition,
        startOffset: log.startOffset(topic, partition),
      })),
    );
  }

  /** Reads the checkpoint, or writes the first one, and only then lets the feeds begin. */
  async open(): Promise<void> {
    const run = ++this.#run;
    const {start, store, clock} = this.#options;
    // What answers an earlier opening must not pass for an answer to this one.
    const firstSequence = run * 1e9;
    this.#sideBatch = firstSequence;
    this.#side.clear();
    this.#options.setBusy(false);
    try {
      if (this.#places.length === 0)
        throw new PlatformError('QUERY_FAILED', `${this.plan.id} reads topics that the log does not have`);
      const saved = readCheckpoint(store, this.plan);
      const {lookups, epoch} = start;
      this.#merger = new Merger({
        plan: this.plan,
        places: this.#places,
        nowMs: clock.now(),
        saved,
        epoch,
        firstSequence,
        lookups,
        read: (key) => store.get(stateName(this.plan), key),
      });
      this.#state = this.#isPaused ? 'paused' : 'running';
      if (!saved) await this.#checkpoint(this.#merger);
      if (run !== this.#run || this.isStopped) return;
      for (let worker = 0; worker < this.#options.workers; worker++) this.openFeed(worker);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Tells a worker where its part of the query begins: at what is merged. */
  openFeed(worker: number): void {
    const merger = this.#merger;
    if (!merger || this.isStopped) return;
    const places = merger.time.partitions
      .filter(({topic, partition}) => readerOf(topic, partition, this.#options.workers) === worker)
      .map(({topic, partition, offset, maxTimeMs}) => ({topic, partition, offset, maxTimeMs}));
    merger.kernelBegins(worker);
    if (places.length === 0) return;
    const {id: query} = this.plan;
    const run = this.#run;
    const message = {query, run, owner: this.#options.worker, places, lookups: {...merger.lookups}};
    this.#options.toWorker(worker, {kind: 'open', ...message});
    if (this.#isPaused) this.#options.toWorker(worker, {kind: 'pause', query, run, paused: true});
    if (this.#holding || this.#isDraining || this.#switchEpoch > 0)
      this.#options.toWorker(worker, {kind: 'hold', query, run});
  }

  get isStopped(): boolean {
    return this.#state === 'stopped' || this.#state === 'failed';
  }

  /** Nothing to read, to emit, to mark or to write; or it will not move for another reason. */
  get isSettled(): boolean {
    if (this.isStopped) return true;
    const merger = this.#merger;
    if (!merger || this.#committing || this.#holding || this.#side.size > 0) return false;
    if (this.#isPaused) return !merger.wantsCheckpoint();
    if (!this.#isDraining && (this.#switches.size > 0 || this.#switchEpoch > 0)) return false;
    return merger.isClean() && !merger.wantsCheckpoint();
  }

  receive(message: PeerMessage): void {
    if (message.run !== this.#run || this.isStopped) return;
    try {
      if (message.kind === 'delta') this.#merge(message.delta);
      else if (message.kind === 'held') this.#held(message.worker);
      else if (message.kind === 'feedFailed') this.fail(errorOf(message.failure), message.failure);
    } catch (error) {
      this.fail(error);
    }
  }

  acknowledge(sequence: number): void {
    const merger = this.#merger;
    if (!merger || this.isStopped || merger.sequenceInFlight !== sequence) return;
    failpoint('emit.before-acknowledge');
    const mark = merger.acknowledge(sequence);
    this.#options.setBusy(false);
    failpoint('emit.after-acknowledge');
    this.#sendMark(mark);
  }

  marked(epoch: number): void {
    if (this.isStopped) return;
    failpoint('emit.after-mark');
    this.#sendMark(this.#merger?.marked(epoch));
  }

  sideDurable(batch: number): void {
    this.#side.delete(batch);
    if (this.#side.size < sideBatchesMax) this.#broadcastPause();
    if (this.#side.size === 0) for (const wake of this.#sideWaiters.splice(0)) wake();
  }

  pause(reason: Failure | undefined): void {
    if (this.isStopped) return;
    this.#isPaused = true;
    this.#state = 'paused';
    this.#reason = reason;
    this.#broadcastPause();
  }

  /** Reads on after `pause`; begins again from the checkpoint after a stop. */
  resume(): void {
    this.#reason = undefined;
    this.#isPaused = false;
    if (this.isStopped) {
      this.#state = 'running';
      void this.open();
      return;
    }
    this.#state = 'running';
    this.#broadcastPause();
  }

  /** A new snapshot of a lookup is there. */
  lookup(name: string, id: string): void {
    const uses = this.plan.sources.some(({enrich}) => enrich.some(({lookup}) => lookup === name));
    if (uses && this.#merger?.lookups[name] !== id) this.#switches.set(name, id);
  }

  drain(): void {
    this.#isDraining = true;
    this.#hold();
  }

  /** Does what is due. @returns ms until something is due again */
  pump(nowMs: number): number {
    if (this.#retryMs <= nowMs) {
      this.#retryMs = Infinity;
      this.resume();
    }
    const merger = this.#merger;
    if (!merger || this.isStopped) return Infinity;
    try {
      return this.#pump(merger, nowMs);
    } catch (error) {
      this.fail(error);
      return Infinity;
    }
  }

  fail(error: unknown, failure = failureOf(error)): void {
    if (this.isStopped) return;
    const isOurs = !(error instanceof PlatformError) || error.code === 'QUERY_FAILED';
    this.#state = isOurs ? 'failed' : 'stopped';
    this.#reason = failure;
    const query = this.plan.id;
    for (let worker = 0; worker < this.#options.workers; worker++)
      this.#options.toWorker(worker, {kind: 'close', query, run: this.#run});
    this.#run++;
    this.#merger = undefined;
    this.#holding = undefined;
    this.#switchEpoch = 0;
    this.#committing = false;
    this.#options.setBusy(false);
    if (failure.code === 'CHECKPOINT_DISK_FULL') this.#retryMs = this.#options.clock.now() + diskFullRetryMs;
    this.#options.toMain({kind: 'stopped', query, failure});
  }

  /** @param lagMsOf age of the record at an offset */
  async status(
    lagMsOf: (topic: string, partition: number, offset: number) => Promise<number>,
  ): Promise<QueryStatus> {
    const merger = this.#merger;
    const partitions = merger?.time.partitions ?? [];
    const behind = partitions.filter(({offset, endOffset}) => offset < endOffset);
    const ages = await Promise.all(
      behind.map(({topic, partition, offset}) => lagMsOf(topic, partition, offset)),
    );
    return {
      query: this.plan.id,
      state: this.#state,
      ...(this.#reason
        ? {
            reason: {
              code: this.#reason.code ?? 'QUERY_FAILED',
              message: this.#reason.message,
              ...(this.#reason.hint ? {hint: this.#reason.hint} : {}),
            },
          }
        : {}),
      counts: partitions.map(({offset, maxTimeMs, endOffset, movedMs, ...counts}) => counts),
      watermarkMs: merger?.time.watermark() ?? null,
      lagEvents: behind.reduce((sum, {offset, endOffset}) => sum + endOffset - offset, 0),
      lagMs: Math.max(0, ...ages),
      groups: merger?.groups.count ?? 0,
      openWindows: merger?.openWindows() ?? 0,
      memoryBytes: merger?.bytes() ?? 0,
      checkpointEpoch: merger?.committedEpoch ?? 0,
      observedMs: this.#options.clock.now(),
      settled: this.isSettled && !this.#isPaused && behind.length === 0,
    };
  }

  observeEnds(): void {
    const {log} = this.#options;
    for (const {topic, partition} of this.#places)
      this.#merger?.time.observeEnd(topic, partition, log.endOffset(topic, partition));
  }

  #merge(delta: Delta): void {
    const merger = this.#merger!;
    merger.apply(delta, this.#options.clock.now());
    failpoint('engine.after-merge');
    if (delta.side.length > 0) this.#sendSide(delta.side, []);
    const {id: query} = this.plan;
    this.#options.toWorker(delta.worker, {kind: 'merged', query, run: this.#run});
  }

  #pump(merger: Merger, nowMs: number): number {
    const {flushMs} = this.#options;
    merger.tick(nowMs);
    if (nowMs - this.#emitMs >= flushMs) this.#emit(merger, nowMs);
    const isSteady = !this.#holding && !this.#isDraining && this.#switchEpoch === 0;
    if (this.#switches.size > 0 && isSteady && this.#maySwitch(merger)) this.#hold();
    const intervalMs = this.#isDraining ? 0 : this.#checkpointIntervalMs();
    const dueMs = this.#checkpointMs + intervalMs - nowMs;
    if (!merger.wantsCheckpoint() || this.#committing) return merger.isClean() ? Infinity : flushMs;
    if (dueMs <= 0)
      void this.#checkpoint(merger).catch((error) => merger === this.#merger && this.fail(error));
    return Math.max(1, dueMs);
  }

  #emit(merger: Merger, nowMs: number): void {
    const rows = merger.takeRows();
    if (rows) {
      this.#emitMs = nowMs;
      this.#options.setBusy(true);
      failpoint('emit.before-send');
      this.#options.toMain({kind: 'rows', rows});
    }
    const failures = merger.takeFailures();
    if (failures.length > 0) this.#sendSide([], failures);
  }

  #checkpointIntervalMs(): number {
    const {checkpointIntervalMs} = this.#options;
    return this.plan.window.type === 'session'
      ? Math.min(checkpointIntervalMs, orderedCheckpointMs)
      : checkpointIntervalMs;
  }

  async #checkpoint(merger: Merger): Promise<void> {
    const {store, clock, toMain} = this.#options;
    this.#committing = true;
    this.#checkpointMs = clock.now();
    failpoint('checkpoint.before-copy');
    const startedMs = performance.now();
    const commit = commitOf(this.plan, merger.checkpoint());
    const pauseSeconds = (performance.now() - startedMs) / 1000;
    const bytes = commit.puts.reduce((sum, put) => sum + put.bytes.length, 0);
    // What was set aside below these offsets must be durable first: a restart would not come by it again.
    if (this.#side.size > 0) await new Promise<void>((resolve) => this.#sideWaiters.push(resolve));
    failpoint('checkpoint.before-commit');
    await store.commit(commit);
    failpoint('checkpoint.after-commit');
    if (merger !== this.#merger) return;
    this.#committing = false;
    const mark = merger.committed(commit.epoch, store.sizeBytes(stateName(this.plan)));
    const seconds = (performance.now() - startedMs) / 1000;
    toMain({kind: 'checkpoint', query: this.plan.id, bytes, seconds, pauseSeconds});
    this.#sendMark(mark);
    this.#releaseAfterSwitch(merger);
  }

  #sendMark(epoch: number | undefined): void {
    if (epoch === undefined) return;
    failpoint('emit.before-mark');
    this.#options.toMain({kind: 'mark', query: this.plan.id, epoch});
  }

  #sendSide(records: SideRecord[], failures: EmitFailure[]): void {
    const batch = ++this.#sideBatch;
    this.#side.add(batch);
    this.#options.toMain({kind: 'side', query: this.plan.id, batch, side: {records, failures}});
    if (this.#side.size >= sideBatchesMax) this.#broadcastPause();
  }

  #broadcastPause(): void {
    const paused = this.#isPaused || this.#side.size >= sideBatchesMax;
    const {id: query} = this.plan;
    for (const worker of this.#readers())
      this.#options.toWorker(worker, {kind: 'pause', query, run: this.#run, paused});
  }

  /** Workers that read for this query. */
  #readers(): Set<number> {
    return new Set(
      this.#places.map(({topic, partition}) => readerOf(topic, partition, this.#options.workers)),
    );
  }

  // ---- Switching a lookup: the feeds hold, the switch is journalled with a checkpoint of exactly these offsets, they go on.

  #maySwitch(merger: Merger): boolean {
    const ends = this.#options.start.startEnds;
    return merger.time.partitions.every(({topic, partition, offset}) => {
      const end = ends.find((place) => place.topic === topic && place.partition === partition);
      return offset >= (end?.offset ?? 0);
    });
  }

  #hold(): void {
    if (this.isStopped || !this.#merger || this.#holding) return;
    this.#holding = this.#readers();
    const {id: query} = this.plan;
    for (const worker of this.#holding) this.#options.toWorker(worker, {kind: 'hold', query, run: this.#run});
  }

  #held(worker: number): void {
    this.#holding?.delete(worker);
    if (this.#holding?.size !== 0) return;
    this.#holding = undefined;
    const merger = this.#merger!;
    if (this.#isDraining) return;
    this.#switching = Object.fromEntries(this.#switches);
    this.#switches.clear();
    for (const [lookup, id] of Object.entries(this.#switching)) merger.switchLookup(lookup, id);
    this.#switchEpoch = merger.nextEpoch;
    this.#checkpointMs = -Infinity;
  }

  #releaseAfterSwitch(merger: Merger): void {
    if (this.#switchEpoch === 0 || merger.committedEpoch < this.#switchEpoch) return;
    const lookups = this.#switching;
    this.#switchEpoch = 0;
    const {id: query} = this.plan;
    for (const worker of this.#readers())
      this.#options.toWorker(worker, {kind: 'release', query, run: this.#run, lookups});
  }
}
