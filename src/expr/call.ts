import {nearest} from '../config/nearest.ts';
import type {Checker} from './check.ts';
import {type Checked, coerce, commonType, isNumberType, literal, typeOf} from './convert.ts';
import {functions, type Signature, synonyms} from './functions.ts';
import type {Expr, ValueType} from './types.ts';
import {isZone} from './zones.ts';

type Call = Extract<Expr, {kind: 'call'}>;

/** Aggregations, which have a place in `measures` only. */
const aggregates = ['count', 'sum', 'min', 'max', 'avg', 'distinct', 'quantile', 'first', 'last'];

/** Resolves a call of a scalar function to an operation on its arguments' types. */
export function callFunction(expr: Call, args: Checked[], checker: Checker): Checked | undefined {
  const spec = Object.hasOwn(functions, expr.name) ? functions[expr.name]! : undefined;
  if (spec === undefined) return unknown(expr, checker);
  const fitting = spec.signatures.filter(
    ({params}) => args.length >= countMin(params) && args.length <= countMax(params),
  );
  if (fitting.length === 0) {
    checker.report('EXPR_ARGUMENTS', expr.span, `${expr.name} takes ${usage(expr.name)}`);
    return undefined;
  }
  const exact = fitting.find((signature) =>
    accepts(signature, args, (from, to) => from === to || (from === 'int' && to === 'long')),
  );
  const chosen = exact ?? fitting.find((signature) => accepts(signature, args, convertible));
  if (chosen === undefined) {
    const types = args.map(typeOf).join(', ');
    checker.report(
      'EXPR_ARGUMENTS',
      expr.span,
      `${expr.name}(${types}) does not exist`,
      `write ${usage(expr.name)}`,
    );
    return undefined;
  }
  return build(expr, chosen, args, checker);
}

function unknown(expr: Call, checker: Checker): undefined {
  if (aggregates.includes(expr.name)) {
    const scalar = expr.name === 'max' ? 'greatest' : expr.name === 'min' ? 'least' : undefined;
    checker.report(
      'EXPR_UNKNOWN_FUNCTION',
      expr.span,
      `${expr.name}() is an aggregation: it stands alone in "measures"`,
      scalar === undefined
        ? 'give it a name in "measures" and use that name'
        : `of several values: ${scalar}(a, b)`,
    );
    return undefined;
  }
  const close = synonyms[expr.name] ?? nearest(expr.name, Object.keys(functions));
  checker.report(
    'EXPR_UNKNOWN_FUNCTION',
    {offset: expr.span.offset, length: expr.name.length},
    `there is no function "${expr.name}"`,
    close === undefined ? 'docs/reference/expressions.md lists them' : `use ${close}`,
  );
  return undefined;
}

const baseOf = (param: string): string => param.replace(/\?$|\.\.\.$/, '');
const countMin = (params: string[]): number => params.filter((param) => baseOf(param) === param).length;
const countMax = (params: string[]): number =>
  params.some((param) => param.endsWith('...')) ? Number.POSITIVE_INFINITY : params.length;

/** How a function is called, all signatures: "round(long [, digits])". */
export function usage(name: string): string {
  return functions[name]!.signatures.map(({params}) => {
    const shown = params.map((param, i) => {
      const comma = i === 0 ? '' : ', ';
      if (param.endsWith('?')) return ` [${comma}${baseOf(param)}]`;
      return param.endsWith('...') ? `${comma}...` : `${comma}${param}`;
    });
    return `${name}(${shown.join('')})`;
  }).join(' or ');
}

const paramAt = (params: string[], i: number): string => baseOf(params[Math.min(i, params.length - 1)]!);

function accepts(
  signature: Signature,
  args: Checked[],
  fits: (from: string, to: string) => boolean,
): boolean {
  const generic = args.filter((_, i) => paramAt(signature.params, i) === 'T');
  if (generic.length > 0 && commonType(generic) === undefined) return false;
  return args.every((arg, i) => {
    const param = paramAt(signature.params, i);
    const from = typeOf(arg);
    if (param === 'T' || param === 'any' || from === 'null') return true;
    if (param === 'zone' || param === 'unit') return from === 'string' && arg.typed.kind === 'literal';
    if (param === 'digits') return from === 'long' && arg.typed.kind === 'literal';
    return fits(from, param);
  });
}

const convertible = (from: string, to: string): boolean =>
  from === to ||
  (from === 'int' && (to === 'long' || to === 'double')) ||
  (from === 'long' && to === 'double') ||
  ((from === 'enum' || from === 'uuid') && to === 'string');

function build(expr: Call, signature: Signature, args: Checked[], checker: Checker): Checked | undefined {
  const generic = args.filter((_, i) => paramAt(signature.params, i) === 'T');
  if (signature.op === 'if') {
    const condition = checker.expect(args[0]!, ['boolean']);
    return condition && checker.choose(expr, [condition], args.slice(1));
  }
  let common: ValueType | 'null' = 'null';
  if (generic.length > 0) {
    const unified = checker.unify(generic, expr.name, expr.span);
    if (unified === undefined) return undefined;
    common = unified.type;
    if (common === 'null')
      return {typed: {kind: 'literal', type: 'null', value: null}, nullable: true, source: expr};
    if (common === 'boolean' && /^(greatest|least)/.test(signature.op)) {
      checker.report('EXPR_ARGUMENTS', expr.span, `${expr.name} does not compare conditions`);
      return undefined;
    }
    args = unified.parts;
  }
  const converted = args.map((arg, i) => argument(arg, paramAt(signature.params, i), signature, checker));
  if (converted.includes(undefined)) return undefined;
  const parts = converted as Checked[];
  if (signature.params.at(-1) === 'digits?' && parts.length === 1)
    parts.push({typed: literal('long', 0), nullable: false, source: expr});
  const family = common === 'enum' || common === 'uuid' ? 'string' : common === 'int' ? 'long' : common;
  const type = (signature.result === 'T' ? common : signature.result) as ValueType;
  return checker.apply(
    expr,
    signature.op.replace('.T', `.${family}`),
    type,
    parts,
    nullability(expr.name, parts),
  );
}

/** Undefined: as the arguments. */
function nullability(name: string, parts: Checked[]): boolean | undefined {
  if (name === 'coalesce' || name === 'greatest' || name === 'least')
    return parts.every((part) => part.nullable);
  if (name === 'nullif' || name === 'mod') return true;
  return undefined;
}

function argument(arg: Checked, param: string, signature: Signature, checker: Checker): Checked | undefined {
  if (param === 'T' || param === 'any') return arg;
  const {typed} = arg;
  if (param === 'zone' || param === 'unit' || param === 'digits') {
    if (typed.kind !== 'literal' || typed.value === null) {
      checker.report('EXPR_ARGUMENTS', arg.source.span, `the ${param} is a literal`);
      return undefined;
    }
    return literalArgument(arg, param, typed.value, signature, checker);
  }
  return (
    coerce(arg, param as ValueType, checker.report) ??
    (isNumberType(param) ? undefined : checker.expect(arg, [param as ValueType]))
  );
}

function literalArgument(
  arg: Checked,
  param: 'zone' | 'unit' | 'digits',
  value: string | number | boolean,
  signature: Signature,
  checker: Checker,
): Checked | undefined {
  const {span} = arg.source;
  if (param === 'zone' && !isZone(String(value))) {
    const close = nearest(String(value), Intl.supportedValuesOf('timeZone'));
    checker.report(
      'EXPR_LITERAL',
      span,
      `'${value}' is no time zone`,
      close === undefined ? "write for example 'America/New_York'" : `did you mean '${close}'?`,
    );
    return undefined;
  }
  if (param === 'unit') {
    const unit = String(value).toLowerCase();
    if (!signature.units!.includes(unit)) {
      const close = nearest(unit, signature.units!);
      checker.report(
        'EXPR_LITERAL',
        span,
        `'${value}' is no unit here`,
        close === undefined ? `units: ${signature.units!.join(', ')}` : `did you mean '${close}'?`,
      );
      return undefined;
    }
    return {...arg, typed: literal('string', unit)};
  }
  if (param === 'digits' && Math.abs(Number(value)) > 15) {
    checker.report('EXPR_LITERAL', span, 'round takes -15 to 15 digits');
    return undefined;
  }
  return arg;
}
