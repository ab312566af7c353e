/** Whether a table is as it is wanted, and what makes it so. */
import type {ClickHouseClient} from '@clickhouse/client';
import {PlatformError} from '../../errors.ts';
import type {Table} from '../../model/types.ts';
import {type Step, tableChange} from '../evolve.ts';
import {tableId} from '../tables.ts';
import type {ClickHouseCluster, ClickHouseConnection} from './connection.ts';
import {alterOn, on, physical, quote, quoteTable} from './names.ts';
import {columnType, isOurs, plainType, plainTypes} from './types.ts';

export type ClickHouseStep = Exclude<Step, {do: 'relax'}> | (Step & {do: 'relax'; type: string});

type FoundColumn = {name: string; type: string; default_kind: string};
type FoundTable = {columns: FoundColumn[]; key: string[]; engine: string};

/** The table as the database has it; undefined when there is none, or none that the user may see. */
async function findTable(client: ClickHouseClient, table: Table): Promise<FoundTable | undefined> {
  const query_params = {namespace: table.namespace, name: table.name};
  const rows = async <T>(query: string) =>
    (await client.query({query, query_params, format: 'JSONEachRow'})).json<T>();
  const [found] = await rows<{sorting_key: string; engine: string}>(
    `SELECT sorting_key, engine FROM system.tables
      WHERE database = {namespace:String} AND name = {name:String}`,
  );
  if (!found) return undefined;
  const columns = await rows<FoundColumn>(
    `SELECT name, type, default_kind FROM system.columns
      WHERE database = {namespace:String} AND table = {name:String} AND default_kind != 'MATERIALIZED' ORDER BY position`,
  );
  const key = found.sorting_key.split(', ').map((name) => name.replace(/[`()]/g, ''));
  return {columns, key, engine: found.engine};
}

/** A server may make a Replicated or Shared engine of ours by itself; that does the same. */
const engineName = /^(Replicated|Shared)?ReplacingMergeTree$/;

function engineDifference(engine: string, cluster: ClickHouseCluster | undefined): string | undefined {
  const match = engineName.exec(engine);
  if (!match) return `the engine is ${engine} instead of ReplacingMergeTree`;
  return cluster?.replicated && match[1] === undefined
    ? `the engine is ${engine} instead of ReplicatedReplacingMergeTree`
    : undefined;
}

/**
 * What makes the table as it is wanted; undefined when there is no table.
 * @throws SINK_TABLE_DIFFERS for what no step can mend
 */
export async function verifyTable(
  {client, cluster}: Pick<ClickHouseConnection, 'client' | 'cluster'>,
  table: Table,
): Promise<ClickHouseStep[] | undefined> {
  const found = await findTable(client, table);
  if (!found) return undefined;
  const {columns: existing, key, engine} = found;
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
  const wrongEngine = engineDifference(engine, cluster);
  if (wrongEngine !== undefined) problems.push(wrongEngine);
  if (problems.length > 0)
    throw new PlatformError('SINK_TABLE_DIFFERS', `${tableId(table)}: ${problems.join('; ')}`, {
      place: tableId(table),
      hint: `${mend(cluster, table, existing, problems)}; then: npx millrace resume`,
    });
  const renamed = new Map(
    steps.flatMap((step) => (step.do === 'rename' ? [[step.column.name, step.from] as const] : [])),
  );
  const typeOf = (name: string) =>
    existing.find((each) => each.name === (renamed.get(name) ?? name))?.type ?? '';
  const widened = new Set(steps.flatMap((step) => (step.do === 'widen' ? [step.column.name] : [])));
  return steps
    .filter((step) => step.do !== 'relax' || !widened.has(step.name))
    .map((step): ClickHouseStep => (step.do === 'relax' ? {...step, type: typeOf(step.name)} : step));
}

/** The statement that mends missing columns; anything else wants a new table from the log. */
function mend(
  cluster: ClickHouseCluster | undefined,
  table: Table,
  existing: {name: string}[],
  problems: string[],
): string {
  const has = new Set(existing.map(({name}) => name));
  const missing = table.columns.filter(({name}) => !has.has(name) && !table.key.includes(name));
  if (missing.length === problems.length) {
    const added = missing.map((column) => `ADD COLUMN ${quote(column.name)} ${columnType(table, column)}`);
    return `ALTER TABLE ${physical(table)}${alterOn({cluster})} ${added.join(', ')}`;
  }
  const aside = quoteTable(table.namespace, `${table.name}_old`);
  return `RENAME TABLE ${physical(table)} TO ${aside}${on({cluster})} (a new one is filled from the log)`;
}
