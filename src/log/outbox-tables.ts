/**
 * What makes an embedded log an outbox: a log whose batches leave for Kafka in order and are then deleted, while what they
 * brought (ids, progress, ledger) stays. Tables of the same file, made when a log is opened as an outbox for the first time:
 *
 *   outbox         one row: its name, the cluster that it ships to, its producer at the brokers
 *   outbox_streams up to which offset each partition is shipped, up to which offset of Kafka it was looked for what arrived of
 *                  this outbox (kafka_next) and of others (known)
 *   outbox_ranges  where shipped records lie: offsets [first, next) of the outbox are [kafka, kafka + next - first) of Kafka.
 *                  Ranges that continue each other are one. An id counts while its record's range is there.
 *   outbox_withdrawn records that wait and will not be shipped, since another outbox brought their ids to Kafka meanwhile
 *
 * The rows are written with commits that happen anyway, a little late: after a crash the end of the partition in Kafka says what
 * arrived since (kafka/recover.ts).
 */
import type {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';
import {corrupt, rowCrc} from './chain.ts';
import {trimStatements} from './trim.ts';

export const outboxSchema = `
  CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, cluster TEXT NOT NULL,
    producer_id INTEGER NOT NULL, epoch INTEGER NOT NULL, rebuilt INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS outbox_streams (stream INTEGER PRIMARY KEY, shipped INTEGER NOT NULL, kafka_next INTEGER NOT NULL,
    known INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS outbox_ranges (stream INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
    kafka INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (stream, first)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outbox_withdrawn (stream INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (stream, first)) STRICT, WITHOUT ROWID;
`;

/** What an outbox is. */
export type OutboxHead = {
  /** Told with every batch that it ships. */
  name: string;
  /** Id of the Kafka cluster; empty before the first look. */
  cluster: string;
  /** Of its producer at the brokers; -1 before it has one. */
  producerId: number;
  /** The highest epoch of the producer that was used. */
  epoch: number;
  /** It was made anew from what Kafka has: it knows the ids of all records of its topics, also of those that came without. */
  rebuilt: boolean;
};

/** A batch as it was committed. */
export type StoredBatch = {
  streamId: number;
  topic: string;
  partition: number;
  baseOffset: number;
  count: number;
  /** Append time, epoch ms. */
  appendMs: number;
  /** Of an end mark, which has no record: epoch ms. */
  markMs: number | undefined;
  bytes: Uint8Array;
};

/**
 * Of a partition. `shipped`: offset of the outbox below which all is settled; offsets of Kafka: `kafkaNext`, from which on nothing
 * of this outbox lies that is not in a range; `known`, below which it remembers what other outboxes wrote.
 */
export type Position = {shipped: number; kafkaNext: number; known: number};
/** See above. */
export type Range = {first: number; next: number; kafka: number};

/** The row of the outbox; undefined before it is written. Throws LOG_CORRUPT. */
export function readHead(database: DatabaseSync): OutboxHead | undefined {
  const row = database.prepare('SELECT * FROM outbox').get() as
    | {name: string; cluster: string; producer_id: number; epoch: number; rebuilt: number; crc: number}
    | undefined;
  if (!row) return undefined;
  const {name, cluster, producer_id: producerId, epoch, rebuilt, crc} = row;
  if (rowCrc(name, cluster, producerId, epoch, rebuilt) !== crc)
    throw corrupt('outbox', 0, 0, 'the checksum of its head differs');
  return {name, cluster, producerId, epoch, rebuilt: rebuilt === 1};
}

/** Whether the log in this file is an outbox. */
export const isOutbox = (database: DatabaseSync): boolean =>
  database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").get() !== undefined;

/** Throws OUTBOX_OTHER when the log is an outbox: what it shipped is no longer in it. */
export function refuseOutbox(database: DatabaseSync, dir: string): void {
  if (isOutbox(database))
    throw new PlatformError(
      'OUTBOX_OTHER',
      `the log in ${dir} is the outbox of Kafka, not a log of its own`,
      {
        hint: 'choose another directory with log.embedded.dir',
        place: dir,
      },
    );
}

/** Throws OUTBOX_OTHER when the log has batches and is no outbox: they would be shipped, and deleted. */
export function refuseOwnLog(database: DatabaseSync, dir: string): void {
  if (!isOutbox(database) && database.prepare('SELECT 1 FROM batches LIMIT 1').get() !== undefined)
    throw new PlatformError('OUTBOX_OTHER', `the log in ${dir} is one of its own, not the outbox of Kafka`, {
      hint: 'choose another directory with log.kafka.spool.dir',
      place: dir,
    });
}

/** Where the range says that a record of the outbox lies in Kafka; undefined before it was shipped. */
export function placeInKafka(database: DatabaseSync): (stream: number, offset: number) => number | undefined {
  const find = database.prepare(
    'SELECT first, next, kafka FROM outbox_ranges WHERE stream = ? AND first <= ? ORDER BY first DESC LIMIT 1',
  );
  return (stream, offset) => {
    const range = find.get(stream, offset) as Range | undefined;
    return range && offset < range.next ? range.kafka + offset - range.first : undefined;
  };
}

/** The first offset of every stream whose ids still count. Streams that nothing was shipped of are missing. */
export function idStarts(database: DatabaseSync): Map<number, number> {
  const rows = database
    .prepare(
      `SELECT s.stream, coalesce((SELECT min(first) FROM outbox_ranges r WHERE r.stream = s.stream), s.shipped) AS start
       FROM outbox_streams s`,
    )
    .all() as {stream: number; start: number}[];
  return new Map(rows.map(({stream, start}) => [stream, start]));
}

/** A range whose checksum was compared. Throws LOG_CORRUPT. */
export function checkedRange(stream: number, {crc, ...range}: Range & {crc: number}): Range {
  if (rowCrc(stream, range.first, range.next, range.kafka) !== crc)
    throw corrupt('outbox', stream, range.first, 'the checksum of the range differs');
  return {first: range.first, next: range.next, kafka: range.kafka};
}

/** Ranges that are looked at together. */
export const rangesMax = 1000;

/** What its one writer asks of the tables and puts into them. */
export function outboxStatements(database: DatabaseSync) {
  return {
    setPosition: database.prepare('INSERT OR REPLACE INTO outbox_streams VALUES (?, ?, ?, ?, ?)'),
    setRange: database.prepare('INSERT OR REPLACE INTO outbox_ranges VALUES (?, ?, ?, ?, ?)'),
    ranges: database.prepare(
      `SELECT first, next, kafka, crc FROM outbox_ranges WHERE stream = ? ORDER BY first LIMIT ${rangesMax}`,
    ),
    rangeAt: database.prepare(
      'SELECT first, next, kafka FROM outbox_ranges WHERE stream = ? AND first <= ? ORDER BY first DESC LIMIT 1',
    ),
    removeRange: database.prepare('DELETE FROM outbox_ranges WHERE stream = ? AND first = ?'),
    batches: database.prepare(
      `SELECT base_offset AS baseOffset, count, kind, append_ms AS appendMs, mark_ms AS markMs, bytes FROM batches
       WHERE stream = ?1 AND base_offset >=
         coalesce((SELECT max(base_offset) FROM batches WHERE stream = ?1 AND base_offset <= ?2), ?2)
       ORDER BY base_offset`,
    ),
    trim: trimStatements(database, {trim: () => {}}),
  };
}
