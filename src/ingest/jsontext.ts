/**
 * The grammar of JSON (RFC 8259), passed over byte by byte. A line feed must stand behind the text: it is part of no token of
 * a line, so that it ends every loop without a bounds check.
 */
import {reasonNumber} from './reasons.ts';

/** Deepest nesting of objects and arrays in a line. */
export const jsonDepthMax = 64;

const lf = 10;
const quote = 34;
const backslash = 92;

/** Thrown inside a scan only and without a stack: a mistake in the text is a reason, not an exception. */
export type JsonFailure = {reason: number; detail: string};

/** A position in a JSON text; each method passes one part of it or throws a JsonFailure. */
export class JsonCursor {
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the text begins, for messages. */
  start = 0;
  at = 0;
  /** All bytes of the strings so far, or-ed: beyond 127 when there were letters beyond ASCII. */
  high = 0;
  /** Whether the string that was passed last has escapes. */
  escaped = false;
  readonly #depthMax: number;
  #closers: Uint8Array;

  /** @param depthMax levels inside the record's own object that are passed. */
  constructor(depthMax = jsonDepthMax) {
    this.#depthMax = depthMax;
    this.#closers = new Uint8Array(Math.min(depthMax, 1024) + 1);
  }

  /** Gives up, with the place. */
  fail(code: 'JSON_SYNTAX' | 'JSON_DEPTH' | 'UTF8', detail: string): never {
    const failure: JsonFailure = {
      reason: reasonNumber[code],
      detail: `${detail}, at byte ${this.at - this.start}`,
    };
    throw failure;
  }

  /** Passes spaces, tabs and carriage returns. */
  space(): void {
    const bytes = this.bytes;
    let byte = bytes[this.at];
    while (byte === 32 || byte === 9 || byte === 13) byte = bytes[++this.at];
  }

  /** Passes any value. */
  value(): void {
    switch (this.bytes[this.at]) {
      case quote:
        this.string();
        return;
      case 123:
      case 91:
        this.nested();
        return;
      case 110:
        this.literal('null');
        return;
      case 116:
        this.literal('true');
        return;
      case 102:
        this.literal('false');
        return;
      default:
        this.number();
    }
  }

  /** Passes a string; its content must have no control characters and known escapes. */
  string(): void {
    const bytes = this.bytes;
    if (bytes[this.at] !== quote) this.fail('JSON_SYNTAX', 'a string is expected');
    let at = this.at + 1;
    let high = 0;
    this.escaped = false;
    for (;;) {
      const byte = bytes[at]!;
      if (byte === quote) break;
      if (byte < 32) {
        this.at = at;
        this.fail('JSON_SYNTAX', byte === lf ? 'a string is not closed' : 'a control character in a string');
      }
      if (byte === backslash) {
        this.escaped = true;
        this.at = at;
        at += this.#escapeLength(at);
        continue;
      }
      high |= byte;
      at++;
    }
    this.high |= high;
    this.at = at + 1;
  }

  #escapeLength(at: number): number {
    const bytes = this.bytes;
    const byte = bytes[at + 1]!;
    if (byte === 117) {
      for (let i = 2; i < 6; i++)
        if (hexValue(bytes[at + i]!) < 0)
          this.fail('JSON_SYNTAX', 'a \\u escape needs four hexadecimal digits');
      return 6;
    }
    if (simpleEscape(byte) < 0) this.fail('JSON_SYNTAX', 'an unknown escape');
    return 2;
  }

  /** Passes a literal whose first letter was seen. */
  literal(text: string): void {
    for (let i = 1; i < text.length; i++)
      if (this.bytes[this.at + i] !== text.charCodeAt(i)) this.fail('JSON_SYNTAX', 'a value is expected');
    this.at += text.length;
  }

  /** Passes a number. */
  number(): void {
    const bytes = this.bytes;
    let at = this.at;
    if (bytes[at] === 45) at++;
    const first = at;
    while (isDigit(bytes[at]!)) at++;
    if (at === first || (bytes[first] === 48 && at > first + 1))
      this.fail('JSON_SYNTAX', 'a value is expected');
    if (bytes[at] === 46) {
      const fraction = ++at;
      while (isDigit(bytes[at]!)) at++;
      if (at === fraction) this.fail('JSON_SYNTAX', 'digits are expected after the point');
    }
    if ((bytes[at]! | 32) === 101) {
      at++;
      if (bytes[at] === 43 || bytes[at] === 45) at++;
      const exponent = at;
      while (isDigit(bytes[at]!)) at++;
      if (at === exponent) this.fail('JSON_SYNTAX', 'digits are expected in the exponent');
    }
    this.at = at;
  }

  /** Passes an object or array, without recursion. */
  nested(): void {
    const bytes = this.bytes;
    let depth = 0;
    for (;;) {
      // A value begins here.
      const byte = bytes[this.at]!;
      if (byte === 123 || byte === 91) {
        // The line's own object is the first level.
        if (++depth >= this.#depthMax) this.fail('JSON_DEPTH', `nested deeper than ${this.#depthMax} levels`);
        if (depth >= this.#closers.length) this.#deeper();
        this.#closers[depth] = byte + 2;
        this.at++;
        this.space();
        if (bytes[this.at] !== byte + 2) {
          if (byte === 123) this.#skipKey();
          continue;
        }
        this.at++;
        depth--;
      } else this.value();
      // A value ends here: close what it ends, or go on to the next.
      for (;;) {
        if (depth === 0) return;
        this.space();
        const next = bytes[this.at]!;
        if (next === this.#closers[depth]) {
          this.at++;
          depth--;
          continue;
        }
        if (next !== 44) this.fail('JSON_SYNTAX', 'a comma or a closing bracket is missing');
        this.at++;
        this.space();
        if (this.#closers[depth] === 125) this.#skipKey();
        break;
      }
    }
  }

  #deeper(): void {
    const larger = new Uint8Array(2 * this.#closers.length);
    larger.set(this.#closers);
    this.#closers = larger;
  }

  #skipKey(): void {
    this.string();
    this.space();
    if (this.bytes[this.at] !== 58) this.fail('JSON_SYNTAX', 'a colon is missing');
    this.at++;
    this.space();
  }
}

/** Space, tab, line feed, carriage return. */
export const isSpace = (byte: number): boolean => byte === 32 || byte === 9 || byte === 10 || byte === 13;
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

/** Writes the string in [start, end) with its escapes resolved. @returns the position behind it, -1 at half of a surrogate pair. */
export function unescapeJson(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  position: number,
): number {
  let to = position;
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
      const low = at < end && bytes[at] === backslash && bytes[at + 1] === 117 ? hexCode(bytes, at + 2) : 0;
      if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) return -1;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      at += 6;
    }
    to = writeCodePoint(code, out, to);
  }
  return to;
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
