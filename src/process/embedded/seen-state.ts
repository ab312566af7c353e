import {type SeenIds, seenBytes} from './seen.ts';
import type {StatePut} from './state.ts';
import {ByteReader, ByteWriter, missingPiece} from './state-bytes.ts';

/** Ids of a (topic, partition) that a delta adds. */
export type SeenDelta = SeenIds & {topic: string; partition: number};

type Piece = {number: number; seen: SeenIds; newestMs: number; bytes: number};
type Place = {topic: string; partition: number; pieces: Piece[]; fresh: SeenIds[]; freshBytes: number};

const prefix = 'seen/';
/** A piece with more ids grows no more: a checkpoint puts no more than so many together at a time. */
const pieceMax = 65_536;

/**
 * The ids that a query with `dedup:` knows of its partitions, as of what is merged. A checkpoint writes what is new as a piece of
 * its own, puts small pieces together, and drops those that are over as a whole.
 */
export class SeenState {
  readonly #withinMs: number | undefined;
  readonly #places = new Map<string, Place>();
  #next = 0;

  /** @param withinMs how long an id is known, in event time; undefined: no `dedup:` */
  constructor(
    withinMs: number | undefined,
    saved?: {keys: string[]; read(key: string): Uint8Array | undefined},
  ) {
    this.#withinMs = withinMs;
    for (const key of saved?.keys ?? []) {
      if (!key.startsWith(prefix)) continue;
      const [topic, partition, number] = key.slice(prefix.length).split('/') as [string, string, string];
      const bytes = saved!.read(key);
      if (!bytes) throw missingPiece(key);
      this.#next = Math.max(this.#next, Number(number) + 1);
      this.#place(topic, Number(partition)).pieces.push(pieceOf(Number(number), decodeSeen(bytes)));
    }
    for (const {pieces} of this.#places.values()) pieces.sort((a, b) => a.number - b.number);
  }

  apply(deltas: readonly SeenDelta[] = []): void {
    for (const {topic, partition, ids, times} of deltas) {
      const place = this.#place(topic, partition);
      place.fresh.push({ids, times});
      place.freshBytes += seenBytes(ids);
    }
  }

  /** What a kernel that begins there has to know. */
  of(topic: string, partition: number): SeenIds[] {
    const place = this.#places.get(`${topic}/${partition}`);
    return place ? [...place.pieces.map(({seen}) => seen), ...place.fresh] : [];
  }

  /** Copies what changed since the last time. @param maxMsOf running maximum of a partition */
  copy(
    into: {puts: StatePut[]; deletes: string[]},
    maxMsOf: (topic: string, partition: number) => number,
  ): void {
    if (this.#withinMs === undefined) return;
    for (const place of this.#places.values()) {
      const {topic, partition} = place;
      const floorMs = maxMsOf(topic, partition) - this.#withinMs;
      const stored = new Set(place.pieces);
      place.pieces = place.pieces.filter(({newestMs}) => newestMs > floorMs);
      if (place.fresh.length > 0) this.#add(place, floorMs);
      for (const piece of stored)
        if (!place.pieces.includes(piece)) into.deletes.push(keyOf(topic, partition, piece.number));
      for (const piece of place.pieces)
        if (!stored.has(piece))
          into.puts.push({key: keyOf(topic, partition, piece.number), bytes: encodeSeen(piece.seen)});
    }
  }

  /** Approximate memory, here and in the kernels, which know the same ids; bytes. */
  get bytes(): number {
    let sum = 0;
    for (const {pieces, freshBytes} of this.#places.values())
      sum += 2 * (freshBytes + pieces.reduce((part, {bytes}) => part + bytes, 0));
    return sum;
  }

  /** What is fresh becomes a piece, together with the pieces before it that are not much larger. */
  #add(place: Place, floorMs: number): void {
    const parts = place.fresh;
    let count = parts.reduce((sum, {ids}) => sum + ids.length, 0);
    for (let last = place.pieces.at(-1); last; last = place.pieces.at(-1)) {
      const size = last.seen.ids.length;
      if (size > 2 * count || size + count > pieceMax) break;
      parts.unshift(place.pieces.pop()!.seen);
      count += size;
    }
    place.fresh = [];
    place.freshBytes = 0;
    const seen = joined(parts, floorMs);
    if (seen.ids.length > 0) place.pieces.push(pieceOf(this.#next++, seen));
  }

  #place(topic: string, partition: number): Place {
    const key = `${topic}/${partition}`;
    const known = this.#places.get(key);
    if (known) return known;
    const place: Place = {topic, partition, pieces: [], fresh: [], freshBytes: 0};
    this.#places.set(key, place);
    return place;
  }
}

const keyOf = (topic: string, partition: number, number: number): string =>
  `${prefix}${topic}/${partition}/${number}`;

const pieceOf = (number: number, seen: SeenIds): Piece => ({
  number,
  seen,
  newestMs: seen.times.reduce((most, timeMs) => Math.max(most, timeMs), -Infinity),
  bytes: seenBytes(seen.ids),
});

/** Every id once, with its newest time, as far as it is newer than `floorMs`. */
function joined(parts: readonly SeenIds[], floorMs: number): SeenIds {
  const newest = new Map<string, number>();
  for (const {ids, times} of parts)
    ids.forEach((id, index) => {
      const timeMs = times[index]!;
      if (timeMs > floorMs && !(newest.get(id)! >= timeMs)) newest.set(id, timeMs);
    });
  return {ids: [...newest.keys()], times: Float64Array.from(newest.values())};
}

/** count:u32, then for each id its time:f64 and text */
function encodeSeen({ids, times}: SeenIds): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writer.u32(ids.length);
  ids.forEach((id, index) => {
    writer.f64(times[index]!);
    writer.text(id);
  });
  return writer.take();
}

function decodeSeen(bytes: Uint8Array): SeenIds {
  const reader = new ByteReader(bytes);
  const count = reader.u32();
  const ids: string[] = [];
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    times.push(reader.f64());
    ids.push(reader.text());
  }
  return {ids, times: Float64Array.from(times)};
}
