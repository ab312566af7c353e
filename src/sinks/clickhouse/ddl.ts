import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {Column, Table} from '../../model/types.ts';
import {type Step, tableChange} from '../evolve.ts';
import {tableId} from '../tables.ts';
import type {ClickHouseConnection} from './connection.ts';
import {physical, quote, quoteTable} from './names.ts';

const plainTypes = {
  string: 'String',
  enum: 'String',
  int: 'Int32',
  long: 'Int64',
  money: 'Int64',
  double: 'Float64',
  boolean: 'Bool',
  timestamp: "DateTime64(3, 'UTC')",
  date: 'Date32',
  uuid: 'UUID',
} as const;

/** Prefers the lowest offset of an event id; hidden from `SELECT *`. */
const rankColumn = '_rank';

/** ClickHouse's type of a column, spelled as system.columns does. */
export function columnType(table: Table, column: Column): string {
  if (table.kind === 'query' && column.name === 'version') return 'UInt64';
  if (table.kind === 'query' && column.name === 'deleted') return 'UInt8';
  const plain = plainTypes[column.type];
  const nullable = column.nullable ? `Nullable(${plain})` : plain;
  return column.dimension && plain === 'String' ? `LowCardinality(${nullable})` : nullable;
}

const createTable = (table: Table, settings: string[]): string => {
  const columns = table.columns.map((column) => `${quote(column.name)} ${columnType(table, column)}`);
  if (table.kind === 'raw')
    columns.push(
      `${quote(rankColumn)} UInt64 MATERIALIZED 9223372036854775807 - toUInt64(${quote('_offset')})`,
    );
  const engine =
    table.kind === 'raw'
      ? `ReplacingMergeTree(${quote(rankColumn)})`
      : `ReplacingMergeTree(${quote('version')}, ${quote('deleted')})`;
  return `CREATE TABLE IF NOT EXISTS ${physical(table)} (${columns.join(', ')}) ENGINE = ${engine}
    ORDER BY (${table.key.map(quote).join(', ')}) SETTINGS ${['allow_nullable_key = 1', ...settings].join(', ')}`;
};

const createView = (table: Table, verb: string): string => {
  const {name, columns} = table.view!;
  return `${verb} ${quoteTable(table.namespace, name)} AS
    SELECT ${columns.map(quote).join(', ')} FROM ${physical(table)} FINAL`;
};

/**
 * Creates database, table and view where they are missing; alters a table of raw events in place, see `tableChange`.
 * @throws SINK_TABLE_DIFFERS
 */
export async function ensureTable(
  {client, tableSettings}: ClickHouseConnection,
  table: Table,
): Promise<void> {
  await client.command({query: `CREATE DATABASE IF NOT EXISTS ${quote(table.namespace)}`});
  await client.command({query: createTable(table, tableSettings)});
  const steps = await verifyTable(client, table);
  for (const step of steps) {
    failpoint('table.before-step');
    await client.command({query: `ALTER TABLE ${physical(table)} ${alteration(table, step)} ${synchronous}`});
  }
  if (steps.length > 0) await verifyTable(client, table);
  if (table.view) await client.command({query: createView(table, 'CREATE VIEW IF NOT EXISTS')});
}

/** Points the view at the table in one statement: readers see the one or the other. */
export const switchView = ({client}: ClickHouseConnection, table: Table): Promise<unknown> =>
  client.command({query: createView(table, 'CREATE OR REPLACE VIEW')});

/** A statement that rewrites a column returns when that is done; cut short, ClickHouse goes on with it by itself. */
const synchronous = 'SETTINGS mutations_sync = 1, alter_sync = 1';

type ClickHouseStep = Exclude<Step, {do: 'relax'}> | (Step & {do: 'relax'; type: string});

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

const lowCardinality = /^LowCardinality\((.*)\)$/;
const nullableType = (type: string): string => {
  const inner = lowCardinality.exec(type)?.[1];
  return inner === undefined ? `Nullable(${type})` : `LowCardinality(Nullable(${inner}))`;
};

/** Whether a type is one of ours, without Nullable: another, as of a column that somebody added, is left as it is. */
const plainType = (type: string): string => {
  const inner = lowCardinality.exec(type)?.[1] ?? type;
  return /^Nullable\((.*)\)$/.exec(inner)?.[1] ?? inner;
};
const isOurs = (type: string): boolean => (Object.values(plainTypes) as string[]).includes(plainType(type));

/** @returns what makes the table as it is wanted. @throws SINK_TABLE_DIFFERS for what no step can mend */
async function verifyTable(client: ClickHouseConnection['client'], table: Table): Promise<ClickHouseStep[]> {
  const query_params = {namespace: table.namespace, name: table.name};
  const where = '{namespace:String} AND {name:String}'.split(' AND ');
  const columns = await client.query({
    query: `SELECT name, type, default_kind FROM system.columns WHERE database = ${where[0]} AND table = ${where[1]}
      AND default_kind != 'MATERIALIZED' ORDER BY position`,
    query_params,
    format: 'JSONEachRow',
  });
  const definition = await client.query({
    query: `SELECT sorting_key, engine FROM system.tables WHERE database = ${where[0]} AND name = ${where[1]}`,
    query_params,
    format: 'JSONEachRow',
  });
  const existing = await columns.json<{name: string; type: string; default_kind: string}>();
  const [found] = await definition.json<{sorting_key: string; engine: string}>();
  const key = (found?.sorting_key ?? '').split(', ').map((name) => name.replace(/[`()]/g, ''));
  const isRaw = table.kind === 'raw';
  const {differences: problems, steps} = tableChange(
    table,
    {
      key,
      columns: existing.map(({name, type, default_kind}) => ({
        name,
        // Whether a text is LowCardinality is how it is stored: that alone is no reason to rewrite the column.
        type: isRaw ? plainType(type) : type,
        nullable: type.includes('Nullable('),
        hasDefault: default_kind !== '' || !isOurs(type),
      })),
    },
    (column) => (isRaw ? plainTypes[column.type] : columnType(table, column)),
  );
  if (found && found.engine !== 'ReplacingMergeTree')
    problems.push(`the engine is ${found.engine} instead of ReplacingMergeTree`);
  const renamed = new Map(
    steps.flatMap((step) => (step.do === 'rename' ? [[step.column.name, step.from] as const] : [])),
  );
  const typeOf = (name: string) =>
    existing.find((each) => each.name === (renamed.get(name) ?? name))?.type ?? '';
  const widened = new Set(steps.flatMap((step) => (step.do === 'widen' ? [step.column.name] : [])));
  if (problems.length === 0)
    return steps
      .filter((step) => step.do !== 'relax' || !widened.has(step.name))
      .map((step): ClickHouseStep => (step.do === 'relax' ? {...step, type: typeOf(step.name)} : step));
  throw new PlatformError('SINK_TABLE_DIFFERS', `${tableId(table)}: ${problems.join('; ')}`, {
    place: tableId(table),
    hint: `${mend(table, existing, problems)}; then: npx millrace resume`,
  });
}

/** The statement that mends missing columns; anything else wants a new table from the log. */
function mend(table: Table, existing: {name: string}[], problems: string[]): string {
  const has = new Set(existing.map(({name}) => name));
  const missing = table.columns.filter(({name}) => !has.has(name) && !table.key.includes(name));
  if (missing.length === problems.length) {
    const added = missing.map((column) => `ADD COLUMN ${quote(column.name)} ${columnType(table, column)}`);
    return `ALTER TABLE ${physical(table)} ${added.join(', ')}`;
  }
  const aside = quoteTable(table.namespace, `${table.name}_old`);
  return `RENAME TABLE ${physical(table)} TO ${aside} (a new one is filled from the log)`;
}
