/**
 * Duplicates that were logged twice, on topics that others write to: `dedup: 10m`. A record is a duplicate when an earlier one
 * of its partition had the same id and an event time that is not `dedup` behind the partition's running maximum. Ids are kept
 * as they are, not as hashes: an event is never taken for another.
 */

import type {DecodedBatch} from './decode.ts';
import type {SourceScope} from './kernel-scope.ts';
import type {Store} from './kernel-store.ts';

/** Ids with the newest event time, epoch ms, that each was seen with. Structured-cloneable. */
export type SeenIds = {ids: string[]; times: Float64Array};

/** Approximate memory of an id in a map, beside its characters. */
const entryBytes = 80;
/** Fewer ids than this are not looked through for ones that are over. */
const sweepMin = 1024;

/** Approximate memory of ids in one table. */
export const seenBytes = (ids: readonly string[], from = 0): number => {
  let chars = 0;
  for (let index = from; index < ids.length; index++) chars += ids[index]!.length;
  return chars + (ids.length - from) * entryBytes;
};

/** Ids of one partition, as one kernel knows them. */
export class SeenTable {
  readonly #withinMs: number;
  readonly #times = new Map<string, number>();
  /** What was seen since it was taken last. */
  #ids: string[] = [];
  #added: number[] = [];
  #sweepAt = sweepMin;

  /** @param withinMs how long an id is known, in event time */
  constructor(withinMs: number, seen: readonly SeenIds[] = []) {
    this.#withinMs = withinMs;
    for (const {ids, times} of seen) for (const [index, id] of ids.entries()) this.#note(id, times[index]!);
  }

  /** Whether the record is a duplicate; from now on its id is known. @param maxMs running maximum, this record included */
  look(id: string, timeMs: number, maxMs: number): boolean {
    const known = this.#times.get(id);
    if (known === undefined || timeMs > known) {
      this.#times.set(id, timeMs);
      this.#ids.push(id);
      this.#added.push(timeMs);
      if (this.#times.size > this.#sweepAt) this.#sweep(maxMs - this.#withinMs);
    }
    return known !== undefined && known > maxMs - this.#withinMs;
  }

  /** What was seen since the last time; undefined when nothing was. */
  take(): SeenIds | undefined {
    if (this.#ids.length === 0) return undefined;
    const taken = {ids: this.#ids, times: Float64Array.from(this.#added)};
    this.#ids = [];
    this.#added = [];
    return taken;
  }

  /** Memory of what was not taken yet, bytes; about. */
  get pendingBytes(): number {
    return this.#ids.length * (entryBytes + 36);
  }

  #note(id: string, timeMs: number): void {
    const known = this.#times.get(id);
    if (known === undefined || timeMs > known) this.#times.set(id, timeMs);
  }

  /** Forgets what can make nothing a duplicate any more. */
  #sweep(floorMs: number): void {
    for (const [id, timeMs] of this.#times) if (timeMs <= floorMs) this.#times.delete(id);
    this.#sweepAt = Math.max(sweepMin, this.#times.size * 2);
  }
}

/** Says of each row of a batch whether it is a duplicate; what does not decode for the query is none, and is not seen. */
export function markDuplicates(
  store: Store,
  scope: SourceScope,
  decoded: DecodedBatch,
  seen: SeenTable,
): void {
  const times = decoded.columns[scope.numberColumn('timestamp')!]!;
  const bad = new Set<number>();
  for (const special of decoded.special)
    if ([...special.bad.keys()].some((column) => scope.used.has(column))) bad.add(special.row);
  if (store.isDuplicate.length < decoded.rows) store.isDuplicate = new Uint8Array(decoded.rows * 2);
  let {maxMs} = store;
  for (let row = 0; row < decoded.rows; row++) {
    const timeMs = times[row]!;
    maxMs = Math.max(maxMs, timeMs);
    store.isDuplicate[row] = !bad.has(row) && seen.look(scope.eventId(row), timeMs, maxMs) ? 1 : 0;
  }
}
