import {distinctOf, mergeObjects} from './accumulators.ts';
import type {AccumulatorObject} from './types.ts';

/**
 * Tokens of one `distinct` of a pane in the order of their events: to append is all that the hot loop does, and memory is
 * touched in order. They become sketches, one a slot, when the delta is taken or the log is full.
 */
export type TokenLog = {
  /** [slot, token] an entry. */
  entries: Int32Array;
  /** Integers of `entries` in use. */
  used: number;
  /** Slots that have become a part of another one. */
  merged: Map<number, number>;
};

const lengthAtFirst = 2 * 64;
/** A log of this length is folded instead of grown. */
const lengthMax = 2 ** 19;

/** @param like gives its array, when it is not used any more. */
export const createTokenLog = (like?: TokenLog): TokenLog => ({
  entries: like?.entries ?? new Int32Array(lengthAtFirst),
  used: 0,
  merged: new Map(),
});

/** Makes room for one more entry. @param sketches where a full log goes, by slot. */
export function extendTokens(log: TokenLog, sketches: (AccumulatorObject | null)[]): void {
  if (log.entries.length >= lengthMax) {
    foldTokens(log, sketches);
    return;
  }
  const next = new Int32Array(log.entries.length * 2);
  next.set(log.entries);
  log.entries = next;
}

/** Adds a token (not 0). */
export function appendToken(
  log: TokenLog,
  sketches: (AccumulatorObject | null)[],
  slot: number,
  token: number,
): void {
  if (log.used === log.entries.length) extendTokens(log, sketches);
  log.entries[log.used] = slot;
  log.entries[log.used + 1] = token;
  log.used += 2;
}

/** Ends of the slots' parts of `sorted`, and the tokens by slot; kept for their memory. */
let ends = new Int32Array(0);
let sorted = new Int32Array(0);

/** Adds the log's tokens to the sketches of their slots, and empties it. */
export function foldTokens(log: TokenLog, sketches: (AccumulatorObject | null)[]): void {
  const {entries, used, merged} = log;
  const slots = sketches.length;
  log.used = 0;
  if (used === 0) return;
  if (merged.size > 0)
    for (let at = 0; at < used; at += 2) {
      let slot = entries[at]!;
      for (let into = merged.get(slot); into !== undefined; into = merged.get(slot)) slot = into;
      entries[at] = slot;
    }
  // Sorted by slot, each slot's tokens fit the nearest memory while they become a sketch.
  if (ends.length <= slots) ends = new Int32Array(2 * slots + 1);
  else ends.fill(0, 0, slots + 1);
  if (sorted.length < used >>> 1) sorted = new Int32Array(used);
  for (let at = 0; at < used; at += 2) ends[entries[at]! + 1]!++;
  for (let slot = 1; slot <= slots; slot++) ends[slot]! += ends[slot - 1]!;
  for (let at = 0; at < used; at += 2) sorted[ends[entries[at]!]!++] = entries[at + 1]!;
  for (let slot = 0, from = 0; slot < slots; slot++) {
    const to = ends[slot]!;
    if (to > from) sketches[slot] = mergeObjects(sketches[slot]!, distinctOf(sorted, from, to));
    from = to;
  }
}
