/** Runs of records: in memory as they come, on disk in order of time (the grammar of the files stands in sort.ts). */
import assert from 'node:assert/strict';
import {closeSync, readSync, writeSync} from 'node:fs';

const headerBytes = 28;
const bufferBytes = 256 * 1024;

/** Records in memory, in the order of the file. */
export class Run {
  bytes: Uint8Array;
  times = new Float64Array(1024);
  /** Record i is at [offsets[i], offsets[i + 1]), a line feed at its end. */
  offsets = new Uint32Array(1025);
  count = 0;
  firstRow = 0;
  /** Sizes of the records that are larger than what is kept of them, by index. */
  sizes = new Map<number, number>();

  readonly #limit: number;

  /** @param limit about how many bytes the run will hold: memory is not taken far beyond it. */
  constructor(limit: number) {
    this.#limit = limit;
    this.bytes = new Uint8Array(Math.min(limit, 4 * 1024 * 1024));
  }

  /** Memory in use, bytes: the records, and what is kept for each (time, offset, place in the order). */
  get used(): number {
    return this.offsets[this.count]! + this.count * 24;
  }

  add(timeMs: number, row: number, record: Uint8Array, size: number): void {
    const at = this.offsets[this.count]!;
    const end = at + record.length + 1;
    // One byte is left behind the last record for the scanner.
    if (end + 1 > this.bytes.length)
      this.bytes = grown(this.bytes, Math.max(end + 1, Math.min(2 * this.bytes.length, this.#limit)));
    if (this.count === this.times.length) {
      this.times = grown(this.times, 2 * this.count);
      this.offsets = grown(this.offsets, 2 * this.count + 1);
    }
    if (this.count === 0) this.firstRow = row;
    if (size > record.length) this.sizes.set(this.count, size);
    this.bytes.set(record, at);
    this.bytes[end - 1] = 10;
    this.times[this.count++] = timeMs;
    this.offsets[this.count] = end;
  }

  clear(): void {
    this.count = 0;
    this.sizes.clear();
  }
}

function grown<T extends Uint8Array | Float64Array | Uint32Array>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}

/** Indexes of `times[0, count)` in ascending order of time, equal times in the order they have. */
export function sortedOrder(times: Float64Array, count: number): Uint32Array {
  let order = new Uint32Array(count);
  let inOrder = true;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    order[i] = i;
    const time = times[i]!;
    if (i > 0 && time < times[i - 1]!) inOrder = false;
    if (time < least && time !== Number.NEGATIVE_INFINITY) least = time;
    if (time > most) most = time;
  }
  if (inOrder) return order;
  // Radix sort, 16 bits at a time from the lowest: stable, and three passes for a year of milliseconds.
  let other = new Uint32Array(count);
  const starts = new Uint32Array(65_537);
  for (let unit = 1; unit <= most - least; unit *= 65_536) {
    const digit = (index: number) => Math.floor(Math.max(0, times[index]! - least) / unit) % 65_536;
    starts.fill(0);
    for (let i = 0; i < count; i++) {
      const bucket = digit(i) + 1;
      starts[bucket] = starts[bucket]! + 1;
    }
    for (let bucket = 1; bucket < 65_537; bucket++) starts[bucket] = starts[bucket]! + starts[bucket - 1]!;
    for (let i = 0; i < count; i++) {
      const index = order[i]!;
      const bucket = digit(index);
      other[starts[bucket]!] = index;
      starts[bucket] = starts[bucket]! + 1;
    }
    [order, other] = [other, order];
  }
  return order;
}

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
