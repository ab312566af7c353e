/** The checks of an event type, on the values of one record. */
import {formatDate, formatTimestamp} from '../expr/calendar.ts';
import {compileRow} from '../expr/compile.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import {columnsOf} from '../expr/walk.ts';
import {type CheckedType, checkedColumns} from '../model/checked.ts';
import type {EventType} from '../model/types.ts';
import {reasonNumber} from './reasons.ts';
import {absent, type RecordScanner} from './records.ts';
import type {IsNull, Plan} from './validate.ts';

/** A value as people write it: money 12.34, times and dates as ISO 8601 has them, NULL. */
function shown(value: Value, type: ValueType | undefined): string {
  if (value === null) return 'NULL';
  if (type === 'money') return formatCents(value as number | bigint);
  if (type === 'timestamp') return formatTimestamp(value as number);
  return type === 'date' ? formatDate(value as number) : String(value);
}

/** Columns whose values are not shown: personal data, what is derived from it, and other texts beside it, which it may have slipped into. */
function personal({fields, derive}: CheckedType): Set<string> {
  if (!fields.some(({pii}) => pii)) return new Set();
  const names = new Set(fields.filter(({pii, type}) => pii || type === 'string').map(({name}) => name));
  for (const {name, expr} of derive)
    if ([...columnsOf(expr)].some((column) => names.has(column))) names.add(name);
  return names;
}

/** Checks over one record's values, by field name. */
export type RowChecks = {
  /** Fields that the checks look at, directly or through derived columns: only these need a value. */
  wanted: ReadonlySet<string>;
  /** @returns 0, or the reason of the first check that fails. `row` also gets the derived columns. */
  check(row: Record<string, Value>): number;
};

/** @param state gets the name of the check that failed and the values it saw. @returns undefined when there are no checks. */
export function compileRowChecks(
  eventType: CheckedType,
  state: {check: string; detail: string},
): RowChecks | undefined {
  if (eventType.checks.length === 0) return undefined;
  const {wanted, derived: columns} = checkedColumns(eventType);
  const derived = columns.map(({name, expr}) => ({name, evaluate: compileRow(expr)}));
  const checks = eventType.checks.map((check) => ({...check, evaluate: compileRow(check.expr)}));
  const types = new Map(
    [...eventType.fields, ...eventType.derive].map(({name, type}): [string, ValueType] => [name, type]),
  );
  const hidden = personal(eventType);
  const check = (row: Record<string, Value>): number => {
    let name = checks[0]!.name;
    try {
      for (const column of derived) row[column.name] = column.evaluate(row);
      for (const check of checks) {
        name = check.name;
        if (check.evaluate(row) !== false) continue;
        state.detail = [...columnsOf(check.expr)]
          .map(
            (column) =>
              `${column} = ${hidden.has(column) ? '***' : shown(row[column] ?? null, types.get(column))}`,
          )
          .join(', ');
        state.check = name;
        return reasonNumber.CHECK;
      }
    } catch (failure) {
      if (!(failure instanceof ExpressionFailure)) throw failure;
      // A failed cast says what it was given.
      const why = hidden.size > 0 ? '' : `: ${failure.message}`;
      state.detail = `the check ${name} cannot be computed${why}`;
      return reasonNumber.EXPRESSION;
    }
    return 0;
  };
  return {wanted, check};
}

/** @returns a function that gives 0 or the reason of the first check that fails; undefined when there are no checks. */
export function compileChecks(
  eventType: EventType,
  plans: readonly Plan[],
  isNull: IsNull,
  state: {check: string; detail: string},
): ((scanner: RecordScanner) => number) | undefined {
  const checks = compileRowChecks(eventType, state);
  if (checks === undefined) return undefined;
  const fields = plans.filter(({field}) => checks.wanted.has(field.name));
  const row: Record<string, Value> = {};
  return (scanner) => {
    for (const {field, slot, converter} of fields) {
      const start = slot < 0 ? absent : scanner.starts[slot]!;
      const end = scanner.ends[slot]!;
      row[field.name] =
        start < 0 || isNull(scanner.buffer, start, end) ? null : converter.read(scanner.buffer, start, end);
    }
    return checks.check(row);
  };
}
