/**
 * CSV (RFC 4180), byte by byte.
 *
 *   record := field *("," field) (LF | CRLF | end of input)
 *   field  := quoted | plain
 *   quoted := '"' *(any byte but '"' | '""') '"'
 *   plain  := *(any byte but "," LF)            a quote inside it is an ordinary character
 *
 * Lines without a byte are skipped where the file has more than one column. A quoted field that is not closed within the
 * record limit, or whose closing quote is followed by text, makes its record bad, and that record ends at its first line
 * end: a stray quote costs one line and not the rest of the file.
 */
import {isUtf8} from 'node:buffer';
import {PlatformError} from '../errors.ts';
import {reasonNumber} from './reasons.ts';
import {needMore, type RecordScanner, recordBytesMax, type StreamRecords, tooLarge} from './records.ts';

const comma = 44;
const quote = 34;
const lf = 10;
const cr = 13;
const columnsMax = 4096;
/** Of a header in a message: what is no CSV has its content there. */
const shown = {columns: 60, characters: 48};

/** Names of columns for a message: so many, and of each so much. */
export const shownColumns = (columns: readonly string[]): string => {
  const cut = columns
    .slice(0, shown.columns)
    .map((name) => (name.length > shown.characters ? `${name.slice(0, shown.characters)}...` : name));
  return [...cut, ...(columns.length > shown.columns ? ['...'] : [])].join(', ');
};

/** Scanner of CSV records with the given columns. Without any it reads a header: the number of fields is free. */
export class CsvScanner implements RecordScanner {
  readonly columns: readonly string[];
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  buffer: Uint8Array = new Uint8Array(0);
  recordStart = 0;
  recordEnd = 0;
  reason = 0;
  detail = '';
  /** Fields of the last record. */
  fields = 0;
  #scratch = new Uint8Array(1024);

  constructor(columns: readonly string[]) {
    this.columns = columns;
    const size = columns.length || columnsMax;
    this.starts = new Int32Array(size);
    this.ends = new Int32Array(size);
  }

  scan(bytes: Uint8Array, begin: number, to: number, final: boolean): number {
    let from = begin;
    if (this.columns.length !== 1)
      for (; from < to; from++)
        if (bytes[from] === cr) {
          if (from + 1 === to && !final) return needMore;
          if (bytes[from + 1] !== lf || from + 1 === to) break;
        } else if (bytes[from] !== lf) break;
    this.recordStart = from < to ? from : -1;
    if (from === to) return to;
    // A record of the largest size may be followed by its line end.
    const stop = Math.min(to, from + recordBytesMax + 1);
    // A line end behind the last byte spares a bounds check for every character.
    const saved = bytes[stop]!;
    bytes[stop] = lf;
    const position = this.#scan(bytes, from, stop, final && stop === to);
    bytes[stop] = saved;
    // Checked here, since the byte at `stop` is not the record's while it is scanned.
    if (position === needMore && stop < to) return this.#beyondLimit(bytes, from, stop);
    if (position >= 0 && this.reason === 0) this.#finish(bytes);
    return position;
  }

  #high = 0;
  #escapes = false;

  #scan(bytes: Uint8Array, from: number, stop: number, final: boolean): number {
    const {starts, ends} = this;
    const size = starts.length;
    let at = from;
    let field = 0;
    let high = 0;
    this.reason = 0;
    this.#escapes = false;
    for (;;) {
      let start = at;
      let end = 0;
      if (bytes[at] === quote) {
        end = this.#quoted(bytes, at, stop, final);
        if (end === needMore)
          return final ? this.#broken(bytes, from, stop, true, 'a quoted field is not closed') : needMore;
        start++;
        high |= this.#high;
        at = end + 1;
        if (bytes[at] === cr && at < stop) {
          if (at + 1 === stop && !final) return needMore;
          if (bytes[at + 1] === lf) at++;
        }
        if (bytes[at] !== comma && bytes[at] !== lf)
          return this.#broken(bytes, from, stop, final, 'text follows a closing quote');
      } else {
        for (;;) {
          const byte = bytes[at]!;
          if (byte > comma) high |= byte;
          else if (byte === comma || byte === lf) break;
          at++;
        }
        end = at;
      }
      const atEnd = bytes[at] !== comma;
      if (atEnd) {
        if (at === stop && !final) return needMore;
        if (end === at && end > start && bytes[end - 1] === cr) end--;
      }
      if (field < size) {
        starts[field] = start;
        ends[field] = end;
      }
      field++;
      at++;
      if (!atEnd) continue;
      this.#high = high;
      this.fields = field;
      this.recordEnd = at - 1 > from && bytes[at - 2] === cr ? at - 2 : at - 1;
      return Math.min(at, stop);
    }
  }

  /** @returns position of the closing quote of the field that begins at `from`. */
  #quoted(bytes: Uint8Array, from: number, stop: number, final: boolean): number {
    let high = 0;
    for (let at = from + 1; at < stop; at++) {
      const byte = bytes[at]!;
      if (byte !== quote) {
        high |= byte;
        continue;
      }
      if (at + 1 === stop && !final) return needMore;
      if (at + 1 === stop || bytes[at + 1] !== quote) {
        this.#high = high;
        return at;
      }
      this.#escapes = true;
      at++;
    }
    return needMore;
  }

  /** Ends a record with broken quotes at its first line end. */
  #broken(bytes: Uint8Array, from: number, stop: number, final: boolean, detail: string): number {
    const end = bytes.indexOf(lf, from);
    if (end === stop && !final) return needMore;
    this.reason = reasonNumber.CSV_QUOTE;
    this.detail = detail;
    this.recordEnd = end > from && bytes[end - 1] === cr ? end - 1 : end;
    return Math.min(end + 1, stop);
  }

  #beyondLimit(bytes: Uint8Array, from: number, stop: number): number {
    const end = bytes.indexOf(lf, from);
    return end >= 0 && end < stop
      ? this.#broken(bytes, from, stop, true, 'a quoted field is not closed within 1 MiB')
      : tooLarge;
  }

  #finish(bytes: Uint8Array): void {
    this.buffer = bytes;
    this.detail = '';
    if (this.fields !== this.columns.length && this.columns.length > 0) {
      this.reason = reasonNumber.CSV_RAGGED;
      this.detail = `the row has ${this.fields} fields, the header ${this.columns.length}`;
    } else if (this.fields > this.starts.length) {
      this.reason = reasonNumber.CSV_RAGGED;
      this.detail = `the header has ${this.fields} fields, at most ${this.starts.length} are read`;
    } else if (this.#high > 127 && !isUtf8(bytes.subarray(this.recordStart, this.recordEnd))) {
      this.reason = reasonNumber.UTF8;
      this.detail = 'the row is not UTF-8';
    } else if (this.#escapes) this.#unescape(bytes);
  }

  /** Copies the row's values to a buffer of our own, two quotes becoming one. */
  #unescape(bytes: Uint8Array): void {
    const size = this.recordEnd - this.recordStart + 1;
    if (this.#scratch.length < size) this.#scratch = new Uint8Array(2 * size);
    const scratch = this.#scratch;
    let to = 0;
    for (let field = 0; field < this.fields; field++) {
      const from = this.starts[field]!;
      const end = this.ends[field]!;
      // Only a quoted field can hold a doubled quote; in a plain one they are characters.
      const quoted = from > this.recordStart && bytes[from - 1] === quote;
      this.starts[field] = to;
      for (let at = from; at < end; at++) {
        scratch[to++] = bytes[at]!;
        if (quoted && bytes[at] === quote) at++;
      }
      this.ends[field] = to;
    }
    this.buffer = scratch;
  }
}

/**
 * Reads the header row of `records`, whose scanner is then replaced by one for its columns.
 * @throws PlatformError INPUT_HEADER when there is none, or a name stands in it twice.
 */
export async function readCsvHeader(records: StreamRecords, place: string): Promise<CsvScanner> {
  const scanner = new CsvScanner([]);
  records.scanner = scanner;
  const fail = (message: string): never => {
    throw new PlatformError('INPUT_HEADER', message, {
      place,
      hint: 'the first line of a CSV file names its columns, separated by commas',
    });
  };
  for (;;) {
    if (!(await records.fill())) return fail('the file is empty');
    if (records.next()) break;
  }
  if (records.reason !== 0) fail(`the header cannot be read: ${records.detail}`);
  const names = Array.from({length: scanner.fields}, (_, slot) =>
    Buffer.from(scanner.buffer.subarray(scanner.starts[slot]!, scanner.ends[slot]!)).toString('utf8').trim(),
  );
  const twice = names.find((name, index) => name !== '' && names.indexOf(name) < index);
  if (twice !== undefined) fail(`the header names the column ${JSON.stringify(twice)} twice`);
  const result = new CsvScanner(names);
  records.scanner = result;
  records.row = 0;
  return result;
}
