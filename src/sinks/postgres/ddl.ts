import {PlatformError} from '../../errors.ts';
import type {Value} from '../../expr/types.ts';
import {failpoint} from '../../failpoint.ts';
import type {Column, Table} from '../../model/types.ts';
import {type Step, tableChange} from '../evolve.ts';
import {tableId} from '../tables.ts';
import type {PostgresConnection, PostgresTransaction} from './connection.ts';
import {dayColumn} from './days.ts';
import {offsetTable, physical, quote} from './names.ts';
import {inOneAtATime} from './order.ts';
import {ensureView, exists} from './views.ts';

/** Spelled as format_type() does. */
const types = {
  string: 'text',
  enum: 'text',
  int: 'integer',
  long: 'bigint',
  money: 'bigint',
  double: 'double precision',
  boolean: 'boolean',
  timestamp: 'timestamp(3) with time zone',
  date: 'date',
  uuid: 'uuid',
} as const;

/** PostgreSQL's type of a column. */
export const columnType = ({type}: Column): string => types[type];

const createTable = (table: Table, byDay: boolean): string => {
  const columns = table.columns.map(
    (column) => `${quote(column.name)} ${columnType(column)}${column.nullable ? '' : ' NOT NULL'}`,
  );
  const key = `UNIQUE NULLS NOT DISTINCT (${table.key.map(quote).join(', ')})`;
  return `CREATE TABLE ${physical(table)} (${byDay ? columns.join(', ') : [...columns, key].join(', ')})
    ${byDay ? `PARTITION BY RANGE (${quote(dayColumn)})` : ''}`;
};

/** Makes a schema when there is none: the right to make one is not needed for one that is there. */
export async function ensureSchema(transaction: PostgresTransaction, name: string): Promise<void> {
  const {rows} = await transaction.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [name]);
  if (rows.length === 0) await transaction.query(`CREATE SCHEMA ${quote(name)}`);
}

/**
 * Creates schema, table and view where they are missing; alters a table of raw events in one transaction, see `tableChange`.
 * @param byDay whether the table has a partition a day @throws SINK_TABLE_DIFFERS
 */
export async function ensureTable(
  connection: PostgresConnection,
  table: Table,
  {byDay}: {byDay: boolean},
): Promise<void> {
  await connection.transaction(async (transaction) => {
    await inOneAtATime(transaction);
    await ensureSchema(transaction, table.namespace);
    if (!(await exists(transaction, table.namespace, table.name))) {
      await transaction.query(createTable(table, byDay));
      if (table.kind === 'raw') {
        // Ranges of offsets are read back; rows come in their order, so that a few bytes for every 128 pages find them.
        if (byDay)
          await transaction.query(
            `CREATE INDEX ON ${physical(table)} USING brin (_partition, _offset) WITH (autosummarize = on)`,
          );
        // What was delivered to a table of this name is not in this one.
        await transaction.query(`DELETE FROM ${offsetTable} WHERE table_name = $1`, [tableId(table)]);
      }
    }
  });
  const steps = await verifyTable(connection, table, byDay);
  if (steps.length > 0) {
    await connection.transaction(
      async (transaction) => {
        for (const step of steps) {
          failpoint('table.before-step');
          await transaction.query(`ALTER TABLE ${physical(table)} ${alteration(step)}`);
        }
      },
      {patient: true},
    );
    await verifyTable(connection, table, byDay);
  }
  if (table.view) await ensureView(connection, table);
}

/** What follows ALTER TABLE. New columns stand behind those that are there. */
function alteration(step: Step): string {
  switch (step.do) {
    case 'rename':
      return `RENAME COLUMN ${quote(step.from)} TO ${quote(step.column.name)}`;
    case 'widen':
      return `ALTER COLUMN ${quote(step.column.name)} TYPE ${columnType(step.column)}`;
    case 'relax':
      return `ALTER COLUMN ${quote(step.name)} DROP NOT NULL`;
    default:
      return `ADD COLUMN IF NOT EXISTS ${quote(step.column.name)} ${columnType(step.column)}`;
  }
}

/** @returns what makes the table as it is wanted. @throws SINK_TABLE_DIFFERS for what no step can mend */
async function verifyTable(connection: PostgresTransaction, table: Table, byDay: boolean): Promise<Step[]> {
  const place = [table.namespace, table.name];
  const columns = await connection.query(
    `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atthasdef, c.relkind = 'p'
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    place,
  );
  // Of a table with partitions they are those of its partitions: over all of them there is none.
  const unique = await connection.query(
    `SELECT h.oid::bigint, coalesce(string_agg(a.attname::text, ',' ORDER BY k.position), '')
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_class h ON CASE WHEN c.relkind = 'p' THEN h.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid) ELSE h.oid = c.oid END
     LEFT JOIN pg_index i ON i.indrelid = h.oid AND i.indisunique AND i.indnullsnotdistinct
     LEFT JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position) ON true
     LEFT JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum = k.attnum
     WHERE n.nspname = $1 AND c.relname = $2 GROUP BY h.oid, i.indexrelid`,
    place,
  );
  const existing = columns.rows.map(([name, type, nullable, hasDefault]) => ({
    name: String(name),
    type: String(type),
    nullable: nullable === true,
    hasDefault: hasDefault === true,
  }));
  const {differences: problems, steps} = tableChange(
    table,
    {columns: existing, key: keyOf(table, unique.rows)},
    columnType,
  );
  const isByDay = columns.rows[0]?.[4] === true;
  if (isByDay !== byDay)
    problems.push(isByDay ? 'it has partitions, and partition_by is none' : 'it has no partition a day');
  if (problems.length === 0) return steps;
  throw new PlatformError('SINK_TABLE_DIFFERS', `${tableId(table)}: ${problems.join('; ')}`, {
    place: tableId(table),
    hint: `${mend(table, existing, problems, isByDay)}; then: npx millrace resume`,
  });
}

/** The key that is wanted, when the table or each of its partitions has it; else one that it has. @param indexes [table or partition, columns] */
function keyOf(table: Table, indexes: Value[][]): string[] {
  const byTable = Map.groupBy(indexes, ([oid]) => String(oid));
  const wanted = table.key.join();
  const other = [...byTable.values()].find((each) => !each.some(([, names]) => names === wanted));
  return other ? String(other[0]?.[1] ?? '').split(',') : table.key;
}

/** The statement that mends missing columns; anything else wants a new table from the log. */
function mend(table: Table, existing: {name: string}[], problems: string[], isByDay: boolean): string {
  const has = new Set(existing.map(({name}) => name));
  const missing = table.columns.filter(({name, nullable}) => !has.has(name) && nullable);
  if (missing.length === problems.length) {
    const added = missing.map((column) => `ADD COLUMN ${quote(column.name)} ${columnType(column)}`);
    return `ALTER TABLE ${physical(table)} ${added.join(', ')}`;
  }
  // The names of partitions would be in the way of those of the new table.
  if (isByDay) return `DROP TABLE ${physical(table)} (a new one is filled from the log)`;
  return `ALTER TABLE ${physical(table)} RENAME TO ${quote(`${table.name}_old`)} (a new one is filled from the log)`;
}
