import {readdir} from 'node:fs/promises';
import {join} from 'node:path';
import type {Value} from '../../expr/types.ts';
import type {Table} from '../../model/types.ts';
import {reduceToHighest} from '../reduce.ts';
import {batchOf, columnIndex} from '../tables.ts';
import type {RawRange, RowBatch} from '../types.ts';
import {readJson, readLines} from './disk.ts';
import {decodeLine} from './lines.ts';
import {readParquet} from './parquet.ts';

/** Every row that the files hold, repeated and superseded ones included, in the order of the table's columns. */
export async function readAll(
  dir: string,
  namespace: string,
  name: string,
): Promise<{table: Table; batch: RowBatch} | undefined> {
  const base = join(dir, namespace, name);
  const table = await readJson<Table>(`${base}.table.json`);
  if (!table) return undefined;
  const rows: Value[][] = [];
  const segments = (await readdir(base).catch(() => [])).sort();
  const finished = new Set(
    segments.filter((file) => file.endsWith('.parquet')).map((file) => file.slice(0, 6)),
  );
  for (const file of segments) {
    if (file.endsWith('.parquet'))
      for (const row of await readParquet(table, join(base, file))) rows.push(row);
    else if (file.endsWith('.jsonl') && !finished.has(file.slice(0, 6)))
      for await (const line of readLines(join(base, file))) rows.push(decodeLine(table, line));
  }
  for await (const line of readLines(`${base}.jsonl`)) rows.push(decodeLine(table, line));
  return {table, batch: batchOf(table, rows)};
}

/**
 * The truth in a `file` sink: of every key the row with the highest version, without tombstones.
 * @param table `<namespace>.<physical table>`. @returns undefined when there is no such table.
 */
export async function readLatest(
  dir: string,
  table: string,
): Promise<{table: Table; rows: Record<string, Value>[]} | undefined> {
  const [namespace, name] = table.split('.') as [string, string];
  const all = await readAll(dir, namespace, name);
  if (!all) return undefined;
  const latest = reduceToHighest(all.table, all.batch);
  const rows: Record<string, Value>[] = [];
  for (let row = 0; row < latest.count; row++) {
    const entries = all.table.columns.map(({name: column}, index) => [column, latest.columns[index]![row]!]);
    const object = Object.fromEntries(entries) as Record<string, Value>;
    if (object.deleted !== true) rows.push(object);
  }
  return {table: all.table, rows};
}

/** The truth of all rows of a table, in the order of `wanted`'s columns, latest windows first. */
export function latestRows(table: Table, batch: RowBatch, wanted: Table): Value[][] {
  const latest = reduceToHighest(table, batch);
  const column = (name: string) => latest.columns[columnIndex(table, name)] ?? [];
  const deleted = column('deleted');
  const starts = column('window_start') as number[];
  const columns = wanted.columns.map(({name}) => column(name));
  return Array.from({length: latest.count}, (_, row) => row)
    .filter((row) => deleted[row] !== true)
    .sort((a, b) => starts[b]! - starts[a]!)
    .map((row) => columns.map((values) => values[row] ?? null));
}

/** Raw events of a range of offsets, each once, by offset; of an event id that came at two offsets the lower one. */
export function rawRows(
  all: {table: Table; batch: RowBatch} | undefined,
  {partition, from, to}: RawRange,
  columns: string[],
): RowBatch {
  const {table, batch} = all ?? {table: undefined, batch: undefined};
  if (!table) return {table: '', count: 0, columns: columns.map(() => [])};
  const column = (name: string) => batch.columns[columnIndex(table, name)]!;
  const [ids, partitions, offsets] = ['event_id', '_partition', '_offset'].map(column) as [
    string[],
    number[],
    number[],
  ];
  const first = new Map<string, number>();
  for (let row = 0; row < batch.count; row++) {
    const known = first.get(ids[row]!);
    if (known === undefined || offsets[row]! < offsets[known]!) first.set(ids[row]!, row);
  }
  const rows = [...first.values()]
    .filter((row) => partitions[row] === partition && offsets[row]! >= from && offsets[row]! < to)
    .sort((a, b) => offsets[a]! - offsets[b]!);
  const wanted = columns.map(column);
  return {
    table: batch.table,
    count: rows.length,
    columns: wanted.map((values) => rows.map((row) => values[row]!)),
  };
}
