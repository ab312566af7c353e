/** The checks of an event type, on the values of a generated event. */
import {compileRow} from '../expr/compile.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import {checkedColumns} from '../model/checked.ts';
import type {EventType} from '../model/types.ts';

export type CheckFailure = {code: string; message: string};

/**
 * @returns the fields that the checks look at, directly or through derived columns, and a function from their values by name (which it
 * adds to) to the first check that fails; undefined when there are no checks.
 */
export function compileChecks(
  eventType: EventType,
): {wanted: ReadonlySet<string>; failed(row: Record<string, Value>): CheckFailure | undefined} | undefined {
  if (eventType.checks.length === 0) return undefined;
  const {wanted, derived: columns} = checkedColumns(eventType);
  const derived = columns.map(({name, expr}) => ({name, evaluate: compileRow(expr)}));
  const checks = eventType.checks.map(({name, text, expr}) => ({name, text, evaluate: compileRow(expr)}));
  const failed = (row: Record<string, Value>): CheckFailure | undefined => {
    let name = checks[0]!.name;
    try {
      for (const column of derived) row[column.name] = column.evaluate(row);
      for (const check of checks) {
        name = check.name;
        // NULL passes, as everywhere.
        if (check.evaluate(row) === false)
          return {code: `CHECK:${name}`, message: `the check ${name} is false: ${check.text}`};
      }
    } catch (failure) {
      if (!(failure instanceof ExpressionFailure)) throw failure;
      return {code: 'EXPRESSION', message: `the check ${name} cannot be computed: ${failure.message}`};
    }
    return undefined;
  };
  return {wanted, failed};
}
