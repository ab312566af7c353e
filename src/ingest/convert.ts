/**
 * Text -> value, exactly, one converter for each type. Each writes the Avro body straight from the text's bytes; what it
 * cannot read is a reason and not an exception.
 *
 * | type | accepted text |
 * |---|---|
 * | string | any UTF-8 |
 * | int, long | decimal digits with an optional sign; a fraction of zeros or an exponent that leaves an integer |
 * | double | decimal digits, point, exponent; no NaN, no Infinity |
 * | money | as double, read as decimal digits: more than two decimals only if they are zeros |
 * | boolean | true, false, t, f, 1, 0, in any case |
 * | timestamp | time.ts, or timeformat.ts when the input has a `timestamp_format` |
 * | date | YYYY-MM-DD |
 * | uuid | 8-4-4-4-12 hexadecimal digits, in any case; stored in lower case |
 * | enum | one of the symbols |
 *
 * Spaces and tabs around anything but a string are ignored. JSON numbers and literals are taken as they are written, so a
 * string field may be given a number.
 */
import type {Value, ValueType} from '../expr/types.ts';
import type {Field} from '../model/types.ts';
import {writeDouble, writeLong} from '../schema/write.ts';
import {anyDouble, exactInteger, plainCents, plainDouble, plainInteger} from './decimal.ts';
import {type ReasonCode, reasonNumber} from './reasons.ts';
import {parseDate, parseTimestamp, type Zone} from './time.ts';
import {compileTimestampFormat} from './timeformat.ts';

export type Converter = {
  /** Writes the value of the text in [start, end) as Avro. @returns the position behind it, or a reason's number. */
  write(bytes: Uint8Array, start: number, end: number, out: Uint8Array, position: number): number;
  /** The value itself, of text that `write` accepted. */
  read(bytes: Uint8Array, start: number, end: number): Value;
};

export type ConvertOptions = {zone: Zone; timestampFormat: string | null};

/** Most bytes that a converter writes for a text of `length` bytes. */
export const convertedBytesMax = (length: number): number => length + 16;

/** The converter of a field's type. */
export function converterOf(field: Field, options: ConvertOptions): Converter {
  switch (field.type) {
    case 'string':
      return text;
    case 'int':
      return integer(0, -(2 ** 31), 2 ** 31 - 1);
    case 'long':
      return integer(0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    case 'money':
      return integer(2, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    case 'double':
      return double;
    case 'boolean':
      return boolean;
    case 'timestamp':
      return timestamp(options);
    case 'date':
      return date;
    case 'uuid':
      return uuid;
    case 'enum':
      return symbols(field.symbols ?? []);
  }
}

const slice = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.prototype.latin1Slice.call(bytes, start, end);

const isBlank = (byte: number): boolean => byte === 32 || byte === 9;

/** Start of the text without blanks around it; its end is in `trimmedEnd`. */
let trimmedEnd = 0;
function trim(bytes: Uint8Array, from: number, to: number): number {
  let start = from;
  let end = to;
  while (start < end && isBlank(bytes[start]!)) start++;
  while (end > start && isBlank(bytes[end - 1]!)) end--;
  trimmedEnd = end;
  return start;
}

/** Varint of a length or small number, zigzag: most fit one byte. */
function writeSmall(value: number, out: Uint8Array, position: number): number {
  if (value < 64) {
    out[position] = value << 1;
    return position + 1;
  }
  return writeLong(value, out, position);
}

const text: Converter = {
  write(bytes, start, end, out, position) {
    let at = writeSmall(end - start, out, position);
    if (end - start > 48) {
      out.set(bytes.subarray(start, end), at);
      return at + end - start;
    }
    for (let i = start; i < end; i++) out[at++] = bytes[i]!;
    return at;
  },
  read: (bytes, start, end) => Buffer.prototype.utf8Slice.call(bytes, start, end),
};

function integer(scale: 0 | 2, min: number, max: number): Converter {
  const plain = scale === 0 ? plainInteger : plainCents;
  const exact = (bytes: Uint8Array, from: number, to: number) => {
    const start = trim(bytes, from, to);
    return exactInteger(slice(bytes, start, trimmedEnd), scale, scale === 0 ? 'TYPE' : 'MONEY_SCALE');
  };
  return {
    write(bytes, start, end, out, position) {
      let value: number | bigint = plain(bytes, start, end);
      if (Number.isNaN(value)) {
        const result = exact(bytes, start, end);
        if (typeof result === 'string') return reasonNumber[result];
        value = result;
      }
      if (value < min || value > max) return reasonNumber.RANGE;
      if (typeof value === 'number' && value >= -64 && value < 64) {
        out[position] = value >= 0 ? value << 1 : -2 * value - 1;
        return position + 1;
      }
      return writeLong(value, out, position);
    },
    read(bytes, start, end) {
      const value = plain(bytes, start, end);
      return Number.isNaN(value) ? exact(bytes, start, end) : value;
    },
  };
}

const double: Converter = {
  write(bytes, from, to, out, position) {
    const value = plainDouble(bytes, from, to);
    if (!Number.isNaN(value)) return writeDouble(value, out, position);
    const start = trim(bytes, from, to);
    const result = anyDouble(slice(bytes, start, trimmedEnd));
    return result.reason < 0 ? result.reason : writeDouble(result.value, out, position);
  },
  read(bytes, from, to) {
    const value = plainDouble(bytes, from, to);
    const start = trim(bytes, from, to);
    return Number.isNaN(value) ? anyDouble(slice(bytes, start, trimmedEnd)).value : value;
  },
};

/** 1, 0, or -1 when the text is neither. */
function booleanOf(bytes: Uint8Array, from: number, to: number): number {
  const start = trim(bytes, from, to);
  if (trimmedEnd - start > 5) return -1;
  switch (slice(bytes, start, trimmedEnd).toLowerCase()) {
    case 'true':
    case 't':
    case '1':
      return 1;
    case 'false':
    case 'f':
    case '0':
      return 0;
    default:
      return -1;
  }
}

const boolean: Converter = {
  write(bytes, start, end, out, position) {
    const value = booleanOf(bytes, start, end);
    if (value < 0) return reasonNumber.TYPE;
    out[position] = value;
    return position + 1;
  },
  read: (bytes, start, end) => booleanOf(bytes, start, end) === 1,
};

/** Last instant of the year 9999, epoch ms: what a four-digit year can say. */
const timestampMax = 253_402_300_799_999;

/** Reads a timestamp. @returns epoch ms; NaN when the text is none. */
export function timestampReader(
  options: ConvertOptions,
): (bytes: Uint8Array, start: number, end: number) => number {
  if (options.timestampFormat !== null) {
    const parse = compileTimestampFormat(options.timestampFormat, options.zone);
    return (bytes, from, to) => {
      const start = trim(bytes, from, to);
      return parse(bytes, start, trimmedEnd);
    };
  }
  const {zone} = options;
  return (bytes, from, to) => {
    const start = trim(bytes, from, to);
    const end = trimmedEnd;
    const valueMs = parseTimestamp(bytes, start, end, zone);
    if (!Number.isNaN(valueMs)) return valueMs;
    const plain = plainInteger(bytes, start, end);
    if (!Number.isNaN(plain)) return plain;
    const exact = exactInteger(slice(bytes, start, end), 0, 'TYPE');
    return typeof exact === 'string' ? Number.NaN : Number(exact);
  };
}

function timestamp(options: ConvertOptions): Converter {
  const parse = timestampReader(options);
  return {
    write(bytes, start, end, out, position) {
      const valueMs = parse(bytes, start, end);
      if (Number.isNaN(valueMs)) return reasonNumber.TYPE;
      return Math.abs(valueMs) > timestampMax ? reasonNumber.RANGE : writeLong(valueMs, out, position);
    },
    read: parse,
  };
}

function dateOf(bytes: Uint8Array, from: number, to: number): number {
  const start = trim(bytes, from, to);
  return trimmedEnd - start === 10 ? parseDate(bytes, start, trimmedEnd) : Number.NaN;
}

const date: Converter = {
  write(bytes, start, end, out, position) {
    const days = dateOf(bytes, start, end);
    return Number.isNaN(days) ? reasonNumber.TYPE : writeLong(days, out, position);
  },
  read: dateOf,
};

const uuid: Converter = {
  write(bytes, from, to, out, position) {
    const start = trim(bytes, from, to);
    if (trimmedEnd - start !== 36) return reasonNumber.TYPE;
    out[position] = 72;
    for (let i = 0; i < 36; i++) {
      const byte = bytes[start + i]!;
      const lower = byte | 32;
      if (i === 8 || i === 13 || i === 18 || i === 23) {
        if (byte !== 45) return reasonNumber.TYPE;
        out[position + 1 + i] = 45;
      } else if ((byte >= 48 && byte <= 57) || (lower >= 97 && lower <= 102))
        out[position + 1 + i] = byte <= 57 ? byte : lower;
      else return reasonNumber.TYPE;
    }
    return position + 37;
  },
  read(bytes, from, to) {
    const start = trim(bytes, from, to);
    return slice(bytes, start, trimmedEnd).toLowerCase();
  },
};

function symbols(list: readonly string[]): Converter {
  const numbers = new Map(list.map((symbol, index) => [symbol, index]));
  const symbolOf = (bytes: Uint8Array, from: number, to: number) => {
    const start = trim(bytes, from, to);
    return slice(bytes, start, trimmedEnd);
  };
  return {
    write(bytes, start, end, out, position) {
      const index = numbers.get(symbolOf(bytes, start, end));
      return index === undefined ? reasonNumber.ENUM : writeSmall(index, out, position);
    },
    read: symbolOf,
  };
}

const noneOf: Readonly<Record<ValueType, string>> = {
  string: 'no text',
  int: 'no int',
  long: 'no long',
  double: 'no double',
  boolean: 'not true or false',
  timestamp: 'no timestamp',
  date: 'no date',
  uuid: 'no uuid',
  money: 'not an amount of money',
  enum: 'no symbol',
};

/** What is probably the matter with a value that is no number. */
function wayOut(type: ValueType, text: string): string {
  if (type !== 'int' && type !== 'long' && type !== 'double' && type !== 'money') return '';
  if (/^[-+]?\d+(?:,\d{3})+(?:\.\d+)?$/.test(text) && (/\./.test(text) || /,.*,/.test(text)))
    return `: write it without separators, ${text.replaceAll(',', '')}`;
  if (!/^[-+]?\d+(?:\.\d{3})*,\d+$/.test(text)) return '';
  return `: write it with a decimal point, ${text.replaceAll('.', '').replace(',', '.')}`;
}

/**
 * What a person can do with a reason of a value: `delay_min: "abc" is no long`.
 * @param isHidden the event type has personal data, which may stand in the wrong column: no value is shown
 */
export function explainValue(code: ReasonCode, field: Field, shown: string, isHidden: boolean): string {
  const value = isHidden ? '***' : JSON.stringify(shown.length > 60 ? `${shown.slice(0, 60)}...` : shown);
  switch (code) {
    case 'REQUIRED':
      return `${field.name} is required and has no value`;
    case 'EVENT_ID':
      return `${field.name}: ${value} is empty or longer than 256 bytes`;
    case 'ENUM':
      return `${field.name}: ${value} is not one of ${(field.symbols ?? []).slice(0, 20).join(', ')}`;
    case 'MONEY_SCALE':
      return `${field.name}: ${value} has more than two decimals`;
    case 'RANGE':
      return `${field.name}: ${value} does not fit ${field.type}`;
    case 'TIMESTAMP_RANGE':
      return `${field.name}: ${value} lies before 1970`;
    case 'TIMESTAMP_FUTURE':
      return `${field.name}: ${value} lies too far in the future`;
    default:
      return `${field.name}: ${value} is ${noneOf[field.type]}${isHidden ? '' : wayOut(field.type, shown.trim())}`;
  }
}
