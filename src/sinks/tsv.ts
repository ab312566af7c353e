import type {Value} from '../expr/types.ts';
import type {Column, Table} from '../model/types.ts';
import {dateText} from './tables.ts';
import type {RowBatch} from './types.ts';

/** Where the text formats of two databases differ. */
export type TsvDialect = {
  /** A query table's `deleted`. */
  deleted: [no: string, yes: string];
  nonFinite: {nan: string; plus: string; minus: string};
  /** What U+0000 in a text becomes, escaped. */
  nul: string;
  /** Behind a time, as its zone. */
  zone: string;
};

/**
 * Rows as text: values between tabs, rows end with a newline, NULL is `\N`; in texts backslash, tab, newline, return, backspace
 * and form feed are escaped with a backslash.
 * https://clickhouse.com/docs/interfaces/formats/TabSeparated
 * https://www.postgresql.org/docs/18/sql-copy.html#SQL-COPY-FILE-FORMATS (text format)
 */
export function encodeTsv(table: Table, batch: RowBatch, dialect: TsvDialect): string {
  const encoders = textEncoders(table, dialect);
  const width = encoders.length;
  let text = '';
  for (let row = 0; row < batch.count; row++) {
    for (let column = 0; column < width; column++) {
      const value = batch.columns[column]![row]!;
      text += (column === 0 ? '' : '\t') + (value === null ? '\\N' : encoders[column]!(value));
    }
    text += '\n';
  }
  return text;
}

/** One encoder a column, for values that are not NULL. */
const textEncoders = (table: Table, dialect: TsvDialect) =>
  table.columns.map((column) => encoderOf(table, column, dialect));

const special = /[\\\t\n\r\0\b\f]/;
const escapes: Record<string, string> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\b': '\\b',
  '\f': '\\f',
};
const escapeText = (text: string, nul: string): string =>
  special.test(text) ? text.replace(/[\\\t\n\r\0\b\f]/g, (char) => escapes[char] ?? nul) : text;

function encoderOf(table: Table, {name, type}: Column, dialect: TsvDialect): (value: Value) => string {
  const {deleted, zone, nonFinite, nul} = dialect;
  if (table.kind === 'query' && name === 'deleted') return (value) => deleted[value ? 1 : 0];
  switch (type) {
    case 'timestamp':
      // A flush has few windows: the text of the last value serves most rows.
      return repeated((value) => new Date(Number(value)).toISOString().slice(0, -1).replace('T', ' ') + zone);
    case 'date':
      return repeated((value) => dateText(value as number));
    case 'double':
      return (value) => (Number.isFinite(value) ? String(value) : nonFiniteText(value as number, nonFinite));
    case 'string':
    case 'enum':
    case 'uuid':
      return (value) => escapeText(value as string, nul);
    default:
      return String;
  }
}

const nonFiniteText = (value: number, {nan, plus, minus}: TsvDialect['nonFinite']): string =>
  Number.isNaN(value) ? nan : value > 0 ? plus : minus;

function repeated(encode: (value: Value) => string): (value: Value) => string {
  let last: Value = null;
  let text = '';
  return (value) => {
    if (value !== last) {
      last = value;
      text = encode(value);
    }
    return text;
  };
}
