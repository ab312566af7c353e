/** The checks of an event type, on the values of one record. */
import {formatDate, formatTimestamp} from '../expr/calendar.ts';
import {compileRow} from '../expr/compile.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import {columnsOf} from '../expr/walk.ts';
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

/** @returns a function that gives 0 or the reason of the first check that fails; undefined when there are no checks. */
export function compileChecks(
  eventType: EventType,
  plans: readonly Plan[],
  isNull: IsNull,
  state: {check: string; detail: string},
): ((scanner: RecordScanner) => number) | undefined {
  if (eventType.checks.length === 0) return undefined;
  let scanner: RecordScanner;
  const read = ({slot, converter}: Plan): Value => {
    const start = slot < 0 ? absent : scanner.starts[slot]!;
    if (start < 0) return null;
    const end = scanner.ends[slot]!;
    return isNull(scanner.buffer, start, end) ? null : converter.read(scanner.buffer, start, end);
  };
  // Only what the checks look at is read, directly or through derived columns.
  const wanted = new Set(eventType.checks.flatMap(({expr}) => [...columnsOf(expr)]));
  const derived = eventType.derive
    .toReversed()
    .filter(({name, expr}) => {
      if (!wanted.has(name)) return false;
      for (const column of columnsOf(expr)) wanted.add(column);
      return true;
    })
    .toReversed()
    .map(({name, expr}) => ({name, evaluate: compileRow(expr)}));
  const fields = plans.filter(({field}) => wanted.has(field.name));
  const checks = eventType.checks.map((check) => ({...check, evaluate: compileRow(check.expr)}));
  const types = new Map(
    [...eventType.fields, ...eventType.derive].map(({name, type}): [string, ValueType] => [name, type]),
  );
  const row: Record<string, Value> = {};
  return (record) => {
    scanner = record;
    let name = checks[0]!.name;
    try {
      for (const plan of fields) row[plan.field.name] = read(plan);
      for (const column of derived) row[column.name] = column.evaluate(row);
      for (const check of checks) {
        name = check.name;
        if (check.evaluate(row) !== false) continue;
        state.detail = [...columnsOf(check.expr)]
          .map((column) => `${column} = ${shown(row[column] ?? null, types.get(column))}`)
          .join(', ');
        state.check = name;
        return reasonNumber.CHECK;
      }
    } catch (failure) {
      if (!(failure instanceof ExpressionFailure)) throw failure;
      state.detail = `the check ${name} cannot be computed: ${failure.message}`;
      return reasonNumber.EXPRESSION;
    }
    return 0;
  };
}
