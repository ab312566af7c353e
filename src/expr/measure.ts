import {nearest} from '../config/nearest.ts';
import {aggregates} from './aggregates.ts';
import {checkExpr} from './check.ts';
import {functions} from './functions.ts';
import {parseExpr} from './parse.ts';
import type {Expr, ExprProblem, ExprScope, Span, TypedExpr, ValueType} from './types.ts';
import {columnsOf} from './walk.ts';

/** A measure of an aggregation without its column name; as `Measure` of the model. */
export type ParsedMeasure = {
  name: string;
  /** Type of its column: avg, quantile and ratio are double, counts and distinct long, sums of money money. */
  type: ValueType;
  text: string;
} & (
  | {fn: 'count'; filter: TypedExpr | null}
  | {fn: 'sum' | 'min' | 'max' | 'avg'; arg: TypedExpr}
  | {fn: 'distinct'; arg: TypedExpr}
  | {fn: 'quantile'; arg: TypedExpr; q: number}
  | {fn: 'first' | 'last'; arg: TypedExpr}
  | {fn: 'ratio'; expr: TypedExpr}
);

export type MeasureResult = {ok: true; measure: ParsedMeasure} | {ok: false; problems: ExprProblem[]};

/**
 * Parses and checks one measure. `scope`: columns of the aggregation's events; `others`: the measures it may refer to, by name,
 * with the type of their columns (see `parseMeasures`).
 */
export function parseMeasure(
  name: string,
  text: string,
  scope: ExprScope,
  others: ReadonlyMap<string, {type: ValueType}>,
): MeasureResult {
  const parsed = parseExpr(text);
  if (!parsed.ok) return parsed;
  const {expr} = parsed;
  return isAggregate(expr)
    ? parseAggregate(name, text, expr, scope)
    : parseRatio(name, text, expr, scope, others);
}

/**
 * Parses all measures of an aggregation. A measure over other measures may use every aggregate, wherever it stands, and those
 * measures over measures that stand before it; so there are no cycles.
 */
export function parseMeasures(
  texts: ReadonlyMap<string, string>,
  scope: ExprScope,
): {measures: ParsedMeasure[]; problems: {measure: string; problem: ExprProblem}[]} {
  const results = new Map<string, MeasureResult>();
  const known = new Map<string, {type: ValueType}>();
  const parse = (name: string, text: string) => {
    const result = parseMeasure(name, text, scope, known);
    results.set(name, result);
    if (result.ok) known.set(name, {type: result.measure.type});
  };
  const later: [string, string][] = [];
  for (const [name, text] of texts) {
    const parsed = parseExpr(text);
    if (parsed.ok && !isAggregate(parsed.expr)) later.push([name, text]);
    else parse(name, text);
  }
  const broken = new Set([...results].filter(([, result]) => !result.ok).map(([name]) => name));
  for (const [name, text] of later) parse(name, text);
  const measures: ParsedMeasure[] = [];
  const problems: {measure: string; problem: ExprProblem}[] = [];
  for (const name of texts.keys()) {
    const result = results.get(name)!;
    if (result.ok) measures.push(result.measure);
    else {
      // A reference to a measure that is itself wrong is no second mistake.
      const own = result.problems.filter((problem) => !refersTo(texts.get(name)!, problem, broken));
      problems.push(...own.map((problem) => ({measure: name, problem})));
      broken.add(name);
    }
  }
  return {measures, problems};
}

const refersTo = (text: string, {code, offset, length}: ExprProblem, names: Set<string>): boolean =>
  code === 'EXPR_UNKNOWN_NAME' && names.has(text.slice(offset, offset + length));

type Call = Extract<Expr, {kind: 'call'}>;
const isAggregate = (expr: Expr): expr is Call =>
  expr.kind === 'call' && Object.hasOwn(aggregates, expr.name);

const fail = (
  code: string,
  span: Span,
  message: string,
  hint?: string,
): {ok: false; problems: ExprProblem[]} => ({
  ok: false,
  problems: [
    {code, message, offset: span.offset, length: span.length, ...(hint === undefined ? {} : {hint})},
  ],
});

function parseAggregate(name: string, text: string, call: Call, scope: ExprScope): MeasureResult {
  const fn = call.name as ParsedMeasure['fn'];
  const count = fn === 'quantile' ? 2 : 1;
  if (call.args.length > count || (call.args.length < count && fn !== 'count'))
    return fail(
      'EXPR_ARGUMENTS',
      call.span,
      `write ${aggregates[fn]!.usage}`,
      `for example ${aggregates[fn]!.example}`,
    );
  if (call.args.length === 0)
    return {ok: true, measure: {name, text, type: 'long', fn: 'count', filter: null}};
  const argument = call.args[0]!;
  const nested = findAggregate(argument);
  if (nested !== undefined)
    return fail(
      'EXPR_TYPE',
      nested.span,
      `${nested.name}() cannot stand inside ${fn}()`,
      'measures aggregate events, not aggregates',
    );
  const checked = checkExpr(argument, scope);
  if (!checked.ok) return checked;
  if (checked.type === 'null') return fail('EXPR_TYPE', argument.span, `${fn}(null) counts nothing`);
  const {typed: arg, type} = checked;
  const base = {name, text};
  switch (fn) {
    case 'count':
      return {
        ok: true,
        measure: {...base, type: 'long', fn, filter: type === 'boolean' ? arg : notNull(arg)},
      };
    case 'distinct':
      return {ok: true, measure: {...base, type: 'long', fn, arg}};
    case 'first':
    case 'last':
      return {ok: true, measure: {...base, type, fn, arg}};
    case 'quantile':
      return parseQuantile(base, call.args[1]!, arg, type, argument.span);
    case 'min':
    case 'max':
      if (!isNumber(type) && type !== 'timestamp' && type !== 'date')
        return fail(
          'EXPR_TYPE',
          argument.span,
          `${fn}() takes numbers, timestamps and dates, found ${type}`,
          `use first(), last() or distinct()`,
        );
      return {ok: true, measure: {...base, type, fn, arg}};
    default:
      return parseSum(base, fn as 'sum' | 'avg', arg, type, argument.span);
  }
}

const isNumber = (type: string): boolean =>
  type === 'int' || type === 'long' || type === 'double' || type === 'money';
const notNull = (arg: TypedExpr): TypedExpr => ({
  kind: 'apply',
  type: 'boolean',
  op: 'not',
  args: [{kind: 'apply', type: 'boolean', op: 'isnull', args: [arg]}],
});

function parseSum(
  base: {name: string; text: string},
  fn: 'sum' | 'avg',
  arg: TypedExpr,
  type: ValueType,
  span: Span,
): MeasureResult {
  if (!isNumber(type)) {
    const hint =
      type === 'boolean' ? 'count(condition) counts the true ones' : `cast(x as double) or count(x)`;
    return fail('EXPR_TYPE', span, `${fn}() takes numbers, found ${type}`, hint);
  }
  const result = fn === 'avg' ? 'double' : type === 'int' ? 'long' : type;
  return {ok: true, measure: {...base, type: result, fn, arg}};
}

function parseQuantile(
  base: {name: string; text: string},
  share: Expr,
  arg: TypedExpr,
  type: ValueType,
  span: Span,
): MeasureResult {
  if (!isNumber(type)) return fail('EXPR_TYPE', span, `quantile() takes numbers, found ${type}`);
  const q = share.kind === 'literal' && typeof share.value === 'number' ? share.value : Number.NaN;
  if (!(q >= 0 && q <= 1))
    return fail(
      'EXPR_ARGUMENTS',
      share.span,
      'the share of quantile() is a number from 0 to 1',
      'the median is quantile(x, 0.5)',
    );
  return {ok: true, measure: {...base, type: 'double', fn: 'quantile', arg, q}};
}

function findAggregate(expr: Expr): Call | undefined {
  if (isAggregate(expr)) return expr;
  for (const child of childrenOf(expr)) {
    const found = findAggregate(child);
    if (found !== undefined) return found;
  }
  return undefined;
}

function childrenOf(expr: Expr): Expr[] {
  switch (expr.kind) {
    case 'op':
    case 'call':
      return expr.args;
    case 'cast':
      return [expr.arg];
    case 'case':
      return [expr.operand, ...expr.whens.flatMap(({when, then}) => [when, then]), expr.otherwise].filter(
        (child) => child !== undefined,
      );
    default:
      return [];
  }
}

function parseRatio(
  name: string,
  text: string,
  expr: Expr,
  scope: ExprScope,
  others: ReadonlyMap<string, {type: ValueType}>,
): MeasureResult {
  const nested = findAggregate(expr);
  if (nested !== undefined) {
    const part = text.slice(nested.span.offset, nested.span.offset + nested.span.length);
    return fail(
      'EXPR_TYPE',
      nested.span,
      `${nested.name}() stands alone, not inside another expression`,
      `give it a name of its own, as in "part: ${part}", and use that name here`,
    );
  }
  if (expr.kind === 'call' && !Object.hasOwn(functions, expr.name)) {
    const close = nearest(expr.name, [...Object.keys(aggregates), ...Object.keys(synonyms)]);
    return fail(
      'EXPR_UNKNOWN_FUNCTION',
      {offset: expr.span.offset, length: expr.name.length},
      `there is no aggregation "${expr.name}"`,
      close === undefined
        ? `aggregations: ${Object.keys(aggregates).join(', ')}`
        : `use ${synonyms[close] ?? close}`,
    );
  }
  // A measure over measures is a double in its table, money in units.
  const checked = checkExpr(expr, others);
  if (!checked.ok)
    return {ok: false, problems: checked.problems.map((problem) => explainName(problem, text, scope))};
  const {typed, type} = checked;
  if (!isNumber(type))
    return fail(
      'EXPR_TYPE',
      expr.span,
      `a measure over measures is a number, found ${type}`,
      `aggregate a column: ${Object.keys(aggregates).join(', ')}`,
    );
  if (columnsOf(typed).size === 0)
    return fail(
      'EXPR_TYPE',
      expr.span,
      'this measure uses no other measure',
      'write for example large / orders',
    );
  const double: TypedExpr =
    type === 'double' ? typed : {kind: 'cast', type: 'double', from: type as ValueType, arg: typed};
  return {ok: true, measure: {name, text, type: 'double', fn: 'ratio', expr: double}};
}

/** Names elsewhere -> what to write here. */
const synonyms: Record<string, string> = Object.assign(Object.create(null), {
  average: 'avg',
  mean: 'avg',
  median: 'quantile(x, 0.5)',
  percentile: 'quantile(x, 0.95)',
  count_distinct: 'distinct',
  uniq: 'distinct',
  minimum: 'min',
  maximum: 'max',
});

/** A column where only measures can stand wants an aggregation around it. */
function explainName(problem: ExprProblem, text: string, scope: ExprScope): ExprProblem {
  if (problem.code !== 'EXPR_UNKNOWN_NAME') return problem;
  const name = text.slice(problem.offset, problem.offset + problem.length);
  const message = `there is no measure "${name}" that this one may use`;
  if (!scope.has(name)) return {...problem, message};
  return {
    ...problem,
    message,
    hint: `"${name}" is a column: aggregate it, as in sum(${name}), under a name of its own`,
  };
}
