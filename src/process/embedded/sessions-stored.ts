import {type Session, type SessionHeap, sessionBucket} from './sessions-heap.ts';
import {readSessionRows, type StoredSession} from './sessions-rows.ts';
import type {RestoredState, StateCopy} from './state.ts';
import {missingPiece} from './state-bytes.ts';
import type {Layout} from './state-cells.ts';
import {copySessionRows} from './state-codec.ts';
import type {Groups} from './state-groups.ts';

/** A piece of closed sessions, by its key: "z/<run>/<part>/<least start>/<greatest last>". */
type Piece = {key: string; run: number; part: number; startMs: number; lastMs: number};

/** Pieces of a run: a group's sessions are in the piece that the hash of its key says. */
const parts = 16;
/** Sessions of a run, at least. */
const leavingDefault = 4096;
/** Decoded pieces kept, since corrections come in bursts. */
const decodedMax = 16;

/**
 * Closed sessions that left memory, in runs: what leaves together is written together and never changed. A session that is
 * corrected comes back into memory and may leave again with a later run; the older copy then lies within the newer one's
 * interval, since sessions of a group are disjoint and only grow. So a copy counts unless a later one, or one in memory,
 * holds its interval. A run's pieces are deleted when no event may touch any of their sessions any more.
 */
export class StoredSessions {
  #layout: Layout;
  #groups: Groups;
  #read: RestoredState['read'];
  /** By part, oldest first. */
  #pieces: Piece[][] = Array.from({length: parts}, () => []);
  #count = 0;
  #runs = 0;
  /** Greatest last event of all. */
  #lastMs = -Infinity;
  #decoded = new Map<string, Map<string, StoredSession[]>>();
  /** On their way to the store: they leave memory with the commit. Who changes or removes one takes it out before. */
  readonly leaving = new Set<Session>();
  /** Their pieces. */
  #written: Piece[] = [];
  #leavingMin: number;
  /** How many closed sessions there must be for a look at them. */
  #lookAt: number;

  constructor(
    layout: Layout,
    groups: Groups,
    read: RestoredState['read'],
    leavingMin: number = leavingDefault,
  ) {
    this.#leavingMin = this.#lookAt = leavingMin;
    this.#layout = layout;
    this.#groups = groups;
    this.#read = read;
  }

  get bytes(): number {
    let decoded = 0;
    for (const rows of this.#decoded.values()) decoded += rows.size * (300 + 8 * this.#layout.cellCount);
    return this.#count * 200 + decoded;
  }

  restore({keys, read}: RestoredState): void {
    this.#read = read;
    for (const key of keys) {
      if (!key.startsWith('z/')) continue;
      const [, run, part, startMs, lastMs] = key.split('/').map(Number) as [
        number,
        number,
        number,
        number,
        number,
      ];
      this.#add({key, run, part, startMs, lastMs});
      this.#runs = Math.max(this.#runs, run + 1);
    }
    for (const pieces of this.#pieces) pieces.sort((a, b) => a.run - b.run);
  }

  /** Rows were marked: more sessions may be able to leave. */
  lookAgain(): void {
    this.#lookAt = this.#leavingMin;
  }

  /** Writes the closed sessions that nothing waits for as a run, when they are enough. @returns them */
  leave(closing: SessionHeap, isBusy: (session: Session) => boolean, into: StateCopy): Session[] {
    if (closing.size < this.#lookAt) return [];
    const closed = closing.living().filter(({closed}) => closed);
    const clean = closed.filter((session) => !isBusy(session));
    if (clean.length < this.#leavingMin) {
      // Looking costs as much as there is to look at: not again before there is twice as much, or a mark was written.
      this.#lookAt = 2 * Math.max(closed.length, this.#leavingMin);
      return [];
    }
    for (const session of clean) this.leaving.add(session);
    const run = this.#runs++;
    const byPart: Session[][] = Array.from({length: parts}, () => []);
    for (const session of clean) byPart[session.bucket % parts]!.push(session);
    for (const [part, rows] of byPart.entries()) {
      if (rows.length === 0) continue;
      const startMs = rows.reduce((least, row) => Math.min(least, row.startMs), Infinity);
      const lastMs = rows.reduce((greatest, row) => Math.max(greatest, row.lastMs), -Infinity);
      const key = `z/${run}/${part}/${startMs}/${lastMs}`;
      into.puts.push(copySessionRows(key, rows, this.#groups, this.#layout));
      this.#written.push({key, run, part, startMs, lastMs});
    }
    return clean;
  }

  /** The last run is durable. @returns the sessions that leave memory: those that nothing changed since */
  committed(): Session[] {
    for (const piece of this.#written) this.#add(piece);
    const left = [...this.leaving];
    this.#written = [];
    this.leaving.clear();
    return left;
  }

  /** Copies of sessions of a group that an interval touches, the latest first. @throws PlatformError CHECKPOINT_CORRUPT */
  touching(groupKey: string, startMs: number, lastMs: number, gapMs: number): StoredSession[] {
    const fromMs = startMs - gapMs;
    const toMs = lastMs + gapMs;
    // Events on time come after everything that is closed.
    if (fromMs > this.#lastMs) return [];
    const pieces = this.#pieces[sessionBucket(groupKey) % parts]!;
    const found: StoredSession[] = [];
    for (let index = pieces.length - 1; index >= 0; index--) {
      const piece = pieces[index]!;
      if (fromMs > piece.lastMs || toMs < piece.startMs) continue;
      for (const session of this.#rowsOf(piece).get(groupKey) ?? [])
        if (fromMs <= session.lastMs && session.startMs <= toMs) found.push(session);
    }
    return found;
  }

  /** Deletes the pieces whose sessions all ended before `floorMs`. */
  expire(floorMs: number, gapMs: number, deletes: string[]): void {
    for (const pieces of this.#pieces) {
      let kept = 0;
      for (const piece of pieces) {
        if (piece.lastMs + gapMs >= floorMs) {
          pieces[kept++] = piece;
          continue;
        }
        deletes.push(piece.key);
        this.#decoded.delete(piece.key);
        this.#count--;
      }
      pieces.length = kept;
    }
    if (this.#count === 0) this.#lastMs = -Infinity;
  }

  #add(piece: Piece): void {
    this.#pieces[piece.part]!.push(piece);
    this.#count++;
    this.#lastMs = Math.max(this.#lastMs, piece.lastMs);
  }

  #rowsOf({key}: Piece): Map<string, StoredSession[]> {
    const known = this.#decoded.get(key);
    if (known) return known;
    const bytes = this.#read(key);
    if (!bytes) throw missingPiece(key);
    const rows = new Map<string, StoredSession[]>();
    for (const session of readSessionRows(bytes, this.#layout)) {
      const list = rows.get(session.groupKey);
      if (list) list.push(session);
      else rows.set(session.groupKey, [session]);
    }
    if (this.#decoded.size === decodedMax) this.#decoded.delete(this.#decoded.keys().next().value!);
    this.#decoded.set(key, rows);
    return rows;
  }
}

/** Whether one of `others` holds the session's interval. */
export const isWithin = (
  {startMs, lastMs}: {startMs: number; lastMs: number},
  others: readonly {startMs: number; lastMs: number}[],
): boolean => others.some((other) => other.startMs <= startMs && lastMs <= other.lastMs);
