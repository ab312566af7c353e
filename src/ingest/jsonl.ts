/**
 * JSON lines: one object a line (RFC 8259), scanned byte by byte. Values of wanted keys are slices of the line: a string
 * without its quotes, a number or a literal as it is written, so that 64-bit integers and money keep every digit. Keys
 * that are not wanted (`__proto__` among them) are checked and skipped; of a repeated key the last counts, as in JSON.parse.
 */
import {isUtf8} from 'node:buffer';
import {isSpace, JsonCursor, type JsonFailure, unescapeJson} from './jsontext.ts';
import {reasonNumber} from './reasons.ts';
import {absent, needMore, nested, type RecordScanner, recordBytesMax, tooLarge} from './records.ts';

const lf = 10;
const quote = 34;

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
  readonly #cursor = new JsonCursor();
  /** Passes what is too deep to be a record, to find its end. */
  readonly #whole = new JsonCursor(Number.MAX_SAFE_INTEGER);
  #scratch = new Uint8Array(1024);
  #scratchEnd = 0;
  /** By slot: the value lies in the scratch buffer. */
  readonly #inScratch: Uint8Array;

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

  /**
   * Scans the value that begins at `from` inside a longer text, such as an element of an array; a line feed stands behind the
   * text at `bytes[to]` and nowhere in it. A value that is JSON and bad otherwise is the record's `reason`.
   * @returns the position behind it. @throws JsonFailure when the text is no JSON, so that nobody knows where the value ends.
   */
  element(bytes: Uint8Array, from: number, to: number): number {
    const cursor = this.#cursor;
    this.recordStart = from;
    this.#record(bytes, from, to, false);
    let end = cursor.at;
    if (this.reason < 0 && this.reason !== reasonNumber.JSON_OBJECT) {
      const whole = this.#whole;
      whole.bytes = bytes;
      whole.start = 0;
      whole.at = from;
      whole.value();
      end = whole.at;
    }
    this.recordEnd = end;
    if (end - from > recordBytesMax) {
      this.reason = reasonNumber.RECORD_TOO_LARGE;
      this.detail = `the record has ${end - from} bytes`;
    }
    return end;
  }

  #record(bytes: Uint8Array, from: number, end: number, alone = true): void {
    const cursor = this.#cursor;
    cursor.bytes = bytes;
    cursor.start = cursor.at = from;
    cursor.high = 0;
    this.#scratchEnd = 0;
    this.reason = 0;
    this.detail = '';
    this.buffer = bytes;
    this.recordEnd = end > from && bytes[end - 1] === 13 ? end - 1 : end;
    this.starts.fill(absent);
    try {
      if (bytes[from] === 123) this.#object();
      else {
        cursor.value();
        this.reason = reasonNumber.JSON_OBJECT;
        this.detail = 'the record is not an object';
      }
      if (alone) {
        cursor.space();
        if (cursor.at !== end) cursor.fail('JSON_SYNTAX', 'text follows the value');
      }
      if (cursor.high > 127 && !isUtf8(bytes.subarray(from, alone ? end : cursor.at)))
        cursor.fail('UTF8', 'the record is not UTF-8');
    } catch (failure) {
      if (failure instanceof Error) throw failure;
      this.reason = (failure as JsonFailure).reason;
      this.detail = (failure as JsonFailure).detail;
    }
    if (this.#scratchEnd > 0) this.#gather();
  }

  #object(): void {
    const cursor = this.#cursor;
    const {bytes} = cursor;
    cursor.at++;
    cursor.space();
    if (bytes[cursor.at] === 125) {
      cursor.at++;
      return;
    }
    for (let ordinal = 0; ; ordinal++) {
      const slot = this.#key(ordinal);
      cursor.space();
      if (bytes[cursor.at] !== 58) cursor.fail('JSON_SYNTAX', 'a colon is missing');
      cursor.at++;
      cursor.space();
      this.#value(slot);
      cursor.space();
      const byte = bytes[cursor.at++];
      if (byte === 125) return;
      if (byte !== 44) {
        cursor.at--;
        cursor.fail('JSON_SYNTAX', 'a comma or a closing brace is missing');
      }
      cursor.space();
    }
  }

  /** @returns the slot of the key at the current position, -1 when it is not wanted. */
  #key(ordinal: number): number {
    const cursor = this.#cursor;
    const {bytes} = cursor;
    const start = cursor.at + 1;
    cursor.string();
    const end = cursor.at - 1;
    const seen = this.#seenKeys[ordinal];
    if (seen !== undefined && seen.length === end - start && !cursor.escaped) {
      let same = true;
      for (let i = 0; i < seen.length && same; i++) same = bytes[start + i] === seen[i];
      if (same) return this.#seenSlots[ordinal]!;
    }
    if (cursor.escaped) {
      const name = tryParse(
        Buffer.from(bytes.buffer, bytes.byteOffset + start - 1, end - start + 2).toString(),
      );
      return name === undefined ? -1 : (this.#slots.get(name) ?? -1);
    }
    // A Buffer's own slice would be a view, and change with the next line.
    const key = Uint8Array.prototype.slice.call(bytes, start, end);
    const slot = this.#slots.get(Buffer.from(key.buffer).toString()) ?? -1;
    if (ordinal < 256) {
      this.#seenKeys[ordinal] = key;
      this.#seenSlots[ordinal] = slot;
    }
    return slot;
  }

  #value(slot: number): void {
    const cursor = this.#cursor;
    const {bytes} = cursor;
    const start = cursor.at;
    const byte = bytes[start]!;
    if (byte === quote) {
      cursor.string();
      if (slot >= 0) this.#take(slot, start + 1, cursor.at - 1);
      return;
    }
    if (byte === 123 || byte === 91) {
      cursor.nested();
      if (slot >= 0) this.starts[slot] = nested;
      return;
    }
    if (byte === 110) {
      cursor.literal('null');
      if (slot >= 0) this.starts[slot] = absent;
      return;
    }
    if (byte === 116) cursor.literal('true');
    else if (byte === 102) cursor.literal('false');
    else cursor.number();
    if (slot < 0) return;
    this.starts[slot] = start;
    this.ends[slot] = cursor.at;
    this.#inScratch[slot] = 0;
  }

  #take(slot: number, start: number, end: number): void {
    if (this.#cursor.escaped) {
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

  /** Appends the string in [start, end) to the scratch buffer, its escapes resolved. */
  #unescape(start: number, end: number): void {
    this.#reserve(end - start);
    const scratchEnd = unescapeJson(this.#cursor.bytes, start, end, this.#scratch, this.#scratchEnd);
    if (scratchEnd < 0) this.#cursor.fail('UTF8', 'half of a surrogate pair');
    this.#scratchEnd = scratchEnd;
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
      this.#scratch.set(this.#cursor.bytes.subarray(start, end), this.#scratchEnd);
      this.starts[slot] = this.#scratchEnd;
      this.ends[slot] = this.#scratchEnd += end - start;
    }
    this.buffer = this.#scratch;
  }
}

/** A key with escapes; undefined when it cannot be read (it is then not wanted). */
function tryParse(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}
