/** The reading side of the embedded log: a read-only connection of its own, in any thread or process. */
import type {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';
import {type BatchHeader, batchCrc, corrupt, type Stream} from './chain.ts';
import {commitsIn, logError, openForReading, witnessFile} from './database.ts';
import {partitionOfOthers} from './group.ts';
import {type FindId, idLookup} from './ids/lookup.ts';
import {idStarts, isOutbox, placeInKafka} from './outbox-tables.ts';
import {bookQueries, streamQueries} from './streams.ts';
import type {IngestCounts, LogReader, RecordBatch, TransformCounts} from './types.ts';
import {acknowledgedCommits} from './witness.ts';

export type LogReaderOptions = {
  /** The writer's counter (`LogWriterOptions.counter`); without it the file is polled. */
  counter?: SharedArrayBuffer;
};

type BatchRow = BatchHeader & {prevCrc: number; crc: number; ids: Uint8Array | null; bytes: Uint8Array};

/** Pauses between looks at the file when no counter is given: short while there is news, longer in silence. */
const pollMs = {first: 25, last: 200};

const columns =
  'base_offset AS baseOffset, count, kind, append_ms AS appendMs, mark_ms AS markMs, prev_crc AS prevCrc, crc, ids, bytes';

/** Opens the log in `dir` for reading. Throws LOG_MISSING, LOG_CORRUPT, LOG_FORMAT, LOG_IO. */
export function openLogReader(dir: string, options: LogReaderOptions = {}): LogReader {
  // Before the first look at the database, which may only be ahead of it.
  const acknowledged = acknowledgedCommits(witnessFile(dir));
  const database = openForReading(dir, acknowledged);
  try {
    commitsIn(database, dir, acknowledged);
    return new EmbeddedReader(dir, database, options);
  } catch (error) {
    database.close();
    throw logError(error, dir);
  }
}

class EmbeddedReader implements LogReader {
  readonly #dir: string;
  readonly #database: DatabaseSync;
  readonly #statements;
  readonly #counter: Int32Array | undefined;
  #seen: number;
  /** Stream id -> where the last read ended and the checksum there: the next batch must continue from it. */
  readonly #ends = new Map<number, {offset: number; crc: number}>();
  #closed = false;
  /** Ends of the pauses of all who wait. */
  readonly #pauses = new Set<() => void>();

  constructor(dir: string, database: DatabaseSync, options: LogReaderOptions) {
    this.#dir = dir;
    this.#database = database;
    this.#counter = options.counter && new Int32Array(options.counter);
    const streams = streamQueries(database);
    this.#statements = {
      streams,
      books: bookQueries(database),
      batches: database.prepare(
        `SELECT ${columns} FROM batches WHERE stream = ?1 AND base_offset >=
           (SELECT max(base_offset) FROM batches WHERE stream = ?1 AND base_offset <= ?2) ORDER BY base_offset`,
      ),
      before: database.prepare(
        `SELECT base_offset AS baseOffset, count, crc FROM batches WHERE stream = ? AND base_offset < ?
         ORDER BY base_offset DESC LIMIT 1`,
      ),
      ids: idLookup(database, () => {
        const starts = isOutbox(database) ? idStarts(database) : undefined;
        return streams.all().map((stream) => ({
          ...stream,
          startOffset: Math.min(starts?.get(stream.id) ?? stream.startOffset, stream.startOffset),
        }));
      }),
      inKafka: isOutbox(database) ? placeInKafka(database) : undefined,
      version: database.prepare('PRAGMA data_version'),
      begin: database.prepare('BEGIN'),
      commit: database.prepare('COMMIT'),
    };
    this.#seen = this.#version();
  }

  /** Every question is answered from the file. */
  async refresh(): Promise<void> {}

  topics(): string[] {
    return this.#guard(this.#dir, () => [...new Set(this.#statements.streams.all().map(({topic}) => topic))]);
  }

  partitions(topic: string): number {
    return this.#stream(topic, 0)?.partitions ?? 0;
  }

  startOffset(topic: string, partition: number): number {
    return this.#stream(topic, partition)?.startOffset ?? 0;
  }

  endOffset(topic: string, partition: number): number {
    return this.#stream(topic, partition)?.endOffset ?? 0;
  }

  #stream(topic: string, partition: number): Stream | undefined {
    return this.#guard(`${topic}/${partition}`, () => this.#statements.streams.one(topic, partition));
  }

  async read(topic: string, partition: number, offset: number, bytesMax: number): Promise<RecordBatch[]> {
    return this.#atOnce(`${topic}/${partition}@${offset}`, () => {
      const stream = this.#statements.streams.one(topic, partition);
      return stream ? this.#readStream(stream, offset, bytesMax) : [];
    });
  }

  /** One snapshot for all that `work` reads; it ends with it, so that it never holds the WAL back. */
  #atOnce<T>(place: string, work: () => T): T {
    return this.#guard(place, () => {
      this.#statements.begin.run();
      try {
        return work();
      } finally {
        this.#statements.commit.run();
      }
    });
  }

  #readStream(stream: Stream, offset: number, bytesMax: number): RecordBatch[] {
    const {topic, partition, id} = stream;
    if (offset < stream.startOffset)
      throw new PlatformError(
        'LOG_TRIMMED',
        `${topic} partition ${partition}: offsets ${offset} to ${stream.startOffset - 1} were deleted by retention`,
        {
          hint: 'begin with the log as it is now: npx millrace rebuild <query>; or take the rest from the raw table: npx millrace backfill <query> --from archive (`on_trimmed: archive` does that by itself)',
          place: `${topic}/${partition}@${offset}`,
        },
      );
    if (offset === stream.endOffset) return [];
    if (offset > stream.endOffset)
      throw new PlatformError(
        'LOG_CORRUPT',
        `${topic} partition ${partition}: offset ${offset} was read up to, and the log ends at ${stream.endOffset}`,
        {
          hint: 'is it another log than before? Put the old one back, or make the rows from this one: npx millrace rebuild <query>',
          place: `${topic}/${partition}@${offset}`,
        },
      );
    const batches: RecordBatch[] = [];
    let bytes = 0;
    let end: {offset: number; crc: number} | undefined;
    for (const row of this.#statements.batches.iterate(
      id,
      offset,
    ) as Iterable<unknown> as Iterable<BatchRow>) {
      if (batches.length > 0 && bytes + row.bytes.length > bytesMax) break;
      end ??= this.#endBefore(stream, row.baseOffset, offset);
      this.#check(stream, row, end);
      end = {offset: row.baseOffset + row.count, crc: row.crc};
      bytes += row.bytes.length;
      batches.push({
        topic,
        partition,
        baseOffset: row.baseOffset,
        count: row.count,
        appendTimeMs: row.appendMs,
        kind: row.kind === 0 ? 'data' : 'mark',
        ...(row.kind === 0 ? {} : {markTimeMs: row.markMs}),
        bytes: row.bytes,
      });
    }
    const last = batches.at(-1);
    if (!last || !end || batches[0]!.baseOffset + batches[0]!.count <= offset)
      throw corrupt(topic, partition, offset, 'the batch is missing');
    if (end.offset >= stream.endOffset && (end.offset !== stream.endOffset || end.crc !== stream.endCrc))
      throw corrupt(topic, partition, last.baseOffset, 'the end of the partition differs');
    this.#ends.set(id, end);
    return batches;
  }

  /** Where the batch before the one at `baseOffset` ended, and its checksum. */
  #endBefore(stream: Stream, baseOffset: number, wanted: number): {offset: number; crc: number} {
    const known = this.#ends.get(stream.id);
    if (known?.offset === baseOffset) return known;
    if (baseOffset === stream.startOffset) return {offset: baseOffset, crc: stream.startCrc};
    const before = this.#statements.before.get(stream.id, baseOffset) as
      | {baseOffset: number; count: number; crc: number}
      | undefined;
    if (!before) throw corrupt(stream.topic, stream.partition, wanted, 'the batch before it is missing');
    return {offset: before.baseOffset + before.count, crc: before.crc};
  }

  #check({topic, partition}: Stream, row: BatchRow, end: {offset: number; crc: number}): void {
    if (row.baseOffset !== end.offset) throw corrupt(topic, partition, end.offset, 'a batch is missing');
    if (row.prevCrc !== end.crc)
      throw corrupt(topic, partition, row.baseOffset, 'the batch does not follow the one before it');
    if (batchCrc(row.prevCrc, row, row.ids, row.bytes) !== row.crc)
      throw corrupt(topic, partition, row.baseOffset, 'the checksum of the batch differs');
  }

  #version(): number {
    if (this.#counter) return Atomics.load(this.#counter, 0);
    return this.#guard(
      this.#dir,
      () => (this.#statements.version.get() as {data_version: number}).data_version,
    );
  }

  async waitForAppend(timeoutMs: number): Promise<boolean> {
    const untilMs = performance.now() + timeoutMs;
    // Its own: what another one who waits meanwhile has seen, this one has not.
    const seen = this.#seen;
    for (let pauseMs = pollMs.first; !this.#closed; pauseMs = Math.min(pauseMs * 1.5, pollMs.last)) {
      const version = this.#version();
      if (version !== seen) {
        this.#seen = version;
        return true;
      }
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) return false;
      await (this.#counter
        ? this.#announced(this.#counter, seen, leftMs)
        : this.#pause(Math.min(leftMs, pauseMs)).over);
    }
    return false;
  }

  async #announced(counter: Int32Array, seen: number, timeoutMs: number): Promise<void> {
    const waiting = Atomics.waitAsync(counter, 0, seen, timeoutMs);
    if (!waiting.async) return;
    // The timer keeps the process alive, which waitAsync alone does not, and lets close() end the wait.
    const {over, end} = this.#pause(timeoutMs);
    await Promise.race([waiting.value, over]);
    end();
  }

  #pause(ms: number): {over: Promise<void>; end: () => void} {
    const {promise: over, resolve} = Promise.withResolvers<void>();
    const end = () => {
      clearTimeout(timer);
      this.#pauses.delete(end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    this.#pauses.add(end);
    return {over, end};
  }

  transformed(): TransformCounts[] {
    return this.#guard(this.#dir, () => this.#statements.books.transformed());
  }

  ledger(): IngestCounts[] {
    return this.#guard(this.#dir, () => this.#statements.books.ledger());
  }

  knows(topic: string, ids: readonly string[]): boolean[] {
    return this.#atOnce(topic, () => {
      const find: FindId = this.#statements.ids();
      return ids.map((id) => find(topic, id) !== undefined);
    });
  }

  placeOf(topic: string, id: string): {partition: number; offset: number} | undefined {
    return this.#atOnce(topic, () => {
      const place = this.#statements.ids()(topic, id);
      const {inKafka, streams} = this.#statements;
      if (!inKafka || !place) return place;
      if (place.partition < 0) return {partition: partitionOfOthers(place.partition), offset: place.offset};
      const offset = inKafka(streams.one(topic, place.partition)!.id, place.offset);
      return offset === undefined ? undefined : {partition: place.partition, offset};
    });
  }

  progress(source: string): string | undefined {
    return this.#guard(this.#dir, () => this.#statements.books.progress(source));
  }

  /** Runs `work` and turns SQLite's failures into the log's. */
  #guard<T>(place: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw logError(error, place);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of [...this.#pauses]) end();
    this.#database.close();
  }
}
