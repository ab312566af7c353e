import assert from 'node:assert/strict';
import {nearest} from '../config/nearest.ts';
import {parseTimestamp} from './calendar.ts';
import type {Expr, Span, TypedExpr, ValueType} from './types.ts';
import {parseDecimal, parseUuid, toInteger} from './values.ts';

/** A checked part: its typed tree, and its source for what only literals may do. */
export type Checked = {typed: TypedExpr; nullable: boolean; source: Expr; symbols?: readonly string[]};

/** Takes a problem found while converting. */
export type Report = (code: string, span: Span, message: string, hint?: string) => void;

export const typeOf = (checked: Checked): ValueType | 'null' => checked.typed.type;
export const isTextType = (type: string): boolean => type === 'string' || type === 'enum' || type === 'uuid';
export const isNumberType = (type: string): boolean =>
  type === 'int' || type === 'long' || type === 'double' || type === 'money';
const isLiteral = ({typed}: Checked): boolean => typed.kind === 'literal';

/** A literal of a type; int64 beyond 2^53 goes into `text`. */
export function literal(type: ValueType, value: string | number | bigint | boolean | null): TypedExpr {
  return typeof value === 'bigint'
    ? {kind: 'literal', type, value: null, text: String(value)}
    : {kind: 'literal', type, value};
}

/**
 * Converts where SQL converts by itself, as an explicit `cast` (literals are converted at once). Reports and returns undefined
 * when a literal cannot be one; returns undefined in silence when there is no such conversion.
 */
export function coerce(checked: Checked, to: ValueType, report: Report): Checked | undefined {
  const from = typeOf(checked);
  if (from === to) return checked;
  if (from === 'null') return {...checked, typed: literal(to, null), nullable: true};
  const {typed} = checked;
  if (typed.kind === 'literal') return coerceLiteral(checked, from, to, report);
  const implicit =
    (from === 'int' && (to === 'long' || to === 'double')) ||
    (from === 'long' && to === 'double') ||
    (to === 'string' && (from === 'enum' || from === 'uuid'));
  return implicit ? cast(checked, to) : undefined;
}

/** The explicit conversion. */
export function cast(checked: Checked, to: ValueType): Checked {
  const from = typeOf(checked);
  const {symbols: _, ...rest} = checked;
  return from === to ? checked : {...rest, typed: {kind: 'cast', type: to, from, arg: checked.typed}};
}

function coerceLiteral(
  checked: Checked,
  from: ValueType,
  to: ValueType,
  report: Report,
): Checked | undefined {
  const {typed, source} = checked;
  assert(typed.kind === 'literal');
  if (typed.value === null && typed.text === undefined) return {...checked, typed: literal(to, null)};
  if (from === 'long' && to === 'double')
    return {...checked, typed: literal('double', Number(typed.text ?? typed.value))};
  if (from === 'long' && to === 'money')
    return moneyLiteral(checked, String(typed.text ?? typed.value), report);
  if (
    from === 'double' &&
    to === 'money' &&
    source.kind === 'literal' &&
    'text' in source &&
    source.text !== undefined
  )
    return moneyLiteral(checked, source.text, report);
  if (from === 'string' && to === 'uuid') {
    const uuid = parseUuid(String(typed.value));
    if (uuid !== undefined) return {...checked, typed: literal('uuid', uuid)};
    report('EXPR_LITERAL', source.span, `'${typed.value}' is no uuid`);
  }
  return undefined;
}

function moneyLiteral(checked: Checked, text: string, report: Report): Checked | undefined {
  const {span} = checked.source;
  const decimal = parseDecimal(text);
  if (decimal === undefined || decimal.scale > 2) {
    report(
      'EXPR_LITERAL',
      span,
      `${text} is no amount of money: more than 2 decimals`,
      'write at most 2 decimals, or cast the column as double',
    );
    return undefined;
  }
  const cents = decimal.units * 10n ** BigInt(2 - decimal.scale);
  if (BigInt.asIntN(64, cents) !== cents) {
    report('EXPR_LITERAL', span, `${text} is too large for money`);
    return undefined;
  }
  return {...checked, typed: literal('money', toInteger(cents))};
}

/**
 * The common type of several values: equal types, numbers widened (int, long, double; literals become money beside money),
 * texts as string. Undefined in silence when there is none; `null` for nothing but NULLs.
 */
export function commonType(parts: Checked[]): ValueType | 'null' | undefined {
  const valued = parts.filter((part) => typeOf(part) !== 'null');
  const types = new Set(valued.map((part) => typeOf(part) as ValueType));
  if (types.size === 0) return 'null';
  const [first] = types as Set<ValueType>;
  if (types.size === 1) return first === 'enum' ? 'string' : first;
  const all = [...types];
  if (types.has('uuid') && valued.every((part) => typeOf(part) === 'uuid' || isLiteral(part))) {
    const literals = valued.filter((part) => typeOf(part) !== 'uuid');
    if (literals.every(({typed}) => typed.type === 'string' && typed.kind === 'literal')) return 'uuid';
  }
  if (all.every(isTextType)) return 'string';
  if (!all.every(isNumberType)) return undefined;
  if (types.has('money'))
    return valued.every((part) => typeOf(part) === 'money' || isLiteral(part)) ? 'money' : undefined;
  return types.has('double') ? 'double' : 'long';
}

/** Why two types do not go together, as advice. */
export function adviceFor(parts: Checked[]): string | undefined {
  const types = new Set(parts.map(typeOf));
  const text = parts.find(({typed}) => typed.kind === 'literal' && typed.type === 'string');
  const value = text?.typed.kind === 'literal' ? String(text.typed.value) : undefined;
  if (types.has('timestamp') && value !== undefined)
    return parseTimestamp(value) === undefined
      ? "write the time as timestamp '2024-01-31 12:00:00'"
      : `write timestamp '${value}'`;
  if (types.has('date') && value !== undefined)
    return `write date '${/^\d{4}-\d{2}-\d{2}$/.test(value) ? value : '2024-01-31'}'`;
  if (types.has('timestamp') && types.has('date'))
    return 'convert one: to_date(a timestamp), or cast(a date as timestamp)';
  if (types.has('timestamp') && (types.has('long') || types.has('int')))
    return 'compare epoch_ms(a timestamp)';
  if (types.has('money')) return 'convert one: cast(x as money) or cast(x as double); both count in units';
  if (types.has('boolean') && types.size === 2)
    return 'a condition is true or false already: use it by itself, or "not"';
  if (value !== undefined && parts.some((part) => isNumberType(typeOf(part))))
    return /^-?\d+(\.\d+)?$/.test(value)
      ? `a number has no quotes: ${value}`
      : 'numbers and strings do not compare';
  if (types.has('string')) return 'convert one: cast(x as string)';
  return undefined;
}

/** Refuses string literals that an enum's column can never have. */
export function checkSymbols(parts: Checked[], report: Report): void {
  const symbols = parts.find((part) => part.symbols !== undefined)?.symbols;
  if (symbols === undefined) return;
  for (const {typed, source} of parts) {
    if (typed.kind !== 'literal' || typeof typed.value !== 'string' || symbols.includes(typed.value))
      continue;
    const close = nearest(typed.value, symbols);
    report(
      'EXPR_SYMBOL',
      source.span,
      `'${typed.value}' is no symbol that this column can have`,
      close === undefined ? `symbols: ${symbols.slice(0, 12).join(', ')}` : `did you mean '${close}'?`,
    );
  }
}
