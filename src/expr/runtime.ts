import assert from 'node:assert/strict';
import {operations} from './operations.ts';
import {compareText} from './text.ts';
import type {Value, ValueType} from './types.ts';
import {castValue, roundDouble} from './values.ts';

/**
 * Thrown by compiled code for a row that doubles cannot answer exactly (an integer beyond 2^53) or that fails (overflow, cast):
 * the caller evaluates that row again with `evaluate`, which gives the exact value or throws the ExpressionFailure.
 * One object without a stack of its own, so that throwing is cheap.
 */
export const wide: Error = new Error('this row wants the reference evaluator');

/** A compiled value: numbers, times and booleans (1, 0) with NaN as NULL; strings with null as NULL. */
type Compiled = number | string | null;
/** `n`: number, time or boolean; `t`: string. */
type Kind = 'n' | 't';
type Lifted = (a: Compiled, b?: Compiled, c?: Compiled) => Compiled;

const exact = Number.MAX_SAFE_INTEGER;

function raise(): never {
  throw wide;
}

/** The result of integer arithmetic: itself while it is exact. */
const integer = (x: number): number => (x <= exact && x >= -exact ? x + 0 : Number.isNaN(x) ? x : raise());

/** How each kind of argument and result is NULL. */
const isNull = (x: Compiled): boolean => x === null || Number.isNaN(x);

function lower(result: Value, kind: Kind): Compiled {
  if (typeof result === 'number' || typeof result === 'string') return result;
  if (result === null) return kind === 'n' ? Number.NaN : null;
  if (typeof result === 'boolean') return result ? 1 : 0;
  return raise();
}

/** A reference operation as a function of compiled values. */
function lift(run: (...args: never[]) => Value, kind: Kind): Lifted {
  const call = run as unknown as (...args: Compiled[]) => Value;
  const none = kind === 'n' ? Number.NaN : null;
  return (a, b, c) => {
    if (isNull(a) || (b !== undefined && isNull(b)) || (c !== undefined && isNull(c))) return none;
    try {
      return lower(b === undefined ? call(a) : c === undefined ? call(a, b) : call(a, b, c), kind);
    } catch {
      // Whatever it was: the reference evaluator meets it again and names it.
      return raise();
    }
  };
}

/** Rounds an integer to a multiple of `step`, half away from zero. */
function roundTo(x: number, step: number): number {
  const rest = x % step;
  const base = x - rest;
  return integer(Math.abs(rest) * 2 >= step ? base + Math.sign(rest) * step : base);
}

/** What compiled code calls; it stands in generated text as `rt`. */
export const runtime = {
  integer,
  raise,
  /** A reference operation by its key; `kind` of its result. */
  op(key: string, kind: Kind): Lifted {
    const operation = operations.get(key);
    assert(operation !== undefined, `no operation ${key}`);
    return lift(operation.run, kind);
  },
  /** A conversion; `kind` of its result. */
  cast: (from: ValueType, to: ValueType, kind: Kind): Lifted =>
    lift(
      (value: Exclude<Value, null>) => castValue(from === 'boolean' ? value === 1 : value, from, to),
      kind,
    ),
  lt: (a: number, b: number): number => (a < b ? 1 : a >= b ? 0 : Number.NaN),
  le: (a: number, b: number): number => (a <= b ? 1 : a > b ? 0 : Number.NaN),
  gt: (a: number, b: number): number => (a > b ? 1 : a <= b ? 0 : Number.NaN),
  ge: (a: number, b: number): number => (a >= b ? 1 : a < b ? 0 : Number.NaN),
  eq: (a: number, b: number): number => (a === b ? 1 : Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : 0),
  ne: (a: number, b: number): number => (a === b ? 0 : Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : 1),
  /** Whether both are there and differ. */
  differ: (a: number, b: number): boolean => a < b || a > b,
  /** is distinct from */
  distinct: (a: number, b: number): boolean => a !== b && (!Number.isNaN(a) || !Number.isNaN(b)),
  between: (x: number, low: number, high: number): number =>
    x >= low && x <= high ? 1 : x < low || x > high ? 0 : Number.NaN,
  divide: (a: number, b: number): number => (b === 0 ? Number.NaN : a / b),
  truncate: (x: number): number => integer(Math.trunc(x)),
  floorTo: (x: number, step: number): number => {
    const rest = x % step;
    return integer(x - (rest < 0 ? rest + step : rest));
  },
  ceilTo: (x: number, step: number): number => {
    const rest = x % step;
    return integer(x - (rest > 0 ? rest - step : rest));
  },
  roundTo,
  roundDouble: (x: number, digits: number): number => (Number.isNaN(x) ? x : roundDouble(x, digits)),
  scale: (x: number, numerator: number, denominator: number): number => {
    const product = integer(x * numerator);
    return denominator === 1 ? product : roundTo(product, denominator) / denominator;
  },
  greatest: (a: number, b: number): number => (Number.isNaN(b) || a >= b ? a : b),
  least: (a: number, b: number): number => (Number.isNaN(b) || a <= b ? a : b),
  greatestText: (a: string | null, b: string | null): string | null =>
    b === null || (a !== null && compareText(a, b) >= 0) ? a : b,
  leastText: (a: string | null, b: string | null): string | null =>
    b === null || (a !== null && compareText(a, b) <= 0) ? a : b,
  betweenText: (x: string | null, low: string | null, high: string | null): number => {
    if (x === null) return Number.NaN;
    const above = low === null ? Number.NaN : compareText(x, low) >= 0 ? 1 : 0;
    const below = high === null ? Number.NaN : compareText(x, high) <= 0 ? 1 : 0;
    return above === 0 || below === 0 ? 0 : above * below;
  },
  /** x in (list), three-valued, everything evaluated. */
  in: (x: Compiled, ...list: Compiled[]): number => {
    if (isNull(x)) return Number.NaN;
    let result = 0;
    for (const item of list) {
      if (item === x) return 1;
      if (isNull(item)) result = Number.NaN;
    }
    return result;
  },
  /** A row's value as compiled code holds it. */
  toNumber: (value: unknown): number => {
    if (typeof value === 'number') return value;
    if (typeof value === 'boolean') return value ? 1 : 0;
    return typeof value === 'bigint' ? raise() : Number.NaN;
  },
  toText: (value: unknown): string | null => (typeof value === 'string' ? value : null),
} as const;
