/** Bodies of JSON and of JSON lines, divided into records. */

import type {JsonScanner} from './jsonl.ts';
import {JsonCursor, type JsonFailure} from './jsontext.ts';
import {reasonNumber} from './reasons.ts';
import {oversizeKeptBytes, recordBytesMax, tooLarge} from './records.ts';

const lf = 10;
const cr = 13;

/** Thrown by `next` when a body cannot be divided: nothing of it is taken. */
export class BodyRefused {
  readonly code: 'BODY_SYNTAX' | 'BODY_CODEC' | 'SCHEMA';
  readonly message: string;
  constructor(code: BodyRefused['code'], message: string) {
    this.code = code;
    this.message = message;
  }
}

/** Records of a body, one after another. `next` moves to the next; the scanner then holds its values. */
export type RecordReader = {
  /** The reason why the record is bad (reasons.ts), 0: it is good. */
  reason: number;
  detail: string;
  /** Size of the record, bytes. */
  size: number;
  /** A copy of the record's own bytes; of one that is too large its beginning. */
  original(): Uint8Array;
  /** @throws BodyRefused */
  next(): boolean;
};

/** @param length of the text in `bytes`, which has room for one byte more. */
export function readNdjson(scanner: JsonScanner, bytes: Uint8Array, length: number): RecordReader {
  let at = skipMark(bytes, length);
  let start = 0;
  let end = 0;
  const reader: RecordReader = {
    reason: 0,
    detail: '',
    size: 0,
    original: () =>
      bytes.slice(start, Math.min(end, start + (end - start > recordBytesMax ? oversizeKeptBytes : end))),
    next() {
      const position = scanner.scan(bytes, at, length, true);
      start = scanner.recordStart;
      if (start < 0) return false;
      if (position === tooLarge) {
        const found = bytes.subarray(0, length).indexOf(lf, start);
        end = found < 0 ? length : found;
        at = Math.min(length, end + 1);
        reader.reason = reasonNumber.RECORD_TOO_LARGE;
        reader.detail = `the record has ${end - start} bytes`;
      } else {
        at = position;
        end = scanner.recordEnd;
        reader.reason = scanner.reason;
        reader.detail = scanner.detail;
      }
      reader.size = end - start;
      return true;
    },
  };
  return reader;
}

/** One object, or an array of them. @param length as above. */
export function readJson(scanner: JsonScanner, bytes: Uint8Array, length: number): RecordReader {
  const text = oneLine(bytes, length);
  const cursor = new JsonCursor();
  cursor.bytes = text;
  cursor.at = skipMark(text, length);
  cursor.space();
  const isArray = text[cursor.at] === 91;
  let done = cursor.at === length;
  let count = 0;
  let start = cursor.at;
  let end = cursor.at;
  const fail = (failure: unknown): never => {
    if (failure instanceof Error) throw failure;
    throw new BodyRefused('BODY_SYNTAX', (failure as JsonFailure).detail);
  };
  /** Passes what stands between the elements. @returns false behind the last. */
  const toElement = (): boolean => {
    if (count === 0) {
      cursor.at++;
      cursor.space();
      return text[cursor.at] !== 93;
    }
    cursor.space();
    if (text[cursor.at] === 93) return false;
    if (text[cursor.at] !== 44) cursor.fail('JSON_SYNTAX', 'a comma or a closing bracket is missing');
    cursor.at++;
    cursor.space();
    return true;
  };
  const close = (): void => {
    if (isArray) cursor.at++;
    cursor.space();
    if (cursor.at !== length) cursor.fail('JSON_SYNTAX', 'text follows the value');
    done = true;
  };
  const reader: RecordReader = {
    reason: 0,
    detail: '',
    size: 0,
    original: () => bytes.slice(start, end - start > recordBytesMax ? start + oversizeKeptBytes : end),
    next() {
      if (done) return false;
      try {
        if (isArray ? !toElement() : count > 0) {
          close();
          return false;
        }
        start = cursor.at;
        end = scanner.element(text, start, length);
        cursor.at = end;
        // What follows a single value may make the whole body unreadable: known before the record is taken.
        if (!isArray) close();
      } catch (failure) {
        fail(failure);
      }
      count++;
      reader.reason = scanner.reason;
      reader.detail = scanner.detail;
      reader.size = end - start;
      return true;
    },
  };
  return reader;
}

/** Behind a byte order mark. */
const skipMark = (bytes: Uint8Array, length: number): number =>
  length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;

/**
 * The text with carriage returns for line feeds and a line feed behind it, as the scanner wants it: both are white space
 * between tokens and mistakes inside a string. A copy where there was a line feed: dead letters hold what was sent.
 */
function oneLine(bytes: Uint8Array, length: number): Uint8Array {
  let at = bytes.subarray(0, length).indexOf(lf);
  const text = at < 0 ? bytes : bytes.slice();
  for (; at >= 0 && at < length; at++) if (text[at] === lf) text[at] = cr;
  text[length] = lf;
  return text;
}
