/** Readers of Avro's primitive encodings, for bytes that may be anything: every read is checked against the record's end. */

export type DecodeReason = 'FRAME_INVALID' | 'BATCH_INVALID' | 'BODY_INVALID';

/** Bytes that are not what their schema says: one record's fault, a dead letter. */
export class DecodeFailure extends Error {
  readonly reason: DecodeReason;
  constructor(reason: DecodeReason, message: string) {
    super(message);
    this.name = 'DecodeFailure';
    this.reason = reason;
  }
}

/** Position after the last read; beside the value, since a function returns one thing. */
export const cursor = {pos: 0};

/** @throws DecodeFailure always. */
export function broken(message: string): never {
  throw new DecodeFailure('BODY_INVALID', message);
}

/** @throws DecodeFailure always: a value begins or goes on where the record ends. */
export const short = (): never => broken('the record ends inside the value');

/**
 * Zigzag varint of up to 64 bits: number while |x| <= 2^53, bigint beyond. Moves the cursor.
 * https://avro.apache.org/docs/1.12.0/specification/#primitive-types-1
 */
export function readLong(u8: Uint8Array, start: number, end: number): number | bigint {
  let pos = start;
  let low = 0;
  let high = 0;
  let top = 0;
  for (let count = 0; ; count++) {
    if (pos >= end) short();
    const byte = u8[pos++]!;
    const bits = byte & 127;
    if (count < 4) low |= bits << (7 * count);
    else if (count < 8) high |= bits << (7 * (count - 4));
    else {
      if (count === 9 && byte > 1) broken('an integer of more than 64 bits');
      top |= bits << (7 * (count - 8));
    }
    if (byte < 128) break;
  }
  cursor.pos = pos;
  if (top === 0 && high < 0x4000000) {
    const magnitude = high * 0x8000000 + (low >>> 1);
    return low & 1 ? -magnitude - 1 : magnitude;
  }
  const magnitude = (BigInt(top) << 55n) | (BigInt(high) << 27n) | BigInt(low >>> 1);
  if (low & 1) return -magnitude - 1n;
  return magnitude === 0x20000000000000n ? 2 ** 53 : magnitude;
}

/** A varint of 32 bits. */
export function readInt(u8: Uint8Array, pos: number, end: number): number {
  const value = readLong(u8, pos, end);
  if (typeof value !== 'number' || value !== (value | 0)) broken('an int of more than 32 bits');
  return value as number;
}

/** Length of text or bytes; checked against what is left. */
export function readLength(u8: Uint8Array, pos: number, end: number): number {
  const length = readLong(u8, pos, end);
  if (length < 0) broken(`a length of ${length}`);
  if (length > end - cursor.pos) broken(`a length of ${length}, ${end - cursor.pos} bytes are left`);
  return length as number;
}

/** Index of a union's branch or of an enum's symbol. */
export function readIndex(u8: Uint8Array, pos: number, end: number, count: number): number {
  const index = readLong(u8, pos, end);
  if (typeof index !== 'number' || index < 0 || index >= count)
    broken(`index ${index} of ${count} branches or symbols`);
  return index as number;
}

const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
const {latin1Slice: latin1, utf8Slice} = Buffer.prototype as unknown as Record<
  'latin1Slice' | 'utf8Slice',
  (this: Uint8Array, start: number, end: number) => string
>;

/**
 * Short texts read before, by a hash of their bytes: most of a column's values repeat, and finding one is cheaper than making
 * it. Bounded: 4096 texts of up to 16 characters a thread.
 */
const recent: string[] = new Array(4096).fill('');
const recentLengthMax = 16;

/** UTF-8 in [pos, end), which the caller has checked against the record. @throws DecodeFailure when it is not UTF-8. */
export function readText(u8: Uint8Array, pos: number, end: number): string {
  const length = end - pos;
  if (length > recentLengthMax) return makeText(u8, pos, end);
  let hash = length;
  let seen = 0;
  for (let i = pos; i < end; i++) {
    const byte = u8[i]!;
    seen |= byte;
    hash = Math.imul(hash ^ byte, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  if (seen > 127) return makeText(u8, pos, end);
  const slot = hash & 4095;
  const before = recent[slot]!;
  if (before.length === length) {
    let i = 0;
    while (i < length && before.charCodeAt(i) === u8[pos + i]) i++;
    if (i === length) return before;
  }
  return (recent[slot] = shortAscii(u8, pos, length));
}

const chars = String.fromCharCode;

/** ASCII of up to `recentLengthMax` bytes: up to 10 characters this is faster than a call out of JavaScript. */
function shortAscii(u8: Uint8Array, p: number, length: number): string {
  switch (length) {
    case 0:
      return '';
    case 1:
      return chars(u8[p]!);
    case 2:
      return chars(u8[p]!, u8[p + 1]!);
    case 3:
      return chars(u8[p]!, u8[p + 1]!, u8[p + 2]!);
    case 4:
      return chars(u8[p]!, u8[p + 1]!, u8[p + 2]!, u8[p + 3]!);
    case 5:
      return chars(u8[p]!, u8[p + 1]!, u8[p + 2]!, u8[p + 3]!, u8[p + 4]!);
    case 6:
      return chars(u8[p]!, u8[p + 1]!, u8[p + 2]!, u8[p + 3]!, u8[p + 4]!, u8[p + 5]!);
    case 7:
      return chars(u8[p]!, u8[p + 1]!, u8[p + 2]!, u8[p + 3]!, u8[p + 4]!, u8[p + 5]!, u8[p + 6]!);
    case 8:
      return chars(
        u8[p]!,
        u8[p + 1]!,
        u8[p + 2]!,
        u8[p + 3]!,
        u8[p + 4]!,
        u8[p + 5]!,
        u8[p + 6]!,
        u8[p + 7]!,
      );
    case 9:
      return chars(
        u8[p]!,
        u8[p + 1]!,
        u8[p + 2]!,
        u8[p + 3]!,
        u8[p + 4]!,
        u8[p + 5]!,
        u8[p + 6]!,
        u8[p + 7]!,
        u8[p + 8]!,
      );
    case 10:
      return chars(
        u8[p]!,
        u8[p + 1]!,
        u8[p + 2]!,
        u8[p + 3]!,
        u8[p + 4]!,
        u8[p + 5]!,
        u8[p + 6]!,
        u8[p + 7]!,
        u8[p + 8]!,
        u8[p + 9]!,
      );
    default:
      return latin1.call(u8, p, p + length);
  }
}

function makeText(u8: Uint8Array, pos: number, end: number): string {
  const text = utf8Slice.call(u8, pos, end);
  // Bytes that are not UTF-8 became U+FFFD: only a text that has one must be looked at again.
  if (!text.includes('\ufffd')) return text;
  try {
    return utf8.decode(u8.subarray(pos, end));
  } catch {
    return broken('text that is not UTF-8');
  }
}

/** As `readText`, without making the string. */
export function checkText(u8: Uint8Array, pos: number, end: number): void {
  for (let i = pos; i < end; i++) {
    if (u8[i]! > 127) {
      readText(u8, i, end);
      return;
    }
  }
}

const scratchBytes = new Uint8Array(8);
const scratchDouble = new Float64Array(scratchBytes.buffer);
const scratchFloat = new Float32Array(scratchBytes.buffer);

/** IEEE 754 double, little-endian. */
export function readDouble(u8: Uint8Array, pos: number, end: number): number {
  if (pos + 8 > end) short();
  for (let i = 0; i < 8; i++) scratchBytes[i] = u8[pos + i]!;
  return scratchDouble[0]!;
}

/** IEEE 754 float, little-endian. */
export function readFloat(u8: Uint8Array, pos: number, end: number): number {
  if (pos + 4 > end) short();
  for (let i = 0; i < 4; i++) scratchBytes[i] = u8[pos + i]!;
  return scratchFloat[0]!;
}

/** Count of a block's items, 0 at the array's end; a negative one is followed by the block's size in bytes. */
export function readBlockCount(u8: Uint8Array, pos: number, end: number): number {
  const count = readLong(u8, pos, end);
  if (typeof count !== 'number') return broken(`a block of ${count} items`);
  if (count >= 0) return count;
  readLength(u8, cursor.pos, end);
  return -count;
}
