import {open, rename} from 'node:fs/promises';
import {dirname} from 'node:path';
import type {SchemaElement} from 'hyparquet';
import type {Value} from '../../expr/types.ts';
import type {Column, Table} from '../../model/types.ts';
import {int64} from '../tables.ts';
import {storedName} from './definition.ts';
import {readLines, syncDirectory} from './disk.ts';
import {decodeLine} from './lines.ts';

/** Rows of one row group, and so of what is in memory at once while a journal becomes a Parquet file. */
const groupRows = 20_000;

/**
 * Writes the lines of a journal as a Parquet file: temporary file, fsync, rename.
 * Types: string, enum, uuid as UTF8; int INT32; long, money INT64; double DOUBLE; boolean BOOLEAN; timestamp
 * TIMESTAMP_MILLIS; date DATE.
 */
export async function writeParquet(table: Table, journalPath: string, path: string): Promise<void> {
  const {ParquetWriter, ByteWriter} = await import('hyparquet-writer');
  const temporary = `${path}.tmp`;
  const handle = await open(temporary, 'w');
  try {
    const writer = new ByteWriter();
    const parquet = new ParquetWriter({
      writer,
      schema: [
        {name: 'row', num_children: table.columns.length},
        ...table.columns.map((column) => schemaElement(column)),
      ],
      createdBy: 'millrace',
    });
    let columns: unknown[][] = table.columns.map(() => []);
    const flush = () => {
      if (columns[0]!.length === 0) return;
      const columnData = table.columns.map(({name}, index) => ({name, data: columns[index]!}));
      parquet.write({columnData, rowGroupSize: groupRows});
      columns = table.columns.map(() => []);
    };
    for await (const line of readLines(journalPath)) {
      decodeLine(table, line).forEach((value, index) => {
        columns[index]!.push(toParquet(table.columns[index]!, value));
      });
      if (columns[0]!.length === groupRows) flush();
    }
    flush();
    parquet.finish();
    // Snappy makes the whole file a fraction of the journal's 128 MiB, so it may be in memory at once.
    await handle.writeFile(writer.getBytes());
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Rows of a Parquet file that `writeParquet` wrote, in the order of the table's columns. */
export async function readParquet(table: Table, path: string): Promise<Value[][]> {
  const {asyncBufferFromFile, parquetReadObjects} = await import('hyparquet');
  const rows = await parquetReadObjects({file: await asyncBufferFromFile(path)});
  return rows.map((row) =>
    table.columns.map((column) => {
      const name = storedName(column, row);
      return fromParquet(column, (name === undefined ? null : (row[name] ?? null)) as ParquetValue);
    }),
  );
}

function schemaElement(column: Column): SchemaElement {
  const repetition_type = column.nullable ? 'OPTIONAL' : 'REQUIRED';
  const base = {name: column.name, repetition_type} as const;
  switch (column.type) {
    case 'int':
      return {...base, type: 'INT32'};
    case 'long':
    case 'money':
      return {...base, type: 'INT64'};
    case 'double':
      return {...base, type: 'DOUBLE'};
    case 'boolean':
      return {...base, type: 'BOOLEAN'};
    case 'timestamp':
      return {...base, type: 'INT64', converted_type: 'TIMESTAMP_MILLIS'};
    case 'date':
      return {...base, type: 'INT32', converted_type: 'DATE'};
    default:
      return {...base, type: 'BYTE_ARRAY', converted_type: 'UTF8'};
  }
}

function toParquet(column: Column, value: Value): unknown {
  if (value === null) return null;
  return ['long', 'money', 'timestamp'].includes(column.type) ? BigInt(value as number) : value;
}

type ParquetValue = string | number | bigint | boolean | Date | null;

function fromParquet(column: Column, value: ParquetValue): Value {
  if (value instanceof Date)
    return column.type === 'date' ? Math.round(value.getTime() / 86_400_000) : value.getTime();
  if (typeof value !== 'bigint') return value;
  return column.type === 'double' ? Number(value) : int64(value);
}
