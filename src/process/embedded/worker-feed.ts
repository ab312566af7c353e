import {failpoint} from '../../failpoint.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {DecodedBatch, TopicDecoder} from './decode.ts';
import {createKernel, type Kernel} from './kernel.ts';
import {LookupHistory, type LookupStep} from './lookup-journal.ts';
import type {Cursor, Reader} from './reader.ts';
import {checkTopic} from './topics-read.ts';
import {failureOf} from './worker-failure.ts';
import type {DomainSnapshot, OpenPlace, PeerMessage, StopPlace} from './worker-messages.ts';

/** A delta of this size leaves early, and while it is on its way the query reads no more. */
const deltaBytesMax = 16 * 2 ** 20;
/** Of what the query may take: its state nears its limit in small steps, so that reading pauses before it is passed. */
const deltaShareMax = 1 / 32;
/** A kernel that knows more groups than this forgets them at the next hand-over. */
const generationGroupsMax = 2 ** 18;
/** And sooner where a query may take little memory: its state remembers them as long as the kernel does. */
const bytesPerGroupMin = 1_024;

export type FeedOptions = {
  plan: QueryPlan;
  run: number;
  worker: number;
  owner: number;
  places: OpenPlace[];
  lookups: Record<string, string>;
  /** Snapshots that count before those of `lookups`, by place. */
  steps: LookupStep[];
  decoders: ReadonlyMap<string, TopicDecoder>;
  reader: Reader;
  /** By lookup name and id. */
  snapshotOf(lookup: string, id: string): DomainSnapshot['snapshot'];
  post(to: number, message: PeerMessage): void;
  /** A delta leaves so long after the last one, ms. */
  paceMs(): number;
};

/** One worker's part of a query: its kernel over this worker's partitions, and when its delta goes to the owner. */
export class Feed {
  readonly plan: QueryPlan;
  readonly run: number;
  #options: FeedOptions;
  #kernel: Kernel;
  #cursors: Cursor[];
  /** Lookup -> id of the snapshot that the kernel has. */
  #lookups: Record<string, string>;
  /** While records are read again that saw other snapshots. */
  #history: LookupHistory | undefined;
  /** Something was read since the last hand-over. */
  #isDirty = false;
  /** A delta is on its way. */
  #inFlight = false;
  #isHolding = false;
  #isHeld = false;
  #isPaused = false;
  /** Offsets by `topic/partition` at which it stops to read; a partition without one goes on. */
  #stops: Map<string, number> | null = null;
  #isClosed = false;
  #deltaBytesMax: number;
  #groupsMax: number;
  #sentMs = -Infinity;

  constructor(options: FeedOptions) {
    const {plan, run, worker, places, lookups, steps, decoders, reader} = options;
    this.plan = plan;
    this.run = run;
    this.#options = options;
    this.#groupsMax = Math.min(generationGroupsMax, plan.limits.memoryBytes / bytesPerGroupMin);
    this.#deltaBytesMax = Math.min(deltaBytesMax, plan.limits.memoryBytes * deltaShareMax);
    const snapshots = Object.entries(lookups).map(([lookup, id]) => options.snapshotOf(lookup, id));
    this.#lookups = {...lookups};
    if (steps.length > 0) this.#history = new LookupHistory(steps);
    this.#kernel = createKernel({plan, worker, decoders, lookups: snapshots});
    this.#cursors = places.map(({topic, topicId, partition, offset, maxTimeMs, seen}) => {
      this.#kernel.open(topic, partition, offset, maxTimeMs, seen);
      const cursor: Cursor = {
        topic,
        partition,
        offset,
        check: (log) => checkTopic(plan, log, topic, topicId),
        wants: () => this.#wants() && cursor.offset < this.#stopOf(topic, partition),
        process: (decoded) => this.#process(decoded),
        fail: (error) => this.fail(error),
      };
      return cursor;
    });
    for (const cursor of this.#cursors) reader.add(cursor);
  }

  get topics(): Set<string> {
    return new Set(this.#cursors.map(({topic}) => topic));
  }

  /** Milliseconds until the delta should leave; Infinity when there is none or it may not. */
  dueInMs(nowMs: number): number {
    if (!this.#isDirty || this.#inFlight) return this.#isHolding && !this.#inFlight ? 0 : Infinity;
    if (this.#isHolding || this.#isLarge()) return 0;
    return Math.max(0, this.#options.paceMs() - (nowMs - this.#sentMs));
  }

  /** Hands the delta to the owner when it is due. */
  pump(nowMs: number): void {
    if (this.#isClosed || this.dueInMs(nowMs) > 0) return;
    if (this.#isDirty) this.send(nowMs);
    if (!this.#isHolding || this.#isDirty) return;
    this.#isHolding = false;
    this.#isHeld = true;
    this.#post({kind: 'held', query: this.plan.id, run: this.run, worker: this.#options.worker});
  }

  /** @param endGeneration the topic's dictionaries are about to be forgotten: hand over whatever the pace */
  send(nowMs: number, endGeneration = false): void {
    if (this.#isClosed) return;
    const end = endGeneration || this.#kernel.groups() > this.#groupsMax;
    if (!this.#isDirty && !end) return;
    const delta = this.#kernel.take({endGeneration: end});
    this.#isDirty = false;
    if (delta.cuts.length === 0 && delta.newGroups.every((values) => values.length === 0)) return;
    this.#inFlight = true;
    this.#sentMs = nowMs;
    failpoint('engine.before-merge');
    this.#post({kind: 'delta', query: this.plan.id, run: this.run, delta});
  }

  merged(): void {
    this.#inFlight = false;
  }

  hold(): void {
    this.#isHolding = true;
  }

  release(lookups: Record<string, string>): void {
    this.#isHolding = false;
    this.#isHeld = false;
    for (const [lookup, id] of Object.entries(lookups)) {
      this.#history?.forget(lookup);
      this.#use(lookup, id);
    }
  }

  pause(paused: boolean): void {
    this.#isPaused = paused;
  }

  until(places: StopPlace[] | null): void {
    this.#stops =
      places && new Map(places.map((place) => [`${place.topic}/${place.partition}`, place.offset]));
  }

  fail(error: unknown): void {
    if (this.#isClosed) return;
    this.close();
    this.#post({kind: 'feedFailed', query: this.plan.id, run: this.run, failure: failureOf(error)});
  }

  close(): void {
    this.#isClosed = true;
    for (const cursor of this.#cursors) this.#options.reader.remove(cursor);
  }

  #stopOf(topic: string, partition: number): number {
    return this.#stops?.get(`${topic}/${partition}`) ?? Infinity;
  }

  #wants(): boolean {
    if (this.#isClosed || this.#isPaused || this.#isHolding || this.#isHeld) return false;
    // With a usual limit a read more is small beside it; with a small one even one read may be too much.
    const isStrict = this.#inFlight || this.#deltaBytesMax < deltaBytesMax;
    return !(isStrict && this.#isLarge());
  }

  #isLarge(): boolean {
    return this.#isDirty && this.#kernel.bytes() > this.#deltaBytesMax;
  }

  #process(decoded: DecodedBatch): void {
    if (this.#isClosed) return;
    try {
      if (this.#history) this.#follow(this.#history, decoded);
      this.#kernel.process(decoded);
      this.#isDirty = true;
      failpoint('engine.after-process');
    } catch (error) {
      this.fail(error);
    }
  }

  /** Sets the snapshots that the batch was first read with. */
  #follow(history: LookupHistory, {topic, partition, fromOffset, nextOffset}: DecodedBatch): void {
    for (const {lookup, snapshot} of history.inEffect(topic, partition, fromOffset, nextOffset))
      this.#use(lookup, snapshot);
    if (history.isOver()) this.#history = undefined;
  }

  #use(lookup: string, id: string): void {
    if (this.#lookups[lookup] === id) return;
    this.#kernel.setLookup(this.#options.snapshotOf(lookup, id));
    this.#lookups[lookup] = id;
  }

  #post(message: PeerMessage): void {
    this.#options.post(this.#options.owner, message);
  }
}
