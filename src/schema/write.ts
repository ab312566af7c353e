/** Writers of Avro's primitive encodings into a buffer; the compiled encoders inline their short cases. */
import assert from 'node:assert/strict';

const utf8 = new TextEncoder();

/** A value that its field cannot hold: validation lets none through, so it is our own mistake. */
export function badValue(field: string, value: unknown): never {
  const shown = typeof value === 'bigint' ? `${value}n` : String(value).slice(0, 80);
  assert.fail(`field ${field} cannot hold ${typeof value} ${shown}`);
}

/** Zigzag varint of an int64 given as integer number (|x| <= 2^53) or bigint. @returns position after it, -1 when it is none. */
export function writeLong(value: unknown, u8: Uint8Array, start: number): number {
  let pos = start;
  if (typeof value === 'bigint') {
    if (BigInt.asIntN(64, value) !== value) return -1;
    const zigzag = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    let low = Number(zigzag & 0xffffffffffffn);
    let high = Number(zigzag >> 48n);
    // Seven bits at a time from the 64-bit number in two parts of 48 and 16 bits.
    while (high > 0 || low > 127) {
      u8[pos++] = (low % 128) | 128;
      low = Math.floor(low / 128) + (high % 128) * 2 ** 41;
      high = Math.floor(high / 128);
    }
    u8[pos++] = low;
    return pos;
  }
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 2 ** 53) return -1;
  // Twice 2^53 is no exact number: the lowest 28 bits of the zigzag and the rest are written from two parts.
  const magnitude = value < 0 ? -(value + 1) : value;
  const part = magnitude % 0x8000000;
  let high = (magnitude - part) / 0x8000000;
  let low = part * 2 + (value < 0 ? 1 : 0);
  if (high === 0) {
    while (low > 127) {
      u8[pos++] = low | 128;
      low >>>= 7;
    }
    u8[pos++] = low;
    return pos;
  }
  u8[pos] = low | 128;
  u8[pos + 1] = (low >>> 7) | 128;
  u8[pos + 2] = (low >>> 14) | 128;
  u8[pos + 3] = (low >>> 21) | 128;
  pos += 4;
  while (high > 127) {
    u8[pos++] = (high & 127) | 128;
    high >>>= 7;
  }
  u8[pos++] = high;
  return pos;
}

/** UTF-8 with its length before it; an unpaired surrogate becomes U+FFFD. The caller has made room for 3 bytes a unit and 6. */
export function writeText(text: string, u8: Uint8Array, start: number): number {
  if (text.length > 256) {
    const length = Buffer.byteLength(text);
    const pos = writeLong(length, u8, start);
    utf8.encodeInto(text, u8.subarray(pos, pos + length));
    return pos + length;
  }
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) length++;
    else if (unit < 0x800) length += 2;
    else if (unit >= 0xd800 && unit < 0xdc00 && isLow(text.charCodeAt(i + 1))) {
      length += 4;
      i++;
    } else length += 3;
  }
  let pos = writeLong(length, u8, start);
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      u8[pos++] = code;
      continue;
    }
    if (code < 0x800) {
      u8[pos++] = 0xc0 | (code >> 6);
      u8[pos++] = 0x80 | (code & 63);
      continue;
    }
    if (code >= 0xd800 && code < 0xe000) {
      const low = text.charCodeAt(i + 1);
      if (code < 0xdc00 && isLow(low)) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        i++;
        u8[pos++] = 0xf0 | (code >> 18);
        u8[pos++] = 0x80 | ((code >> 12) & 63);
        u8[pos++] = 0x80 | ((code >> 6) & 63);
        u8[pos++] = 0x80 | (code & 63);
        continue;
      }
      code = 0xfffd;
    }
    u8[pos++] = 0xe0 | (code >> 12);
    u8[pos++] = 0x80 | ((code >> 6) & 63);
    u8[pos++] = 0x80 | (code & 63);
  }
  return pos;
}

const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;

/** Bytes with their length before them. */
export function writeBytes(value: Uint8Array, u8: Uint8Array, start: number): number {
  const pos = writeLong(value.length, u8, start);
  u8.set(value, pos);
  return pos + value.length;
}

const scratch = new Float64Array(1);
const scratchBytes = new Uint8Array(scratch.buffer);

/** IEEE 754 double, little-endian. */
export function writeDouble(value: number, u8: Uint8Array, pos: number): number {
  scratch[0] = value;
  for (let i = 0; i < 8; i++) u8[pos + i] = scratchBytes[i]!;
  return pos + 8;
}
