/** Values of test files as the engine holds them, and the other way round. */

import {readFileSync} from 'node:fs';
import {type ConfigNode, describeNode, type ScalarNode} from '../config/nodes.ts';
import {PlatformError} from '../errors.ts';
import {formatDate, formatTimestamp, parseDate, parseTimestamp} from '../expr/calendar.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {decimalToCents, int64Max, int64Min, parseUuid, toInteger} from '../expr/values.ts';
import type {Lookup} from '../model/types.ts';
import {checkPlain} from '../plain-file.ts';

/** "10:00", "10:00:00" or "10:00:00.000" of the scenario's day in UTC, or a whole timestamp -> epoch ms; undefined when it is none. */
export function instantOf(text: string, date: string): number | undefined {
  const isTime = /^\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/.test(text);
  if (!isTime) return parseTimestamp(text);
  return parseTimestamp(`${date}T${text.length === 5 ? `${text}:00` : text}Z`);
}

/** What a value of a type must look like, for messages. */
const wanted: Record<ValueType, string> = {
  string: 'text',
  enum: 'text',
  uuid: 'a UUID',
  int: 'a whole number',
  long: 'a whole number',
  double: 'a number',
  boolean: 'true or false',
  timestamp: 'a time: "10:00", or "2026-01-05T10:00:00Z"',
  date: 'a date: "2026-01-05"',
  money: 'an amount with two decimals: 12.50',
};

/** @returns the value, or the sentence that says why there is none. `undefined` problem: it is good. */
export function typedValue(
  node: ConfigNode,
  type: ValueType,
  date: string,
): {value: Value; problem?: undefined} | {problem: string} {
  const value = node.kind === 'scalar' ? scalarValue(node, type, date) : undefined;
  return value === undefined ? {problem: `expected ${wanted[type]}, not ${describeNode(node)}`} : {value};
}

function scalarValue({value, text}: ScalarNode, type: ValueType, date: string): Value | undefined {
  if (value === null) return null;
  const written = typeof value === 'string' ? value : text;
  switch (type) {
    case 'timestamp':
      return instantOf(written, date);
    case 'date':
      return parseDate(written);
    case 'uuid':
      return parseUuid(written);
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
    case 'double':
      return typeof value === 'number' ? value : undefined;
    case 'money': {
      const cents = decimalToCents(written);
      return cents === undefined ? undefined : integer(cents);
    }
    case 'int':
    case 'long':
      return /^-?\d{1,20}$/.test(written) ? integer(BigInt(written)) : undefined;
    default:
      return typeof value === 'string' ? value : text;
  }
}

const integer = (exact: bigint): number | bigint | undefined =>
  exact < int64Min || exact > int64Max ? undefined : toInteger(exact);

/** A value as people write it in a test file: times of the scenario's day stay short when `date` is that day. */
export function writtenValue(value: Value, type: ValueType): string | number | bigint | boolean | null {
  if (value === null) return null;
  if (type === 'timestamp') return formatTimestamp(Number(value));
  if (type === 'date') return formatDate(Number(value));
  return value;
}

/** A scalar or a nested value as JSON; numbers keep every digit that was written. */
export function jsonOf(node: ConfigNode): string {
  if (node.kind === 'list') return `[${node.items.map(jsonOf).join(',')}]`;
  if (node.kind === 'map')
    return `{${[...node.entries].map(([key, {value}]) => `${JSON.stringify(key)}:${jsonOf(value)}`).join(',')}}`;
  const {value, text} = node;
  if (typeof value === 'number' && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return text;
  return JSON.stringify(value);
}

/** Text of a lookup's file, for a test that does not give its rows. @throws LOOKUP_INVALID */
export function fileOfLookup({csv, sink, name}: Lookup): string {
  const hint = `give its rows in the test: lookups: {${name}: [{...}]}`;
  if (csv === null)
    throw new PlatformError(
      'LOOKUP_INVALID',
      `the rows of the lookup ${name} are in the sink ${sink}, and a test has none`,
      {hint},
    );
  try {
    checkPlain(csv);
    return readFileSync(csv, 'utf8');
  } catch (cause) {
    const message = `the lookup's file cannot be read: ${(cause as Error).message}`;
    throw new PlatformError('LOOKUP_INVALID', message, {place: csv, hint, cause});
  }
}
