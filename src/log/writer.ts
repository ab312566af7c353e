/** The writing side of the embedded log. One thread of one process holds it; `lock.ts` sees to that. */
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {type Clock, systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {formatBytes} from '../quantity.ts';
import type {Stream} from './chain.ts';
import {commitsIn, logError, openForWriting, pageBytes, witnessFile} from './database.ts';
import {syncNames} from './directory.ts';
import {checkEnds} from './ends.ts';
import {IdIndex} from './ids/remember.ts';
import {acquireLock, type Lock} from './lock.ts';
import {bookQueries, streamChanges, streamQueries} from './streams.ts';
import {appendStatements, checkTransaction} from './transaction.ts';
import {trimStatements} from './trim.ts';
import type {AppendResult, AppendTransaction, IngestCounts, LogWriter} from './types.ts';
import {acknowledgedCommits, openWitness, type Witness} from './witness.ts';

export type LogWriterOptions = {
  /** Where append times come from; default: the system's. */
  clock?: Clock;
  /** Limit of what the log keeps, bytes; beyond it appends are refused with LOG_FULL. Default: none. */
  sizeMaxBytes?: number;
  /** Four bytes that grow with every commit and wake the readers that wait on them (`openLogReader` of other threads). */
  counter?: SharedArrayBuffer;
  /** What a refused second process is told about this one; default: the command line. */
  command?: string;
};

type Pending = {
  transaction: AppendTransaction;
  bytes: number;
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
};

/** Transactions that wait are committed together up to this size, so that one commit does not hold the thread for long. */
const groupBytesMax = 8 * 2 ** 20;
/**
 * The writer copies the write-ahead log into the database whenever it has grown by this much: 3 to 8 ms of its thread. Larger
 * steps bring no throughput and stall in proportion (64 MiB: 90 ms).
 */
const checkpointBytes = 4 * 2 ** 20;
/** Pages that a commit writes beside the batches: rows of the partition, index, progress, ledger. */
const commitPages = 5;
/** A write-ahead log that readers kept from starting over for this long waits for them once. */
const walBytesMax = 64 * 2 ** 20;
/** What a batch costs beside its bytes: rows, index entries, unused ends of pages. */
const batchOverheadBytes = 512;

const streamKey = (topic: string, partition: number) => `${topic}/${partition}`;

/**
 * Opens the log in `dir`, and creates it when there is none. Throws LOCKED when another process writes it, LOG_CORRUPT when
 * its end is damaged or something acknowledged is missing, LOG_FORMAT, LOG_IO, LOG_DISK_FULL.
 */
export function openLogWriter(dir: string, options: LogWriterOptions = {}): LogWriter {
  let lock: Lock | undefined;
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(dir, {recursive: true});
    lock = acquireLock(join(dir, 'lock'), {command: options.command ?? process.argv.slice(1).join(' ')});
    const acknowledged = acknowledgedCommits(witnessFile(dir));
    database = openForWriting(dir, acknowledged);
    const sequence = commitsIn(database, dir, acknowledged);
    const streams = streamQueries(database).all();
    checkEnds(database, streams);
    const witness = openWitness(witnessFile(dir), sequence);
    syncNames(dir);
    return new EmbeddedWriter(dir, database, streams, {lock, witness, sequence}, options);
  } catch (error) {
    database?.close();
    lock?.release();
    throw logError(error, dir);
  }
}

class EmbeddedWriter implements LogWriter {
  readonly #dir: string;
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #sizeMaxBytes: number;
  readonly #counter: Int32Array | undefined;
  readonly #lock: Lock;
  readonly #witness: Witness;
  readonly #ids: IdIndex;
  readonly #statements;
  #sequence: number;
  readonly #streams = new Map<string, Stream>();
  readonly #partitions = new Map<string, number>();
  #pending: Pending[] = [];
  #scheduled = false;
  #uncheckpointedBytes = 0;
  #failure: PlatformError | undefined;
  #closed = false;

  constructor(
    dir: string,
    database: DatabaseSync,
    streams: Stream[],
    held: {lock: Lock; witness: Witness; sequence: number},
    options: LogWriterOptions,
  ) {
    this.#dir = dir;
    this.#database = database;
    this.#clock = options.clock ?? systemClock;
    this.#sizeMaxBytes = options.sizeMaxBytes ?? Number.POSITIVE_INFINITY;
    this.#counter = options.counter && new Int32Array(options.counter);
    this.#lock = held.lock;
    this.#witness = held.witness;
    this.#sequence = held.sequence;
    this.#ids = new IdIndex(database, streams);
    this.#statements = {
      append: appendStatements(database, this.#ids),
      streams: streamChanges(database),
      books: bookQueries(database),
      trim: trimStatements(database, this.#ids),
      begin: database.prepare('BEGIN IMMEDIATE'),
      commit: database.prepare('COMMIT'),
      count: database.prepare('UPDATE meta SET sequence = ?, ids_crc = ?'),
      checkpoint: database.prepare('PRAGMA wal_checkpoint(PASSIVE)'),
      size: database.prepare(
        'SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size',
      ),
    };
    for (const stream of streams) this.#remember(stream);
  }

  #remember(stream: Stream): void {
    this.#streams.set(streamKey(stream.topic, stream.partition), stream);
    this.#partitions.set(stream.topic, stream.partitions);
    this.#ids.setStream(stream);
  }

  ensureTopic(topic: string, partitions: number): number {
    this.#assertUsable();
    const existing = this.#partitions.get(topic);
    if (existing !== undefined) return existing;
    const created: Stream[] = [];
    this.#commit(() => {
      for (let partition = 0; partition < partitions; partition++)
        created.push(this.#statements.streams.create(topic, partition, partitions));
    });
    for (const stream of created) this.#remember(stream);
    return partitions;
  }

  append(transaction: AppendTransaction): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#assertUsable();
      checkTransaction(transaction, (topic) => this.#partitions.get(topic) ?? 0);
      const bytes = transaction.appends.reduce(
        (sum, batch) => sum + batch.bytes.length + batchOverheadBytes,
        0,
      );
      this.#pending.push({transaction, bytes, resolve, reject});
      this.#schedule();
    });
  }

  /** Everything that is appended in one turn of the event loop shares one fsync. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#commitGroup();
      if (this.#pending.length > 0) this.#schedule();
    });
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#pending) {
      if (count > 0 && bytes + pending.bytes > groupBytesMax) break;
      bytes += pending.bytes;
      count++;
    }
    return this.#pending.splice(0, count);
  }

  #commitGroup(): void {
    const group = this.#takeGroup();
    if (group.length === 0) return;
    const changed = new Map<string, Stream>();
    const change = (topic: string, partition: number): Stream => {
      const key = streamKey(topic, partition);
      let stream = changed.get(key);
      if (!stream) changed.set(key, (stream = {...this.#streams.get(key)!}));
      return stream;
    };
    const settled: (() => void)[] = [];
    try {
      this.#commit(
        () => {
          let usedBytes = (this.#statements.size.get() as {bytes: number}).bytes;
          for (const {transaction, bytes, resolve, reject} of group) {
            if (bytes > 0 && usedBytes + bytes > this.#sizeMaxBytes) {
              settled.push(() => reject(this.#full()));
              continue;
            }
            usedBytes += bytes;
            const result = this.#statements.append.apply(transaction, this.#clock.now(), {change});
            settled.push(() => resolve(result));
          }
          for (const stream of changed.values()) this.#statements.streams.update(stream);
        },
        group.reduce((sum, {bytes}) => sum + bytes, 0),
      );
    } catch (error) {
      for (const {reject} of group) reject(error);
      return;
    }
    for (const [key, stream] of changed) this.#streams.set(key, stream);
    for (const settle of settled) settle();
  }

  #full(): PlatformError {
    return new PlatformError(
      'LOG_FULL',
      `the log has reached its limit of ${formatBytes(this.#sizeMaxBytes)}`,
      {
        hint: 'raise log.embedded.size_max, or set log.embedded.retention',
        place: this.#dir,
      },
    );
  }

  /** Runs `work` in a transaction and makes it durable, or throws LOG_DISK_FULL, LOG_IO with nothing of it in the log. */
  #commit(work: () => void, bytes = 0): void {
    try {
      this.#statements.begin.run();
      work();
      this.#ids.write(this.#sequence + 1);
      this.#statements.count.run(this.#sequence + 1, this.#ids.crc());
      failpoint('log.before-commit');
      this.#statements.commit.run();
    } catch (error) {
      this.#rollBack(error);
    }
    this.#sequence++;
    failpoint('log.after-commit');
    this.#witness.acknowledged(this.#sequence);
    failpoint('log.acknowledged');
    if (this.#counter) {
      Atomics.add(this.#counter, 0, 1);
      Atomics.notify(this.#counter, 0);
    }
    this.#uncheckpointedBytes += bytes + this.#ids.takeWrittenBytes() + commitPages * pageBytes;
    if (this.#uncheckpointedBytes >= checkpointBytes) this.#checkpoint();
  }

  #rollBack(error: unknown): never {
    const failure = logError(error, this.#dir);
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#ids.load(this.#streams.values());
    } catch (cause) {
      this.#failure = new PlatformError('LOG_IO', 'the log could not take back a failed write', {cause});
    }
    // After a failed write or fsync nobody knows what is on disk: only a fresh open, which reads it, may go on.
    if (failure instanceof PlatformError && failure.code !== 'LOG_DISK_FULL') this.#failure = failure;
    throw failure;
  }

  /** Copies the write-ahead log into the database. A failure is no loss: the WAL has everything; the next attempt may succeed. */
  #checkpoint(): void {
    try {
      const {log} = this.#statements.checkpoint.get() as {log: number};
      if (log * pageBytes > walBytesMax) this.#database.exec('PRAGMA wal_checkpoint(RESTART)');
      this.#uncheckpointedBytes = 0;
    } catch (error) {
      const failure = logError(error, this.#dir);
      if (!(failure instanceof PlatformError && failure.code === 'LOG_DISK_FULL'))
        this.#failure = failure as PlatformError;
    }
  }

  progress(source: string): string | undefined {
    return this.#statements.books.progress(source);
  }

  ledger(): IngestCounts[] {
    return this.#statements.books.ledger();
  }

  trim(topic: string, partition: number, options: {beforeMs: number; belowOffset: number}): number {
    this.#assertUsable();
    const stream = this.#streams.get(streamKey(topic, partition));
    if (!stream) return 0;
    const changed = {...stream};
    const batches = this.#statements.trim.find(stream, options);
    if (batches.length === 0) return 0;
    this.#commit(() => {
      this.#statements.trim.remove(changed, batches);
      this.#statements.streams.update(changed);
    });
    this.#remember(changed);
    return batches.length;
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed) throw new PlatformError('LOG_IO', 'the log is closed', {place: this.#dir});
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    while (this.#pending.length > 0) this.#commitGroup();
    this.#closed = true;
    if (!this.#failure) this.#checkpoint();
    this.#witness.close();
    this.#database.close();
    this.#lock.release();
  }
}
