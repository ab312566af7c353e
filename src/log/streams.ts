/** Rows of `streams`: the (topic, partition)s of the embedded log, as its writer and its readers see them. */
import type {DatabaseSync} from 'node:sqlite';
import {chainSeed, corrupt, rowCrc, type Stream, streamCrc} from './chain.ts';
import {transformedRows} from './transformed.ts';
import type {IngestCounts, TransformCounts} from './types.ts';

const columns =
  'id, topic, partition, partitions, start_offset AS startOffset, end_offset AS endOffset, append_ms AS appendMs, ' +
  'start_crc AS startCrc, end_crc AS endCrc, crc';

/** A row of `streams` whose checksum was compared. Throws LOG_CORRUPT. */
function checked(row: Stream & {crc: number}): Stream {
  const {crc, ...stream} = row;
  if (streamCrc(stream) !== crc)
    throw corrupt(stream.topic, stream.partition, stream.endOffset, 'the checksum of the partition differs');
  return stream;
}

/** Prepared look-ups of streams. Each throws LOG_CORRUPT when a checksum differs. */
export function streamQueries(database: DatabaseSync) {
  const one = database.prepare(`SELECT ${columns} FROM streams WHERE topic = ? AND partition = ?`);
  const all = database.prepare(`SELECT ${columns} FROM streams ORDER BY topic, partition`);
  return {
    one(topic: string, partition: number): Stream | undefined {
      const row = one.get(topic, partition) as (Stream & {crc: number}) | undefined;
      return row && checked(row);
    },
    all: (): Stream[] => all.all().map((row) => checked(row as Stream & {crc: number})),
  };
}

/** Prepared changes of streams, inside the caller's transaction. */
export function streamChanges(database: DatabaseSync) {
  const insert = database.prepare(
    `INSERT INTO streams (topic, partition, partitions, start_offset, end_offset, append_ms, start_crc, end_crc, crc)
     VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)`,
  );
  const update = database.prepare(
    'UPDATE streams SET partitions = ?, start_offset = ?, end_offset = ?, append_ms = ?, start_crc = ?, end_crc = ?, crc = ? WHERE id = ?',
  );
  return {
    /** @param start offset of its first record */
    create(topic: string, partition: number, partitions: number, start = 0): Stream {
      const seed = chainSeed(topic, partition);
      const stream = {
        id: 0,
        topic,
        partition,
        partitions,
        startOffset: start,
        endOffset: start,
        appendMs: 0,
        startCrc: seed,
        endCrc: seed,
      };
      const {lastInsertRowid} = insert.run(
        topic,
        partition,
        partitions,
        start,
        start,
        seed,
        seed,
        streamCrc(stream),
      );
      return {...stream, id: Number(lastInsertRowid)};
    },
    update(stream: Stream): void {
      const {partitions, startOffset, endOffset, appendMs, startCrc, endCrc, id} = stream;
      update.run(partitions, startOffset, endOffset, appendMs, startCrc, endCrc, streamCrc(stream), id);
    },
  };
}

/** Prepared look-ups of progress and ledger. Each throws LOG_CORRUPT when a checksum differs. */
export function bookQueries(database: DatabaseSync) {
  const progress = database.prepare('SELECT position, crc FROM progress WHERE source = ?');
  const ledger = database.prepare('SELECT * FROM ledger ORDER BY domain, event_type, source');
  return {
    progress(source: string): string | undefined {
      const row = progress.get(source) as {position: string; crc: number} | undefined;
      if (row && rowCrc(source, row.position) !== row.crc)
        throw corrupt(`progress of ${source}`, 0, 0, 'the checksum differs');
      return row?.position;
    },
    transformed: (): TransformCounts[] => transformedRows(database),
    ledger: (): IngestCounts[] =>
      ledger.all().map((row) => {
        const {event_type, crc, ...rest} = row as unknown as IngestCounts & {event_type: string; crc: number};
        const counts: IngestCounts = {...rest, eventType: event_type};
        if (ledgerCrc(counts) !== crc)
          throw corrupt(`ledger of ${counts.domain}.${event_type}`, 0, 0, 'the checksum differs');
        return {
          domain: counts.domain,
          eventType: counts.eventType,
          source: counts.source,
          received: counts.received,
          appended: counts.appended,
          duplicate: counts.duplicate,
          rejected: counts.rejected,
        };
      }),
  };
}

/** CRC of a row of `ledger`. */
export const ledgerCrc = (counts: IngestCounts) =>
  rowCrc(
    counts.domain,
    counts.eventType,
    counts.source,
    counts.received,
    counts.appended,
    counts.duplicate,
    counts.rejected,
  );
