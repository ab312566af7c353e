/** Rows as a reader of a changelog sees them: the highest version of each key, tombstones gone. */
import assert from 'node:assert/strict';
import type {Value} from '../../src/expr/types.ts';
import type {NaiveRow} from '../../src/process/naive-rows.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {EmittedRows} from '../../src/process/types.ts';

export type Row = Record<string, Value>;

/** A key in which types and NULL stay apart. */
export const keyOf = (plan: QueryPlan, row: Row): string =>
  plan.table.key.map((name) => `${typeof row[name]} ${String(row[name]).length} ${row[name]}`).join('|');

/**
 * Two rows of one version may differ: after a crash partitions are read in another order, and other events are the first n of
 * a window. The next version settles it; the last one holds every event.
 */
export class Changelog {
  readonly rows = new Map<string, Row>();
  readonly plan: QueryPlan;

  constructor(plan: QueryPlan) {
    this.plan = plan;
  }

  add({count, columns}: Pick<EmittedRows, 'count' | 'columns'>): void {
    const names = this.plan.table.columns.map(({name}) => name);
    assert.equal(columns.length, names.length, 'a batch has the columns of its table');
    for (let index = 0; index < count; index++) {
      const row = Object.fromEntries(names.map((name, column) => [name, columns[column]![index]!]));
      const key = keyOf(this.plan, row);
      const known = this.rows.get(key);
      if (!known || row.version! > known.version!) this.rows.set(key, row);
    }
  }

  read(): Row[] {
    return [...this.rows.values()].filter(({deleted}) => !deleted);
  }
}

const relative = 1e-12;

/** What is wrong with `actual`, given the exact rows; empty when nothing is. `closed` is masked. */
export function compareRows(plan: QueryPlan, actual: Row[], exact: NaiveRow[]): string[] {
  const problems: string[] = [];
  const wanted = new Map(exact.map((row) => [keyOf(plan, row), row]));
  for (const row of actual) {
    const key = keyOf(plan, row);
    const naive = wanted.get(key);
    wanted.delete(key);
    if (naive) problems.push(...compareRow(plan, row, naive).map((problem) => `${show(key)}: ${problem}`));
    else problems.push(`${show(key)}: the engine has this row and it should not: ${show(row)}`);
  }
  for (const [key, row] of wanted) problems.push(`${show(key)}: missing; it is ${show(row)}`);
  return problems;
}

function compareRow(plan: QueryPlan, row: Row, naive: NaiveRow): string[] {
  const problems: string[] = [];
  for (const {name} of plan.table.columns) {
    if (name === 'closed' || name === 'deleted') continue;
    const actual = name === 'version' ? Number(row.version) - (row.closed ? 1 : 0) : row[name]!;
    const measure = plan.measures.find(({column}) => column === name);
    const op =
      measure?.fn === 'value'
        ? plan.accumulators[measure.accumulator]!.op
        : measure?.fn === 'quantile'
          ? 'quantile'
          : '';
    const slack =
      measure && 'sum' in measure && measure.argType === 'double' ? Number(naive.events) * 1000 : 0;
    if (!isNear(actual, naive[name]!, op, slack))
      problems.push(`${name} is ${show(actual)}, wanted ${show(naive[name])}`);
  }
  return problems;
}

/** @param slack what the terms of a sum of doubles may have reached: an error is relative to it when they cancel out. */
function isNear(actual: Value, exact: Value, op: string, slack: number): boolean {
  if (Object.is(actual, exact)) return true;
  if (typeof actual !== 'number' || typeof exact !== 'number') return false;
  const error = Math.abs(actual - exact);
  // Four standard errors of 1.04 / sqrt(4096); a single collision is more than that of a few values.
  if (op === 'distinct') return error <= Math.max(1, 0.065 * exact);
  if (op === 'quantile') return error <= 0.01 * Math.abs(exact) * (1 + 1e-9);
  if (Number.isInteger(actual) && Number.isInteger(exact) && slack === 0) return actual === exact;
  return error <= relative * Math.max(Math.abs(actual), Math.abs(exact), slack);
}

/** JSON with bigints. */
export const show = (value: unknown): string =>
  JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner));
