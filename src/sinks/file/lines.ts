import type {Value, ValueType} from '../../expr/types.ts';
import type {Table} from '../../model/types.ts';
import {dateDays, dateText, int64} from '../tables.ts';
import type {RowBatch} from '../types.ts';
import {storedName} from './definition.ts';

/**
 * One row as a line of JSON:
 *   int, boolean, enum, uuid, string   as JSON has them
 *   long, money (cents)                a number while |x| <= 2^53, else a string of digits: exact for every reader
 *   double                             a number; "NaN", "Infinity", "-Infinity" as strings
 *   timestamp                          "2026-01-31T12:00:00.000Z"
 *   date                               "2026-01-31"
 */
export function encodeLines(table: Table, batch: RowBatch): string {
  const names = table.columns.map(({name}, index) => `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
  const encoders = table.columns.map(({type}) => encoderOf(type));
  let text = '';
  for (let row = 0; row < batch.count; row++) {
    for (let column = 0; column < names.length; column++) {
      const value = batch.columns[column]![row]!;
      text += names[column]! + (value === null ? 'null' : encoders[column]!(value));
    }
    text += '}\n';
  }
  return text;
}

/** The row of a line, in the order of the table's columns; a column that the line lacks is NULL. */
export function decodeLine(table: Table, line: string): Value[] {
  const json = JSON.parse(line) as Record<string, string | number | boolean | null>;
  return table.columns.map((column) => {
    const name = storedName(column, json);
    const value = name === undefined ? null : json[name]!;
    return value === null ? null : decodeValue(column.type, value);
  });
}

const timestampMsMax = 8.64e15;

function encoderOf(type: ValueType): (value: Value) => string {
  switch (type) {
    case 'timestamp':
      return (value) =>
        typeof value === 'number' && Math.abs(value) <= timestampMsMax
          ? `"${new Date(value).toISOString()}"`
          : `"${value}"`;
    case 'date':
      return (value) => `"${dateText(value as number)}"`;
    case 'long':
    case 'money':
      return (value) => (typeof value === 'bigint' ? `"${value}"` : String(value));
    case 'double':
      return (value) => (Number.isFinite(value) ? String(value) : `"${value}"`);
    default:
      return (value) => JSON.stringify(value);
  }
}

function decodeValue(type: ValueType, value: string | number | boolean): Value {
  switch (type) {
    case 'timestamp':
      return /^-?\d+$/.test(String(value)) ? int64(value as string) : Date.parse(value as string);
    case 'date':
      return dateDays(value as string);
    case 'long':
    case 'money':
      return int64(value as string | number);
    case 'double':
      return Number(value);
    default:
      return value;
  }
}
