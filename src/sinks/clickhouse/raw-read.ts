import type {Table} from '../../model/types.ts';
import {type ExactColumn, rawColumns, rawSelect} from '../raw-read.ts';
import type {QueryResult, RawRange, RowBatch} from '../types.ts';
import {physical, quote} from './names.ts';

const exact: ExactColumn = ({name, type}) =>
  type === 'timestamp'
    ? `toUnixTimestamp64Milli(${quote(name)})`
    : type === 'date'
      ? `toInt32(${quote(name)})`
      : type === 'uuid'
        ? `toString(${quote(name)})`
        : quote(name);

/** Raw events of a range of offsets; of an event id that came at two offsets the lower one. @param query answers a SELECT */
export async function readRawEvents(
  query: (sql: string) => Promise<QueryResult>,
  table: Table,
  range: RawRange,
  columns: string[],
): Promise<RowBatch> {
  const {rows} = await query(rawSelect(table, range, columns, {from: `${physical(table)} FINAL`, exact}));
  return rawColumns(table, columns, rows);
}
