import {replayTopic} from '../../schema/replay.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {EmittedRows} from '../types.ts';
import {
  type CheckpointCopy,
  type CheckpointHeader,
  checkFingerprint,
  type LookupSwitch,
  pendingKey,
  tombstonesKey,
} from './checkpoint.ts';
import {type EmitFailure, RowBuilder} from './emit.ts';
import {KernelGroups} from './merger-groups.ts';
import {checkDisk, checkMemory} from './merger-limits.ts';
import type {MergerOptions} from './merger-options.ts';
import {EventTime} from './merger-time.ts';
import {type ReplayMove, ReplayState} from './replay-state.ts';
import {SeenState} from './seen-state.ts';
import {SessionState} from './sessions.ts';
import type {QueryState, StateCopy} from './state.ts';
import {layoutOf} from './state-cells.ts';
import {encodePending} from './state-codec.ts';
import {Groups} from './state-groups.ts';
import {WindowState} from './state-windows.ts';
import type {TopicIds} from './topics-read.ts';
import type {Delta} from './types.ts';

/** Rows per emission: bounds what is in flight. */
const rowsMax = 50_000;

/**
 * Holds the full state of one query: adds deltas, closes windows, hands out changed rows, copies itself for checkpoints.
 * No I/O and no clock of its own; the worker drives it.
 *
 * Life of a row: changed -> in flight (`takeRows`) -> acknowledged -> marked. It is in every checkpoint's list of pending
 * rows until it is marked, so that a restart hands out again all that a sink may lack.
 */
export class Merger {
  readonly plan: QueryPlan;
  readonly time: EventTime;
  readonly groups: Groups;
  readonly lookups: Record<string, string>;
  readonly replay: ReplayState;
  readonly seen: SeenState;
  /** Switches that the next checkpoint writes to the journal. */
  #switches: LookupSwitch[];
  #starts: CheckpointHeader['starts'];
  #state: QueryState;
  #builder: RowBuilder;
  #kernels: KernelGroups;
  /** Sessions: rows leave only after the checkpoint that knows them. */
  #isOrdered: boolean;
  #held: {rows: EmittedRows; epoch: number} | undefined;
  #sequence: number;
  #inFlight: {sequence: number; coversEpoch: number} | undefined;
  #failures: EmitFailure[] = [];
  #epoch: number;
  /** No mark up to this one is asked for: an answer to an earlier opening of the query could be taken for ours. */
  #restoredEpoch: number;
  #copying = false;
  #committedEpoch: number;
  #deliveredEpoch = 0;
  #markingEpoch = 0;
  readonly #log: string | undefined;
  /** Which topics its offsets are of. */
  readonly topics: Readonly<TopicIds>;
  #markedEpoch: number;
  #unmarkedRows: boolean;
  #changed = true;

  /** @throws PlatformError QUERY_CHANGED, STATE_CORRUPT */
  constructor(options: MergerOptions) {
    const {plan, saved} = options;
    if (saved) checkFingerprint(plan, saved.header);
    this.plan = plan;
    this.groups = new Groups(plan.groupBy.map(({type}) => type));
    this.#kernels = new KernelGroups(this.groups, plan.groupBy.length > 0);
    const layout = layoutOf(plan);
    this.#isOrdered = plan.window.type === 'session';
    this.#state = this.#isOrdered
      ? new SessionState(plan, layout, this.groups, options.read, options.leavingMin)
      : new WindowState(plan, layout, this.groups, options.read);
    this.#builder = new RowBuilder(plan, layout, this.groups);
    this.time = new EventTime(plan, options.places, options.nowMs);
    const header = saved?.header.replay;
    this.replay = new ReplayState(saved && header && {...saved, header});
    this.seen = new SeenState(plan.dedupMs, saved);
    this.#starts =
      saved?.header.starts ??
      options.places.map(({topic, partition, startOffset: offset}) => ({topic, partition, offset}));
    this.#log = options.log;
    this.topics = options.topics ?? {};
    this.#epoch = this.#committedEpoch = saved?.header.epoch ?? options.epoch ?? 0;
    this.#markedEpoch = saved?.header.markedEpoch ?? 0;
    this.lookups = {...(saved?.header.lookups ?? options.lookups)};
    this.#restoredEpoch = this.#epoch;
    this.#sequence = options.firstSequence ?? 0;
    this.#unmarkedRows = false;
    this.#switches = [...(options.journal ?? [])];
    if (!saved) return;
    this.time.restore(saved.header.cuts, saved.header.closedThroughMs);
    this.#state.restore({...saved, closedThroughMs: saved.header.closedThroughMs});
    this.#changed = this.#switches.length > 0;
  }

  /** @throws PlatformError QUERY_LIMIT */
  apply(delta: Delta, nowMs: number): void {
    const gidOf = this.#kernels.map(delta);
    this.time.advance(delta.cuts, nowMs);
    this.#state.apply(delta, gidOf);
    this.replay.setAside(delta.side);
    this.seen.apply(delta.seen);
    this.#changed = true;
    checkMemory(this.plan, this.groups.count, this.bytes());
  }

  /**
   * Adds events that had been set aside and are replayed. @param moves where they lie, and their classes before and after
   * @throws PlatformError QUERY_LIMIT
   */
  applyReplay(delta: Delta, moves: ReplayMove[]): void {
    this.#state.apply(delta, this.#kernels.map(delta));
    for (const {topic, partition, offset, from, to} of moves) {
      this.replay.counted(from, topic, partition, offset);
      this.time.replayed(topic, partition, from, to);
    }
    this.#changed = true;
    checkMemory(this.plan, this.groups.count, this.bytes());
  }

  /** A worker's kernel begins anew: ids of its old generation mean nothing any more. */
  kernelBegins(worker: number): void {
    this.#kernels.forget(worker);
  }

  /** Closes what is over at `nowMs`. */
  tick(nowMs: number): void {
    this.#state.closeThrough(this.time.closedThrough(nowMs));
  }

  /** Changed rows, when none are in flight; undefined when there is nothing to say. */
  takeRows(): EmittedRows | undefined {
    if (this.#isOrdered) {
      const held = this.#held;
      if (!held || held.epoch > this.#committedEpoch) return undefined;
      this.#held = undefined;
      return held.rows;
    }
    return this.#inFlight ? undefined : this.#take();
  }

  /** Rows that were computed with a value that could not be; each is told once. */
  takeFailures(): EmitFailure[] {
    const failures = this.#failures;
    this.#failures = [];
    return failures;
  }

  /** @returns an epoch to be marked in the sinks, once `marked` answered the one before; else undefined */
  acknowledge(sequence: number): number | undefined {
    if (this.#inFlight?.sequence !== sequence) return undefined;
    this.#state.acknowledged();
    this.#unmarkedRows = true;
    // When nothing else waits, these rows were the last that any copy knew as pending: also one made while they were away.
    const covers = this.#state.isClean() ? this.#epoch : this.#inFlight.coversEpoch;
    this.#deliveredEpoch = Math.max(this.#deliveredEpoch, covers);
    this.#inFlight = undefined;
    return this.#nextMark();
  }

  /** Every sink of the query has marked `epoch`. @returns the next epoch to mark, if there is one */
  marked(epoch: number): number | undefined {
    if (epoch !== this.#markingEpoch) return undefined;
    this.#state.marked();
    this.#markedEpoch = epoch;
    this.#markingEpoch = 0;
    this.#changed = true;
    return this.#nextMark();
  }

  /** Whether a checkpoint would say something new, or give acknowledged rows an epoch to be marked with. */
  wantsCheckpoint(): boolean {
    if (this.#copying) return false;
    if (
      this.#changed ||
      this.replay.hasMoved ||
      (this.#isOrdered && !this.#inFlight && this.#state.hasDirty())
    )
      return true;
    return this.#unmarkedRows && this.#markingEpoch === 0 && this.isClean();
  }

  /** A switch of a lookup that the next checkpoint names; takes effect after its commit, at the offsets merged by then. */
  switchLookup(lookup: string, snapshot: string): void {
    this.lookups[lookup] = snapshot;
    const {offset} = this.replay;
    const replays = offset > 0 ? [{topic: replayTopic(this.plan.id), partition: 0, offset}] : [];
    this.#switches.push({lookup, snapshot, places: [...this.#places(), ...replays]});
    this.#changed = true;
  }

  /** A copy of all that changed since the last one, on the hot thread. One at a time. */
  checkpoint(): CheckpointCopy {
    if (this.#copying) throw new Error('the last checkpoint is still on its way');
    this.#copying = true;
    this.#changed = false;
    const epoch = ++this.#epoch;
    if (this.#isOrdered && !this.#inFlight && !this.#held) {
      const rows = this.#take();
      if (rows) this.#held = {rows, epoch};
    }
    const state: StateCopy = {puts: [], deletes: [], pending: [], tombstones: []};
    this.#state.copy(state, this.replay.floor(this.time.floorMs()));
    const {puts, deletes} = state;
    puts.push({key: pendingKey, bytes: encodePending(state.pending, this.groups)});
    puts.push({key: tombstonesKey, bytes: encodePending(state.tombstones, this.groups)});
    const replay = this.replay.copy(puts);
    this.seen.copy(state, (topic, partition) => this.time.maxOf(topic, partition));
    const header: CheckpointHeader = {
      format: 1,
      fingerprint: this.plan.fingerprint,
      epoch,
      ...(this.#log === undefined ? {} : {log: this.#log}),
      topics: this.topics,
      starts: this.#starts,
      cuts: this.time.cuts(),
      closedThroughMs: this.time.closedThroughMs,
      markedEpoch: this.#markedEpoch,
      lookups: {...this.lookups},
      replay,
    };
    return {header, puts, deletes, journal: this.#switches.splice(0)};
  }

  /**
   * The copy is durable. @param storedBytes what the query takes in the store
   * @returns an epoch to be marked, see `acknowledge`
   * @throws PlatformError QUERY_LIMIT when the store holds more than the query may
   */
  committed(epoch: number, storedBytes: number): number | undefined {
    checkDisk(this.plan, storedBytes, this.time.slowest());
    this.#copying = false;
    this.#committedEpoch = epoch;
    this.#state.committed();
    this.replay.committed();
    if (this.#state.isClean() && !this.#inFlight) this.#deliveredEpoch = epoch;
    return this.#nextMark();
  }

  get committedEpoch(): number {
    return this.#committedEpoch;
  }

  /** Epoch that the next checkpoint will have. */
  get nextEpoch(): number {
    return this.#epoch + 1;
  }

  get sequenceInFlight(): number | undefined {
    return this.#inFlight?.sequence;
  }

  /** Nothing waits to leave and nothing is in flight. */
  isClean(): boolean {
    return this.#state.isClean() && !this.#inFlight;
  }

  /** Clean, and the last checkpoint knows that every row was acknowledged and marked: a restart hands nothing out again. */
  isSettled(): boolean {
    return this.isClean() && this.#markingEpoch === 0 && !this.#copying && !this.wantsCheckpoint();
  }

  openWindows(): number {
    return this.#state.openWindows();
  }

  bytes(): number {
    return (
      this.groups.bytes + this.#state.bytes() + this.#kernels.bytes + this.replay.bytes + this.seen.bytes
    );
  }

  /** Where the state stands in the log. */
  #places(): EmittedRows['through'] {
    return this.time.partitions.map(({topic, partition, offset}) => ({topic, partition, offset}));
  }

  #take(): EmittedRows | undefined {
    if (!this.#state.hasDirty()) return undefined;
    this.#state.take(this.#builder, rowsMax);
    const {count, columns, failures} = this.#builder.reset();
    if (count === 0) {
      this.#state.acknowledged();
      return undefined;
    }
    this.#failures.push(...failures);
    const sequence = ++this.#sequence;
    // Everything that was pending at the last copy has left with these rows or before them, unless some is still waiting.
    const isWhole = !this.#state.hasDirty();
    this.#inFlight = {sequence, coversEpoch: isWhole ? this.#epoch : 0};
    if (!this.#isOrdered) this.#changed = true;
    const through = isWhole ? this.#places() : [];
    return {query: this.plan.id, sequence, count, columns, through};
  }

  #nextMark(): number | undefined {
    const epoch = Math.min(this.#deliveredEpoch, this.#committedEpoch);
    const floor = Math.max(this.#markedEpoch, this.#restoredEpoch);
    if (this.#markingEpoch !== 0 || !this.#unmarkedRows || epoch <= floor) return undefined;
    this.#state.beginMark();
    this.#unmarkedRows = false;
    this.#markingEpoch = epoch;
    return epoch;
  }
}
