/**
 * Values of objects -> values of fields, exactly.
 *
 * | type | accepted |
 * |---|---|
 * | string | text; a number, bigint or boolean as its text |
 * | int, long | an integer as number (up to 2^53), bigint or text |
 * | double | a finite number, a bigint, text |
 * | money | units as number with at most two decimals, bigint or text |
 * | boolean | true, false, 1, 0, or their text |
 * | timestamp | epoch ms as number or bigint, Date, ISO 8601 text with zone (without: UTC) |
 * | date | text YYYY-MM-DD, a Date at midnight UTC |
 * | uuid, enum | text |
 *
 * Text is read as in a file (`convert.ts`). What cannot be read is a reason and not an exception.
 */
import {dayMs} from '../expr/calendar.ts';
import type {Value} from '../expr/types.ts';
import type {Field} from '../model/types.ts';
import {type Converter, converterOf, timestampReader} from './convert.ts';
import {reasonNumber} from './reasons.ts';
import {timeZone} from './time.ts';

/** Where a reader says why it could not read; 0 while it can. */
export type ReadState = {reason: number};

/** Reads a value that is not NULL and that the fast path did not take. The result is of no consequence when `state.reason` is set. */
export type ValueReader = (value: unknown, state: ReadState) => Value;

/** Last instant of the year 9999, epoch ms. */
export const timestampMax = 253_402_300_799_999;

const {TYPE, RANGE, ENUM} = reasonNumber;
const convert = {zone: timeZone('UTC'), timestampFormat: null};
/** Numbers and dates are short; longer text is none. */
const textMax = 512;
const text = new Uint8Array(textMax);
const written = new Uint8Array(32);

function failed(state: ReadState, reason: number): null {
  state.reason = reason;
  return null;
}

/** Text of a scalar as people would write it into a file; undefined for what is none. */
function textOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      return undefined;
  }
}

/** Text without blanks around it, as files are read. */
export const trimmed = (value: string): string => value.replace(/^[ \t]+|[ \t]+$/g, '');

/** Copies text to `text`. @returns its length, -1 when it holds more than ASCII or is too long. */
function ascii(value: string): number {
  const {length} = value;
  if (length > textMax) return -1;
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i);
    if (unit > 127) return -1;
    text[i] = unit;
  }
  return length;
}

/** Reads a scalar by its text, as a file's converter does. */
const byText =
  (converter: Converter): ValueReader =>
  (value, state) => {
    const given = textOf(value);
    const length = given === undefined ? -1 : ascii(given);
    if (length < 0) return failed(state, TYPE);
    const reason = converter.write(text, 0, length, written, 0);
    return reason < 0 ? failed(state, reason) : converter.read(text, 0, length);
  };

/** A number that is no exact integer any more says nothing about the one that was meant. */
const exactly =
  (read: ValueReader): ValueReader =>
  (value, state) =>
    typeof value === 'number' && Math.abs(value) > 2 ** 53 && Number.isFinite(value)
      ? failed(state, RANGE)
      : read(value, state);

/** The reader of a field's values. */
export function readerOf(field: Field): ValueReader {
  switch (field.type) {
    case 'string':
      return (value, state) => textOf(value) ?? failed(state, TYPE);
    case 'int':
    case 'long':
    case 'money':
      return exactly(byText(converterOf(field, convert)));
    case 'timestamp':
      return timestampOf(field.role === 'time');
    case 'date':
      return dateOf(byText(converterOf(field, convert)));
    case 'enum':
      return symbolOf(field.symbols ?? []);
    default:
      return byText(converterOf(field, convert));
  }
}

/** @param event whether it is the time of the event, whose range is judged by the caller. */
function timestampOf(event: boolean): ValueReader {
  const parse = timestampReader(convert);
  return (value, state) => {
    let ms: number;
    if (value instanceof Date) ms = Date.prototype.getTime.call(value);
    else {
      const given = textOf(value);
      const length = given === undefined || typeof value === 'boolean' ? -1 : ascii(given);
      ms = length < 0 ? Number.NaN : parse(text, 0, length);
    }
    if (Number.isNaN(ms)) return failed(state, TYPE);
    return !event && Math.abs(ms) > timestampMax ? failed(state, RANGE) : ms;
  };
}

function dateOf(byText: ValueReader): ValueReader {
  return (value, state) => {
    if (!(value instanceof Date)) return byText(value, state);
    const days = Date.prototype.getTime.call(value) / dayMs;
    return Number.isInteger(days) && Math.abs(days) * dayMs <= timestampMax ? days : failed(state, TYPE);
  };
}

/** Gives the symbol's number, not the symbol. */
function symbolOf(symbols: readonly string[]): ValueReader {
  const numbers = new Map(symbols.map((symbol, index) => [symbol, index]));
  return (value, state) => {
    const given = typeof value === 'string' ? value : textOf(value);
    if (given === undefined) return failed(state, TYPE);
    return numbers.get(given) ?? numbers.get(trimmed(given)) ?? failed(state, ENUM);
  };
}

/** Writes a UUID as 36 ASCII bytes in lower case, with its length before it. @returns position behind it, -1 when it is none. */
export function writeUuid(value: unknown, out: Uint8Array, position: number): number {
  if (typeof value !== 'string') return -1;
  const given = value.length === 36 ? value : trimmed(value);
  if (given.length !== 36) return -1;
  out[position] = 72;
  for (let i = 0; i < 36; i++) {
    const unit = given.charCodeAt(i);
    const lower = unit | 32;
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (unit !== 45) return -1;
      out[position + 1 + i] = 45;
    } else if ((unit >= 48 && unit <= 57) || (lower >= 97 && lower <= 102))
      out[position + 1 + i] = unit <= 57 ? unit : lower;
    else return -1;
  }
  return position + 37;
}

/** A value as a message shows it. */
export function showValue(value: unknown): string {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  return value === null || value === undefined ? '' : (textOf(value) ?? 'an object or array');
}
