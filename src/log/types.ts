/**
 * The log interface: topics, partitions, offsets, batches. The embedded log (SQLite) and Kafka implement it.
 *
 * A record batch's `bytes`: records one after another, each
 *   record := length:u32 little-endian, frame:length bytes
 *   frame  := 0x00, schema id:u32 big-endian, Avro body          (Confluent wire format)
 * Records of dlq.* and late.* topics are frames of their own schemas. A batch belongs to one (topic, partition).
 */
import type {PlatformError} from '../errors.ts';

export type RecordBatch = {
  topic: string;
  partition: number;
  /** Offset of the first record; the others follow without a gap. */
  baseOffset: number;
  count: number;
  /** Epoch ms; never goes back within a partition. */
  appendTimeMs: number;
  /**
   * `mark`: no event, one offset; its time moves the partition's running maximum (end of input). `gap`: offsets that hold no
   * record (Kafka: transactions' own and aborted records, what compaction removed); readers go past them.
   */
  kind: 'data' | 'mark' | 'gap';
  /** For a mark: the event time it moves the running maximum to, epoch ms; else undefined. */
  markTimeMs?: number;
  /** Another program appended it, past ingestion: nobody has judged its records. Absent: they passed ingestion. */
  isUnchecked?: true;
  bytes: Uint8Array;
};

export type Append = {
  topic: string;
  partition: number;
  count: number;
  bytes: Uint8Array;
  /**
   * One id a record, in order. Given only where ids must be remembered (ids that senders chose, identities of dead letters
   * and late events): a record whose id the topic already has is dropped, in this transaction, and reported as duplicate.
   */
  ids?: string[];
};

/** All of it becomes durable together, or none of it. */
export type AppendTransaction = {
  appends: Append[];
  marks?: {topic: string; partition: number; timeMs: number}[];
  /** Where a source stands after this transaction: source id -> JSON text. */
  progress?: {source: string; position: string}[];
  /**
   * Additions to the ingest ledger; `appended` counts what is given to the log. Records that `ids` drops are moved from
   * `appended` to `duplicate` by the log itself, in the row whose `<domain>.<eventType>` is their topic: a transaction that
   * gives ids has at most one row for that topic.
   * A rejected record whose dead letter (topic `dlq.<domain>`) is there already is moved from `rejected` to `duplicate` in
   * the same way, where one row of the domain has rejected any.
   */
  ledger?: IngestCounts[];
  /** Additions to the ledger of transforms. */
  transformed?: TransformCounts[];
};

/** Records that a transform was given, the events that it made of them, and those that became dead letters. */
export type TransformCounts = {
  domain: string;
  eventType: string;
  source: string;
  in: number;
  out: number;
  rejected: number;
  /**
   * Where in the append to `dlq.<domain>` the letters of these rejected records are: a record whose letter the topic has already
   * was given to the transform before, and is not counted again.
   */
  letters?: number[];
};

export type IngestCounts = {
  domain: string;
  eventType: string;
  source: string;
  received: number;
  appended: number;
  duplicate: number;
  rejected: number;
};

export type AppendResult = {
  /**
   * For each append: its first offset, and how many records were dropped as duplicates; `dropped` says which, by record, where
   * there were any.
   */
  appends: {baseOffset: number; appended: number; duplicate: number; dropped?: boolean[]}[];
  appendTimeMs: number;
};

/** The single writer of a log directory. Transactions that are pending together commit together (group commit). */
export type LogWriter = {
  /** Creates a topic if it is new; an existing one keeps its number of partitions, which is returned. */
  ensureTopic(topic: string, partitions: number): number;
  /**
   * Resolves when durable (fsync). Rejects with LOG_FULL, LOG_DISK_FULL: nothing of it was appended, later attempts may
   * succeed. Rejects with LOG_IO: the disk failed, this writer refuses everything from now on, and only `progress` of a
   * freshly opened one knows whether the transaction is there.
   */
  append(transaction: AppendTransaction): Promise<AppendResult>;
  progress(source: string): string | undefined;
  ledger(): IngestCounts[];
  /**
   * Deletes whole batches that are older than `beforeMs` and below `belowOffset`, from the start of the partition on, a limited
   * number in one call. @returns batches deleted; while it is not 0, there may be more.
   */
  trim(topic: string, partition: number, options: {beforeMs: number; belowOffset: number}): number;
  close(): Promise<void>;
};

/**
 * Opened in any thread or process, any number of them; read-only. Topics, partitions and offsets are those of the last look: an
 * embedded log looks whenever it is asked, Kafka at `refresh`, `read` and `waitForAppend`.
 */
export type LogReader = {
  /**
   * Looks at topics, partitions and their offsets. What nobody tells just now stays as it was known, 0 before the first time, except
   * for `topics`: their offsets are those of this look. @throws KAFKA_UNAVAILABLE when nobody tells them for a while
   */
  refresh(topics?: readonly string[]): Promise<void>;
  topics(): string[];
  /** 0 when the topic does not exist. */
  partitions(topic: string): number;
  startOffset(topic: string, partition: number): number;
  /** Offset that the next record will get. */
  endOffset(topic: string, partition: number): number;
  /**
   * Whole batches from the one that holds `offset`, up to about `bytesMax` (at least one); empty at the end. The caller skips
   * records below `offset`. Throws LOG_CORRUPT naming the place when a checksum differs or `offset` is beyond the end,
   * LOG_TRIMMED when `offset` is gone; KAFKA_UNAVAILABLE when brokers do not answer for a while: it may be tried again.
   */
  read(topic: string, partition: number, offset: number, bytesMax: number): Promise<RecordBatch[]>;
  /**
   * Resolves true when something was appended since the last call (or at once), false after `timeoutMs`; of several who wait at the
   * same time each is told. Kafka tells of partitions
   * whose end was asked for, or that were read, in the last seconds.
   */
  waitForAppend(timeoutMs: number): Promise<boolean>;
  ledger(): IngestCounts[];
  transformed(): TransformCounts[];
  progress(source: string): string | undefined;
  /** Which of the ids the topic remembers: a record that is appended with one of them is dropped as duplicate. */
  knows(topic: string, ids: readonly string[]): boolean[];
  /**
   * Where the record of an id lies, by an index; undefined for an id that the topic does not remember, and with Kafka for moments
   * after an append, until the place is noted.
   */
  placeOf(topic: string, id: string): {partition: number; offset: number} | undefined;
  /** Which log it is, among all that offsets may be of; absent for the embedded log, of which a platform has one. */
  identity?(): string;
  /**
   * Which topic of that name it is, as of the last look: one that is deleted and made anew has another id. Undefined for a topic that
   * is not there, or where there are no ids; absent for the embedded log, whose topics stay.
   */
  topicId?(topic: string): string | undefined;
  /** Why the log cannot be read just now, and for how long, ms; undefined while it can, absent where it always can. */
  trouble?(): {error: PlatformError; ms: number} | undefined;
  /**
   * Looks at the ends of the partitions that were asked for lately, where that is a question to somebody else.
   * @returns false when they could not be told for a while: what is known may be old
   */
  lookAtEnds?(): Promise<boolean>;
  /**
   * Shows others how far somebody has read, where the log has a place for that: with Kafka as offsets of the consumer group
   * `<client id>.<name>`, which then has no members.
   */
  publish?(name: string, places: {topic: string; partition: number; offset: number}[]): Promise<void>;
  close(): void;
};
