/**
 * Entries of the index of ids. An entry is 8 unsigned 32-bit words, little-endian in the file:
 *
 *   0     hash: says in which bucket of a run the entry lies
 *   1..4  a UUID in its usual spelling: its 16 bytes; any other text: the first 16 bytes of its SHA-256
 *   5     stream * 2, + 1 for other text than a UUID
 *   6, 7  offset of the record, low word first
 *
 * The hash of a UUID is computed from its bytes; that of any other text is 32 more bits of its SHA-256. So two UUIDs are never
 * taken for each other, and two other texts only if 160 bits of their SHA-256 are equal.
 */
import {hash} from 'node:crypto';

/** Words of an entry. */
export const entryWords = 8;
export const entryBytes = 4 * entryWords;

/** Words 0 to 5 of an entry as they are looked for; of word 5 only the last bit. */
export type Key = Uint32Array;

/** Whether a record is the one that is looked for, or still there: by its stream and offset. */
export type Belongs = (stream: number, offset: number) => boolean;

/** Where a record lies. */
export type Place = {stream: number; offset: number};

/** Character code -> value of a lower-case hexadecimal digit, -1 for any other character. */
const nibbles = Int8Array.from({length: 128}, (_, code) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(code)),
);

/** MurmurHash3 of words 1 to 4 of the entry at `at`. @returns signed 32-bit */
function mix(words: Uint32Array, at: number, seed: number): number {
  let h = seed;
  for (let word = at + 1; word <= at + 4; word++) {
    let k = Math.imul(words[word]!, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    h ^= k;
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A second hash of the entry at `at`, for filters. @returns unsigned 32-bit */
export const filterHash = (words: Uint32Array, at: number): number => mix(words, at, 0x9747b28c) >>> 0;

function readUuid(id: string, to: Key): boolean {
  let at = 0;
  let all = 0;
  for (let word = 1; word <= 4; word++) {
    let value = 0;
    for (let digit = 0; digit < 8; digit++) {
      if (at === 8 || at === 13 || at === 18 || at === 23) {
        if (id.charCodeAt(at) !== 45) return false;
        at++;
      }
      const code = id.charCodeAt(at++);
      const nibble = code < 128 ? nibbles[code]! : -1;
      all |= nibble;
      value = (value << 4) | nibble;
    }
    to[word] = value;
  }
  return all >= 0;
}

/** Writes the key of `id` to `key` (6 words). */
export function keyOf(id: string, key: Key): void {
  if (id.length === 36 && readUuid(id, key)) {
    key[0] = mix(key, 0, 0);
    key[5] = 0;
    return;
  }
  const digest = hash('sha256', id, 'buffer');
  for (let word = 0; word < 5; word++) key[word] = digest.readUInt32LE(4 * word);
  key[5] = 1;
}

/** Stream of the entry at `at`. */
export const streamAt = (words: Uint32Array, at: number): number => words[at + 5]! >>> 1;

/** Offset of the entry at `at`. */
export const offsetAt = (words: Uint32Array, at: number): number => words[at + 6]! + words[at + 7]! * 2 ** 32;

const matches = (words: Uint32Array, at: number, key: Key): boolean =>
  words[at] === key[0] &&
  words[at + 1] === key[1] &&
  words[at + 2] === key[2] &&
  words[at + 3] === key[3] &&
  words[at + 4] === key[4] &&
  ((words[at + 5]! ^ key[5]!) & 1) === 0;

function placeAt(words: Uint32Array, at: number, key: Key, belongs: Belongs): Place | undefined {
  if (!matches(words, at, key)) return undefined;
  const place = {stream: streamAt(words, at), offset: offsetAt(words, at)};
  return belongs(place.stream, place.offset) ? place : undefined;
}

/** Looks through entries in any order. */
export function findIn(words: Uint32Array, key: Key, belongs: Belongs): Place | undefined {
  const hashed = key[0];
  for (let at = 0; at < words.length; at += entryWords)
    if (words[at] === hashed) {
      const place = placeAt(words, at, key, belongs);
      if (place) return place;
    }
  return undefined;
}

/** The same bytes as words. They are copied when they do not begin at a multiple of 4. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
}

/** The bytes of words, not copied. */
export const bytesOf = (words: Uint32Array): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** Entries in memory, in the order in which they were added, and a hash table of their places. */
export class EntryTable {
  #words = new Uint32Array(1024 * entryWords);
  #slots = new Int32Array(4096).fill(-1);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Entries from number `first` on; valid until the next change. */
  from(first: number): Uint32Array {
    return this.#words.subarray(first * entryWords, this.#count * entryWords);
  }

  find(key: Key, belongs: Belongs): Place | undefined {
    const mask = this.#slots.length - 1;
    for (let slot = key[0]! & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]!;
      if (entry < 0) return undefined;
      const place = placeAt(this.#words, entry * entryWords, key, belongs);
      if (place) return place;
    }
  }

  add(key: Key, stream: number, offset: number): void {
    this.#reserve(1);
    const at = this.#count * entryWords;
    const words = this.#words;
    for (let word = 0; word < 5; word++) words[at + word] = key[word]!;
    words[at + 5] = stream * 2 + (key[5]! & 1);
    words[at + 6] = offset;
    words[at + 7] = Math.floor(offset / 2 ** 32);
    this.#link(this.#count++);
  }

  /** Adds whole entries. */
  addAll(entries: Uint32Array): void {
    const added = entries.length / entryWords;
    this.#reserve(added);
    this.#words.set(entries, this.#count * entryWords);
    for (let i = 0; i < added; i++) this.#link(this.#count++);
  }

  clear(): void {
    this.#slots.fill(-1);
    this.#count = 0;
  }

  #link(entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#words[entry * entryWords]! & mask;
    while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask;
    this.#slots[slot] = entry;
  }

  #reserve(added: number): void {
    const needed = this.#count + added;
    if (needed * entryWords > this.#words.length) {
      const words = new Uint32Array(Math.max(this.#words.length * 2, needed * entryWords));
      words.set(this.from(0));
      this.#words = words;
    }
    if (needed * 2 <= this.#slots.length) return;
    let slots = this.#slots.length;
    while (slots < needed * 2) slots *= 2;
    this.#slots = new Int32Array(slots).fill(-1);
    for (let entry = 0; entry < this.#count; entry++) this.#link(entry);
  }
}
