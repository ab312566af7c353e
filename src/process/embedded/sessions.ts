import type {QueryPlan} from '../plan/nodes.ts';
import {mergeObjects} from './accumulators.ts';
import type {RowBuilder} from './emit.ts';
import {type Session, SessionHeap, sessionBucket, sessionCells} from './sessions-heap.ts';
import {SessionLists} from './sessions-lists.ts';
import {readSessions, SessionOutbox} from './sessions-rows.ts';
import {isWithin, StoredSessions} from './sessions-stored.ts';
import type {QueryState, RestoredState, StateCopy} from './state.ts';
import {addCells, type Layout, markWide, objectBytes} from './state-cells.ts';
import {copySessionRows, sessionsKey} from './state-codec.ts';
import type {Groups} from './state-groups.ts';
import type {SessionDelta} from './types.ts';

/**
 * State of session windows: for each group its disjoint intervals of accepted events, merged when less than the gap lies
 * between them. A session's key is its start, and a start that is superseded by an earlier one leaves a tombstone.
 * Sessions that are closed and clean leave memory with a checkpoint that holds them, many at a time, and come back one by one
 * when an event touches them.
 */
export class SessionState implements QueryState {
  #layout: Layout;
  #groups: Groups;
  #gapMs: number;
  #onlyClosed: boolean;
  #sessions = new SessionLists();
  #stored: StoredSessions;
  #changedBuckets = new Set<number>();
  #storedBuckets = new Set<number>();
  #outbox = new SessionOutbox();
  #closing = new SessionHeap();
  #expiring = new SessionHeap();
  #closedThroughMs = -Infinity;
  #count = 0;
  #open = 0;
  #objectBytes = 0;

  /** @param leavingMin so many closed sessions leave memory together */
  constructor(
    plan: QueryPlan,
    layout: Layout,
    groups: Groups,
    read: RestoredState['read'],
    leavingMin?: number,
  ) {
    this.#layout = layout;
    this.#groups = groups;
    this.#gapMs = plan.window.type === 'session' ? plan.window.gapMs : 0;
    this.#onlyClosed = plan.emit === 'close';
    this.#stored = new StoredSessions(layout, groups, read, leavingMin);
  }

  apply({sessions}: {sessions: SessionDelta[]}, gidOf: Int32Array): void {
    for (const delta of sessions) {
      const gid = gidOf[delta.group]!;
      const cells = sessionCells(delta.cells, delta.wide);
      if (delta.wide.size > 0) markWide(cells);
      const added = this.#make(gid, delta.startMs, delta.lastMs, cells, delta.objects);
      this.#changed(this.#insert(added));
    }
  }

  closeThrough(ms: number): void {
    if (ms <= this.#closedThroughMs) return;
    this.#closedThroughMs = ms;
    this.#closing.popBelow(ms, (session) => {
      if (session.gone || session.closed) return;
      if (!this.#isClosed(session)) return this.#queue(session);
      session.closed = true;
      this.#open--;
      this.#outbox.dirty.add(session);
      this.#changedBuckets.add(session.bucket);
      this.#queue(session);
    });
  }

  hasDirty(): boolean {
    return this.#outbox.hasDirty();
  }

  isClean(): boolean {
    return this.#outbox.isClean();
  }

  take(builder: RowBuilder, rowsMax: number): number {
    const before = builder.count;
    // A tombstone and the row that supersedes it leave together, whatever the bound.
    for (const tombstone of this.#outbox.tombstones) {
      builder.tombstone(tombstone.startMs, tombstone.endMs, tombstone.gid);
      this.#outbox.inFlight.tombstones.push(tombstone);
      for (const session of this.#sessions.of(tombstone.gid))
        if (this.#outbox.dirty.has(session)) this.#take(builder, session);
    }
    this.#outbox.tombstones = [];
    for (const session of this.#outbox.dirty) {
      if (builder.count - before >= rowsMax) break;
      this.#take(builder, session);
    }
    return builder.count - before;
  }

  acknowledged(): void {
    this.#outbox.acknowledged();
  }

  beginMark(): void {
    this.#outbox.beginMark();
  }

  marked(): void {
    for (const {gid} of this.#outbox.marked()) this.#groups.release(gid);
    this.#stored.lookAgain();
  }

  copy(into: StateCopy, floorMs: number): void {
    this.#expire(floorMs);
    this.#stored.expire(floorMs, this.#gapMs, into.deletes);
    for (const {bucket} of this.#stored.leave(
      this.#expiring,
      (session) => this.#outbox.isBusy(session),
      into,
    ))
      this.#changedBuckets.add(bucket);
    for (const bucket of this.#changedBuckets) {
      const sessions = this.#sessions
        .inBucket(bucket)
        .filter((session) => !this.#stored.leaving.has(session));
      if (sessions.length > 0) {
        into.puts.push(copySessionRows(sessionsKey(bucket), sessions, this.#groups, this.#layout));
        this.#storedBuckets.add(bucket);
      } else if (this.#storedBuckets.delete(bucket)) into.deletes.push(sessionsKey(bucket));
    }
    this.#changedBuckets.clear();
    this.#outbox.copy(into, (session) => this.#endOf(session));
  }

  committed(): void {
    const left = this.#stored.committed();
    for (const session of left) this.#remove(session);
    if (left.length > 0) this.#expiring.sweep();
  }

  restore(saved: RestoredState): void {
    this.#closedThroughMs = saved.closedThroughMs;
    this.#stored.restore(saved);
    for (const {groupKey, startMs, lastMs, cells, objects} of readSessions(saved, this.#layout)) {
      const gid = this.#groups.retainKey(groupKey);
      const session = this.#make(gid, startMs, lastMs, cells, objects);
      this.#groups.release(gid);
      session.known = session.closed || !this.#onlyClosed;
      this.#sessions.add(session);
      this.#queue(session);
      this.#storedBuckets.add(session.bucket);
    }
    for (const {startMs, groupKeys} of saved.pending)
      for (const groupKey of groupKeys) {
        const gid = this.#groups.retainKey(groupKey);
        const session = this.#sessions.of(gid).find((candidate) => candidate.startMs === startMs);
        if (session) this.#outbox.dirty.add(session);
        this.#groups.release(gid);
      }
    for (const {startMs, endMs, groupKeys} of saved.tombstones)
      for (const groupKey of groupKeys)
        this.#outbox.tombstones.push({startMs, endMs, gid: this.#groups.retainKey(groupKey)});
  }

  openWindows(): number {
    return this.#open;
  }

  bytes(): number {
    return this.#count * (260 + 8 * this.#layout.cellCount) + this.#objectBytes + this.#stored.bytes;
  }

  #endOf(session: Session): number {
    return session.lastMs + this.#gapMs;
  }

  #isClosed(session: Session): boolean {
    return this.#endOf(session) < this.#closedThroughMs;
  }

  #make(
    gid: number,
    startMs: number,
    lastMs: number,
    cells: Session['cells'],
    objects: Session['objects'],
  ): Session {
    this.#groups.retain(gid);
    const bucket = sessionBucket(this.#groups.key(gid));
    const flags = {closed: false, known: false, gone: false};
    const session = {gid, bucket, startMs, lastMs, cells, objects, ...flags};
    session.closed = this.#isClosed(session);
    this.#count++;
    if (!session.closed) this.#open++;
    for (const object of objects) this.#objectBytes += objectBytes(object);
    return session;
  }

  /** Puts a session into its group's list, merged with all that it touches. @returns the one that holds its events now */
  #insert(added: Session): Session {
    this.#recall(added);
    const touching = this.#sessions
      .of(added.gid)
      .filter(
        (other) => added.startMs - this.#gapMs <= other.lastMs && other.startMs <= added.lastMs + this.#gapMs,
      );
    const [first] = touching;
    if (!first) {
      this.#sessions.add(added);
      this.#queue(added);
      return added;
    }
    // The one with the earliest start keeps its row; an equal start is the same row.
    const into = first.startMs <= added.startMs ? first : added;
    if (into === added) {
      this.#sessions.add(added);
      this.#queue(added);
    }
    for (const other of touching) if (other !== into) this.#merge(into, other);
    if (into !== added) this.#merge(into, added);
    return into;
  }

  #merge(into: Session, other: Session): void {
    into.lastMs = Math.max(into.lastMs, other.lastMs);
    addCells(this.#layout, into.cells, 0, other.cells, 0);
    for (const [index, object] of other.objects.entries()) {
      if (object === null) continue;
      const before = into.objects[index] ?? null;
      this.#objectBytes -= objectBytes(before);
      into.objects[index] = mergeObjects(before, object);
      this.#objectBytes += objectBytes(into.objects[index]!);
    }
    if (other.known) {
      this.#groups.retain(other.gid);
      this.#outbox.tombstones.push({startMs: other.startMs, endMs: this.#endOf(other), gid: other.gid});
    }
    this.#remove(other);
  }

  /** A session stands in one heap for as long as it lives; its place there may be too early, never too late. */
  #queue(session: Session): void {
    (session.closed ? this.#expiring : this.#closing).push(this.#endOf(session), session);
  }

  #changed(session: Session): void {
    this.#stored.leaving.delete(session);
    const closed = this.#isClosed(session);
    if (closed !== session.closed) {
      this.#open += closed ? -1 : 1;
      session.closed = closed;
      this.#queue(session);
    }
    this.#changedBuckets.add(session.bucket);
    if (closed || !this.#onlyClosed) this.#outbox.dirty.add(session);
    else this.#outbox.dirty.delete(session);
  }

  #take(builder: RowBuilder, session: Session): void {
    const {startMs, gid, cells, objects} = session;
    const state = {cells, at: 0, object: (index: number) => objects[index]!};
    builder.add(startMs, this.#endOf(session), gid, state, session.closed);
    this.#outbox.dirty.delete(session);
    session.known = true;
    this.#outbox.inFlight.sessions.add(session);
  }

  #expire(floorMs: number): void {
    const busy: Session[] = [];
    this.#expiring.popBelow(floorMs, (session) => {
      if (session.gone || !session.closed || this.#endOf(session) >= floorMs) {
        if (!session.gone && session.closed) busy.push(session);
      } else if (this.#outbox.isBusy(session)) busy.push(session);
      else {
        this.#changedBuckets.add(session.bucket);
        this.#remove(session);
      }
    });
    for (const session of busy) this.#expiring.push(this.#endOf(session), session);
  }

  #remove(session: Session): void {
    session.gone = true;
    this.#stored.leaving.delete(session);
    this.#outbox.dirty.delete(session);
    this.#count--;
    if (!session.closed) this.#open--;
    for (const object of session.objects) this.#objectBytes -= objectBytes(object);
    this.#sessions.remove(session);
    this.#groups.release(session.gid);
  }

  /** Brings sessions back into memory that `added` is about to be merged with. */
  #recall({gid, startMs, lastMs}: Session): void {
    const groupKey = this.#groups.key(gid);
    for (const stored of this.#stored.touching(groupKey, startMs, lastMs, this.#gapMs)) {
      if (isWithin(stored, this.#sessions.of(gid))) continue;
      const cells = sessionCells(stored.cells.values.slice(), new Map(stored.cells.wide));
      const session = this.#make(gid, stored.startMs, stored.lastMs, cells, [...stored.objects]);
      // It left when its row was delivered.
      session.known = true;
      this.#sessions.add(session);
      this.#queue(session);
    }
  }
}
