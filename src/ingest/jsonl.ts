/**
 * JSON lines: one object a line (RFC 8259), scanned byte by byte. Values of wanted keys are slices of the line: a string
 * without its quotes, a number or a literal as it is written, so that 64-bit integers and money keep every digit. Keys
 * that are not wanted (`__proto__` among them) are checked and skipped; of a repeated key the last counts, as in JSON.parse.
 */
import {isUtf8} from 'node:buffer';
import {reasonNumber} from './reasons.ts';
import {absent, needMore, nested, type RecordScanner, recordBytesMax, tooLarge} from './records.ts';

/** Deepest nesting of objects and arrays in a line. */
export const jsonDepthMax = 64;

const lf = 10;
const quote = 34;
const backslash = 92;

/** Thrown inside a scan only, carries no stack: a syntax error is a reason, not an exception. */
type Failure = {reason: number; detail: string};

/** Scanner of JSON lines for the given keys. */
export class JsonScanner implements RecordScanner {
  readonly columns: readonly string[];
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  buffer: Uint8Array = new Uint8Array(0);
  recordStart = 0;
  recordEnd = 0;
  reason = 0;
  detail = '';
  readonly #slots: Map<string, number>;
  /** Keys as they came in the last line, by ordinal: most files repeat them, so a key costs a comparison and not a string. */
  readonly #seenKeys: Uint8Array[] = [];
  readonly #seenSlots: number[] = [];
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #high = 0;
  /** Of the string that was scanned last: whether it has escapes. */
  #escaped = false;
  #scratch = new Uint8Array(1024);
  #scratchEnd = 0;
  /** By slot: the value lies in the scratch buffer. */
  readonly #inScratch: Uint8Array;
  readonly #closers = new Uint8Array(jsonDepthMax + 1);

  constructor(columns: readonly string[]) {
    this.columns = columns;
    this.starts = new Int32Array(columns.length);
    this.ends = new Int32Array(columns.length);
    this.#inScratch = new Uint8Array(columns.length);
    this.#slots = new Map(columns.map((name, slot) => [name, slot]));
  }

  scan(bytes: Uint8Array, begin: number, to: number, final: boolean): number {
    let from = begin;
    while (from < to && isSpace(bytes[from]!)) from++;
    this.recordStart = from < to ? from : -1;
    if (from === to) return to;
    const stop = Math.min(to, from + recordBytesMax);
    const saved = bytes[stop]!;
    // The line end is no part of any token, so it stops every loop below without a bounds check.
    bytes[stop] = lf;
    const end = bytes.indexOf(lf, from);
    const incomplete = end === stop && !(final && stop === to) && (saved !== lf || stop === to);
    if (!incomplete) this.#record(bytes, from, end);
    bytes[stop] = saved;
    if (incomplete) return stop < to ? tooLarge : needMore;
    return Math.min(end + 1, to);
  }

  #record(bytes: Uint8Array, from: number, end: number): void {
    this.#bytes = bytes;
    this.#at = from;
    this.#high = 0;
    this.#scratchEnd = 0;
    this.reason = 0;
    this.detail = '';
    this.buffer = bytes;
    this.recordEnd = end > from && bytes[end - 1] === 13 ? end - 1 : end;
    this.starts.fill(absent);
    try {
      if (bytes[from] === 123) this.#object();
      else {
        this.#value(-1);
        this.reason = reasonNumber.JSON_OBJECT;
        this.detail = 'the line is not an object';
      }
      this.#space();
      if (this.#at !== end) this.#fail('JSON_SYNTAX', 'text follows the value');
      if (this.#high > 127 && !isUtf8(bytes.subarray(from, end))) this.#fail('UTF8', 'the line is not UTF-8');
    } catch (failure) {
      if (failure instanceof Error) throw failure;
      this.reason = (failure as Failure).reason;
      this.detail = (failure as Failure).detail;
    }
    if (this.#scratchEnd > 0) this.#gather();
  }

  #fail(code: 'JSON_SYNTAX' | 'JSON_DEPTH' | 'UTF8', detail: string): never {
    const failure: Failure = {
      reason: reasonNumber[code],
      detail: `${detail}, at byte ${this.#at - this.recordStart}`,
    };
    throw failure;
  }

  #space(): void {
    const bytes = this.#bytes;
    let byte = bytes[this.#at];
    while (byte === 32 || byte === 9 || byte === 13) byte = bytes[++this.#at];
  }

  #object(): void {
    const bytes = this.#bytes;
    this.#at++;
    this.#space();
    if (bytes[this.#at] === 125) {
      this.#at++;
      return;
    }
    for (let ordinal = 0; ; ordinal++) {
      const slot = this.#key(ordinal);
      this.#space();
      if (bytes[this.#at] !== 58) this.#fail('JSON_SYNTAX', 'a colon is missing');
      this.#at++;
      this.#space();
      this.#value(slot);
      this.#space();
      const byte = bytes[this.#at++];
      if (byte === 125) return;
      if (byte !== 44) {
        this.#at--;
        this.#fail('JSON_SYNTAX', 'a comma or a closing brace is missing');
      }
      this.#space();
    }
  }

  /** @returns the slot of the key at the current position, -1 when it is not wanted. */
  #key(ordinal: number): number {
    const bytes = this.#bytes;
    const start = this.#at + 1;
    this.#string();
    const end = this.#at - 1;
    const seen = this.#seenKeys[ordinal];
    if (seen !== undefined && seen.length === end - start && !this.#escaped) {
      let same = true;
      for (let i = 0; i < seen.length && same; i++) same = bytes[start + i] === seen[i];
      if (same) return this.#seenSlots[ordinal]!;
    }
    if (this.#escaped) {
      const name = tryParse(
        Buffer.from(bytes.buffer, bytes.byteOffset + start - 1, end - start + 2).toString(),
      );
      return name === undefined ? -1 : (this.#slots.get(name) ?? -1);
    }
    const key = bytes.slice(start, end);
    const slot = this.#slots.get(Buffer.from(key.buffer).toString()) ?? -1;
    if (ordinal < 256) {
      this.#seenKeys[ordinal] = key;
      this.#seenSlots[ordinal] = slot;
    }
    return slot;
  }

  #value(slot: number): void {
    const bytes = this.#bytes;
    const start = this.#at;
    const byte = bytes[start]!;
    if (byte === quote) {
      this.#string();
      if (slot >= 0) this.#take(slot, start + 1, this.#at - 1);
      return;
    }
    if (byte === 123 || byte === 91) {
      this.#nested();
      if (slot >= 0) this.starts[slot] = nested;
      return;
    }
    if (byte === 110) {
      this.#literal('null');
      if (slot >= 0) this.starts[slot] = absent;
      return;
    }
    if (byte === 116) this.#literal('true');
    else if (byte === 102) this.#literal('false');
    else this.#number();
    if (slot < 0) return;
    this.starts[slot] = start;
    this.ends[slot] = this.#at;
    this.#inScratch[slot] = 0;
  }

  #take(slot: number, start: number, end: number): void {
    if (this.#escaped) {
      const from = this.#scratchEnd;
      this.#unescape(start, end);
      this.starts[slot] = from;
      this.ends[slot] = this.#scratchEnd;
      this.#inScratch[slot] = 1;
    } else {
      this.starts[slot] = start;
      this.ends[slot] = end;
      this.#inScratch[slot] = 0;
    }
  }

  /** Passes a string; its content must have no control characters and known escapes. */
  #string(): void {
    const bytes = this.#bytes;
    if (bytes[this.#at] !== quote) this.#fail('JSON_SYNTAX', 'a string is expected');
    let at = this.#at + 1;
    let high = 0;
    this.#escaped = false;
    for (;;) {
      const byte = bytes[at]!;
      if (byte === quote) break;
      if (byte < 32) {
        this.#at = at;
        this.#fail('JSON_SYNTAX', byte === lf ? 'a string is not closed' : 'a control character in a string');
      }
      if (byte === backslash) {
        this.#escaped = true;
        this.#at = at;
        at += this.#escapeLength(at);
        continue;
      }
      high |= byte;
      at++;
    }
    this.#high |= high;
    this.#at = at + 1;
  }

  #escapeLength(at: number): number {
    const bytes = this.#bytes;
    const byte = bytes[at + 1]!;
    if (byte === 117) {
      for (let i = 2; i < 6; i++)
        if (hexValue(bytes[at + i]!) < 0)
          this.#fail('JSON_SYNTAX', 'a \\u escape needs four hexadecimal digits');
      return 6;
    }
    if (simpleEscape(byte) < 0) this.#fail('JSON_SYNTAX', 'an unknown escape');
    return 2;
  }

  #literal(text: string): void {
    for (let i = 1; i < text.length; i++)
      if (this.#bytes[this.#at + i] !== text.charCodeAt(i)) this.#fail('JSON_SYNTAX', 'a value is expected');
    this.#at += text.length;
  }

  #number(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    if (bytes[at] === 45) at++;
    const first = at;
    while (isDigit(bytes[at]!)) at++;
    if (at === first || (bytes[first] === 48 && at > first + 1))
      this.#fail('JSON_SYNTAX', 'a value is expected');
    if (bytes[at] === 46) {
      const fraction = ++at;
      while (isDigit(bytes[at]!)) at++;
      if (at === fraction) this.#fail('JSON_SYNTAX', 'digits are expected after the point');
    }
    if ((bytes[at]! | 32) === 101) {
      at++;
      if (bytes[at] === 43 || bytes[at] === 45) at++;
      const exponent = at;
      while (isDigit(bytes[at]!)) at++;
      if (at === exponent) this.#fail('JSON_SYNTAX', 'digits are expected in the exponent');
    }
    this.#at = at;
  }

  /** Passes an object or array, without recursion. */
  #nested(): void {
    const bytes = this.#bytes;
    let depth = 0;
    for (;;) {
      // A value begins here.
      const byte = bytes[this.#at]!;
      if (byte === 123 || byte === 91) {
        // The line's own object is the first level.
        if (++depth >= jsonDepthMax) this.#fail('JSON_DEPTH', `nested deeper than ${jsonDepthMax} levels`);
        this.#closers[depth] = byte + 2;
        this.#at++;
        this.#space();
        if (bytes[this.#at] !== byte + 2) {
          if (byte === 123) this.#skipKey();
          continue;
        }
        this.#at++;
        depth--;
      } else this.#value(-1);
      // A value ends here: close what it ends, or go on to the next.
      for (;;) {
        if (depth === 0) return;
        this.#space();
        const next = bytes[this.#at]!;
        if (next === this.#closers[depth]) {
          this.#at++;
          depth--;
          continue;
        }
        if (next !== 44) this.#fail('JSON_SYNTAX', 'a comma or a closing bracket is missing');
        this.#at++;
        this.#space();
        if (this.#closers[depth] === 125) this.#skipKey();
        break;
      }
    }
  }

  #skipKey(): void {
    this.#string();
    this.#space();
    if (this.#bytes[this.#at] !== 58) this.#fail('JSON_SYNTAX', 'a colon is missing');
    this.#at++;
    this.#space();
  }

  /** Appends the string in [start, end) to the scratch buffer, its escapes resolved. */
  #unescape(start: number, end: number): void {
    const bytes = this.#bytes;
    this.#reserve(end - start);
    const out = this.#scratch;
    let to = this.#scratchEnd;
    for (let at = start; at < end; ) {
      const byte = bytes[at]!;
      if (byte !== backslash) {
        out[to++] = byte;
        at++;
        continue;
      }
      const simple = simpleEscape(bytes[at + 1]!);
      if (simple >= 0) {
        out[to++] = simple;
        at += 2;
        continue;
      }
      let code = hexCode(bytes, at + 2);
      at += 6;
      if (code >= 0xd800 && code < 0xe000) {
        const low = bytes[at] === backslash && bytes[at + 1] === 117 ? hexCode(bytes, at + 2) : 0;
        if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) this.#fail('UTF8', 'half of a surrogate pair');
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
      to = writeCodePoint(code, out, to);
    }
    this.#scratchEnd = to;
  }

  /** Room for `more` bytes behind what the scratch buffer holds. */
  #reserve(more: number): void {
    if (this.#scratch.length >= this.#scratchEnd + more) return;
    const larger = new Uint8Array(2 * (this.#scratchEnd + more));
    larger.set(this.#scratch.subarray(0, this.#scratchEnd));
    this.#scratch = larger;
  }

  /** Brings the values that still lie in the line beside those that were unescaped: a row has one buffer. */
  #gather(): void {
    for (let slot = 0; slot < this.columns.length; slot++) {
      const start = this.starts[slot]!;
      if (start < 0 || this.#inScratch[slot] === 1) continue;
      const end = this.ends[slot]!;
      this.#reserve(end - start);
      this.#scratch.set(this.#bytes.subarray(start, end), this.#scratchEnd);
      this.starts[slot] = this.#scratchEnd;
      this.ends[slot] = this.#scratchEnd += end - start;
    }
    this.buffer = this.#scratch;
  }
}

const isSpace = (byte: number): boolean => byte === 32 || byte === 9 || byte === 10 || byte === 13;
const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

function hexValue(byte: number): number {
  if (isDigit(byte)) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

const hexCode = (bytes: Uint8Array, at: number): number =>
  (hexValue(bytes[at]!) << 12) |
  (hexValue(bytes[at + 1]!) << 8) |
  (hexValue(bytes[at + 2]!) << 4) |
  hexValue(bytes[at + 3]!);

/** The byte that `\` and this character stand for; -1 when it is none of the one-letter escapes. */
function simpleEscape(byte: number): number {
  switch (byte) {
    case 34:
    case 47:
    case 92:
      return byte;
    case 98:
      return 8;
    case 102:
      return 12;
    case 110:
      return 10;
    case 114:
      return 13;
    case 116:
      return 9;
    default:
      return -1;
  }
}

function writeCodePoint(code: number, out: Uint8Array, position: number): number {
  let to = position;
  if (code < 0x80) out[to++] = code;
  else {
    if (code < 0x800) out[to++] = 0xc0 | (code >> 6);
    else {
      if (code < 0x10000) out[to++] = 0xe0 | (code >> 12);
      else {
        out[to++] = 0xf0 | (code >> 18);
        out[to++] = 0x80 | ((code >> 12) & 63);
      }
      out[to++] = 0x80 | ((code >> 6) & 63);
    }
    out[to++] = 0x80 | (code & 63);
  }
  return to;
}

/** A key with escapes; undefined when it cannot be read (it is then not wanted). */
function tryParse(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}
