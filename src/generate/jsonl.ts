/** Generated events as lines of JSON, as HTTP and files take them. */
import {formatDate, formatTimestamp} from '../expr/calendar.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import type {Generator} from './generator.ts';

/** Up to so many characters are written at a time. */
export const textMax = 64 * 1024;

function plain(value: Value, type: ValueType): string | number | boolean | null {
  if (value === null || typeof value === 'boolean') return value;
  if (type === 'money') return formatCents(value as number);
  if (type === 'timestamp') return formatTimestamp(Number(value));
  if (type === 'date') return formatDate(Number(value));
  return typeof value === 'bigint' ? Number(value) : value;
}

/**
 * The event that the generator has decided, as one or two lines (a duplicate is two), each with its line end. A corrupt event is cut off; one
 * of another schema has other names for its fields.
 */
export function lineOf(generator: Generator): string {
  const {type, fault, duplicate, shapes, made} = generator;
  const {eventType} = shapes[type]!;
  const values = generator.values();
  const drifted = fault === 'drift';
  const entries = eventType.fields.map((field): [string, string | number | boolean | null] => [
    drifted ? field.name.toUpperCase() : field.name,
    plain(values[field.name] ?? null, field.type),
  ]);
  const line = JSON.stringify({event_type: eventType.name, ...Object.fromEntries(entries)});
  if (fault === 'corrupt') return `${line.slice(0, 1 + ((made.a >>> 0) % (line.length - 2)))}\n`;
  return duplicate ? `${line}\n${line}\n` : `${line}\n`;
}
