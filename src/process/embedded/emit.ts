import {evaluate} from '../../expr/evaluate.ts';
import type {Value} from '../../expr/types.ts';
import type {MeasurePlan, QueryPlan} from '../plan/nodes.ts';
import {distinctCount, quantileOf} from './accumulators.ts';
import {type Cells, cellValue, type Layout} from './state-cells.ts';
import type {Groups} from './state-groups.ts';
import type {AccumulatorObject} from './types.ts';

/** Version of a tombstone: nothing is higher. */
export const tombstoneVersion = 2n ** 63n - 1n;
const int64Max = 2n ** 63n - 1n;

/** A value of a row that could not be computed: it is NULL there, and this is told once. */
export type EmitFailure = {
  windowStartMs: number;
  groupKey: string;
  measure: string;
  code: string;
  message: string;
};

/** State of one row, wherever it lies. */
export type RowState = {cells: Cells; at: number; object(index: number): AccumulatorObject | null};

/** Collects rows of one query in columns, in the order of `plan.table.columns`. */
export class RowBuilder {
  count = 0;
  columns: Value[][] = [];
  failures: EmitFailure[] = [];
  #plan: QueryPlan;
  #layout: Layout;
  #groups: Groups;
  #failed = new Set<string>();
  #hasRatios: boolean;

  constructor(plan: QueryPlan, layout: Layout, groups: Groups) {
    this.#plan = plan;
    this.#layout = layout;
    this.#groups = groups;
    this.#hasRatios = plan.measures.some(({fn}) => fn === 'ratio');
    this.reset();
  }

  /** Hands out what was collected and begins anew. */
  reset(): {count: number; columns: Value[][]; failures: EmitFailure[]} {
    const {count, columns, failures} = this;
    const width = 2 + this.#plan.groupBy.length + this.#plan.measures.length + 4;
    this.count = 0;
    this.columns = Array.from({length: width}, () => []);
    this.failures = [];
    return {count, columns, failures};
  }

  add(startMs: number, endMs: number, gid: number, state: RowState, closed: boolean): void {
    const events = Number(cellValue(state.cells, state.at));
    const {columns} = this;
    let column = this.#begin(startMs, endMs, gid);
    const {measures} = this.#plan;
    const byName: Record<string, Value> = Object.create(null);
    // A ratio may use any measure of the list that is none, and the ratios before it.
    for (const ratios of this.#hasRatios ? [false, true] : [false])
      for (const [index, measure] of measures.entries()) {
        if ((measure.fn === 'ratio') !== ratios) continue;
        const value = this.#measure(measure, startMs, gid, state, byName);
        byName[measure.name] = value;
        columns[column + index]!.push(value);
      }
    column += measures.length;
    columns[column++]!.push(events);
    columns[column++]!.push(closed);
    columns[column++]!.push(false);
    columns[column]!.push(2 * events + (closed ? 1 : 0));
  }

  /** A row that takes another one away: nothing but its key, deleted, with the highest version. */
  tombstone(startMs: number, endMs: number, gid: number): void {
    let column = this.#begin(startMs, endMs, gid);
    for (const measure of this.#plan.measures)
      this.columns[column++]!.push(measure.fn === 'value' && this.#isCount(measure.accumulator) ? 0 : null);
    this.columns[column++]!.push(0);
    this.columns[column++]!.push(true);
    this.columns[column++]!.push(true);
    this.columns[column]!.push(tombstoneVersion);
  }

  #begin(startMs: number, endMs: number, gid: number): number {
    const {columns} = this;
    this.count++;
    columns[0]!.push(startMs);
    columns[1]!.push(endMs);
    let column = 2;
    for (const values of this.#groups.values) columns[column++]!.push(values[gid]!);
    return column;
  }

  #isCount(accumulator: number): boolean {
    const {op} = this.#plan.accumulators[accumulator]!;
    return op === 'count' || op === 'distinct';
  }

  #measure(
    measure: MeasurePlan,
    startMs: number,
    gid: number,
    state: RowState,
    byName: Record<string, Value>,
  ): Value {
    switch (measure.fn) {
      case 'sum': {
        if (this.#cell(state, measure.count) === 0) return null;
        const total = this.#cell(state, measure.sum);
        if (typeof total !== 'bigint' || (total <= int64Max && total >= -int64Max - 1n)) return total;
        this.#fail(measure, startMs, gid, 'SUM_OVERFLOW', `the total ${total} leaves 64 bits`);
        return null;
      }
      case 'avg': {
        const count = Number(this.#cell(state, measure.count));
        if (count === 0) return null;
        const average = Number(this.#cell(state, measure.sum)) / count;
        return measure.argType === 'money' ? average / 100 : average;
      }
      case 'quantile': {
        const object = state.object(this.#layout.objectOf[measure.accumulator]!);
        if (object?.op !== 'quantile') return null;
        const value = quantileOf(object, measure.q);
        return value !== null && measure.argType === 'money' ? value / 100 : value;
      }
      case 'ratio':
        try {
          return evaluate(measure.expr, (name) => byName[name] ?? null);
        } catch (error) {
          this.#fail(measure, startMs, gid, 'EXPRESSION', (error as Error).message);
          return null;
        }
      case 'value':
        return this.#value(measure.accumulator, state);
    }
  }

  #value(accumulator: number, state: RowState): Value {
    const {op} = this.#plan.accumulators[accumulator]!;
    if (op === 'count') return this.#cell(state, accumulator);
    if (op === 'min' || op === 'max') {
      const value = this.#cell(state, accumulator);
      return typeof value === 'number' && Number.isNaN(value) ? null : value;
    }
    const object = state.object(this.#layout.objectOf[accumulator]!);
    if (op === 'distinct') return object?.op === 'distinct' ? distinctCount(object) : 0;
    return object?.op === 'first' || object?.op === 'last' ? object.value : null;
  }

  #cell(state: RowState, accumulator: number): number | bigint {
    return cellValue(state.cells, state.at + this.#layout.cellOf[accumulator]!);
  }

  /** Told once for each row and measure while this process lives; its identity makes a repetition after a restart harmless. */
  #fail(measure: MeasurePlan, windowStartMs: number, gid: number, code: string, message: string): void {
    const groupKey = this.#groups.key(gid);
    const identity = `${windowStartMs} ${measure.name} ${groupKey}`;
    if (this.#failed.has(identity)) return;
    if (this.#failed.size >= 10_000) this.#failed.clear();
    this.#failed.add(identity);
    this.failures.push({windowStartMs, groupKey, measure: measure.name, code, message});
  }
}

/**
 * The engine emits a window's group once at a time; a session and its tombstone may share a key, and -0 and 0 are one to databases.
 */
export const emitsDistinct = ({window, table}: QueryPlan): boolean =>
  window.type !== 'session' &&
  !table.columns.some(({name, type}) => type === 'double' && table.key.includes(name));
