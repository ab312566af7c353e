import type {Value} from '../expr/types.ts';
import type {Column, Table} from '../model/types.ts';
import {dateText, instantText} from './tables.ts';
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
  const rowText = rowEncoder(table, batch, dialect);
  let text = '';
  for (let row = 0; row < batch.count; row++) text += rowText(row);
  return text;
}

const chunkBytes = 64 * 1024;

/**
 * As `encodeTsv`, in UTF-8: chunks of whole rows, so that a large batch is never one text as well, and the first rows are on
 * their way while the next are made. A chunk's memory is used again for the next. What is not Unicode (half of a surrogate pair)
 * becomes U+FFFD.
 */
export function* encodeTsvChunks(
  table: Table,
  batch: RowBatch,
  dialect: TsvDialect,
): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
  const rowText = rowEncoder(table, batch, dialect);
  let bytes = Buffer.allocUnsafeSlow(chunkBytes);
  let at = 0;
  for (let row = 0; row < batch.count; row++) {
    const text = rowText(row);
    const most = 3 * text.length;
    if (at > 0 && at + most > bytes.length) {
      yield bytes.subarray(0, at);
      at = 0;
    }
    if (most > bytes.length) bytes = Buffer.allocUnsafeSlow(most);
    at += bytes.write(text, at, 'utf8');
  }
  if (at > 0) yield bytes.subarray(0, at);
}

function rowEncoder(table: Table, batch: RowBatch, dialect: TsvDialect): (row: number) => string {
  const encoders = textEncoders(table, dialect);
  const width = encoders.length;
  return (row) => {
    let text = '';
    for (let column = 0; column < width; column++) {
      const value = batch.columns[column]![row]!;
      text += (column === 0 ? '' : '\t') + (value === null ? '\\N' : encoders[column]!(value));
    }
    return `${text}\n`;
  };
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
      return repeated(timeEncoder(zone));
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

const twoDigits = Array.from({length: 60}, (_, value) => String(value).padStart(2, '0'));
const threeDigits = Array.from({length: 1_000}, (_, value) => String(value).padStart(3, '0'));
const dayMs = 86_400_000;

/** Milliseconds since 1970 -> `YYYY-MM-DD hh:mm:ss.sss` and the zone. Days repeat, so a Date is made only where one begins. */
function timeEncoder(zone: string): (value: Value) => string {
  let day = Number.NaN;
  let dayText = '';
  return (value) => {
    const timeMs = Number(value);
    const ofDay = Math.floor(timeMs / dayMs);
    if (ofDay !== day) {
      dayText = instantText(timeMs).slice(0, 10);
      day = ofDay;
    }
    const ms = timeMs - ofDay * dayMs;
    const hours = twoDigits[Math.floor(ms / 3_600_000)];
    const minutes = twoDigits[Math.floor(ms / 60_000) % 60];
    const seconds = twoDigits[Math.floor(ms / 1_000) % 60];
    return `${dayText} ${hours}:${minutes}:${seconds}.${threeDigits[ms % 1_000]}${zone}`;
  };
}

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
