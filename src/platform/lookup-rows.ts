/** Lookups whose rows are in the database of a sink: read by one statement, kept as CSV like those of files. */
import {PlatformError} from '../errors.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {nullOfRows} from '../model/lookups.ts';
import type {Lookup} from '../model/types.ts';
import type {Ask} from './ask.ts';

/** A lookup is in the memory of every thread that uses it. */
const limits = {rowsMax: 1_000_000, bytesMax: 256 * 1024 * 1024};

/** Where a lookup comes from, for messages. */
export const lookupPlace = ({csv, sink, table}: Lookup): string =>
  csv ?? `${table === undefined ? 'a query' : `the table ${table}`} of the sink ${sink}`;

/**
 * The rows as they are now, as one consistent state: a header, then a line a row, in the order of the lines. The same rows give
 * the same bytes, however the database stores them.
 * @throws LOOKUP_INVALID when the statement fails or there are too many rows; SINK_UNAVAILABLE while the database is down
 */
export async function readRows(
  lookup: Lookup,
  ask: Ask,
  {rowsMax = limits.rowsMax, bytesMax = limits.bytesMax}: Partial<typeof limits> = {},
): Promise<Buffer> {
  const {rows} = await ask(lookup.sink!, statementOf(lookup, rowsMax)).catch((error) => {
    if (!(error instanceof PlatformError) || error.code !== 'SINK_QUERY') throw error;
    throw invalid(lookup, error.message, error);
  });
  if (rows.length > rowsMax) throw invalid(lookup, `there are more than ${rowsMax} rows`);
  const types = [lookup.keyType, ...lookup.columns.map(({type}) => type)];
  const lines = rows.map((row) => row.map((value, index) => cell(value, types[index]!)).join(',')).sort();
  const header = [lookup.key, ...lookup.columns.map(({name}) => name)].join(',');
  const length = lines.reduce((sum, line) => sum + line.length + 1, 0);
  if (length > bytesMax) throw invalid(lookup, `its rows are larger than ${bytesMax / 1024 / 1024} MiB`);
  return Buffer.from(`${[header, ...lines].join('\n')}\n`);
}

function statementOf({key, columns, table, query}: Lookup, rowsMax: number): string {
  const names = [key, ...columns.map(({name}) => name)].map((name) => `"${name}"`).join(', ');
  const from =
    table === undefined
      ? `(${query}) AS lookup`
      : table
          .split('.')
          .map((name) => `"${name}"`)
          .join('.');
  // One more than may be: then it is known that there are too many.
  return `SELECT ${names} FROM ${from} LIMIT ${rowsMax + 1}`;
}

function cell(value: Value, type: ValueType): string {
  if (value === null) return nullOfRows;
  const text = String(value);
  // A numeric column prints all of its decimals: 12.3400.
  const shown = type === 'money' && /^-?\d+\.\d+$/.test(text) ? text.replace(/\.?0+$/, '') : text;
  return /[",\r\n]/.test(shown) || shown.trim() !== shown ? `"${shown.replaceAll('"', '""')}"` : shown;
}

const invalid = (lookup: Lookup, message: string, cause?: unknown) =>
  new PlatformError('LOOKUP_INVALID', `lookup ${lookup.domain}.${lookup.name}: ${message}`, {
    place: lookupPlace(lookup),
    hint: 'mend the table, or name the columns that are wanted with query:',
    ...(cause === undefined ? {} : {cause}),
  });
