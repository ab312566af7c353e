import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {QueryStatus, WaitsFor} from '../types.ts';
import {type LookupSwitch, stateName} from './checkpoint.ts';
import type {Merger} from './merger.ts';
import {storeWait, waitsForStore} from './merger-limits.ts';
import type {PartitionPlace} from './merger-time.ts';
import type {ReplayFeed} from './replay-feed.ts';
import {topicsOf} from './topics-read.ts';
import type {Delta} from './types.ts';
import {StopAndAgain} from './worker-again.ts';
import {type Written, writeCheckpoint} from './worker-checkpoint.ts';
import {errorOf, failureOf} from './worker-failure.ts';
import {endsOf, Feeds, type OwnerOptions, placesOf} from './worker-feeds.ts';
import type {Failure, PeerMessage, SideOutput, StopPlace} from './worker-messages.ts';
import {openQuery} from './worker-open.ts';
import {Pace} from './worker-pace.ts';
import {SideGate} from './worker-side.ts';
import {SinkGate, sinkWait} from './worker-sinks.ts';
import {type LagOf, statusOf} from './worker-status.ts';
import {LookupSwitches} from './worker-switches.ts';

/** Rows of sessions wait for a checkpoint, so theirs come more often: at least so far apart. */
const orderedCheckpointMs = 100;

/** Long because every state that a running query can be in meets here. */

/**
 * Runs one query's merger: opens it from its checkpoint, lets the feeds read, merges their deltas, sends rows one emission at
 * a time, writes checkpoints. What fails here stops this query alone.
 */
export class QueryOwner {
  readonly plan: QueryPlan;
  /** Where the last checkpoint of this process stands; undefined before it. */
  committedPlaces: Written['places'] | undefined;
  #options: OwnerOptions;
  #places: PartitionPlace[];
  #feeds: Feeds;
  #merger: Merger | undefined;
  #replay: ReplayFeed | undefined;
  #run: number;
  #state: QueryStatus['state'] = 'running';
  #reason: Failure | undefined;
  #isPaused = false;
  #until: StopPlace[] | null = null;
  #isDraining = false;
  #committing = false;
  /** Resolves when no commit is under way. */
  #writing: Promise<unknown> = Promise.resolve();
  /** Reading pauses because the checkpoint store does not answer. */
  #waitsForStore = false;
  #checkpointMs = -Infinity;
  #emitMs = -Infinity;
  #pace: Pace;
  readonly #again = new StopAndAgain();
  /** Workers that were told to hold and have not said `held`. */
  #holding: Set<number> | undefined;
  #switches: LookupSwitches;
  /** What feeds that read again have to follow. */
  #journal: LookupSwitch[] = [];
  #side: SideGate;
  #sinks: SinkGate;

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.#run = options.firstRun;
    this.plan = options.start.plan;
    this.#switches = new LookupSwitches(this.plan);
    this.#side = new SideGate((batch, side) =>
      options.toMain({kind: 'side', query: this.plan.id, batch, side}),
    );
    this.#sinks = new SinkGate(this.plan);
    this.#pace = new Pace(options.flushMs);
    this.#places = placesOf(this.plan, options.log);
    this.#feeds = new Feeds(this.plan.id, this.#places, options);
  }

  /** Reads the checkpoint, or writes the first one, and only then lets the feeds begin. */
  async open(): Promise<void> {
    const run = ++this.#run;
    try {
      // A commit of an earlier opening, which counts once it is there: what is read before it would be behind it.
      await this.#writing;
      if (run !== this.#run) return;
      // Where a partition begins has to be known: one that nobody leads just now is no empty one.
      await this.#options.log.refresh(topicsOf(this.plan));
      if (run !== this.#run) return;
      this.#places = placesOf(this.plan, this.#options.log);
      this.#feeds = new Feeds(this.plan.id, this.#places, this.#options);
      // What answers an earlier opening must not pass for an answer to this one.
      const firstSequence = run * 1e9;
      this.#side.begin(firstSequence);
      this.#pace = new Pace(this.#options.flushMs);
      this.#setPace(false);
      const {merger, replay, journal, hasCheckpoint, hasRead} = openQuery(
        this.#options,
        this.#places,
        firstSequence,
      );
      this.#journal = journal;
      this.#switches.opened(hasRead ? endsOf(this.plan, this.#options.log) : []);
      // Before anything is deleted: what waits to be replayed keeps its windows.
      replay.observeEnd();
      await replay.scan();
      if (run !== this.#run) return;
      this.#merger = merger;
      this.#again.begun(this.#options.clock.now());
      this.#replay = replay;
      this.#state = this.#isPaused ? 'paused' : 'running';
      if (!hasCheckpoint) await this.#checkpoint(merger);
      if (run !== this.#run || this.isStopped) return;
      for (let worker = 0; worker < this.#options.workers; worker++) this.openFeed(worker);
    } catch (error) {
      // What an earlier opening came upon is not about this one.
      if (run === this.#run) this.fail(error);
    }
  }

  /** Tells a worker where its part of the query begins: at what is merged. */
  openFeed(worker: number): void {
    const merger = this.#merger;
    if (!merger || this.isStopped) return;
    this.#feeds.open(worker, this.#run, merger, this.#journal);
    if (this.#isReadingPaused) this.#feeds.pause(this.#run, true);
    if (this.#until) this.#feeds.until(this.#run, this.#until);
    if (this.#holding || this.#isDraining || this.#switches.isUnderWay) this.#feeds.hold(this.#run);
  }

  get isStopped(): boolean {
    return this.#state === 'stopped' || this.#state === 'failed';
  }

  /** Nothing to read, to emit or to write, and no mark without its answer; or it will not move for another reason. */
  get isSettled(): boolean {
    if (this.isStopped) return true;
    const merger = this.#merger;
    if (!merger || this.#committing || this.#holding || !this.#side.isEmpty) return false;
    if (this.wantsReplay) return false;
    if (this.#sinks.isWaiting && !this.#isPaused) return false;
    if (this.#isPaused) return !merger.wantsCheckpoint();
    if (!this.#isDraining && (this.#switches.isUnderWay || this.#switches.isWanted(merger))) return false;
    return merger.isSettled();
  }

  /** Why it is not settled; nothing when it is. */
  get waitsFor(): WaitsFor[] {
    const merger = this.#merger;
    if (this.isSettled) return [];
    if (!merger) return ['start'];
    const waits: WaitsFor[] = this.#holding ? ['read'] : [];
    if (!this.#side.isEmpty) waits.push('side');
    if (!merger.isClean()) waits.push('rows');
    // A commit waits for what was set aside.
    if (this.#side.isEmpty && (this.#committing || merger.wantsCheckpoint())) waits.push('checkpoint');
    return waits.length > 0 ? waits : ['marks'];
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
    this.#setPace(false);
    failpoint('emit.after-acknowledge');
    this.#sendMark(mark);
  }

  marked(epoch: number): void {
    if (this.isStopped) return;
    failpoint('emit.after-mark');
    this.#sendMark(this.#merger?.marked(epoch));
  }

  sideDurable(batch: number): void {
    const wasFull = this.#side.isFull;
    this.#side.durable(batch);
    if (wasFull) this.#broadcastPause();
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
      this.#again.tried();
      void this.open();
      return;
    }
    this.#state = 'running';
    this.#broadcastPause();
  }

  /** Reads no further than these offsets; null: on and on. It holds for later openings too. */
  until(places: StopPlace[] | null): void {
    this.#until = places;
    this.#feeds.until(this.#run, places);
  }

  /** A new snapshot of a lookup is there. */
  lookup(name: string, id: string): void {
    this.#switches.want(name, id);
  }

  drain(): void {
    this.#isDraining = true;
    this.#hold();
  }

  /** Something is to be counted after all, and may be now. */
  get wantsReplay(): boolean {
    return this.#replay !== undefined && this.#mayReplay() && this.#replay.hasWork;
  }

  /** Merges what is to be counted after all, if it may now. @returns whether there was something */
  async replay(): Promise<boolean> {
    const replay = this.#replay;
    if (!replay || !this.wantsReplay) return false;
    try {
      await replay.fill();
      if (replay !== this.#replay || !this.#mayReplay()) return false;
      const before = replay.unread;
      const replays = replay.step();
      failpoint('engine.replayed');
      if (replays.length > 0) this.#sendSide({records: [], failures: [], replays});
      return replay.unread < before;
    } catch (error) {
      const isAway = error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE';
      if (replay === this.#replay && !isAway) this.fail(error);
      return false;
    }
  }

  /** Does what is due. @returns ms until something is due again */
  pump(nowMs: number): number {
    if (this.#again.isDue(nowMs)) this.resume();
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
    this.#shut();
    const isTold = this.#again.stopped(failure, this.#options.clock.now());
    this.#options.toMain({kind: 'stopped', query, failure, isTold});
  }

  /** Begins again from the checkpoint when its topics have more partitions than it reads. */
  lookForPartitions(): void {
    if (!this.#merger || this.isStopped || this.#isDraining) return;
    if (placesOf(this.plan, this.#options.log).length <= this.#places.length) return;
    this.#shut();
    this.#options.toMain({kind: 'reopened', query: this.plan.id});
    void this.open();
  }

  #shut(): void {
    this.#feeds.close(this.#run);
    this.#run++;
    this.#merger = undefined;
    this.#replay = undefined;
    this.#holding = undefined;
    this.#side.forget();
    this.#sinks.forget();
    this.#committing = this.#waitsForStore = false;
    this.#setPace(false);
  }

  /** Tells the feeds how long they keep a delta; while rows are in flight there is no hurry. */
  #setPace(isInFlight: boolean): void {
    const {setPace, checkpointIntervalMs} = this.#options;
    setPace(isInFlight ? Math.max(checkpointIntervalMs, this.#pace.intervalMs) : this.#pace.intervalMs);
  }

  /** @param nowMs the time of day */
  status(lagMsOf: LagOf, nowMs: number): Promise<QueryStatus> {
    const isSettled = this.isSettled && !this.#isPaused;
    const now = {
      isSettled,
      waitsFor: this.waitsFor,
      unreadReplays: this.#replay?.unread ?? 0,
      nowMs,
    };
    const waits = this.#waitsForStore ? storeWait : this.#sinks.isWaiting ? sinkWait : undefined;
    const stop = this.#again.reason;
    const shown =
      stop && this.#state === 'running'
        ? {state: 'stopped' as const, reason: stop}
        : waits && this.#state === 'running'
          ? {state: 'paused' as const, reason: waits}
          : {state: this.#state, reason: this.#reason};
    return statusOf(this.plan, this.#merger, {...shown, ...now}, lagMsOf);
  }

  /** @param endOf offset that the next record of a (topic, partition) will get */
  observeEnds(endOf: (topic: string, partition: number) => number): void {
    const time = this.#merger?.time;
    if (time)
      for (const {topic, partition} of this.#places)
        time.observeEnd(topic, partition, endOf(topic, partition));
    try {
      this.#replay?.observeEnd();
    } catch (error) {
      this.fail(error);
    }
  }

  #merge(delta: Delta): void {
    const merger = this.#merger!;
    merger.apply(delta, this.#options.clock.now());
    failpoint('engine.after-merge');
    if (delta.side.length > 0) this.#sendSide({records: delta.side, failures: [], replays: []});
    this.#mindStore(merger);
    this.#mindSinks(merger, true);
    this.#feeds.merged(delta.worker, this.#run);
  }

  #mindStore(merger: Merger): void {
    const waitingMs = this.#committing ? this.#options.clock.now() - this.#checkpointMs : 0;
    const waits = waitsForStore(this.plan, waitingMs, merger.groups.count, () => merger.bytes());
    if (waits === this.#waitsForStore) return;
    this.#waitsForStore = waits;
    this.#broadcastPause();
  }

  #mindSinks(merger: Merger, hasGrown: boolean): void {
    const sentMs = merger.sequenceInFlight === undefined ? undefined : this.#emitMs;
    if (this.#sinks.look(merger, sentMs, this.#options.clock.now(), hasGrown)) this.#broadcastPause();
  }

  #pump(merger: Merger, nowMs: number): number {
    const {flushMs} = this.#options;
    merger.tick(nowMs);
    // Nothing is merged meanwhile, which looks at it otherwise.
    if (this.#sinks.isWaiting) this.#mindStore(merger);
    if (this.#sinks.isWaiting || merger.sequenceInFlight !== undefined) this.#mindSinks(merger, false);
    if (nowMs - this.#emitMs >= this.#emitIntervalMs) this.#emit(merger, nowMs);
    const isWhole = this.#replay?.unread === 0;
    if (!this.#holding && !this.#isDraining && isWhole && this.#switches.mayBegin(merger)) this.#hold();
    const intervalMs = this.#isDraining ? 0 : this.#checkpointIntervalMs();
    const dueMs = this.#checkpointMs + intervalMs - nowMs;
    if (!merger.wantsCheckpoint() && !this.#committing && this.#again.isSteady(nowMs)) this.#cameThrough();
    if (!merger.wantsCheckpoint() || this.#committing) return merger.isClean() ? Infinity : flushMs;
    if (dueMs <= 0)
      void this.#checkpoint(merger).catch((error) => merger === this.#merger && this.fail(error));
    return Math.max(1, Math.min(dueMs, this.#emitDueMs(merger, nowMs)));
  }

  /** Until rows may leave that came too early after the last; Infinity when none wait for the time. */
  #emitDueMs(merger: Merger, nowMs: number): number {
    const leftMs = this.#emitMs + this.#emitIntervalMs - nowMs;
    return leftMs > 0 && merger.sequenceInFlight === undefined && !merger.isClean() ? leftMs : Infinity;
  }

  get #emitIntervalMs(): number {
    return this.#isDraining ? this.#options.flushMs : this.#pace.intervalMs;
  }

  #emit(merger: Merger, nowMs: number): void {
    const rows = merger.takeRows();
    if (rows) {
      this.#emitMs = nowMs;
      this.#pace.emitted(nowMs, merger.time.partitions);
      this.#setPace(true);
      failpoint('emit.before-send');
      this.#options.toMain({kind: 'rows', rows});
    }
    const failures = merger.takeFailures();
    if (failures.length > 0) this.#sendSide({records: [], failures, replays: []});
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
    const writing = writeCheckpoint(merger, store, this.#side);
    this.#writing = writing.catch(() => {});
    const written = await writing;
    if (!written || merger !== this.#merger) return;
    this.#committing = false;
    this.#mindStore(merger);
    this.committedPlaces = written.places;
    const mark = merger.committed(written.epoch, store.sizeBytes(stateName(this.plan)));
    const {bytes, seconds, pauseSeconds} = written;
    toMain({kind: 'checkpoint', query: this.plan.id, bytes, seconds, pauseSeconds});
    this.#cameThrough();
    this.#sendMark(mark);
    const lookups = this.#switches.finished(merger.committedEpoch);
    if (!lookups) return;
    this.#feeds.release(this.#run, lookups);
    this.#replay?.switched(lookups);
  }

  /** What it had stopped for is over, if it had. */
  #cameThrough(): void {
    const over = this.#again.over(this.#options.clock.now());
    if (over) this.#options.toMain({kind: 'again', query: this.plan.id, ...over});
  }

  #sendMark(epoch: number | undefined): void {
    if (epoch === undefined) return;
    failpoint('emit.before-mark');
    this.#options.toMain({kind: 'mark', query: this.plan.id, epoch});
  }

  #sendSide(side: SideOutput): void {
    this.#side.send(side);
    if (this.#side.isFull) this.#broadcastPause();
  }

  /** Only between deltas that see the same lookups, and while the query reads at all. */
  #mayReplay(): boolean {
    if (this.isStopped || this.#isReadingPaused || this.#isDraining) return false;
    return !this.#holding && !this.#switches.isUnderWay;
  }

  get #isReadingPaused(): boolean {
    return this.#isPaused || this.#side.isFull || this.#waitsForStore || this.#sinks.isWaiting;
  }

  #broadcastPause(): void {
    this.#feeds.pause(this.#run, this.#isReadingPaused);
  }

  #hold(): void {
    if (this.isStopped || !this.#merger || this.#holding) return;
    this.#holding = new Set(this.#feeds.workers);
    this.#feeds.hold(this.#run);
  }

  #held(worker: number): void {
    this.#holding?.delete(worker);
    if (this.#holding?.size !== 0) return;
    this.#holding = undefined;
    if (this.#isDraining) return;
    const switched = this.#switches.begin(this.#merger!);
    if (switched.length === 0) this.#feeds.release(this.#run, {});
    // They have one snapshot from here on, in every partition.
    this.#journal = this.#journal.filter(({lookup}) => !switched.includes(lookup));
    this.#checkpointMs = -Infinity;
  }
}
