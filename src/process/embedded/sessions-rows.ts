import {type Session, sessionCells} from './sessions-heap.ts';
import type {RestoredState, StateCopy} from './state.ts';
import {missingPiece} from './state-bytes.ts';
import type {Layout} from './state-cells.ts';
import {decodeSessions} from './state-codec.ts';

/** A start that was superseded, and whose row may be in a sink. It holds a reference to its group until it is marked. */
export type Tombstone = {startMs: number; endMs: number; gid: number};

/** Sessions and tombstones on their way to the sinks. */
type SessionRows = {sessions: Set<Session>; tombstones: Tombstone[]};

const newRows = (): SessionRows => ({sessions: new Set(), tombstones: []});

function moveRows(from: SessionRows, into: SessionRows): void {
  for (const session of from.sessions) into.sessions.add(session);
  into.tombstones.push(...from.tombstones.splice(0));
  from.sessions.clear();
}

/** What sinks may lack: changed sessions and new tombstones, and what left and is not marked yet. */
export class SessionOutbox {
  readonly dirty = new Set<Session>();
  tombstones: Tombstone[] = [];
  /** What left: not yet acknowledged; acknowledged; with a mark on its way. */
  readonly inFlight = newRows();
  #acknowledged = newRows();
  #marking = newRows();

  hasDirty(): boolean {
    return this.dirty.size > 0 || this.tombstones.length > 0;
  }

  isClean(): boolean {
    return !this.hasDirty() && this.inFlight.sessions.size + this.inFlight.tombstones.length === 0;
  }

  acknowledged(): void {
    moveRows(this.inFlight, this.#acknowledged);
  }

  beginMark(): void {
    moveRows(this.#acknowledged, this.#marking);
  }

  /** @returns the tombstones that are done with */
  marked(): Tombstone[] {
    const {tombstones} = this.#marking;
    this.#marking = newRows();
    return tombstones;
  }

  /** A row of the session is changed, in flight or not yet followed by a mark. */
  isBusy(session: Session): boolean {
    return this.dirty.has(session) || this.#left().some(({sessions}) => sessions.has(session));
  }

  /** Notes what a restart must hand out again. */
  copy(into: StateCopy, endOf: (session: Session) => number): void {
    const pending = new Set(this.dirty);
    for (const {sessions} of this.#left()) for (const session of sessions) pending.add(session);
    for (const session of pending) {
      const {startMs, gid, gone} = session;
      if (!gone) into.pending.push({startMs, endMs: endOf(session), gids: [gid]});
    }
    for (const {startMs, endMs, gid} of [
      ...this.tombstones,
      ...this.#left().flatMap(({tombstones}) => tombstones),
    ])
      into.tombstones.push({startMs, endMs, gids: [gid]});
  }

  #left(): SessionRows[] {
    return [this.inFlight, this.#acknowledged, this.#marking];
  }
}

/** A session as the store has it. */
export type StoredSession = Pick<Session, 'startMs' | 'lastMs' | 'cells' | 'objects'> & {groupKey: string};

/** The sessions of all buckets; those of a group in order of start. @throws PlatformError CHECKPOINT_CORRUPT */
export function* readSessions(saved: RestoredState, layout: Layout): Generator<StoredSession> {
  for (const key of saved.keys) {
    if (!key.startsWith('s/')) continue;
    const bytes = saved.read(key);
    if (!bytes) throw missingPiece(key);
    yield* readSessionRows(bytes, layout);
  }
}

/** The sessions of one piece. @throws PlatformError CHECKPOINT_CORRUPT */
export function* readSessionRows(bytes: Uint8Array, layout: Layout): Generator<StoredSession> {
  const {cellCount} = layout;
  const {groupKeys, startsMs, lastsMs, cells, wide, objects} = decodeSessions(bytes, layout);
  const wideOf = groupKeys.map(() => new Map<number, bigint>());
  for (const [index, value] of wide) wideOf[Math.floor(index / cellCount)]!.set(index % cellCount, value);
  for (const [row, groupKey] of groupKeys.entries())
    yield {
      groupKey,
      startMs: startsMs[row]!,
      lastMs: lastsMs[row]!,
      cells: sessionCells(cells.slice(row * cellCount, (row + 1) * cellCount), wideOf[row]!),
      objects: objects.map((column) => column[row]!),
    };
}
