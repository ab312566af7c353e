import {createHash} from 'node:crypto';
import type {Value} from '../../expr/types.ts';
import type {Table} from '../../model/types.ts';
import {reduceToHighest} from '../reduce.ts';
import {dateText, instantText, tableId} from '../tables.ts';
import {encodeTsvChunks, type TsvDialect} from '../tsv.ts';
import type {RawBatch, RowBatch} from '../types.ts';
import type {PostgresConnection, PostgresTransaction} from './connection.ts';
import type {Days} from './days.ts';
import {columnType} from './ddl.ts';
import {stateOf} from './errors.ts';
import {offsetTable, physical, quote} from './names.ts';

/** PostgreSQL has no U+0000 in texts: it is stored as U+FFFD. */
const dialect: TsvDialect = {
  deleted: ['f', 't'],
  nonFinite: {nan: 'NaN', plus: 'Infinity', minus: '-Infinity'},
  nul: '\uFFFD',
  zone: '+00',
};

/** Measured: up to about a thousand rows one statement with arrays is faster, above it COPY into a temporary table. */
const arrayRowsMax = 1_000;
const uniqueViolation = '23505';

const columnList = (table: Table): string => table.columns.map(({name}) => quote(name)).join(', ');

/** Upserts where the version is greater. */
export async function writeRows(
  connection: PostgresConnection,
  table: Table,
  batch: RowBatch,
): Promise<void> {
  const rows = withoutNul(table, batch);
  if (rows.count === 0) return;
  const sets = table.columns
    .filter(({name}) => !table.key.includes(name))
    .map(({name}) => `${quote(name)} = excluded.${quote(name)}`);
  const onConflict = `ON CONFLICT (${table.key.map(quote).join(', ')}) DO UPDATE SET ${sets.join(', ')}
    WHERE excluded.version > t.version`;
  if (rows.count <= arrayRowsMax) {
    await insertArrays(connection, table, rows, onConflict);
    return;
  }
  await connection.transaction(async (transaction) => {
    const staged = await stage(transaction, table, rows);
    await transaction.query(
      `INSERT INTO ${physical(table)} AS t (${columnList(table)}) SELECT ${columnList(table)} FROM ${staged} ${onConflict}`,
    );
  });
}

/**
 * Raw events with their offset in one transaction: COPY, and only when an event id is there already the way that looks at
 * every one. That way takes ids that become equal by U+FFFD for U+0000, too. @param days of a table that has partitions
 */
export async function writeRawRows(
  connection: PostgresConnection,
  table: Table,
  batch: RawBatch,
  days?: Days,
): Promise<void> {
  const admitted = days ? await days.admit(table, batch) : batch;
  const write = (insert: (transaction: PostgresTransaction, rows: RawBatch) => Promise<unknown>) =>
    connection.transaction(async (transaction) => {
      const rows = days ? await days.withoutRepeated(transaction, table, admitted) : admitted;
      if (rows.count > 0) await insert(transaction, rows);
      await transaction.query(
        `INSERT INTO ${offsetTable} AS o VALUES ($1, $2, $3)
         ON CONFLICT (table_name, partition) DO UPDATE SET next_offset = greatest(o.next_offset, excluded.next_offset)`,
        [tableId(table), batch.partition, batch.toOffset],
      );
    });
  try {
    await write((transaction, rows) =>
      transaction.copy(`${physical(table)} (${columnList(table)})`, encodeTsvChunks(table, rows, dialect)),
    );
  } catch (error) {
    if (stateOf(error) !== uniqueViolation) throw error;
    await write(async (transaction, rows) => {
      const staged = await stage(transaction, table, rows);
      await transaction.query(
        `INSERT INTO ${physical(table)} (${columnList(table)}) SELECT ${columnList(table)} FROM ${staged} ON CONFLICT DO NOTHING`,
      );
    });
  }
}

/**
 * Rows in a temporary table of the connection: made once for a form of a table, since every one that is made leaves rows in the
 * catalog. Empty again after the transaction. @returns its name
 */
async function stage(transaction: PostgresTransaction, table: Table, rows: RowBatch): Promise<string> {
  const columns = table.columns.map((column) => `${quote(column.name)} ${columnType(column)}`).join(', ');
  const form = createHash('sha256')
    .update(`${tableId(table)} ${columns}`)
    .digest('hex')
    .slice(0, 16);
  const name = `pg_temp.${quote(`stage_${form}`)}`;
  await transaction.query(`CREATE TEMPORARY TABLE IF NOT EXISTS ${name} (${columns}) ON COMMIT DELETE ROWS`);
  await transaction.copy(`${name} (${columnList(table)})`, encodeTsvChunks(table, rows, dialect));
  return name;
}

async function insertArrays(
  connection: PostgresTransaction,
  table: Table,
  rows: RowBatch,
  onConflict: string,
): Promise<void> {
  const arrays = table.columns.map((column, index) => `$${index + 1}::text[]::${columnType(column)}[]`);
  await connection.query(
    `INSERT INTO ${physical(table)} AS t (${columnList(table)}) SELECT * FROM unnest(${arrays.join(', ')}) ${onConflict}`,
    table.columns.map((column, index) => arrayLiteral(column.type, rows.columns[index]!)),
  );
}

/** An array as PostgreSQL reads it: `{"text","with \"quotes\"",NULL}`. https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO */
function arrayLiteral(type: string, values: Value[]): string {
  const items = values.map((value) => {
    if (value === null) return 'NULL';
    if (type === 'timestamp') return `"${instantText(value)}"`;
    if (type === 'date') return `"${dateText(Number(value))}"`;
    return `"${String(value).replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${items.join(',')}}`;
}

/** Texts with U+FFFD for U+0000. Keys that become equal by that are reduced to one row: a statement may not touch a row twice. */
function withoutNul(table: Table, batch: RowBatch): RowBatch {
  const texts = table.columns.flatMap(({type}, index) =>
    type === 'string' || type === 'enum' ? [index] : [],
  );
  const has = (index: number) =>
    batch.columns[index]!.some((value) => typeof value === 'string' && value.includes('\0'));
  if (!texts.some(has)) return batch;
  const columns = batch.columns.map((values, index) =>
    texts.includes(index)
      ? values.map((value) => (typeof value === 'string' ? value.replaceAll('\0', '\uFFFD') : value))
      : values,
  );
  return reduceToHighest(table, {...batch, columns});
}
