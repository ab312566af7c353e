import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import type {AccumulatorPlan, MeasurePlan, QueryPlan} from './plan/nodes.ts';

/** One row by column name; `distinct` is the exact count, `quantile` the exact value. `version` is that of an open window. */
export type NaiveRow = Record<string, Value>;

/** An event that counts, with its columns and the argument of every accumulator. */
export type Kept = {timeMs: number; row: Record<string, Value>; args: Value[]};
export type Group = {startMs: number; endMs: number; dimensions: Value[]; events: Kept[]};
const int64Max = 2n ** 63n - 1n;

/** The row of a group: every measure computed from all of its events. */
export function rowOf(plan: QueryPlan, {startMs, endMs, dimensions, events}: Group): NaiveRow {
  const row: NaiveRow = {window_start: startMs, window_end: endMs};
  for (const [index, {column}] of plan.groupBy.entries()) row[column] = dimensions[index]!;
  const byName: Record<string, Value> = {};
  const plain = plan.measures.filter(({fn}) => fn !== 'ratio');
  for (const measure of [...plain, ...plan.measures.filter(({fn}) => fn === 'ratio')]) {
    const value = measureOf(plan, measure, events, byName);
    row[measure.column] = value;
    byName[measure.name] = value;
  }
  return {...row, events: events.length, version: 2 * events.length};
}

function measureOf(
  plan: QueryPlan,
  measure: MeasurePlan,
  events: Kept[],
  byName: Record<string, Value>,
): Value {
  const values = (accumulator: number) =>
    events.map(({args}) => args[accumulator]!).filter((value) => value !== null);
  switch (measure.fn) {
    case 'ratio':
      return orNull(() => evaluate(measure.expr, (name) => byName[name] ?? null));
    case 'sum':
      return int64(total(values(measure.sum), measure.argType === 'double'));
    case 'avg': {
      const sum = total(values(measure.sum), measure.argType === 'double');
      const average = sum === null ? null : Number(sum) / values(measure.sum).length;
      return average !== null && measure.argType === 'money' ? average / 100 : average;
    }
    case 'quantile': {
      const sorted = values(measure.accumulator)
        .map(Number)
        .sort((a, b) => a - b);
      const value = sorted[Math.floor(measure.q * (sorted.length - 1))];
      if (value === undefined) return null;
      return measure.argType === 'money' ? value / 100 : value;
    }
    case 'value':
      return accumulated(
        plan.accumulators[measure.accumulator]!,
        measure.accumulator,
        events,
        values(measure.accumulator),
      );
  }
}

/** A measure that fails is NULL in its row. */
function orNull(value: () => Value): Value {
  try {
    return value();
  } catch (error) {
    if (error instanceof ExpressionFailure) return null;
    throw error;
  }
}

function accumulated(accumulator: AccumulatorPlan, index: number, events: Kept[], values: Value[]): Value {
  switch (accumulator.op) {
    case 'count':
      return values.length;
    case 'distinct':
      return new Set(values).size;
    case 'min':
      return values.reduce<Value>((least, value) => (least === null || value! < least ? value : least), null);
    case 'max':
      return values.reduce<Value>((most, value) => (most === null || value! > most ? value : most), null);
    case 'first':
    case 'last': {
      const ordered = events
        .filter(({args}) => args[index] !== null)
        .sort((a, b) => a.timeMs - b.timeMs || compareText(String(a.row.event_id), String(b.row.event_id)));
      return (accumulator.op === 'first' ? ordered[0] : ordered.at(-1))?.args[index] ?? null;
    }
    default:
      throw new Error(`${accumulator.op} is not a value by itself`);
  }
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function total(values: Value[], isDouble: boolean): bigint | number | null {
  if (values.length === 0) return null;
  return isDouble
    ? values.reduce<number>((sum, value) => sum + Number(value), 0)
    : values.reduce<bigint>((sum, value) => sum + BigInt(value as number | bigint), 0n);
}

/** An exact total as a Value; NULL when it leaves int64. */
function int64(sum: bigint | number | null): Value {
  if (typeof sum !== 'bigint') return sum;
  if (sum > int64Max || sum < -int64Max - 1n) return null;
  return sum >= -(2n ** 53n) && sum <= 2n ** 53n ? Number(sum) : sum;
}
