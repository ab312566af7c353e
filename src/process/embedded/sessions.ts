import type {QueryPlan} from '../plan/nodes.ts';
import {mergeObjects} from './accumulators.ts';
import type {RowBuilder} from './emit.ts';
import {type Session, SessionHeap, sessionBucket, sessionCells} from './sessions-heap.ts';
import {isAmong, moveRows, newRows, pendingOf, readSessions, type Tombstone} from './sessions-rows.ts';
import type {QueryState, RestoredState, StateCopy} from './state.ts';
import {addCells, type Layout, markWide, objectBytes} from './state-cells.ts';
import {copySessions, sessionsKey} from './state-codec.ts';
import type {Groups} from './state-groups.ts';
import type {SessionDelta} from './types.ts';

/**
 * State of session windows: for each group its disjoint intervals of accepted events, merged when less than the gap lies
 * between them. A session's key is its start, and a start that is superseded by an earlier one leaves a tombstone.
 */
export class SessionState implements QueryState {
  #layout: Layout;
  #groups: Groups;
  #gapMs: number;
  #onlyClosed: boolean;
  /** By group id; each list in order of start. */
  #sessions = new Map<number, Session[]>();
  #buckets = new Map<number, Set<number>>();
  #changedBuckets = new Set<number>();
  #storedBuckets = new Set<number>();
  #dirty = new Set<Session>();
  #tombstones: Tombstone[] = [];
  /** What left: not yet acknowledged; acknowledged; with a mark on its way. */
  #inFlight = newRows();
  #acknowledged = newRows();
  #marking = newRows();
  #closing = new SessionHeap();
  #expiring = new SessionHeap();
  #closedThroughMs = -Infinity;
  #count = 0;
  #open = 0;
  #objectBytes = 0;

  constructor(plan: QueryPlan, layout: Layout, groups: Groups) {
    this.#layout = layout;
    this.#groups = groups;
    this.#gapMs = plan.window.type === 'session' ? plan.window.gapMs : 0;
    this.#onlyClosed = plan.emit === 'close';
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
      this.#dirty.add(session);
      this.#changedBuckets.add(session.bucket);
      this.#queue(session);
    });
  }

  hasDirty(): boolean {
    return this.#dirty.size > 0 || this.#tombstones.length > 0;
  }

  isClean(): boolean {
    return !this.hasDirty() && this.#inFlight.sessions.size + this.#inFlight.tombstones.length === 0;
  }

  take(builder: RowBuilder, rowsMax: number): number {
    const before = builder.count;
    // A tombstone and the row that supersedes it leave together, whatever the bound.
    for (const tombstone of this.#tombstones) {
      builder.tombstone(tombstone.startMs, tombstone.endMs, tombstone.gid);
      this.#inFlight.tombstones.push(tombstone);
      for (const session of this.#sessions.get(tombstone.gid) ?? [])
        if (this.#dirty.has(session)) this.#take(builder, session);
    }
    this.#tombstones = [];
    for (const session of this.#dirty) {
      if (builder.count - before >= rowsMax) break;
      this.#take(builder, session);
    }
    return builder.count - before;
  }

  acknowledged(): void {
    moveRows(this.#inFlight, this.#acknowledged);
  }

  beginMark(): void {
    moveRows(this.#acknowledged, this.#marking);
  }

  marked(): void {
    for (const {gid} of this.#marking.tombstones) this.#groups.release(gid);
    this.#marking = newRows();
  }

  copy(into: StateCopy, floorMs: number): void {
    this.#expire(floorMs);
    for (const bucket of this.#changedBuckets) {
      const gids = this.#buckets.get(bucket);
      if (gids) {
        const sessions = [...gids].flatMap((gid) => this.#sessions.get(gid)!);
        into.puts.push(copySessions(bucket, sessions, this.#groups, this.#layout));
        this.#storedBuckets.add(bucket);
      } else if (this.#storedBuckets.delete(bucket)) into.deletes.push(sessionsKey(bucket));
    }
    this.#changedBuckets.clear();
    const left = [this.#inFlight, this.#acknowledged, this.#marking];
    const pending = new Set(this.#dirty);
    for (const {sessions} of left) for (const session of sessions) pending.add(session);
    for (const session of pending)
      if (!session.gone)
        into.pending.push(
          pendingOf({startMs: session.startMs, endMs: this.#endOf(session), gid: session.gid}),
        );
    for (const tombstone of [...this.#tombstones, ...left.flatMap(({tombstones}) => tombstones)])
      into.tombstones.push(pendingOf(tombstone));
  }

  committed(): void {}

  restore(saved: RestoredState): void {
    this.#closedThroughMs = saved.closedThroughMs;
    for (const {groupKey, startMs, lastMs, cells, objects} of readSessions(saved, this.#layout)) {
      const gid = this.#groups.retainKey(groupKey);
      const session = this.#make(gid, startMs, lastMs, cells, objects);
      this.#groups.release(gid);
      session.known = session.closed || !this.#onlyClosed;
      this.#list(gid).push(session);
      this.#queue(session);
      this.#storedBuckets.add(session.bucket);
    }
    for (const {startMs, groupKeys} of saved.pending)
      for (const groupKey of groupKeys) {
        const gid = this.#groups.retainKey(groupKey);
        const session = this.#sessions.get(gid)?.find((candidate) => candidate.startMs === startMs);
        if (session) this.#dirty.add(session);
        this.#groups.release(gid);
      }
    for (const {startMs, endMs, groupKeys} of saved.tombstones)
      for (const groupKey of groupKeys)
        this.#tombstones.push({startMs, endMs, gid: this.#groups.retainKey(groupKey)});
  }

  openWindows(): number {
    return this.#open;
  }

  bytes(): number {
    return this.#count * (260 + 8 * this.#layout.cellCount) + this.#objectBytes;
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

  #list(gid: number): Session[] {
    let list = this.#sessions.get(gid);
    if (!list) {
      this.#sessions.set(gid, (list = []));
      const bucket = sessionBucket(this.#groups.key(gid));
      this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? new Set()).add(gid));
    }
    return list;
  }

  /** Puts a session into its group's list, merged with all that it touches. @returns the one that holds its events now */
  #insert(added: Session): Session {
    const list = this.#list(added.gid);
    const touching = list.filter(
      (other) => added.startMs - this.#gapMs <= other.lastMs && other.startMs <= added.lastMs + this.#gapMs,
    );
    const [first] = touching;
    if (!first) {
      list.push(added);
      list.sort((a, b) => a.startMs - b.startMs);
      this.#queue(added);
      return added;
    }
    // The one with the earliest start keeps its row; an equal start is the same row.
    const into = first.startMs <= added.startMs ? first : added;
    if (into === added) {
      list.push(added);
      this.#queue(added);
    }
    for (const other of touching) if (other !== into) this.#merge(into, other);
    if (into !== added) this.#merge(into, added);
    list.sort((a, b) => a.startMs - b.startMs);
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
      this.#tombstones.push({startMs: other.startMs, endMs: this.#endOf(other), gid: other.gid});
    }
    this.#remove(other);
  }

  /** A session stands in one heap for as long as it lives; its place there may be too early, never too late. */
  #queue(session: Session): void {
    (session.closed ? this.#expiring : this.#closing).push(this.#endOf(session), session);
  }

  #changed(session: Session): void {
    const closed = this.#isClosed(session);
    if (closed !== session.closed) {
      this.#open += closed ? -1 : 1;
      session.closed = closed;
      this.#queue(session);
    }
    this.#changedBuckets.add(session.bucket);
    if (closed || !this.#onlyClosed) this.#dirty.add(session);
    else this.#dirty.delete(session);
  }

  #take(builder: RowBuilder, session: Session): void {
    const {startMs, gid, cells, objects} = session;
    const state = {cells, at: 0, object: (index: number) => objects[index]!};
    builder.add(startMs, this.#endOf(session), gid, state, session.closed);
    this.#dirty.delete(session);
    session.known = true;
    this.#inFlight.sessions.add(session);
  }

  #expire(floorMs: number): void {
    const busy: Session[] = [];
    this.#expiring.popBelow(floorMs, (session) => {
      if (session.gone || !session.closed || this.#endOf(session) >= floorMs) {
        if (!session.gone && session.closed) busy.push(session);
      } else if (this.#isBusy(session)) busy.push(session);
      else {
        this.#changedBuckets.add(session.bucket);
        this.#remove(session);
      }
    });
    for (const session of busy) this.#expiring.push(this.#endOf(session), session);
  }

  /** A row of it is changed, in flight or not yet followed by a mark. */
  #isBusy(session: Session): boolean {
    if (this.#dirty.has(session)) return true;
    return isAmong(session, [this.#inFlight, this.#acknowledged, this.#marking]);
  }

  #remove(session: Session): void {
    const {gid, bucket} = session;
    session.gone = true;
    this.#dirty.delete(session);
    this.#count--;
    if (!session.closed) this.#open--;
    for (const object of session.objects) this.#objectBytes -= objectBytes(object);
    const list = this.#sessions.get(gid)!;
    const at = list.indexOf(session);
    if (at >= 0) list.splice(at, 1);
    if (list.length === 0) {
      this.#sessions.delete(gid);
      const gids = this.#buckets.get(bucket)!;
      gids.delete(gid);
      if (gids.size === 0) this.#buckets.delete(bucket);
    }
    this.#groups.release(gid);
  }
}
