import type {Table} from '../../model/types.ts';
import {type ExactColumn, rawColumns, rawSelect} from '../raw-read.ts';
import type {RawRange, RowBatch} from '../types.ts';
import type {PostgresTransaction} from './connection.ts';
import {physical, quote} from './names.ts';

const exact: ExactColumn = ({name, type}) =>
  type === 'timestamp'
    ? `(extract(epoch FROM ${quote(name)}) * 1000)::bigint`
    : type === 'date'
      ? `(${quote(name)} - date '1970-01-01')`
      : type === 'uuid'
        ? `${quote(name)}::text`
        : quote(name);

/** Raw events of a range of offsets. */
export async function readRawEvents(
  connection: Pick<PostgresTransaction, 'query'>,
  table: Table,
  range: RawRange,
  columns: string[],
): Promise<RowBatch> {
  const {rows} = await connection.query(rawSelect(table, range, columns, {from: physical(table), exact}));
  return rawColumns(table, columns, rows);
}
