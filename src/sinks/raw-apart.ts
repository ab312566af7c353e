/** What becomes of a batch of raw events when the sink refuses one of them. */
import {unlessAborted} from '../abort.ts';
import type {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import type {Refusal} from '../ingest/judge.ts';
import type {RecordBatch} from '../log/types.ts';
import type {Table} from '../model/types.ts';
import {walkRecords} from '../schema/frame.ts';
import type {AvroRecord} from '../schema/types.ts';
import type {RawPhase} from './raw.ts';
import {isRowError, type RefusedRow, writeApart} from './refused.ts';
import {columnIndex, tableId} from './tables.ts';
import type {RawBatch, RawRange, Sink} from './types.ts';

/** A raw event that a sink refused for good, as it is in the log, with what the sink said. */
export type RefusedEvent = {
  topic: string;
  partition: number;
  offset: number;
  eventId: string;
  frame: Uint8Array;
  code: string;
  message: string;
};

/** A record that is no event of the topic's type, or that ingestion would have refused, as it is in the log. */
export type UnreadRecord = {
  offset: number;
  frame: Uint8Array;
  stage: Refusal['stage'];
  code: Refusal['code'] | 'UNKNOWN_SCHEMA';
  message: string;
};

/**
 * What a raw delivery keeps in the log about batches that it takes apart. Tables by `<namespace>.<table>`; every promise
 * resolves when it is durable.
 */
export type RawBooks = {
  /** Ranges that are being taken apart, also by a process that is gone. @param topic of the table */
  open(table: string, topic: string): Promise<RawRange[]>;
  /** Notes a range, before the first part of it is written: from then on a start reads it again. */
  begin(table: string, range: RawRange): Promise<void>;
  /** Keeps events as dead letters and notes what is left of the range, in one step. @param rest null: nothing */
  end(table: string, partition: number, rest: RawRange | null, refused: RefusedEvent[]): Promise<void>;
  /** Keeps records that cannot be read as dead letters; those that are kept already change nothing. */
  unread(table: string, topic: string, partition: number, records: UnreadRecord[]): Promise<void>;
  /**
   * Notes which topic the table's offsets are of. @param id of the topic that there is @param isEmpty the table has no offsets yet
   * @throws TOPIC_OTHER when it has offsets, and they are of another topic
   */
  topic(table: string, topic: string, id: string, isEmpty: boolean): Promise<void>;
  /** What is read first, with columns that the table no longer has. @param schema of the table */
  before(table: Table, schema: AvroRecord): Promise<RawPhase[]>;
  /** All of that was delivered. */
  settled(table: string): Promise<void>;
};

/** What a delivery that is stopped waits for no longer: each answer rejects with the reason of the signal then. */
export function givenUpWith(books: RawBooks, stopped: AbortSignal): RawBooks {
  const either = <T>(work: Promise<T>): Promise<T> => unlessAborted(work, stopped);
  return {
    open: (...args) => either(books.open(...args)),
    begin: (...args) => either(books.begin(...args)),
    end: (...args) => either(books.end(...args)),
    unread: (...args) => either(books.unread(...args)),
    topic: (...args) => either(books.topic(...args)),
    before: (...args) => either(books.before(...args)),
    settled: (...args) => either(books.settled(...args)),
  };
}

/** Writes raw batches of one table; events that the sink refuses are set aside, and all others written. */
export type RawWriter = {
  /** Where a partition is to be read from, when a batch of it is in parts; else undefined. */
  from(partition: number): number | undefined;
  /** Keeps records that cannot be read; before the offset moves past them. */
  unread(partition: number, records: UnreadRecord[]): Promise<void>;
  /** @returns how many events were set aside. @throws the sink's error, SINK_REFUSED also when it takes none of many events */
  write(batch: RawBatch, records: RecordBatch[]): Promise<number>;
};

/**
 * A sink that keeps offsets with its rows would know an offset past a refused event as soon as a later one is written, and
 * a crash would lose the refused one. So the range is on record before anything of it is written in parts, its parts are
 * written `again` (which leaves the durable offset where it is), and that offset moves after the letters are durable.
 * @param books without them a refused event stops the delivery
 */
export async function openRawWriter(
  {table, topic}: {table: Table; topic: string},
  sink: Sink,
  books: RawBooks | undefined,
): Promise<RawWriter> {
  const id = tableId(table);
  const ranges = new Map((await books?.open(id, topic))?.map((range) => [range.partition, range]));
  /** Events refused since one was taken. */
  let inRow = 0;
  const attempt = async (batch: RawBatch): Promise<PlatformError | undefined> => {
    try {
      await sink.writeRaw!(table, batch);
      return undefined;
    } catch (error) {
      if (books && isRowError(error)) return error;
      throw error;
    }
  };
  const inParts = async (batch: RawBatch, first: PlatformError): Promise<RefusedRow[]> => {
    const {topic: of, partition, fromOffset} = batch;
    const place = {topic: of, partition, fromOffset, toOffset: fromOffset, again: true} as const;
    const refused = await writeApart(
      batch,
      first,
      async (part) => {
        const error = await attempt({...part, ...place});
        failpoint('raw.after-part');
        return error;
      },
      inRow,
    );
    inRow = refused.length === batch.count ? inRow + refused.length : 0;
    return refused;
  };
  return {
    from: (partition) => ranges.get(partition)?.from,
    unread: async (partition, records) => {
      if (records.length > 0) await books?.unread(id, topic, partition, records);
    },
    async write(batch, records) {
      const {partition, fromOffset, toOffset} = batch;
      let range = ranges.get(partition);
      const error = await attempt(range ? {...batch, toOffset: fromOffset, again: true} : batch);
      if (!error && !range) {
        if (batch.count > 0) inRow = 0;
        return 0;
      }
      if (!range) {
        range = {partition, from: fromOffset, to: toOffset};
        await books!.begin(id, range);
        ranges.set(partition, range);
      }
      const rows = error ? await inParts(batch, error) : [];
      const rest = range.to > toOffset ? {...range, from: toOffset} : null;
      failpoint('raw.before-letters');
      await books!.end(id, partition, rest, eventsOf(table, batch, rows, records));
      failpoint('raw.after-letters');
      if (rest) ranges.set(partition, rest);
      else ranges.delete(partition);
      await sink.writeRaw!(table, {...batch, count: 0, columns: batch.columns.map(() => [])});
      return rows.length;
    },
  };
}

/** The refused rows with the records that they were made of. */
function eventsOf(
  table: Table,
  {topic, partition}: RawBatch,
  rows: RefusedRow[],
  records: RecordBatch[],
): RefusedEvent[] {
  const frames = new Map<number, Uint8Array | undefined>();
  const offsetOf = ({row}: RefusedRow) => row[columnIndex(table, '_offset')] as number;
  for (const row of rows) frames.set(offsetOf(row), undefined);
  for (const batch of rows.length > 0 ? records : []) {
    if (batch.kind !== 'data') continue;
    walkRecords(batch, (index, start, end) => {
      const offset = batch.baseOffset + index;
      if (frames.has(offset)) frames.set(offset, batch.bytes.slice(start, end));
    });
  }
  return rows.map((each) => {
    const offset = offsetOf(each);
    return {
      topic,
      partition,
      offset,
      eventId: String(each.row[columnIndex(table, 'event_id')]),
      frame: frames.get(offset)!,
      code: each.code,
      message: each.message,
    };
  });
}
