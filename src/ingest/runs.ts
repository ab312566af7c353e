/** Sorted runs on disk; their grammar stands in sort.ts. */
import assert from 'node:assert/strict';
import {closeSync, readSync, writeSync} from 'node:fs';
import type {Run} from './sort.ts';

const headerBytes = 28;
const bufferBytes = 256 * 1024;

/** Writes entries one after another. */
export class EntryWriter {
  readonly #descriptor: number;
  readonly #buffer = new Uint8Array(4 * bufferBytes);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(run: Run, index: number): void {
    const start = run.offsets[index]!;
    const length = run.offsets[index + 1]! - start;
    if (this.#used + headerBytes > this.#buffer.length) this.#flush();
    const at = this.#used;
    this.#view.setFloat64(at, run.times[index]!, true);
    this.#view.setFloat64(at + 8, run.firstRow + index, true);
    this.#view.setFloat64(at + 16, run.sizes.get(index) ?? length - 1, true);
    this.#view.setUint32(at + 24, length, true);
    this.#used = at + headerBytes;
    const record = run.bytes.subarray(start, start + length);
    if (this.#used + length > this.#buffer.length) this.#flush();
    if (length > this.#buffer.length) writeAll(this.#descriptor, record);
    else {
      this.#buffer.set(record, this.#used);
      this.#used += length;
    }
  }

  #flush(): void {
    writeAll(this.#descriptor, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  close(): void {
    this.#flush();
    closeSync(this.#descriptor);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
}

/** Reads the entries of a run in order. */
export class EntryReader {
  readonly descriptor: number;
  bytes = new Uint8Array(bufferBytes);
  timeMs = 0;
  row = 0;
  size = 0;
  start = 0;
  end = 0;
  #view = new DataView(this.bytes.buffer);
  #from = 0;
  #to = 0;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  next(): boolean {
    if (!this.#have(headerBytes)) return false;
    this.timeMs = this.#view.getFloat64(this.#from, true);
    this.row = this.#view.getFloat64(this.#from + 8, true);
    this.size = this.#view.getFloat64(this.#from + 16, true);
    const length = this.#view.getUint32(this.#from + 24, true);
    const whole = this.#have(headerBytes + length);
    assert(whole, 'a run holds whole entries');
    this.start = this.#from + headerBytes;
    this.end = this.#from = this.start + length;
    return true;
  }

  /** Brings `wanted` bytes into the buffer, and one more place behind them for the scanner. */
  #have(wanted: number): boolean {
    if (this.#to - this.#from >= wanted) return true;
    const left = this.#to - this.#from;
    if (wanted + 1 > this.bytes.length) {
      const larger = new Uint8Array(2 * wanted);
      larger.set(this.bytes.subarray(this.#from, this.#to));
      this.bytes = larger;
      this.#view = new DataView(larger.buffer);
    } else this.bytes.copyWithin(0, this.#from, this.#to);
    this.#from = 0;
    this.#to = left;
    while (this.#to < wanted) {
      const read = readSync(this.descriptor, this.bytes, this.#to, this.bytes.length - 1 - this.#to, null);
      if (read === 0) break;
      this.#to += read;
    }
    return this.#to >= wanted;
  }
}
