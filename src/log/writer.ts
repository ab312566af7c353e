/** The writing side of the embedded log. One thread of one process holds it; `lock.ts` sees to that. */
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {type Clock, systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import type {Stream} from './chain.ts';
import {commitsIn, logError, openForWriting, witnessFile} from './database.ts';
import {syncNames} from './directory.ts';
import {checkEnds} from './ends.ts';
import {
  type CommitHooks,
  type LogWriterOptions,
  logFull,
  newestOthers,
  type OutboxWriter,
  type Pending,
  sizeOf,
  takeGroup,
} from './group.ts';
import {IdIndex} from './ids/remember.ts';
import {acquireLock, type Lock} from './lock.ts';
import {refuseOutbox, type StoredBatch} from './outbox-tables.ts';
import {bookQueries, streamChanges, streamQueries} from './streams.ts';
import {appendStatements, checkTransaction} from './transaction.ts';
import {trimStatements} from './trim.ts';
import type {AppendResult, AppendTransaction, IngestCounts, LogWriter} from './types.ts';
import {walCheckpoints} from './wal.ts';
import {acknowledgedCommits, openWitness, type Witness} from './witness.ts';

const streamKey = (topic: string, partition: number) => `${topic}/${partition}`;

/**
 * Opens the log in `dir`, and creates it when there is none. Throws LOCKED when another process writes it, LOG_CORRUPT when
 * its end is damaged or something acknowledged is missing, LOG_FORMAT, LOG_IO, LOG_DISK_FULL.
 */
export const openLogWriter = (dir: string, options: Omit<LogWriterOptions, 'attach'> = {}): LogWriter =>
  open(dir, options);

/** Opens the log in `dir` as an outbox. Throws what `openLogWriter` throws, and OUTBOX_OTHER. */
export const openOutboxWriter = (dir: string, options: LogWriterOptions): OutboxWriter => open(dir, options);

function open(dir: string, options: LogWriterOptions): OutboxWriter {
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

class EmbeddedWriter implements OutboxWriter {
  readonly #dir: string;
  readonly #database: DatabaseSync;
  readonly #clock: Clock;
  readonly #sizeMaxBytes: number;
  readonly #counter: Int32Array | undefined;
  readonly #lock: Lock;
  readonly #witness: Witness;
  readonly #ids: IdIndex;
  readonly #statements;
  readonly #hooks: CommitHooks | undefined;
  #sequence: number;
  readonly #streams = new Map<string, Stream>();
  readonly #partitions = new Map<string, number>();
  #pending: Pending[] = [];
  #scheduled = false;
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
    if (options.attach === undefined) refuseOutbox(database, dir);
    this.#hooks = options.attach?.(database);
    this.#ids = new IdIndex(database, streams.map(this.#forIds), undefined, this.#hooks?.isGone);
    this.#statements = {
      append: appendStatements(database, this.#ids),
      streams: streamChanges(database),
      books: bookQueries(database),
      trim: trimStatements(database, this.#ids),
      begin: database.prepare('BEGIN IMMEDIATE'),
      commit: database.prepare('COMMIT'),
      count: database.prepare('UPDATE meta SET sequence = ?, ids_crc = ?'),
      wal: walCheckpoints(database),
      size: database.prepare(
        'SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size',
      ),
    };
    for (const stream of streams) this.#remember(stream);
  }

  #remember(stream: Stream): void {
    this.#streams.set(streamKey(stream.topic, stream.partition), stream);
    this.#partitions.set(stream.topic, stream.partitions);
    this.#ids.setStream(this.#forIds(stream));
  }

  /** In an outbox ids stay when their batches go. */
  readonly #forIds = (stream: Stream): Stream =>
    this.#hooks ? {...stream, startOffset: this.#hooks.idsFrom(stream)} : stream;

  ensureTopic(topic: string, partitions: number): number {
    this.#assertUsable();
    const existing = this.#partitions.get(topic) ?? 0;
    // The topic of an outbox grows with Kafka's.
    if (existing >= partitions || (existing > 0 && !this.#hooks)) return existing;
    const changed: Stream[] = [];
    this.#commit(() => {
      for (let partition = 0; partition < partitions; partition++) {
        const stream = this.#streams.get(streamKey(topic, partition));
        changed.push(
          stream ? {...stream, partitions} : this.#statements.streams.create(topic, partition, partitions),
        );
        if (stream) this.#statements.streams.update(changed.at(-1)!);
      }
    });
    for (const stream of changed) this.#remember(stream);
    return partitions;
  }

  append(transaction: AppendTransaction): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#assertUsable();
      checkTransaction(transaction, (topic) => this.#partitions.get(topic) ?? 0);
      this.#pending.push({transaction, bytes: sizeOf(transaction), resolve, reject});
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

  #commitGroup(): void {
    const group = takeGroup(this.#pending);
    if (group.length === 0) return;
    const changed = new Map<string, Stream>();
    const change = (topic: string, partition: number): Stream => {
      const key = streamKey(topic, partition);
      let stream = changed.get(key);
      if (!stream) changed.set(key, (stream = {...this.#streams.get(key)!}));
      return stream;
    };
    const settled: (() => void)[] = [];
    const stored = new Map<AppendTransaction, StoredBatch[]>();
    try {
      this.#commit(
        () => {
          let usedBytes = this.#hooks?.usedBytes() ?? (this.#statements.size.get() as {bytes: number}).bytes;
          for (const {transaction, bytes, resolve, reject} of group) {
            // An outbox that is empty takes anything: no other time would be better.
            const isEmpty = this.#hooks !== undefined && usedBytes === 0;
            if (bytes > 0 && !isEmpty && usedBytes + bytes > this.#sizeMaxBytes) {
              settled.push(() => reject(this.#hooks?.full() ?? logFull(this.#dir, this.#sizeMaxBytes)));
              continue;
            }
            usedBytes += bytes;
            const batches: StoredBatch[] = [];
            const result = this.#statements.append.apply(transaction, this.#clock.now(), {
              change,
              ...(this.#hooks && {stored: (batch: StoredBatch) => batches.push(batch)}),
            });
            stored.set(transaction, batches);
            settled.push(() => resolve(result));
          }
          const moved = this.#hooks?.within(this.#streams.values(), change) ?? [];
          for (const stream of moved) this.#ids.trim(this.#forIds(stream));
          for (const stream of changed.values()) this.#statements.streams.update(stream);
        },
        group.reduce((sum, {bytes}) => sum + bytes, 0),
      );
    } catch (error) {
      for (const {reject} of group) reject(error);
      return;
    }
    for (const [key, stream] of changed) this.#streams.set(key, stream);
    this.#hooks?.committed(stored);
    for (const settle of settled) settle();
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
    if (this.#statements.wal.committed(bytes + this.#ids.takeWrittenBytes())) this.#checkpoint();
  }

  #rollBack(error: unknown): never {
    const failure = logError(error, this.#dir);
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#ids.load([...this.#streams.values()].map(this.#forIds));
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
      this.#statements.wal.run();
    } catch (error) {
      const failure = logError(error, this.#dir);
      if (!(failure instanceof PlatformError && failure.code === 'LOG_DISK_FULL'))
        this.#failure = failure as PlatformError;
    }
  }

  streams(): Iterable<Readonly<Stream>> {
    return this.#streams.values();
  }

  adopt(topic: string, partition: number, {start, end = 0, ids}: Parameters<OutboxWriter['adopt']>[2]): void {
    this.#assertUsable();
    const others = newestOthers(partition, (number) => this.#streams.get(streamKey(topic, number)));
    let changed: Stream | undefined;
    this.#commit(() => {
      const stream =
        this.#streams.get(streamKey(topic, others)) ??
        this.#statements.streams.create(topic, others, this.#partitions.get(topic) ?? 0, start);
      const startOffset = start ?? stream.startOffset;
      changed = {...stream, startOffset, endOffset: Math.max(end, stream.endOffset)};
      this.#ids.trim(changed);
      for (const {id, offset} of ids) this.#ids.add(changed, id, offset);
      this.#statements.streams.update(changed);
    });
    this.#remember(changed!);
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
