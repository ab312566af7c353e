/**
 * External merge sort of a file's records by event time, ties by row. Records are kept as they came: in memory up to the
 * size of a run, beyond it in sorted runs on disk that are merged while they are read. A record whose time cannot be read
 * keeps its place: it travels with the last time that could be read before it, and becomes a dead letter where it stands.
 *
 *   run file := entry*
 *   entry    := time:f64, row:f64, size:f64, length:u32, record:length bytes, line feed       (little-endian)
 */
import {closeSync, mkdirSync, openSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {reasonNumber} from './reasons.ts';
import type {RecordScanner, RecordSource} from './records.ts';
import {EntryReader, EntryWriter} from './runs.ts';

export type SortOptions = {
  /** Event time of the record that the scanner holds, epoch ms; NaN: none. */
  timeOf(scanner: RecordScanner): number;
  /** Called for every good record while it is read. */
  onRecord?(timeMs: number, scanner: RecordScanner, row: number): void;
  /** Where runs are spilled; made when needed, and removed at the end. */
  dir: string;
  /** Memory of a run, bytes. */
  runBytes: number;
  signal?: AbortSignal;
};

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

/** Reads all of `source` and gives its records back in order of time. Deterministic: the same file, the same order. */
export async function sortRecords(source: RecordSource, options: SortOptions): Promise<RecordSource> {
  rmSync(options.dir, {recursive: true, force: true});
  const run = new Run(options.runBytes);
  const files: string[] = [];
  const spill = () => {
    mkdirSync(options.dir, {recursive: true});
    const path = join(options.dir, `run-${files.length}`);
    files.push(path);
    const writer = new EntryWriter(openSync(path, 'w'));
    for (const index of sortedOrder(run.times, run.count)) writer.write(run, index);
    writer.close();
    run.clear();
  };
  let lastMs = Number.NEGATIVE_INFINITY;
  try {
    while (await source.fill()) {
      options.signal?.throwIfAborted();
      while (source.next()) {
        const timeMs = source.reason === 0 ? options.timeOf(source.scanner) : Number.NaN;
        if (!Number.isNaN(timeMs)) {
          lastMs = timeMs;
          options.onRecord?.(timeMs, source.scanner, source.row);
        }
        run.add(lastMs, source.row, source.raw(), source.size);
        if (run.used >= options.runBytes) spill();
      }
    }
  } catch (error) {
    rmSync(options.dir, {recursive: true, force: true});
    throw error;
  } finally {
    await source.close();
  }
  if (files.length === 0) return new SortedRecords(source.scanner, new MemoryCursor(run));
  if (run.count > 0) spill();
  return new SortedRecords(source.scanner, new MergeCursor(files, options.dir));
}

/** Where a sorted record lies. */
export type Cursor = {
  bytes: Uint8Array;
  start: number;
  /** Behind the record's line feed. */
  end: number;
  row: number;
  size: number;
  next(): boolean;
  close(): void;
};

class MemoryCursor implements Cursor {
  readonly #run: Run;
  readonly #order: Uint32Array;
  #at = 0;
  bytes: Uint8Array;
  start = 0;
  end = 0;
  row = 0;
  size = 0;

  constructor(run: Run) {
    this.#run = run;
    this.#order = sortedOrder(run.times, run.count);
    this.bytes = run.bytes;
  }

  next(): boolean {
    const run = this.#run;
    if (this.#at === this.#order.length) return false;
    const index = this.#order[this.#at++]!;
    this.start = run.offsets[index]!;
    this.end = run.offsets[index + 1]!;
    this.row = run.firstRow + index;
    this.size = run.sizes.get(index) ?? this.end - this.start - 1;
    return true;
  }

  close(): void {}
}

/** Merges run files: a heap of their readers by (time, row). */
class MergeCursor implements Cursor {
  readonly #heap: EntryReader[] = [];
  readonly #all: EntryReader[];
  readonly #dir: string;
  #current: EntryReader | undefined;
  bytes = new Uint8Array(0);
  start = 0;
  end = 0;
  row = 0;
  size = 0;

  constructor(files: readonly string[], dir: string) {
    this.#dir = dir;
    this.#all = files.map((path) => new EntryReader(openSync(path, 'r')));
    for (const reader of this.#all)
      if (reader.next()) {
        this.#heap.push(reader);
        this.#up(this.#heap.length - 1);
      }
  }

  next(): boolean {
    // The reader that gave the last record moves on only now, since the record is a view of its buffer.
    if (this.#current !== undefined) {
      if (!this.#current.next()) {
        const last = this.#heap.pop()!;
        if (this.#heap.length > 0) this.#heap[0] = last;
      }
      if (this.#heap.length > 0) this.#down();
    }
    const top = this.#heap[0];
    this.#current = top;
    if (top === undefined) return false;
    this.bytes = top.bytes;
    this.start = top.start;
    this.end = top.end;
    this.row = top.row;
    this.size = top.size;
    return true;
  }

  #before(a: number, b: number): boolean {
    const x = this.#heap[a]!;
    const y = this.#heap[b]!;
    return x.timeMs < y.timeMs || (x.timeMs === y.timeMs && x.row < y.row);
  }

  #swap(a: number, b: number): void {
    [this.#heap[a], this.#heap[b]] = [this.#heap[b]!, this.#heap[a]!];
  }

  #up(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #down(): void {
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#heap.length && this.#before(child, least)) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  close(): void {
    for (const reader of this.#all) closeSync(reader.descriptor);
    rmSync(this.#dir, {recursive: true, force: true});
  }
}

/** Scans the records of a cursor again: where their values lie was not kept. */
class SortedRecords implements RecordSource {
  readonly scanner: RecordScanner;
  readonly #cursor: Cursor;
  #done = false;
  row = 0;
  reason = 0;
  detail = '';
  size = 0;

  constructor(scanner: RecordScanner, cursor: Cursor) {
    this.scanner = scanner;
    this.#cursor = cursor;
  }

  async fill(): Promise<boolean> {
    return !this.#done;
  }

  next(): boolean {
    const cursor = this.#cursor;
    if (!cursor.next()) {
      this.#done = true;
      return false;
    }
    this.row = cursor.row;
    this.size = cursor.size;
    if (cursor.size > cursor.end - cursor.start - 1) {
      this.reason = reasonNumber.RECORD_TOO_LARGE;
      this.detail = `the record has ${cursor.size} bytes`;
      return true;
    }
    this.scanner.scan(cursor.bytes, cursor.start, cursor.end, true);
    this.reason = this.scanner.reason;
    this.detail = this.scanner.detail;
    return true;
  }

  raw(): Uint8Array {
    const {bytes, start, end} = this.#cursor;
    return bytes.subarray(start, end - 1);
  }

  async close(): Promise<void> {
    this.#cursor.close();
  }
}
