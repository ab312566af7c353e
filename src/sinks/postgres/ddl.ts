import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {Column, Table} from '../../model/types.ts';
import {type Step, tableChange} from '../evolve.ts';
import {tableId} from '../tables.ts';
import type {PostgresConnection, PostgresTransaction} from './connection.ts';
import {stateOf} from './errors.ts';
import {physical, quote, quoteTable} from './names.ts';

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

const createTable = (table: Table): string => {
  const columns = table.columns.map(
    (column) => `${quote(column.name)} ${columnType(column)}${column.nullable ? '' : ' NOT NULL'}`,
  );
  return `CREATE TABLE IF NOT EXISTS ${physical(table)} (${columns.join(', ')},
    UNIQUE NULLS NOT DISTINCT (${table.key.map(quote).join(', ')}))`;
};

const createView = (table: Table, verb: string): string => {
  const {name, columns} = table.view!;
  return `${verb} ${quoteTable(table.namespace, name)} AS
    SELECT ${columns.map(quote).join(', ')} FROM ${physical(table)} WHERE NOT deleted`;
};

/**
 * Creates schema, table and view where they are missing; alters a table of raw events in one transaction, see `tableChange`.
 * @throws SINK_TABLE_DIFFERS
 */
export async function ensureTable(connection: PostgresConnection, table: Table): Promise<void> {
  await connection.query(`CREATE SCHEMA IF NOT EXISTS ${quote(table.namespace)}`);
  await connection.query(createTable(table));
  const steps = await verifyTable(connection, table);
  if (steps.length > 0) {
    await connection.transaction(async (transaction) => {
      for (const step of steps) {
        failpoint('table.before-step');
        await transaction.query(`ALTER TABLE ${physical(table)} ${alteration(step)}`);
      }
    });
    await verifyTable(connection, table);
  }
  if (!table.view) return;
  const {rows} = await connection.query('SELECT 1 FROM pg_views WHERE schemaname = $1 AND viewname = $2', [
    table.namespace,
    table.view.name,
  ]);
  if (rows.length === 0) await connection.query(createView(table, 'CREATE VIEW'));
}

/** Points the view at the table in one transaction; a view whose columns changed is dropped and made anew in it. */
export async function switchView(connection: PostgresConnection, table: Table): Promise<void> {
  try {
    await connection.query(createView(table, 'CREATE OR REPLACE VIEW'));
  } catch (error) {
    const columnsChanged = stateOf(error) === '42P16';
    if (!columnsChanged) throw error;
    await connection.transaction(async (transaction) => {
      await transaction.query(`DROP VIEW ${quoteTable(table.namespace, table.view!.name)}`);
      await transaction.query(createView(table, 'CREATE VIEW'));
    });
  }
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
async function verifyTable(connection: PostgresTransaction, table: Table): Promise<Step[]> {
  const place = [table.namespace, table.name];
  const columns = await connection.query(
    `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atthasdef FROM pg_attribute a
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    place,
  );
  const unique = await connection.query(
    `SELECT string_agg(a.attname::text, ',' ORDER BY k.position) FROM pg_index i
     JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
     WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indnullsnotdistinct GROUP BY i.indexrelid`,
    place,
  );
  const existing = columns.rows.map(([name, type, nullable, hasDefault]) => ({
    name: String(name),
    type: String(type),
    nullable: nullable === true,
    hasDefault: hasDefault === true,
  }));
  const keys = unique.rows.map(([names]) => String(names));
  const key = keys.includes(table.key.join()) ? table.key : (keys[0] ?? '').split(',');
  const {differences: problems, steps} = tableChange(table, {columns: existing, key}, columnType);
  if (problems.length === 0) return steps;
  throw new PlatformError('SINK_TABLE_DIFFERS', `${tableId(table)}: ${problems.join('; ')}`, {
    place: tableId(table),
    hint: `${mend(table, existing, problems)}; then: npx millrace resume`,
  });
}

/** The statement that mends missing columns; anything else wants a new table from the log. */
function mend(table: Table, existing: {name: string}[], problems: string[]): string {
  const has = new Set(existing.map(({name}) => name));
  const missing = table.columns.filter(({name, nullable}) => !has.has(name) && nullable);
  if (missing.length === problems.length) {
    const added = missing.map((column) => `ADD COLUMN ${quote(column.name)} ${columnType(column)}`);
    return `ALTER TABLE ${physical(table)} ${added.join(', ')}`;
  }
  return `ALTER TABLE ${physical(table)} RENAME TO ${quote(`${table.name}_old`)} (a new one is filled from the log)`;
}
