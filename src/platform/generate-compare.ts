/** Rows of a sink against the expected ones. */
import {parseDate, parseTimestamp} from '../expr/calendar.ts';
import type {Value, ValueType} from '../expr/types.ts';
import type {Column} from '../model/types.ts';
import type {NaiveRow} from '../process/naive-rows.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';

/** A row as it is in a sink, by column. */
type Row = Record<string, Value>;

/** Rows with the values of the engine, whatever the sink's driver gives: texts for times and int64, 0 and 1 for booleans. */
export function normalRows(columns: readonly Column[], rows: readonly Value[][]): Row[] {
  return rows.map((row) =>
    Object.fromEntries(columns.map(({name, type}, index) => [name, normal(row[index] ?? null, type)])),
  );
}

function normal(value: Value, type: ValueType): Value {
  if (value === null) return null;
  switch (type) {
    case 'int':
    case 'long':
    case 'money': {
      const exact = BigInt(value);
      return exact >= -(2n ** 53n) && exact <= 2n ** 53n ? Number(exact) : exact;
    }
    case 'double':
      return Number(value);
    case 'boolean':
      return value === true || value === 1 || value === 'true';
    case 'timestamp':
      return typeof value === 'string'
        ? (parseTimestamp(zoned(value)) ?? Date.parse(zoned(value)))
        : Number(value);
    case 'date':
      return typeof value === 'string' ? (parseDate(value.slice(0, 10)) ?? null) : Number(value);
    default:
      return String(value);
  }
}

/** "2026-01-01 00:00:00.000" is UTC. */
const zoned = (text: string): string =>
  /(?:Z|[+-]\d\d(?::?\d\d)?)$/.test(text) ? text : `${text.replace(' ', 'T')}Z`;

/** What says how far a row is, not what it says. */
const masked = new Set(['closed', 'deleted', 'version']);

/**
 * Every difference, in words; empty when there is none. `distinct` within four standard errors, `quantile` within 1 %, sums of doubles
 * to nine digits, everything else exactly.
 */
export function compareExpected(plan: QueryPlan, actual: Row[], expected: readonly NaiveRow[]): string[] {
  const problems: string[] = [];
  const keyOf = (row: Row) => show(plan.table.key.map((name) => row[name] ?? null));
  const wanted = new Map(expected.map((row) => [keyOf(row), row]));
  for (const row of actual) {
    const key = keyOf(row);
    const exact = wanted.get(key);
    wanted.delete(key);
    if (!exact) {
      problems.push(`${named(plan, row)}: this row should not be: ${show(row)}`);
      continue;
    }
    for (const {name} of plan.table.columns) {
      if (masked.has(name) || isNear(row[name] ?? null, exact[name] ?? null, kindOf(plan, name))) continue;
      problems.push(`${named(plan, row)}: ${name} is ${show(row[name])}, expected ${show(exact[name])}`);
    }
  }
  for (const row of wanted.values()) problems.push(`${named(plan, row)}: this row is missing: ${show(row)}`);
  return problems;
}

/** A row by its key: window and dimensions. */
function named({table}: QueryPlan, row: Row): string {
  return table.key
    .map((name) =>
      name === 'window_start' ? new Date(Number(row[name])).toISOString() : `${name}=${show(row[name])}`,
    )
    .join(' ');
}

function kindOf(plan: QueryPlan, column: string): 'exact' | 'distinct' | 'quantile' | 'double' {
  const measure = plan.measures.find((each) => each.column === column);
  if (!measure) return 'exact';
  if (measure.fn === 'quantile') return 'quantile';
  if (measure.fn === 'value' && plan.accumulators[measure.accumulator]!.op === 'distinct') return 'distinct';
  if (measure.fn === 'ratio' && measure.type === 'double') return 'double';
  return measure.fn === 'avg' || ('argType' in measure && measure.argType === 'double') ? 'double' : 'exact';
}

function isNear(actual: Value, exact: Value, kind: ReturnType<typeof kindOf>): boolean {
  if (actual === exact || (Number.isNaN(actual) && Number.isNaN(exact))) return true;
  if (typeof actual !== 'number' || typeof exact !== 'number') return false;
  const error = Math.abs(actual - exact);
  // Four standard errors of 1.04 / sqrt(4096); in small groups a collision or two.
  if (kind === 'distinct') return error <= Math.max(3, 0.065 * exact);
  if (kind === 'quantile') return error <= 0.01 * Math.abs(exact) * (1 + 1e-9);
  return kind === 'double' && error <= 1e-9 * Math.max(1, Math.abs(actual), Math.abs(exact));
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part)) ?? 'nothing';
