import type {Value} from '../../expr/types.ts';
import type {Column, Table} from '../../model/types.ts';
import {dateText} from '../tables.ts';
import type {RowBatch} from '../types.ts';

/**
 * TabSeparated: values between tabs, rows end with a newline, NULL is `\N`; in texts backslash, tab, newline, return, NUL,
 * backspace and form feed are escaped with a backslash. https://clickhouse.com/docs/interfaces/formats/TabSeparated
 */
export function encodeTsv(table: Table, batch: RowBatch): string {
  const encoders = table.columns.map((column) => encoderOf(table, column));
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

const special = /[\\\t\n\r\0\b\f]/;
const escapes: Record<string, string> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\0': '\\0',
  '\b': '\\b',
  '\f': '\\f',
};
const escapeText = (text: string): string =>
  special.test(text) ? text.replace(/[\\\t\n\r\0\b\f]/g, (char) => escapes[char]!) : text;

function encoderOf(table: Table, {name, type}: Column): (value: Value) => string {
  if (table.kind === 'query' && name === 'deleted') return (value) => (value ? '1' : '0');
  switch (type) {
    case 'timestamp':
      // A flush has few windows: the text of the last value serves most rows.
      return repeated((value) => new Date(Number(value)).toISOString().slice(0, -1).replace('T', ' '));
    case 'date':
      return repeated((value) => dateText(value as number));
    case 'double':
      return (value) => (Number.isFinite(value) ? String(value) : nonFinite(value as number));
    case 'string':
    case 'enum':
    case 'uuid':
      return (value) => escapeText(value as string);
    default:
      return String;
  }
}

const nonFinite = (value: number): string => (Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf');

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
