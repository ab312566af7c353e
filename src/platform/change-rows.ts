import type {Table} from '../model/types.ts';
import {tombstoneVersion} from '../sinks/tables.ts';

/**
 * SQL for the truth in a table of rows with versions, on ClickHouse and PostgreSQL alike: of every key the row with the highest
 * version, without tombstones, newest windows first, or oldest. Names were checked with the model; they hold letters, digits and `_`.
 */
export function newestRows({namespace, name, columns, key}: Table, rowsMax: number, oldest = false): string {
  const list = columns.map((column) => `"${column.name}"`).join(', ');
  const keys = key.map((column) => `"${column}"`).join(', ');
  return `SELECT ${list} FROM (SELECT *, row_number() OVER (PARTITION BY ${keys} ORDER BY "version" DESC) AS "_rank"
FROM "${namespace}"."${name}") AS "ranked" WHERE "_rank" = 1 AND "version" < ${tombstoneVersion}
ORDER BY "window_start" ${oldest ? 'ASC' : 'DESC'} LIMIT ${rowsMax}`;
}
