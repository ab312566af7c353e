import type {Checker} from './check.ts';
import {type Checked, cast, coerce, isNumberType, isTextType, literal, typeOf} from './convert.ts';
import type {Expr, ValueType} from './types.ts';
import {parseDecimal} from './values.ts';

type Op = Extract<Expr, {kind: 'op'}>;

/** `-x`; int as long. */
export function negate(expr: Expr, part: Checked, checker: Checker): Checked | undefined {
  const number = numberOf(part, '-', checker);
  if (number === undefined) return undefined;
  const type = typeOf(number) as ValueType;
  return checker.apply(expr, `neg.${type}`, type, [number]);
}

/** A number, ints as long; NULL as long. */
function numberOf(part: Checked, op: string, checker: Checker): Checked | undefined {
  const type = typeOf(part);
  if (type === 'int' || type === 'null') return coerce(part, 'long', checker.report);
  if (isNumberType(type)) return part;
  const hint =
    type === 'timestamp' || type === 'date'
      ? op === '-'
        ? "use date_diff('minute', from, to) or date_add('minute', -5, time)"
        : "use date_add('minute', 5, time)"
      : isTextType(type)
        ? op === '+'
          ? 'join strings with ||, or cast(x as long)'
          : 'cast(x as long) or cast(x as double)'
        : undefined;
  checker.report('EXPR_TYPE', part.source.span, `"${op}" takes numbers, found ${type}`, hint);
  return undefined;
}

/** `+ - * / %` on numbers of any types. */
export function arithmetic(expr: Op, operands: [Checked, Checked], checker: Checker): Checked | undefined {
  const {op} = expr;
  const left = numberOf(operands[0], op, checker);
  if (left === undefined) return undefined;
  const right = numberOf(operands[1], op, checker);
  if (right === undefined) return undefined;
  if (typeOf(left) === 'money' || typeOf(right) === 'money') return money(expr, left, right, checker);
  if (op === '/') return doubles(expr, 'div.double', left, right, checker);
  const name = {'+': 'add', '-': 'sub', '*': 'mul', '%': 'mod'}[op]!;
  if (typeOf(left) === 'double' || typeOf(right) === 'double')
    return doubles(expr, `${name}.double`, left, right, checker);
  return checker.apply(
    expr,
    `${name}.long`,
    'long',
    [left, right],
    op === '%' || left.nullable || right.nullable,
  );
}

/** Both as double (money in units). */
function doubles(expr: Expr, op: string, left: Checked, right: Checked, checker: Checker): Checked {
  const parts = [left, right].map((part) => coerce(part, 'double', checker.report) ?? cast(part, 'double'));
  // inf - inf is NaN, which is NULL.
  return checker.apply(expr, op, 'double', parts, true);
}

/** The arithmetic of money: see docs/reference/expressions.md. */
function money(expr: Op, left: Checked, right: Checked, checker: Checker): Checked | undefined {
  const {op} = expr;
  const [a, b] = [typeOf(left), typeOf(right)];
  if (op === '+' || op === '-') {
    const unified = checker.unify([left, right], `"${op}"`, expr.span);
    return unified && checker.apply(expr, op === '+' ? 'add.money' : 'sub.money', 'money', unified.parts);
  }
  if (op === '/' && a === 'money') {
    if (b === 'money') return checker.apply(expr, 'div.money', 'double', [left, right], true);
    return doubles(expr, 'div.double', left, right, checker);
  }
  if (op === '*' && a !== b) {
    const [amount, factor] = a === 'money' ? [left, right] : [right, left];
    if (typeOf(factor) === 'long') return checker.apply(expr, 'mul.money', 'money', [amount, factor]);
    return scale(expr, amount, factor, checker) ?? doubles(expr, 'mul.double', left, right, checker);
  }
  const hint =
    op === '*'
      ? 'multiply money by a number'
      : op === '/'
        ? 'divide money by a number or by money'
        : undefined;
  checker.report('EXPR_TYPE', expr.span, `${a} ${op} ${b} has no meaning`, hint);
  return undefined;
}

/** Money times a decimal literal: exact, rounded to cents half away from zero. */
function scale(expr: Expr, amount: Checked, factor: Checked, checker: Checker): Checked | undefined {
  const {source} = factor;
  if (source.kind !== 'literal' || !('text' in source) || source.text === undefined) return undefined;
  const decimal = parseDecimal(source.text);
  if (decimal === undefined || decimal.scale > 15) return undefined;
  const {units, scale} = decimal;
  if (units > 10n ** 15n || units < -(10n ** 15n)) return undefined;
  const numerator = {...factor, typed: literal('long', Number(units))};
  const denominator = {...factor, typed: literal('long', 10 ** scale)};
  return checker.apply(expr, 'scale.money', 'money', [amount, numerator, denominator]);
}
