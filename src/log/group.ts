/** What the writer of the embedded log is opened with, and which transactions it commits together. */
import type {DatabaseSync} from 'node:sqlite';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {formatBytes} from '../quantity.ts';
import type {Stream} from './chain.ts';
import type {StoredBatch} from './outbox-tables.ts';
import type {AppendResult, AppendTransaction, LogWriter} from './types.ts';

/** What only an outbox can do. */
export type OutboxWriter = LogWriter & {
  /** All (topic, partition)s, as they are. */
  streams(): Iterable<Readonly<Stream>>;
  /**
   * Remembers ids of records that others wrote to the topic, with their offsets in Kafka, under a stream of their own
   * (`othersOf`). @param start first offset that counts, if that is known; @param end all below it are known, if so. With
   * `nothingCounts` as the start what was remembered counts no more, and what comes next is of a topic that was made anew.
   */
  adopt(
    topic: string,
    partition: number,
    found: {start?: number; end?: number; ids: {id: string; offset: number}[]},
  ): void;
};

/** More partitions than a topic can have. */
const generation = 2 ** 20;
/** Start of a stream of which nothing counts any more: the topic was made anew, and offsets begin again. */
export const nothingCounts = Number.MAX_SAFE_INTEGER;

/** Number of the stream that holds ids of others' records of a partition. @param times so often the topic was made anew */
export const othersOf = (partition: number, times = 0): number => -1 - partition - times * generation;

/** The partition whose others' records a stream is of. */
export const partitionOfOthers = (others: number): number => (-1 - others) % generation;

/** The stream of others' records that counts, which there may not be yet. @param streamOf what there is of a number */
export function newestOthers(partition: number, streamOf: (others: number) => Stream | undefined): number {
  let times = 0;
  while (streamOf(othersOf(partition, times))?.startOffset === nothingCounts) times++;
  return othersOf(partition, times);
}

export type LogWriterOptions = {
  /** Where append times come from; default: the system's. */
  clock?: Clock;
  /** Limit of what the log keeps, bytes; beyond it appends are refused with LOG_FULL. Default: none. */
  sizeMaxBytes?: number;
  /** Four bytes that grow with every commit and wake the readers that wait on them (`openLogReader` of other threads). */
  counter?: SharedArrayBuffer;
  /** What a refused second process is told about this one; default: the command line. */
  command?: string;
  /** Makes the log an outbox. */
  attach?: (database: DatabaseSync) => CommitHooks;
};

/** What an outbox adds to the writer. */
export type CommitHooks = {
  /** What counts against `sizeMaxBytes`, instead of the size of the file. */
  usedBytes(): number;
  /** The first offset of a stream whose ids count. */
  idsFrom(stream: Stream): number;
  /** Whether the record went nowhere: its id may come again. */
  isGone: (stream: number, offset: number) => boolean;
  /** LOG_FULL, told where the limit is reached. */
  full(): PlatformError;
  /**
   * Inside every commit of transactions. @param change gives the stream to change
   * @returns streams whose ids count from a later offset on than before
   */
  within(streams: Iterable<Stream>, change: (topic: string, partition: number) => Stream): Stream[];
  /** The commit is durable. @param batches of each of its transactions; their appends are resolved afterwards. */
  committed(batches: ReadonlyMap<AppendTransaction, StoredBatch[]>): void;
};

/** A transaction that waits for its commit. */
export type Pending = {
  transaction: AppendTransaction;
  bytes: number;
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
};

/** Transactions that wait are committed together up to this size, so that one commit does not hold the thread for long. */
const groupBytesMax = 8 * 2 ** 20;
/** What a batch costs beside its bytes: rows, index entries, unused ends of pages. */
const batchOverheadBytes = 512;

/** Takes those from the front that are committed together. */
export function takeGroup(waiting: Pending[]): Pending[] {
  let bytes = 0;
  let count = 0;
  for (const pending of waiting) {
    if (count > 0 && bytes + pending.bytes > groupBytesMax) break;
    bytes += pending.bytes;
    count++;
  }
  return waiting.splice(0, count);
}

/** What the transaction takes of the log, bytes. */
export const sizeOf = ({appends}: AppendTransaction): number =>
  appends.reduce((sum, batch) => sum + batch.bytes.length + batchOverheadBytes, 0);

/** LOG_FULL of a log of its own. */
export const logFull = (dir: string, bytesMax: number): PlatformError =>
  new PlatformError('LOG_FULL', `the log has reached its limit of ${formatBytes(bytesMax)}`, {
    hint: 'raise log.embedded.size_max, or set log.embedded.retention',
    place: dir,
  });
