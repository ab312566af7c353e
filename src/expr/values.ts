import {
  dayMs,
  daysMax,
  daysMin,
  formatDate,
  formatTimestamp,
  parseDate,
  parseTimestamp,
  timestampMax,
  timestampMin,
} from './calendar.ts';
import {ExpressionFailure} from './failure.ts';
import type {Value, ValueType} from './types.ts';

export const int64Min = -(2n ** 63n);
export const int64Max = 2n ** 63n - 1n;
/** Integers up to here are numbers, beyond it bigints. */
const exactMax = 2n ** 53n;

/** An exact integer as a value: number while |x| <= 2^53, else bigint. @throws ExpressionFailure beyond int64. */
export function toInteger(exact: bigint): number | bigint {
  if (exact < int64Min || exact > int64Max) throw new ExpressionFailure(`${exact} does not fit into 64 bits`);
  return exact >= -exactMax && exact <= exactMax ? Number(exact) : exact;
}

/** NaN is NULL, everywhere: columns of the engine cannot tell them apart. */
export const toDouble = (value: number): number | null => (Number.isNaN(value) ? null : value);

/** Quotient rounded to the nearest integer, ties away from zero; `divisor` > 0. */
export function divideRounded(dividend: bigint, divisor: bigint): bigint {
  const twice = 2n * (dividend < 0n ? -dividend : dividend) + divisor;
  const quotient = twice / (2n * divisor);
  return dividend < 0n ? -quotient : quotient;
}

/** Decimal text ("-12.5", "1e3") as an exact fraction of a power of ten: `units / 10^scale`; undefined when it is none. */
export function parseDecimal(text: string): {units: bigint; scale: number} | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text);
  if (match === null || (match[2] === '' && (match[3] ?? '') === '')) return undefined;
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  const digits = BigInt(`${match[2]}${fraction}` || '0');
  const exponent = fraction.length - Number(match[4] ?? 0);
  if (exponent < -400 || exponent > 5000) return undefined;
  const units = exponent < 0 ? digits * 10n ** BigInt(-exponent) : digits;
  return {units: match[1] === '-' ? -units : units, scale: Math.max(0, exponent)};
}

/** Exact decimal text -> cents, rounded half away from zero; undefined when it is no number. */
export function decimalToCents(text: string): bigint | undefined {
  const decimal = parseDecimal(text);
  if (decimal === undefined) return undefined;
  const {units, scale} = decimal;
  return scale <= 2 ? units * 10n ** BigInt(2 - scale) : divideRounded(units, 10n ** BigInt(scale - 2));
}

/** Cents -> "12.34". */
export function formatCents(cents: number | bigint): string {
  const exact = BigInt(cents);
  const digits = (exact < 0n ? -exact : exact).toString().padStart(3, '0');
  return `${exact < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/**
 * A double rounded to `digits` after the point, half away from zero as its shortest decimal text shows it:
 * 1.005 is 1.01 with 2 digits, as a person expects and as Spark does it.
 */
export function roundDouble(value: number, digits: number): number {
  if (digits < 0) return roundDoubleExactly(value, digits);
  const power = 10 ** digits;
  const scaled = Math.abs(value) * power;
  const whole = Math.floor(scaled);
  const rest = scaled - whole;
  // Below 2^40 the product is off by less than 2^-12: only near a tie can the digits decide otherwise.
  if (!(scaled < 2 ** 40) || Math.abs(rest - 0.5) < 1e-3) return roundDoubleExactly(value, digits);
  const rounded = (rest > 0.5 ? whole + 1 : whole) / power;
  return value < 0 ? 0 - rounded : rounded;
}

/** The same through the decimal digits alone, slowly. */
export function roundDoubleExactly(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value;
  const decimal = parseDecimal(String(value))!;
  if (decimal.scale <= digits) return value;
  const units = divideRounded(decimal.units, 10n ** BigInt(decimal.scale - digits));
  return Number(`${units}e${-digits}`);
}

/** An integer rounded to a power of ten, half away from zero; `digits` <= 0. */
export function roundInteger(value: number | bigint, digits: number): number | bigint {
  const step = 10n ** BigInt(-digits);
  return toInteger(divideRounded(BigInt(value), step) * step);
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Text -> uuid in lower case; undefined when it is none. */
export const parseUuid = (text: string): string | undefined =>
  uuidPattern.test(text) ? text.toLowerCase() : undefined;

const isText = (type: ValueType): boolean => type === 'string' || type === 'enum' || type === 'uuid';
const isLong = (type: ValueType): boolean => type === 'int' || type === 'long';

/** Whether `cast(x as to)` exists for a value of type `from`. */
export function canCast(from: ValueType, to: ValueType): boolean {
  if (from === to) return true;
  if (to === 'string') return true;
  if (to === 'enum') return false;
  if (isText(from)) return true;
  if (to === 'uuid') return false;
  const numbers = ['int', 'long', 'double', 'money'];
  if (numbers.includes(from)) return numbers.includes(to);
  if (from === 'boolean') return isLong(to);
  return (from === 'timestamp' && to === 'date') || (from === 'date' && to === 'timestamp');
}

/** Converts a value that is not NULL. @throws ExpressionFailure when the value has no counterpart in the other type. */
export function castValue(value: Exclude<Value, null>, from: ValueType, to: ValueType): Value {
  if (from === to || (isText(from) && to === 'string') || (from === 'int' && to === 'long')) return value;
  if (to === 'string') return castToText(value, from);
  if (isText(from)) return castText(String(value).trim(), to);
  if (from === 'timestamp') return Math.floor(Number(value) / dayMs);
  if (from === 'date') return Number(value) * dayMs;
  if (from === 'boolean') return value ? 1 : 0;
  if (to === 'int') {
    const integer = castValue(value, from, 'long') as number | bigint;
    if (integer < -(2 ** 31) || integer >= 2 ** 31) throw failedCast(value, 'int');
    return Number(integer);
  }
  if (isLong(from)) return to === 'double' ? Number(value) : toInteger(BigInt(value as number) * 100n);
  if (from === 'money')
    return to === 'double' ? Number(value) / 100 : toInteger(BigInt(value as number) / 100n);
  return castDouble(value as number, to);
}

function castToText(value: Exclude<Value, null>, from: ValueType): string {
  if (from === 'money') return formatCents(value as number | bigint);
  if (from === 'timestamp') return formatTimestamp(checkTimestamp(Number(value)));
  if (from === 'date') return formatDate(checkDate(Number(value)));
  return String(value);
}

function castDouble(value: number, to: ValueType): Value {
  if (!Number.isFinite(value)) throw failedCast(value, to);
  // Toward zero, as SQL engines cut; money rounds, since cents are the nearest thing to what was meant.
  return to === 'money' ? toInteger(decimalToCents(String(value))!) : toInteger(BigInt(Math.trunc(value)));
}

function castText(text: string, to: ValueType): Value {
  const value = parseText(text, to);
  if (value === undefined) throw failedCast(text, to);
  return value;
}

function parseText(text: string, to: ValueType): Value | undefined {
  switch (to) {
    case 'int':
    case 'long': {
      // Twenty characters hold every int64; a longer text would only cost time.
      if (!/^[+-]?\d{1,30}$/.test(text)) return undefined;
      const exact = BigInt(text.replace('+', ''));
      const limit = to === 'int' ? 2n ** 31n : 2n ** 63n;
      return exact >= -limit && exact < limit ? toInteger(exact) : undefined;
    }
    case 'double': {
      const number = text.length <= 400 && parseDecimal(text) !== undefined ? Number(text) : Number.NaN;
      return Number.isFinite(number) ? number : undefined;
    }
    case 'money': {
      const cents = text.length <= 40 ? decimalToCents(text) : undefined;
      return cents === undefined || cents < int64Min || cents > int64Max ? undefined : toInteger(cents);
    }
    case 'boolean':
      return /^true$/i.test(text) ? true : /^false$/i.test(text) ? false : undefined;
    case 'timestamp':
      return parseTimestamp(text);
    case 'date':
      return parseDate(text);
    case 'uuid':
      return parseUuid(text);
    default:
      return text;
  }
}

function failedCast(value: string | number | bigint | boolean, to: ValueType): ExpressionFailure {
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : String(value);
  return new ExpressionFailure(`cannot cast ${text} to ${to}`);
}

/** @throws ExpressionFailure outside the years 0001 to 9999 */
export function checkTimestamp(ms: number): number {
  if (!(ms >= timestampMin && ms <= timestampMax))
    throw new ExpressionFailure(`the timestamp ${ms} ms is outside the years 0001 to 9999`);
  return ms;
}

/** @throws ExpressionFailure outside the years 0001 to 9999 */
export function checkDate(days: number): number {
  if (!(days >= daysMin && days <= daysMax))
    throw new ExpressionFailure(`the date ${days} days from 1970 is outside the years 0001 to 9999`);
  return days;
}
