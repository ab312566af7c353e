import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import {checkExpr} from '../expr/check.ts';
import {parseExpr} from '../expr/parse.ts';
import type {ExprProblem, TypedExpr, ValueType} from '../expr/types.ts';
import type {Reporter} from './reporter.ts';

/** What an expression may name, as `ExprScope`; `column` is its name in tables. */
export type ColumnInfo = {type: ValueType; symbols?: readonly string[]; nullable: boolean};
export type Columns = Map<string, ColumnInfo>;

/**
 * Parses and checks the expression at `path`. Names in `broken` are known to be mistaken elsewhere; using one is no second
 * mistake. @returns undefined after a mistake.
 */
export function checkText(
  text: string,
  path: Path,
  scope: Columns,
  broken: ReadonlySet<string>,
  reporter: Reporter,
  expected?: ValueType,
  explain: (problem: ExprProblem) => ExprProblem = (problem) => problem,
): {typed: TypedExpr; type: ValueType | 'null'; nullable: boolean} | undefined {
  const parsed = parseExpr(text);
  const checked = parsed.ok ? checkExpr(parsed.expr, scope, expected) : parsed;
  if (checked.ok) return checked;
  reporter.problems(path, ownProblems(text, checked.problems, broken).map(explain));
  return undefined;
}

/** Those that are not about a name which is mistaken elsewhere. */
export const ownProblems = (
  text: string,
  problems: ExprProblem[],
  broken: ReadonlySet<string>,
): ExprProblem[] =>
  problems.filter(
    ({code, offset, length}) =>
      code !== 'EXPR_UNKNOWN_NAME' || !broken.has(text.slice(offset, offset + length)),
  );

/** A column by name, or undefined with the mistake reported. */
export function findColumn(
  name: string,
  path: Path,
  columns: Columns,
  broken: ReadonlySet<string>,
  reporter: Reporter,
  where: string,
): ColumnInfo | undefined {
  const found = columns.get(name);
  if (!found && !broken.has(name))
    reporter.error(path, 'FIELD_UNKNOWN', `${where} has no column ${quote(name)}`, {
      hint: suggest(name, columns.keys()),
    });
  return found;
}
