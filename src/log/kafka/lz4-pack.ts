/**
 * Packs LZ4 frames (see lz4.ts for the format): independent blocks of at most 256 KiB, no checksums but that of the header, which
 * clients check. A greedy search by a table of the last place of each four bytes, in longer steps where nothing repeats itself.
 */
const magic = 0x184d2204;
/** Version 1, independent blocks; blocks of at most 256 KiB. */
const flags = 0x60;
const blockKind = 0x50;
const blockBytes = 256 * 1024;
const headerBytes = 7;
/** Highest bit of a block's size: it is not packed. */
const unpacked = 0x80000000;

/** A match has at least so many bytes; the last five of a block are literals, the last match begins at least twelve before its end. */
const matchLeast = 4;
const literalsLast = 5;
const matchEndLeast = 12;
const distanceMax = 0xffff;

const hashBits = 14;
/** By the hash of four bytes: where they were last seen, counted from 1 at the begin of the block. */
const places = new Int32Array(1 << hashBits);
/** After so many misses in a row the step becomes a byte longer, as a power of two. */
const missesBits = 6;

/** One frame of all of `bytes`. */
export function lz4Frame(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / blockBytes);
  const to = Buffer.allocUnsafe(
    headerBytes + bytes.length + blocks * (4 + Math.ceil(blockBytes / 255) + 16) + 4,
  );
  to.writeUInt32LE(magic, 0);
  to[4] = flags;
  to[5] = blockKind;
  to[6] = headerChecksum(flags, blockKind);
  let at = headerBytes;
  for (let from = 0; from < bytes.length; from += blockBytes) {
    const size = Math.min(blockBytes, bytes.length - from);
    const end = packBlock(bytes, from, from + size, to, at + 4);
    const packed = end - at - 4;
    if (packed < size) {
      to.writeUInt32LE(packed, at);
      at = end;
    } else {
      to.writeUInt32LE((unpacked | size) >>> 0, at);
      to.set(bytes.subarray(from, from + size), at + 4);
      at += 4 + size;
    }
  }
  to.writeUInt32LE(0, at);
  return to.subarray(0, at + 4);
}

/** The second byte of XXH32 over the two bytes of the descriptor (https://github.com/Cyan4973/xxHash, xxhash_spec.md). */
function headerChecksum(...descriptor: [number, number]): number {
  const [prime1, prime2, prime3, prime5] = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x165667b1];
  let hash = (prime5 + descriptor.length) | 0;
  for (const byte of descriptor) {
    hash = (hash + Math.imul(byte, prime5)) | 0;
    hash = Math.imul((hash << 11) | (hash >>> 21), prime1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), prime2);
  hash = Math.imul(hash ^ (hash >>> 13), prime3);
  hash ^= hash >>> 16;
  return (hash >>> 8) & 255;
}

/** Packs `source[from, end)` to `at`. @returns position after it */
function packBlock(source: Uint8Array, from: number, end: number, to: Uint8Array, at: number): number {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  places.fill(0);
  const lastStart = end - matchEndLeast;
  const lastEnd = end - literalsLast;
  let literals = from;
  let written = at;
  for (let pos = from, misses = 1 << missesBits; pos <= lastStart; ) {
    const word = view.getInt32(pos, true);
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - hashBits);
    const place = places[slot]! + from - 1;
    places[slot] = pos - from + 1;
    if (place < from || pos - place > distanceMax || view.getInt32(place, true) !== word) {
      pos += misses++ >>> missesBits;
      continue;
    }
    const length = matchLength(view, source, place, pos, lastEnd);
    written = writeSequence(source, literals, pos, to, written, {distance: pos - place, length});
    pos += length;
    literals = pos;
    misses = 1 << missesBits;
  }
  return writeSequence(source, literals, end, to, written, undefined);
}

function matchLength(view: DataView, source: Uint8Array, place: number, pos: number, end: number): number {
  let length = matchLeast;
  while (pos + length + 4 <= end && view.getInt32(place + length, true) === view.getInt32(pos + length, true))
    length += 4;
  while (pos + length < end && source[place + length] === source[pos + length]) length++;
  return length;
}

/** Literals `source[from, end)` and the match behind them; the last sequence has none. @returns position after it */
function writeSequence(
  source: Uint8Array,
  from: number,
  end: number,
  to: Uint8Array,
  at: number,
  match: {distance: number; length: number} | undefined,
): number {
  const literals = end - from;
  const more = match ? match.length - matchLeast : 0;
  to[at] = (Math.min(literals, 15) << 4) | Math.min(more, 15);
  let written = at + 1;
  if (literals >= 15) written = writeRest(literals - 15, to, written);
  if (literals > 32) to.set(source.subarray(from, end), written);
  else for (let i = 0; i < literals; i++) to[written + i] = source[from + i]!;
  written += literals;
  if (!match) return written;
  to[written++] = match.distance;
  to[written++] = match.distance >>> 8;
  return more >= 15 ? writeRest(more - 15, to, written) : written;
}

/** The rest of a length that its half of the token cannot hold. @returns position after it */
function writeRest(rest: number, to: Uint8Array, at: number): number {
  let left = rest;
  let written = at;
  for (; left >= 255; left -= 255) to[written++] = 255;
  to[written++] = left;
  return written;
}
