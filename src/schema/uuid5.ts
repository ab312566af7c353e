/**
 * Name-based UUIDs, version 5: the first 16 bytes of SHA-1(namespace, name) with version and variant set.
 * https://www.rfc-editor.org/rfc/rfc9562#section-5.5
 *
 * The hash is our own: ids are made for every row of a file, and one block of it takes less than a call into node:crypto.
 */
import assert from 'node:assert/strict';

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const utf8 = new TextEncoder();
const initialState = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
/** The text of the id that was made last. */
const ascii = Buffer.alloc(36);

/** Namespace for names of Millrace's own, e.g. domains. */
export const millraceNamespace = 'b2f1c1a6-6d0f-5b0e-9a43-6a1f3e1d7c52';

/** uuid5 of a namespace (a UUID, any case) and a name (as UTF-8), lower case. */
export const uuid5 = (namespace: string, name: string): string => uuid5Of(namespace, name).of('');

export type Uuid5 = {
  /** uuid5(namespace, prefix + suffix); a number is its decimal digits. */
  of(suffix: string | number): string;
  /** The same as 36 ASCII bytes at `pos`. @returns position after them. */
  write(suffix: string | number, buffer: Uint8Array, pos: number): number;
};

/** Ids of names with a common prefix, such as the rows of a file: whole blocks of the prefix are hashed once. */
export function uuid5Of(namespace: string, prefix: string): Uuid5 {
  assert.match(namespace, uuidPattern, 'a namespace is a UUID');
  const head = Buffer.concat([Buffer.from(namespace.replaceAll('-', ''), 'hex'), Buffer.from(prefix)]);
  const whole = head.length - (head.length % 64);
  const start = initialState.slice();
  for (let pos = 0; pos < whole; pos += 64) compress(start, head, pos);
  const rest = head.length - whole;
  const state = new Int32Array(5);
  let block = new Uint8Array(128);
  block.set(head.subarray(whole));

  const hash = (suffix: string | number): void => {
    let length = rest;
    if (typeof suffix === 'number' && Number.isSafeInteger(suffix) && suffix >= 0) {
      length = writeDigits(suffix, block, rest);
    } else {
      const text = String(suffix);
      if (rest + 3 * text.length + 72 > block.length) {
        const grown = new Uint8Array(rest + 3 * text.length + 128);
        grown.set(block.subarray(0, rest));
        block = grown;
      }
      length += utf8.encodeInto(text, block.subarray(rest)).written;
    }
    const blocks = (length + 9 + 63) >> 6;
    block.fill(0, length, blocks * 64);
    block[length] = 0x80;
    const bits = (whole + length) * 8;
    const tail = blocks * 64;
    for (let i = 0, left = bits; i < 8; i++, left = Math.floor(left / 256)) block[tail - 1 - i] = left % 256;
    state.set(start);
    for (let i = 0; i < blocks; i++) compress(state, block, i * 64);
    markVersion(state);
  };
  const write = (suffix: string | number, buffer: Uint8Array, pos: number): number => {
    hash(suffix);
    writeUuid(state, buffer, pos);
    return pos + 36;
  };
  return {
    write,
    of(suffix) {
      write(suffix, ascii, 0);
      return ascii.toString('latin1', 0, 36);
    },
  };
}

const oneBlock = new Uint8Array(64);
const oneState = new Int32Array(5);

/** uuid5 of a namespace (a UUID, any case) and the decimal digits of `n` >= 0: for many namespaces with few names each. */
export function uuid5Number(namespace: string, n: number): string {
  for (let i = 0, at = 0; i < 16; i++) {
    if (namespace.charCodeAt(at) === dash) at++;
    oneBlock[i] = (hexDigit(namespace.charCodeAt(at)) << 4) | hexDigit(namespace.charCodeAt(at + 1));
    at += 2;
  }
  const length = writeDigits(n, oneBlock, 16);
  oneBlock.fill(0, length);
  oneBlock[length] = 0x80;
  oneBlock[62] = length >>> 5;
  oneBlock[63] = length << 3;
  oneState.set(initialState);
  compress(oneState, oneBlock, 0);
  markVersion(oneState);
  writeUuid(oneState, ascii, 0);
  return ascii.toString('latin1', 0, 36);
}

/** Value of a hexadecimal digit in any case. */
const hexDigit = (unit: number): number => (unit <= 57 ? unit - 48 : (unit | 32) - 87);

/** Version 5 and the variant of RFC 9562. */
function markVersion(state: Int32Array): void {
  state[1] = (state[1]! & 0xffff0fff) | 0x5000;
  state[2] = (state[2]! & 0x3fffffff) | 0x80000000;
}

function writeUuid(state: Int32Array, buffer: Uint8Array, pos: number): void {
  writeWord(state[0]!, buffer, pos);
  buffer[pos + 8] = dash;
  writeHalf(state[1]! >>> 16, buffer, pos + 9);
  buffer[pos + 13] = dash;
  writeHalf(state[1]! & 0xffff, buffer, pos + 14);
  buffer[pos + 18] = dash;
  writeHalf(state[2]! >>> 16, buffer, pos + 19);
  buffer[pos + 23] = dash;
  writeHalf(state[2]! & 0xffff, buffer, pos + 24);
  writeWord(state[3]!, buffer, pos + 28);
}

const dash = 0x2d;
/** Byte -> its two hexadecimal digits, first one in the low byte. */
const hex = Uint16Array.from({length: 256}, (_, byte) => {
  const text = byte.toString(16).padStart(2, '0');
  return text.charCodeAt(0) | (text.charCodeAt(1) << 8);
});

function writeHalf(half: number, buffer: Uint8Array, pos: number): void {
  const high = hex[half >>> 8]!;
  const low = hex[half & 255]!;
  buffer[pos] = high;
  buffer[pos + 1] = high >>> 8;
  buffer[pos + 2] = low;
  buffer[pos + 3] = low >>> 8;
}

function writeWord(word: number, buffer: Uint8Array, pos: number): void {
  writeHalf(word >>> 16, buffer, pos);
  writeHalf(word & 0xffff, buffer, pos + 4);
}

/** Decimal digits of a safe integer >= 0. @returns position after them. */
function writeDigits(value: number, buffer: Uint8Array, pos: number): number {
  let length = 1;
  for (let limit = 10; value >= limit && length < 16; limit *= 10) length++;
  let left = value;
  for (let i = pos + length - 1; i >= pos; i--) {
    const next = Math.floor(left / 10);
    buffer[i] = 48 + (left - next * 10);
    left = next;
  }
  return pos + length;
}

const words = new Int32Array(80);

/** SHA-1's compression of one block of 64 bytes. https://www.rfc-editor.org/rfc/rfc3174#section-6.1 */
function compress(state: Int32Array, u8: Uint8Array, pos: number): void {
  for (let i = 0, at = pos; i < 16; i++, at += 4)
    words[i] = (u8[at]! << 24) | (u8[at + 1]! << 16) | (u8[at + 2]! << 8) | u8[at + 3]!;
  for (let i = 16; i < 80; i++) {
    const word = words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!;
    words[i] = (word << 1) | (word >>> 31);
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let t = 0;
  for (let i = 0; i < 20; i++) {
    t = (((a << 5) | (a >>> 27)) + ((b & c) | (~b & d)) + e + 0x5a827999 + words[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = t;
  }
  for (let i = 20; i < 40; i++) {
    t = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1 + words[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = t;
  }
  for (let i = 40; i < 60; i++) {
    t = (((a << 5) | (a >>> 27)) + ((b & c) | (b & d) | (c & d)) + e + 0x8f1bbcdc + words[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = t;
  }
  for (let i = 60; i < 80; i++) {
    t = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0xca62c1d6 + words[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = t;
  }
  state[0] = state[0]! + a;
  state[1] = state[1]! + b;
  state[2] = state[2]! + c;
  state[3] = state[3]! + d;
  state[4] = state[4]! + e;
}
