import type {Cells} from './state-cells.ts';
import type {AccumulatorObject} from './types.ts';

/** One session of a group: an interval of event times, and what was accumulated in it. */
export type Session = {
  gid: number;
  bucket: number;
  startMs: number;
  lastMs: number;
  cells: Cells;
  objects: (AccumulatorObject | null)[];
  closed: boolean;
  /** A row with this start may be in a sink, so that superseding it needs a tombstone. */
  known: boolean;
  /** Merged into another one, expired, or on disk alone. */
  gone: boolean;
};

const buckets = 1024;

/** The stored piece a group's sessions belong to: a hash of its key, the same in every process. */
export function sessionBucket(groupKey: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < groupKey.length; at++) hash = Math.imul(hash ^ groupKey.charCodeAt(at), 0x01000193);
  return (hash ^ (hash >>> 15)) & (buckets - 1);
}

/** Cells whose side map is made only when a value needs it: most sessions never have one. */
export function sessionCells(values: Float64Array, wide: Map<number, bigint>): Cells {
  let own = wide.size > 0 ? wide : undefined;
  return {
    values,
    get wide() {
      return (own ??= new Map());
    },
  } as Cells;
}

/** Sessions by a time, smallest first. Entries are not updated: who pops one looks whether it still holds. */
export class SessionHeap {
  #times: number[] = [];
  #sessions: Session[] = [];

  push(timeMs: number, session: Session): void {
    const times = this.#times;
    const sessions = this.#sessions;
    let at = times.length;
    times.push(timeMs);
    sessions.push(session);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (times[parent]! <= timeMs) break;
      times[at] = times[parent]!;
      sessions[at] = sessions[parent]!;
      at = parent;
    }
    times[at] = timeMs;
    sessions[at] = session;
  }

  get size(): number {
    return this.#times.length;
  }

  /** Every session in it that still lives, in no order. */
  living(): Session[] {
    return this.#sessions.filter(({gone}) => !gone);
  }

  /** Lets go of sessions that are gone. */
  sweep(): void {
    const times = this.#times;
    const sessions = this.#sessions;
    this.#times = [];
    this.#sessions = [];
    for (const [at, session] of sessions.entries()) if (!session.gone) this.push(times[at]!, session);
  }

  /** Hands out everything with a time below `ms`; what is pushed meanwhile must not be below it. */
  popBelow(ms: number, each: (session: Session) => void): void {
    while (this.#times.length > 0 && this.#times[0]! < ms) {
      const session = this.#sessions[0]!;
      this.#dropTop();
      each(session);
    }
  }

  #dropTop(): void {
    const times = this.#times;
    const sessions = this.#sessions;
    const timeMs = times.pop()!;
    const session = sessions.pop()!;
    const size = times.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && times[child + 1]! < times[child]!) child++;
      if (times[child]! >= timeMs) break;
      times[at] = times[child]!;
      sessions[at] = sessions[child]!;
      at = child;
    }
    times[at] = timeMs;
    sessions[at] = session;
  }
}
