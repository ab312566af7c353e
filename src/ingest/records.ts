import {reasonNumber} from './reasons.ts';

/** Largest record that is read, bytes. */
export const recordBytesMax = 1024 * 1024;
/** How much of a larger one is kept for its dead letter, bytes. */
export const oversizeKeptBytes = 64 * 1024;

/** Marks in `starts`: no value (JSON null, or no such key), and a JSON object or array. */
export const absent = -1;
export const nested = -2;

/**
 * Finds one record and the values in it. A value is a slice of `buffer`, which is the scanned buffer, or the scanner's own
 * when something had to be unescaped. No strings, no objects a record.
 */
export type RecordScanner = {
  /** Names of the columns by slot: all of a CSV file, the wanted ones of JSONL. */
  readonly columns: readonly string[];
  /** Where values lie, by slot: `[starts, ends)` in `buffer`, or `absent` or `nested` in `starts`. */
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  buffer: Uint8Array;
  /** The record's own bytes in the scanned buffer, without the line end. `recordStart` is -1 when only blank lines were left. */
  recordStart: number;
  recordEnd: number;
  /** 0, or the number of the reason why this record is bad (reasons.ts). */
  reason: number;
  /** More on the reason: a sentence, or ''. */
  detail: string;
  /**
   * Scans the record that begins at `from`. `bytes[to]` must exist and may be changed while scanning.
   * @param final whether the input ends at `to`.
   * @returns where the next record begins; `needMore`, or `tooLarge` when the record passes the limit.
   */
  scan(bytes: Uint8Array, from: number, to: number, final: boolean): number;
};

export const needMore = -1;
export const tooLarge = -2;

/** Records one after another. Bytes arrive in `fill`, so that the loop over `next` is synchronous. */
export type RecordSource = {
  readonly scanner: RecordScanner;
  /** The record that `next` found: its number in the file from 1, and the reason if it is bad (0: good). */
  readonly row: number;
  readonly reason: number;
  readonly detail: string;
  /** Size of the record, bytes; `raw()` may be shorter for one that is too large. */
  readonly size: number;
  /** A view of the record's own bytes, valid until the next call. */
  raw(): Uint8Array;
  /** Makes records available. @returns false at the end. */
  fill(): Promise<boolean>;
  /** Moves to the next record that is available. */
  next(): boolean;
  close(): Promise<void>;
};

const newline = 10;

/** Records of a stream of byte chunks, in the order of the file. Holds at most two records of the largest size and a chunk. */
export class StreamRecords implements RecordSource {
  scanner: RecordScanner;
  row = 0;
  reason = 0;
  detail = '';
  size = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer = new Uint8Array(512 * 1024);
  #from = 0;
  #to = 0;
  #final = false;
  #atStart = true;
  /** Bytes dropped so far of a record that is too large; -1: none. */
  #dropped = -1;
  #kept: Uint8Array | undefined;

  constructor(chunks: AsyncIterable<Uint8Array>, scanner: RecordScanner) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.scanner = scanner;
  }

  async fill(): Promise<boolean> {
    if (this.#final) return this.#from < this.#to || this.#dropped >= 0;
    const step = await this.#chunks.next();
    if (step.done) this.#final = true;
    else this.#add(step.value);
    if (this.#atStart && (this.#to - this.#from >= 3 || this.#final)) {
      this.#atStart = false;
      const b = this.#buffer;
      if (this.#to >= 3 && b[0] === 0xef && b[1] === 0xbb && b[2] === 0xbf) this.#from = 3;
    }
    return true;
  }

  #add(chunk: Uint8Array): void {
    const left = this.#to - this.#from;
    // One byte more than is used: scanners put a line end behind the last byte.
    if (left + chunk.length + 1 > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(2 * this.#buffer.length, left + chunk.length + 1));
      larger.set(this.#buffer.subarray(this.#from, this.#to));
      this.#buffer = larger;
    } else this.#buffer.copyWithin(0, this.#from, this.#to);
    this.#buffer.set(chunk, left);
    this.#from = 0;
    this.#to = left + chunk.length;
  }

  next(): boolean {
    if (this.#atStart) return false;
    if (this.#dropped >= 0) return this.#skip();
    if (this.#from >= this.#to) return false;
    this.#kept = undefined;
    const scanner = this.scanner;
    const position = scanner.scan(this.#buffer, this.#from, this.#to, this.#final);
    if (position === needMore) return false;
    if (position === tooLarge) {
      this.#from = scanner.recordStart;
      this.#kept = this.#buffer.slice(this.#from, this.#from + oversizeKeptBytes);
      this.#from += recordBytesMax;
      this.#dropped = recordBytesMax;
      return this.#skip();
    }
    this.#from = position;
    if (scanner.recordStart < 0) return false;
    this.row++;
    this.reason = scanner.reason;
    this.detail = scanner.detail;
    this.size = scanner.recordEnd - scanner.recordStart;
    return true;
  }

  /** Drops the rest of a record that is too large. */
  #skip(): boolean {
    const found = this.#buffer.subarray(this.#from, this.#to).indexOf(newline);
    const end = found < 0 ? this.#to : this.#from + found;
    this.#dropped += end - this.#from;
    this.#from = found < 0 ? end : end + 1;
    if (found < 0 && !this.#final) return false;
    this.row++;
    this.reason = reasonNumber.RECORD_TOO_LARGE;
    this.detail = `the record has ${this.#dropped} bytes`;
    this.size = this.#dropped;
    this.#dropped = -1;
    return true;
  }

  raw(): Uint8Array {
    return this.#kept ?? this.#buffer.subarray(this.scanner.recordStart, this.scanner.recordEnd);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
