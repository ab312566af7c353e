/** Raw events as SQL answers them, read back as the values that were written. */
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Column, Table} from '../model/types.ts';
import {columnIndex, tableId} from './tables.ts';
import type {RawRange, RowBatch} from './types.ts';

/** How a database says a column's value so that nothing of it is lost: times as epoch ms, dates as days since 1970. */
export type ExactColumn = (column: Column) => string;

/**
 * The statement for raw events of a range, by offset. Names were checked with the model: letters, digits and `_`.
 * @param from the table, with what reads each event once
 */
export function rawSelect(
  table: Table,
  {partition, from: fromOffset, to}: RawRange,
  columns: string[],
  {from, exact}: {from: string; exact: ExactColumn},
): string {
  const list = columns.map((name) => `${exact(table.columns[columnIndex(table, name)]!)} AS "c_${name}"`);
  const where = `"_partition" = ${partition} AND "_offset" >= ${fromOffset} AND "_offset" < ${to}`;
  return `SELECT ${list.join(', ')} FROM ${from} WHERE ${where} ORDER BY "_offset"`;
}

/** Rows as columns of values. @throws SINK_QUERY when a value is none of its column's type */
export function rawColumns(table: Table, columns: string[], rows: Value[][]): RowBatch {
  return {
    table: tableId(table),
    count: rows.length,
    columns: columns.map((name, index) => {
      const {type} = table.columns[columnIndex(table, name)]!;
      return rows.map((row) => valueAs(type, row[index] ?? null, name));
    }),
  };
}

function valueAs(type: Column['type'], value: Value, name: string): Value {
  if (value === null) return null;
  if (type === 'timestamp' || type === 'date' || type === 'int') return Number(value);
  const isRight =
    type === 'boolean'
      ? typeof value === 'boolean'
      : type === 'long' || type === 'money' || type === 'double'
        ? typeof value === 'number' || typeof value === 'bigint'
        : typeof value === 'string';
  if (isRight) return type === 'double' ? Number(value) : value;
  throw new PlatformError('SINK_QUERY', `column ${name} holds ${typeof value}, not ${type}`);
}
