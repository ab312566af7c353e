import assert from 'node:assert/strict';
import {compareValues, operations} from './operations.ts';
import type {TypedExpr, Value} from './types.ts';
import {castValue} from './values.ts';

/** How an expression reads a column. */
export type Get = (name: string) => Value;

/** The value of a literal: int64 beyond 2^53 stand as text. */
export function literalValue(literal: Extract<TypedExpr, {kind: 'literal'}>): Value {
  return literal.text === undefined ? literal.value : BigInt(literal.text);
}

/**
 * The reference interpreter: what an expression means, exactly. Arguments are evaluated from left to right; `and`, `or`,
 * `in`, `coalesce` and `case` stop at the first argument that settles the result.
 * @throws ExpressionFailure on int64 overflow and on a cast that fails
 */
export function evaluate(expr: TypedExpr, get: Get): Value {
  switch (expr.kind) {
    case 'literal':
      return literalValue(expr);
    case 'column':
      return get(expr.name);
    case 'cast': {
      const value = evaluate(expr.arg, get);
      return value === null || expr.from === 'null' ? null : castValue(value, expr.from, expr.type);
    }
    case 'case':
      for (const {when, then} of expr.whens) if (evaluate(when, get) === true) return evaluate(then, get);
      return evaluate(expr.otherwise, get);
    case 'apply':
      return apply(expr.op, expr.args, get);
  }
}

function apply(op: string, args: TypedExpr[], get: Get): Value {
  const strict = operations.get(op);
  if (strict !== undefined) {
    const values: Value[] = [];
    for (const arg of args) values.push(evaluate(arg, get));
    return values.includes(null) ? null : strict.run(...values);
  }
  const [name, type = ''] = op.split('.') as [string, string?];
  const lenient = lenients[name];
  assert(lenient !== undefined, `no operation ${op}`);
  return lenient(args, get, type);
}

/** Stops at the first `settled`; NULL if any argument was NULL, else the opposite. */
function connect(args: TypedExpr[], get: Get, settled: boolean): Value {
  let result: Value = !settled;
  for (const arg of args) {
    const value = evaluate(arg, get);
    if (value === settled) return settled;
    if (value === null) result = null;
  }
  return result;
}

function extreme(args: TypedExpr[], get: Get, type: string, direction: 1 | -1): Value {
  let best: Value = null;
  for (const arg of args) {
    const value = evaluate(arg, get);
    if (value !== null && (best === null || compareValues(type, value, best) * direction > 0)) best = value;
  }
  return best;
}

/** Operations that see NULLs themselves, by the key's first part. */
const lenients: Record<string, (args: TypedExpr[], get: Get, type: string) => Value> = {
  and: (args, get) => connect(args, get, false),
  or: (args, get) => connect(args, get, true),
  isnull: ([arg], get) => evaluate(arg!, get) === null,
  coalesce: (args, get) => {
    for (const arg of args) {
      const value = evaluate(arg, get);
      if (value !== null) return value;
    }
    return null;
  },
  in: ([subject, ...list], get, type) => {
    const value = evaluate(subject!, get);
    if (value === null) return null;
    let result: Value = false;
    for (const item of list) {
      const other = evaluate(item, get);
      if (other === null) result = null;
      else if (compareValues(type, value, other) === 0) return true;
    }
    return result;
  },
  between: (args, get, type) => {
    const [value, low, high] = args.map((arg) => evaluate(arg, get)) as [Value, Value, Value];
    if (value === null) return null;
    const above = low === null ? null : compareValues(type, value, low) >= 0;
    const below = high === null ? null : compareValues(type, value, high) <= 0;
    if (above === false || below === false) return false;
    return above === null || below === null ? null : true;
  },
  distinct: (args, get, type) => {
    const [a, b] = args.map((arg) => evaluate(arg, get)) as [Value, Value];
    return a === null || b === null ? a !== b : compareValues(type, a, b) !== 0;
  },
  nullif: (args, get, type) => {
    const [a, b] = args.map((arg) => evaluate(arg, get)) as [Value, Value];
    return a !== null && b !== null && compareValues(type, a, b) === 0 ? null : a;
  },
  greatest: (args, get, type) => extreme(args, get, type, 1),
  least: (args, get, type) => extreme(args, get, type, -1),
};

/** Keys of the operations that are not strict, without their types. */
export const lenientNames: ReadonlySet<string> = new Set(Object.keys(lenients));
