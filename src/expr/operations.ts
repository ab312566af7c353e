import {
  civilFromDays,
  dayMs,
  dayOf,
  dayOfWeek,
  dayOfYear,
  daysFromCivil,
  daysInMonth,
  monthOf,
  truncateDays,
  yearOf,
} from './calendar.ts';
import {ExpressionFailure} from './failure.ts';
import {
  compareText,
  concat,
  like,
  position,
  replace,
  substring,
  textLength,
  trimEnd,
  trimStart,
} from './text.ts';
import type {Value} from './types.ts';
import {
  checkDate,
  checkTimestamp,
  divideRounded,
  roundDouble,
  roundInteger,
  toDouble,
  toInteger,
} from './values.ts';
import {localDays, localTime, type TruncateUnit, truncateTimestamp} from './zones.ts';

/** What an operation does with arguments that are not NULL; a NULL argument makes the result NULL before it is called. */
export type Operation = {
  // biome-ignore lint/suspicious/noExplicitAny: the checker has proven the arguments' types; one signature cannot name them all.
  run: (...args: any[]) => Value;
  /** Whether it can throw an ExpressionFailure, or leave 2^53 and with it exact doubles. */
  canFail: boolean;
};

type Integer = number | bigint;
const total = (run: Operation['run']): Operation => ({run, canFail: false});
const partial = (run: Operation['run']): Operation => ({run, canFail: true});

/** Types whose values are exact integers. */
export const integerTypes = ['long', 'money', 'timestamp', 'date'] as const;

const arithmetic: Record<string, Operation> = {};
for (const type of ['long', 'money']) {
  Object.assign(arithmetic, {
    [`add.${type}`]: partial((a: Integer, b: Integer) => toInteger(BigInt(a) + BigInt(b))),
    [`sub.${type}`]: partial((a: Integer, b: Integer) => toInteger(BigInt(a) - BigInt(b))),
    [`neg.${type}`]: partial((a: Integer) => toInteger(-BigInt(a))),
    [`abs.${type}`]: partial((a: Integer) => (a < 0 ? toInteger(-BigInt(a)) : a)),
    [`sign.${type}`]: total((a: Integer) => (a > 0 ? 1 : a < 0 ? -1 : 0)),
    // Money times a whole number is money; long times long is the same arithmetic.
    [`mul.${type}`]: partial((a: Integer, b: Integer) => toInteger(BigInt(a) * BigInt(b))),
  });
}

/** Whole units of money around an amount of cents. */
const wholeUnits = (cents: Integer, up: boolean): Integer => {
  const exact = BigInt(cents);
  const rest = ((exact % 100n) + 100n) % 100n;
  return toInteger(exact - rest + (up && rest > 0n ? 100n : 0n));
};

const wholeNumber = (value: number): Integer => {
  if (!Number.isFinite(value)) throw new ExpressionFailure(`${value} is no whole number`);
  return toInteger(BigInt(value));
};

const numbers: Record<string, Operation> = {
  ...arithmetic,
  'mod.long': total((a: Integer, b: Integer) => (Number(b) === 0 ? null : toInteger(BigInt(a) % BigInt(b)))),
  'add.double': total((a: number, b: number) => toDouble(a + b)),
  'sub.double': total((a: number, b: number) => toDouble(a - b)),
  'mul.double': total((a: number, b: number) => toDouble(a * b)),
  'div.double': total((a: number, b: number) => (b === 0 ? null : toDouble(a / b))),
  'mod.double': total((a: number, b: number) => (b === 0 ? null : toDouble(a % b))),
  'neg.double': total((a: number) => -a),
  'abs.double': total((a: number) => Math.abs(a)),
  'sign.double': total((a: number) => (a > 0 ? 1 : a < 0 ? -1 : 0)),
  // Money / money is a plain number: cents over cents.
  'div.money': total((a: Integer, b: Integer) => (Number(b) === 0 ? null : Number(a) / Number(b))),
  // Money times a decimal literal, numerator / denominator: exact, then rounded half away from zero to cents.
  'scale.money': partial((a: Integer, numerator: Integer, denominator: Integer) =>
    toInteger(divideRounded(BigInt(a) * BigInt(numerator), BigInt(denominator))),
  ),
  'round.long': partial((a: Integer, digits: number) => (digits >= 0 ? a : roundInteger(a, digits))),
  'round.money': partial((a: Integer, digits: number) => (digits >= 2 ? a : roundInteger(a, digits - 2))),
  'round.double': total((a: number, digits: number) => roundDouble(a, digits)),
  'floor.long': total((a: Integer) => a),
  'ceil.long': total((a: Integer) => a),
  'floor.double': partial((a: number) => wholeNumber(Math.floor(a))),
  'ceil.double': partial((a: number) => wholeNumber(Math.ceil(a))),
  'floor.money': partial((a: Integer) => wholeUnits(a, false)),
  'ceil.money': partial((a: Integer) => wholeUnits(a, true)),
};

/** Order of two values of one type that are not NULL: negative, 0 or positive. */
export function compareValues(type: string, a: Exclude<Value, null>, b: Exclude<Value, null>): number {
  if (type === 'string' || type === 'enum' || type === 'uuid') return compareText(a as string, b as string);
  return a === b ? 0 : a < b ? -1 : 1;
}

const comparisons: Record<string, Operation> = {};
for (const type of [...integerTypes, 'double', 'string', 'boolean']) {
  const define = (name: string, test: (order: number) => boolean) => {
    comparisons[`${name}.${type}`] = total((a, b) => test(compareValues(type, a, b)));
  };
  define('eq', (order) => order === 0);
  define('ne', (order) => order !== 0);
  define('lt', (order) => order < 0);
  define('le', (order) => order <= 0);
  define('gt', (order) => order > 0);
  define('ge', (order) => order >= 0);
}

const strings: Record<string, Operation> = {
  upper: total((a: string) => a.toUpperCase()),
  lower: total((a: string) => a.toLowerCase()),
  trim: total((a: string) => trimEnd(trimStart(a))),
  ltrim: total(trimStart),
  rtrim: total(trimEnd),
  length: total(textLength),
  substring: total((text: string, start: Integer, count: Integer = Infinity) =>
    substring(text, Number(start), Number(count)),
  ),
  replace: partial(replace),
  concat: partial((...parts: string[]) => parts.reduce(concat)),
  starts_with: total((a: string, b: string) => a.startsWith(b)),
  ends_with: total((a: string, b: string) => a.endsWith(b)),
  contains: total((a: string, b: string) => a.includes(b)),
  position: total(position),
  like: total(like),
};

const parts: Record<string, Operation> = {};
for (const [name, ofDays] of Object.entries({
  year: yearOf,
  month: monthOf,
  day: dayOf,
  dayofweek: dayOfWeek,
  dayofyear: dayOfYear,
})) {
  parts[`${name}.date`] = total((days: number) => ofDays(days));
  parts[`${name}.timestamp`] = total((ms: Integer, zone = 'UTC') => ofDays(localDays(zone, instant(ms))));
}
for (const [name, unit, size] of [
  ['hour', 3_600_000, 24],
  ['minute', 60_000, 60],
  ['second', 1000, 60],
] as const)
  parts[`${name}.timestamp`] = total(
    (ms: Integer, zone = 'UTC') => Math.floor(localTime(zone, instant(ms)) / unit) % size,
  );

/** Timestamps of events lie in the calendar's range; a wider one (a raw long read as time) is pulled to its edge. */
const instant = (ms: Integer): number =>
  Math.min(Math.max(Number(ms), -62_135_596_800_000), 253_402_300_799_999);

const unitMs: Record<string, number> = {
  millisecond: 1,
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: dayMs,
  week: 7 * dayMs,
};
const unitMonths: Record<string, number> = {month: 1, quarter: 3, year: 12};

function addMonths(days: number, count: number): number {
  const {year, month, day} = civilFromDays(days);
  const months = year * 12 + month - 1 + count;
  const [toYear, toMonth] = [Math.floor(months / 12), (((months % 12) + 12) % 12) + 1];
  return daysFromCivil(toYear, toMonth, Math.min(day, daysInMonth(toYear, toMonth)));
}

/** Moves a time counted in `perDay` steps a day. */
function addUnits(unit: string, count: Integer, time: number, perDay: number): number {
  const months = unitMonths[unit];
  if (months === undefined)
    return time + Number(count) * (perDay === 1 ? unitMs[unit]! / dayMs : unitMs[unit]!);
  const days = Math.floor(time / perDay);
  const limited = Math.max(-1e6, Math.min(1e6, Number(count) * months));
  return addMonths(days, limited) * perDay + (time - days * perDay);
}

const times: Record<string, Operation> = {
  ...parts,
  'date_trunc.timestamp': total((unit: TruncateUnit, ms: Integer, zone = 'UTC') =>
    truncateTimestamp(unit, instant(ms), zone),
  ),
  'date_trunc.date': total((unit: 'day', days: number) => truncateDays(unit, days)),
  'date_diff.timestamp': partial((unit: string, from: Integer, to: Integer) =>
    toInteger((BigInt(to) - BigInt(from)) / BigInt(unitMs[unit]!)),
  ),
  'date_diff.date': total(
    (unit: string, from: number, to: number) => Math.trunc((to - from) / (unitMs[unit]! / dayMs)) + 0,
  ),
  'date_add.timestamp': partial((unit: string, count: Integer, ms: Integer) =>
    checkTimestamp(addUnits(unit, count, Number(ms), dayMs)),
  ),
  'date_add.date': partial((unit: string, count: Integer, days: number) =>
    checkDate(addUnits(unit, count, days, 1)),
  ),
  to_date: total((ms: Integer, zone = 'UTC') => localDays(zone, instant(ms))),
  epoch_ms: total((ms: Integer) => ms),
  from_epoch_ms: partial((ms: Integer) => checkTimestamp(Number(ms))),
};

/**
 * Every strict operation by its key, as `apply` names it. The keys that are not here see NULLs or evaluate their arguments
 * one by one: and, or, isnull, coalesce, in.*, between.*, distinct.*, nullif.*, greatest.*, least.* (evaluate.ts).
 */
export const operations: ReadonlyMap<string, Operation> = new Map(
  Object.entries({
    not: total((a: boolean) => !a),
    ...numbers,
    ...comparisons,
    ...strings,
    ...times,
  }),
);
