import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Table} from '../model/types.ts';
import type {RawBatch, RowBatch} from './types.ts';

/** Version of a tombstone: int64's maximum, above every version that counts events. */
export const tombstoneVersion = 9_223_372_036_854_775_807n;

/** `<namespace>.<name>`, the name of a table in batches, marks and errors. */
export const tableId = (table: Table): string => `${table.namespace}.${table.name}`;

/** Position of a column in the table; -1 when there is none. */
export const columnIndex = (table: Table, name: string): number =>
  table.columns.findIndex((column) => column.name === name);

/** `revenue__r3` -> {query: 'revenue', revision: 3}; undefined for a name without a revision. */
export function revisionOf(name: string): {query: string; revision: number} | undefined {
  const match = /^(.+)__r(\d+)$/.exec(name);
  return match ? {query: match[1]!, revision: Number(match[2])} : undefined;
}

/** Rows `rows` of the batch, in that order. */
export function pick(batch: RowBatch, rows: number[]): RowBatch {
  return {
    table: batch.table,
    count: rows.length,
    columns: batch.columns.map((values) => rows.map((row) => values[row]!)),
  };
}

/** Rows `from`..`to` (exclusive). */
export function slice(batch: RowBatch, from: number, to: number): RowBatch {
  const end = Math.min(to, batch.count);
  return {
    table: batch.table,
    count: end - from,
    columns: batch.columns.map((values) => values.slice(from, end)),
  };
}

/** One batch of all rows, in order. */
export function concat(batches: RowBatch[]): RowBatch {
  const [first] = batches;
  if (batches.length === 1) return first!;
  return {
    table: first!.table,
    count: batches.reduce((sum, batch) => sum + batch.count, 0),
    columns: first!.columns.map((_, index) => batches.flatMap((batch) => batch.columns[index]!)),
  };
}

/** The part of a raw batch that lies at or above `offset`, all of one that is to be written `again`; undefined when nothing of it does. Rows carry `_offset`. */
export function fromOffset(table: Table, batch: RawBatch, offset: number): RawBatch | undefined {
  if (batch.again) return batch;
  if (offset >= batch.toOffset) return undefined;
  if (offset <= batch.fromOffset) return batch;
  const offsets = batch.columns[columnIndex(table, '_offset')] as number[];
  const rows: number[] = [];
  for (let row = 0; row < batch.count; row++) if (offsets[row]! >= offset) rows.push(row);
  return {...batch, ...pick(batch, rows), fromOffset: offset};
}

const dayMs = 86_400_000;
/** Years 0 to 9999, epoch ms: every database reads their texts. */
const instants = {first: -62_167_219_200_000, last: 253_402_300_799_999};

const hasText = (timeMs: number): boolean => timeMs >= instants.first && timeMs <= instants.last;

/** Whether `dateText` has a text for a day. */
export const hasDateText = (days: number): boolean => hasText(days * dayMs);

/**
 * Epoch ms -> ISO 8601. @throws PlatformError SINK_ROW for what no year of four digits has: an event that another program wrote into
 * a topic may hold any number
 */
export function instantText(value: Value): string {
  const timeMs = Number(value);
  if (hasText(timeMs)) return new Date(timeMs).toISOString();
  throw new PlatformError('SINK_ROW', `${value} is no time between the years 0 and 9999`, {
    hint: 'the row is set aside: npx millrace dlq list',
  });
}

/** Days since 1970-01-01 -> `YYYY-MM-DD`. @throws PlatformError SINK_ROW as of `instantText` */
export const dateText = (days: number): string => instantText(days * dayMs).slice(0, 10);

/** `YYYY-MM-DD` -> days since 1970-01-01. */
export const dateDays = (text: string): number => Math.round(Date.parse(`${text}T00:00:00Z`) / dayMs);

/** int64 as a number while it is exact (|x| <= 2^53), else as a bigint. */
export function int64(value: bigint | string | number): number | bigint {
  const wide = BigInt(value);
  return wide >= -9_007_199_254_740_992n && wide <= 9_007_199_254_740_992n ? Number(wide) : wide;
}

/** Columns from rows, for callers that think in rows. */
export function batchOf(table: Table, rows: Value[][]): RowBatch {
  return {
    table: tableId(table),
    count: rows.length,
    columns: table.columns.map((_, index) => rows.map((row) => row[index]!)),
  };
}
