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
import {EntryReader, EntryWriter, Run, sortedOrder} from './runs.ts';

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
