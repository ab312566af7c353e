import {failpoint} from '../../failpoint.ts';
import type {Table} from '../../model/types.ts';
import type {ClickHouseConnection} from './connection.ts';
import {alterOn, on, physical, quote, quoteTable} from './names.ts';
import {columnType, nullableType} from './types.ts';
import {type ClickHouseStep, verifyTable} from './verify.ts';

/** Prefers the lowest offset of an event id; hidden from `SELECT *`. */
const rankColumn = '_rank';

/** How a table is made: only this of a connection. */
export type Placement = Pick<ClickHouseConnection, 'cluster' | 'tableSettings'>;

/** Where replicas meet in Keeper is the server's `default_replica_path`: a table that is made again has another place. */
const engineOf = ({cluster}: Placement, ...columns: string[]): string =>
  `${cluster?.replicated ? 'Replicated' : ''}ReplacingMergeTree(${columns.map(quote).join(', ')})`;

/** The statement that makes a table. */
export function createTable(placement: Placement, table: Table): string {
  const columns = table.columns.map((column) => `${quote(column.name)} ${columnType(table, column)}`);
  if (table.kind === 'raw')
    columns.push(
      `${quote(rankColumn)} UInt64 MATERIALIZED 9223372036854775807 - toUInt64(${quote('_offset')})`,
    );
  const engine =
    table.kind === 'raw' ? engineOf(placement, rankColumn) : engineOf(placement, 'version', 'deleted');
  const settings = ['allow_nullable_key = 1', ...placement.tableSettings(table.kind)];
  return `CREATE TABLE IF NOT EXISTS ${physical(table)}${on(placement)} (${columns.join(', ')}) ENGINE = ${engine}
    ORDER BY (${table.key.map(quote).join(', ')}) SETTINGS ${settings.join(', ')}`;
}

/** The statement that makes the view of a query's table, beginning with `verb`. */
export function createView(placement: Pick<Placement, 'cluster'>, table: Table, verb: string): string {
  const {name, columns} = table.view!;
  return `${verb} ${quoteTable(table.namespace, name)}${on(placement)} AS
    SELECT ${columns.map(quote).join(', ')} FROM ${physical(table)} FINAL`;
}

/** Names of `system.<list>` that exist, of those wanted: what exists is not made, which may need a right that the user lacks. */
async function exists(
  {client}: ClickHouseConnection,
  list: 'databases' | 'tables',
  where: string,
  query_params: Record<string, string>,
): Promise<boolean> {
  const result = await client.query({
    query: `SELECT name FROM system.${list} WHERE ${where}`,
    query_params,
    format: 'JSONEachRow',
  });
  return (await result.json()).length > 0;
}

async function ensureDatabase(connection: ClickHouseConnection, name: string): Promise<void> {
  if (await exists(connection, 'databases', 'name = {name:String}', {name})) return;
  await connection.client.command({query: `CREATE DATABASE IF NOT EXISTS ${quote(name)}${on(connection)}`});
}

/** Creates the table for delivery marks where it is missing. */
export async function ensureMarks(connection: ClickHouseConnection): Promise<void> {
  const names = {database: 'millrace', name: 'delivered'};
  if (await exists(connection, 'tables', 'database = {database:String} AND name = {name:String}', names))
    return;
  await ensureDatabase(connection, names.database);
  await connection.client.command({
    query: `CREATE TABLE IF NOT EXISTS ${quoteTable(names.database, names.name)}${on(connection)} (table String, epoch UInt64)
      ENGINE = ${engineOf(connection, 'epoch')} ORDER BY table`,
  });
}

/**
 * Creates database, table and view where they are missing; alters a table of raw events in place, see `tableChange`.
 * @throws SINK_TABLE_DIFFERS
 */
export async function ensureTable(connection: ClickHouseConnection, table: Table): Promise<void> {
  const {client, patient} = connection;
  let steps = await verifyTable(connection, table);
  if (!steps) {
    await ensureDatabase(connection, table.namespace);
    await client.command({query: createTable(connection, table)});
    // Another may have made it since, and differently.
    steps = (await verifyTable(connection, table)) ?? [];
  }
  for (const step of steps) {
    failpoint('table.before-step');
    await patient.command({
      query: `ALTER TABLE ${physical(table)}${alterOn(connection)} ${alteration(table, step)} ${synchronous}`,
    });
  }
  if (steps.length > 0) await verifyTable(connection, table);
  if (!table.view) return;
  const names = {database: table.namespace, name: table.view.name};
  if (await exists(connection, 'tables', 'database = {database:String} AND name = {name:String}', names))
    return;
  await client.command({query: createView(connection, table, 'CREATE VIEW IF NOT EXISTS')});
}

/** Points the view at the table in one statement: readers see the one or the other, on a cluster each server for itself. */
export const switchView = (connection: ClickHouseConnection, table: Table): Promise<unknown> =>
  connection.client.command({query: createView(connection, table, 'CREATE OR REPLACE VIEW')});

/** A statement that rewrites a column returns when that is done; cut short, ClickHouse goes on with it by itself. */
const synchronous = 'SETTINGS mutations_sync = 1, alter_sync = 1';

/** What follows ALTER TABLE. */
function alteration(table: Table, step: ClickHouseStep): string {
  switch (step.do) {
    case 'rename':
      return `RENAME COLUMN IF EXISTS ${quote(step.from)} TO ${quote(step.column.name)}`;
    case 'widen': {
      const {column, nullable} = step;
      return `MODIFY COLUMN ${quote(column.name)} ${columnType(table, {...column, nullable})}`;
    }
    case 'relax':
      return `MODIFY COLUMN ${quote(step.name)} ${nullableType(step.type)}`;
    default: {
      const {column} = step;
      const before = table.columns[table.columns.indexOf(column) - 1];
      const place = before ? `AFTER ${quote(before.name)}` : 'FIRST';
      return `ADD COLUMN IF NOT EXISTS ${quote(column.name)} ${columnType(table, column)} ${place}`;
    }
  }
}
