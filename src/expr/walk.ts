import type {TypedExpr} from './types.ts';

/** Every sub-expression, parents first. */
export function* walk(expr: TypedExpr): Generator<TypedExpr> {
  yield expr;
  if (expr.kind === 'apply') for (const arg of expr.args) yield* walk(arg);
  else if (expr.kind === 'cast') yield* walk(expr.arg);
  else if (expr.kind === 'case') {
    for (const {when, then} of expr.whens) {
      yield* walk(when);
      yield* walk(then);
    }
    yield* walk(expr.otherwise);
  }
}

/** Names of the columns an expression reads. */
export function columnsOf(expr: TypedExpr): Set<string> {
  const names = new Set<string>();
  for (const node of walk(expr)) if (node.kind === 'column') names.add(node.name);
  return names;
}

/** What has to be true, each, for the expression to be true. */
export function* conjuncts(expr: TypedExpr): Generator<TypedExpr> {
  if (expr.kind === 'apply' && expr.op === 'and') for (const arg of expr.args) yield* conjuncts(arg);
  else yield expr;
}

/** Whether an expression has more than `max` parts; stops counting there. */
export function isLarger(expr: TypedExpr, max: number): boolean {
  let size = 0;
  for (const _ of walk(expr)) if (++size > max) return true;
  return false;
}
