/**
 * What a run surely does not hold: a Bloom filter in blocks of 64 bytes (a cache line), a few blocks to each bucket of the run.
 * With 14 bits an id about 3 of 1,000 ids that a run does not hold pass it. It is stored in pieces of 64 buckets.
 */
import {entryWords, filterHash, type Key} from './entries.ts';

const blockWords = 16;
const bitsAnId = 14;
/** Bits that an id sets. */
const probes = 7;
/** Buckets whose part of the filter is one stored piece. */
export const pieceBuckets = 64;

/** Blocks for each bucket of a run. */
export const blocksFor = (count: number, buckets: number): number =>
  Math.max(1, Math.ceil(((count / buckets) * bitsAnId) / (32 * blockWords)));

export class Filter {
  readonly words: Uint32Array;
  readonly #blocks: number;
  readonly #shift: number;

  /** @param bits the run has 2 ** `bits` buckets; @param blocks of each bucket */
  constructor(bits: number, blocks: number) {
    this.#blocks = blocks;
    this.#shift = 32 - bits;
    this.words = new Uint32Array(2 ** bits * blocks * blockWords);
  }

  /** Words of a stored piece. */
  get pieceWords(): number {
    return pieceBuckets * this.#blocks * blockWords;
  }

  #block(hash: number, second: number): number {
    return ((hash >>> this.#shift) * this.#blocks + (((second >>> 17) * this.#blocks) >>> 15)) * blockWords;
  }

  /** Adds all of the entries. */
  add(entries: Uint32Array): void {
    for (let at = 0; at < entries.length; at += entryWords) {
      const second = filterHash(entries, at);
      const block = this.#block(entries[at]!, second);
      const step = ((second >>> 8) & 0x1fe) | 1;
      for (let i = 0, bit = second & 511; i < probes; i++, bit = (bit + step) & 511)
        this.words[block + (bit >>> 5)]! |= 1 << (bit & 31);
    }
  }

  /** False: the run does not hold the key. @param second `filterHash` of the key */
  mayHold(key: Key, second: number): boolean {
    const block = this.#block(key[0]!, second);
    const step = ((second >>> 8) & 0x1fe) | 1;
    for (let i = 0, bit = second & 511; i < probes; i++, bit = (bit + step) & 511)
      if ((this.words[block + (bit >>> 5)]! & (1 << (bit & 31))) === 0) return false;
    return true;
  }
}
