import {nearest} from '../config/nearest.ts';
import {arithmetic, negate} from './arithmetic.ts';
import {callFunction} from './call.ts';
import {
  adviceFor,
  type Checked,
  cast,
  checkSymbols,
  coerce,
  commonType,
  isNumberType,
  isTextType,
  literal,
  type Report,
  typeOf,
} from './convert.ts';
import {limits} from './parse.ts';
import type {Expr, ExprProblem, ExprScope, Span, TypedExpr, ValueType} from './types.ts';
import {canCast} from './values.ts';
import {isLarger} from './walk.ts';

export type CheckResult =
  | {
      ok: true;
      typed: TypedExpr;
      type: ValueType | 'null';
      /** Whether the value can be NULL; columns can unless their scope entry says otherwise. */
      nullable: boolean;
    }
  | {ok: false; problems: ExprProblem[]};

/**
 * Types an expression over the columns of `scope`; with `expected`, the result has (one of) these types, converted where SQL
 * converts by itself. All problems are reported, not only the first.
 */
export function checkExpr(expr: Expr, scope: ExprScope, expected?: ValueType | ValueType[]): CheckResult {
  const checker = new Checker(scope);
  const checked = checker.check(expr);
  const wanted = expected === undefined ? undefined : [expected].flat();
  const result = checked === undefined || wanted === undefined ? checked : checker.expect(checked, wanted);
  if (result !== undefined && checker.problems.length === 0 && isLarger(result.typed, sizeMax))
    checker.report('EXPR_LIMIT', expr.span, 'the expression is too complex', 'split it into derived columns');
  if (result === undefined || checker.problems.length > 0) return {ok: false, problems: checker.problems};
  return {ok: true, typed: result.typed, type: typeOf(result), nullable: result.nullable};
}

/** `case x when ...` repeats x, so the typed tree can be larger than the text. */
const sizeMax = 4 * limits.nodesMax;

const comparisonKeys: Record<string, string> = {
  '=': 'eq',
  '<>': 'ne',
  '<': 'lt',
  '<=': 'le',
  '>': 'gt',
  '>=': 'ge',
};

class Checker {
  readonly problems: ExprProblem[] = [];
  readonly #scope: ExprScope;

  constructor(scope: ExprScope) {
    this.#scope = scope;
  }

  readonly report: Report = (code, {offset, length}, message, hint) => {
    this.problems.push({code, message, offset, length, ...(hint === undefined ? {} : {hint})});
  };

  /** The typed part, or undefined when it has a problem (which is reported). */
  check(expr: Expr): Checked | undefined {
    switch (expr.kind) {
      case 'literal':
        return {
          typed:
            expr.type === 'null'
              ? {kind: 'literal', type: 'null', value: null}
              : literal(expr.type, expr.value),
          nullable: expr.type === 'null',
          source: expr,
        };
      case 'name':
        return this.#name(expr);
      case 'op':
        return this.#op(expr);
      case 'call': {
        const args = this.#all(expr.args);
        return args && callFunction(expr, args, this);
      }
      case 'case':
        return this.#case(expr);
      case 'cast':
        return this.#cast(expr);
    }
  }

  /** Converts to the first of `wanted` that is possible. */
  expect(checked: Checked, wanted: ValueType[]): Checked | undefined {
    const from = typeOf(checked);
    if (from !== 'null' && wanted.includes(from)) return checked;
    const before = this.problems.length;
    for (const to of wanted) {
      const converted = coerce(checked, to, this.report);
      if (converted !== undefined) return converted;
    }
    if (this.problems.length === before)
      this.report(
        'EXPR_TYPE',
        checked.source.span,
        `expected ${wanted.join(' or ')}, found ${from}`,
        from !== 'null' && canCast(from, wanted[0]!) && wanted[0] !== 'boolean'
          ? `write cast(... as ${wanted[0]})`
          : undefined,
      );
    return undefined;
  }

  /** Converts all to their common type; reports when there is none. `what` names the place: `"="`, `"case"`. */
  unify(
    parts: Checked[],
    what: string,
    span: Span,
  ): {type: ValueType | 'null'; parts: Checked[]} | undefined {
    const type = commonType(parts);
    if (type === undefined) {
      const types = [...new Set(parts.map(typeOf))].filter((name) => name !== 'null');
      this.report(
        'EXPR_TYPE',
        span,
        `${what} takes values of one type, found ${types.join(' and ')}`,
        adviceFor(parts),
      );
      return undefined;
    }
    if (type === 'null') return {type, parts};
    const converted = parts.map((part) => coerce(part, type, this.report));
    return converted.includes(undefined) ? undefined : {type, parts: converted as Checked[]};
  }

  apply(source: Expr, op: string, type: ValueType, parts: Checked[], nullable?: boolean): Checked {
    return {
      typed: {kind: 'apply', type, op, args: parts.map(({typed}) => typed)},
      nullable: nullable ?? parts.some((part) => part.nullable),
      source,
    };
  }

  #all(exprs: Expr[]): Checked[] | undefined {
    const parts = exprs.map((expr) => this.check(expr));
    return parts.includes(undefined) ? undefined : (parts as Checked[]);
  }

  #name(expr: Extract<Expr, {kind: 'name'}>): Checked | undefined {
    const entry = this.#scope.get(expr.name);
    if (entry !== undefined)
      return {
        typed: {kind: 'column', type: entry.type, name: expr.name},
        nullable: entry.nullable ?? true,
        source: expr,
        ...(entry.symbols !== undefined ? {symbols: entry.symbols} : {}),
      };
    const close = nearest(expr.name, this.#scope.keys());
    const known = [...this.#scope.keys()];
    this.report(
      'EXPR_UNKNOWN_NAME',
      expr.span,
      `there is no column "${expr.name}"`,
      close !== undefined
        ? `did you mean "${close}"?`
        : known.length === 0
          ? undefined
          : `columns: ${known.slice(0, 12).join(', ')}${known.length > 12 ? ', ...' : ''}; a string stands in 'single quotes'`,
    );
    return undefined;
  }

  #op(expr: Extract<Expr, {kind: 'op'}>): Checked | undefined {
    const parts = this.#all(expr.args);
    if (parts === undefined) return undefined;
    const {op} = expr;
    if (op === 'and' || op === 'or' || op === 'not') {
      const conditions = parts.map((part) => this.expect(part, ['boolean']));
      return conditions.includes(undefined)
        ? undefined
        : this.apply(expr, op, 'boolean', conditions as Checked[]);
    }
    if (op === 'is null') return this.apply(expr, 'isnull', 'boolean', parts, false);
    if (op === '||') return this.#texts(expr, 'concat', 'string', parts);
    if (op === 'like') return this.#like(expr, parts);
    if (op === '-' && parts.length === 1) return negate(expr, parts[0]!, this);
    if (['+', '-', '*', '/', '%'].includes(op)) return arithmetic(expr, parts as [Checked, Checked], this);
    return this.#compare(expr, parts);
  }

  #texts(expr: Expr, op: string, type: ValueType, parts: Checked[]): Checked | undefined {
    const texts = parts.map((part) => this.expect(part, ['string']));
    return texts.includes(undefined) ? undefined : this.apply(expr, op, type, texts as Checked[]);
  }

  #like(expr: Expr, parts: Checked[]): Checked | undefined {
    const [, pattern, mark] = parts;
    if (
      mark !== undefined &&
      !(mark.typed.kind === 'literal' && /^[^\uD800-\uDFFF]$/.test(String(mark.typed.value)))
    ) {
      this.report('EXPR_ARGUMENTS', mark.source.span, '"escape" takes a literal of one character');
      return undefined;
    }
    if (mark !== undefined && pattern!.typed.kind === 'literal' && mark.typed.kind === 'literal') {
      const char = String(mark.typed.value);
      const text = String(pattern!.typed.value);
      let at = 0;
      while (at < text.length) at += text[at] === char ? 2 : 1;
      if (at > text.length) {
        this.report('EXPR_LITERAL', pattern!.source.span, 'the pattern ends with its escape character');
        return undefined;
      }
    }
    return this.#texts(expr, 'like', 'boolean', parts);
  }

  #compare(expr: Extract<Expr, {kind: 'op'}>, parts: Checked[]): Checked | undefined {
    const right = parts[1]!;
    if (
      (expr.op === '=' || expr.op === '<>') &&
      typeOf(right) === 'null' &&
      parts[0]!.typed.kind !== 'literal'
    ) {
      this.report(
        'EXPR_TYPE',
        expr.span,
        'a comparison with null is never true',
        `write "is ${expr.op === '=' ? '' : 'not '}null"`,
      );
      return undefined;
    }
    checkSymbols(parts, this.report);
    const unified = this.unify(parts, `"${expr.op}"`, expr.span);
    if (unified === undefined) return undefined;
    const type = unified.type === 'int' ? 'long' : unified.type;
    const wide =
      unified.type === 'int'
        ? unified.parts.map((part) => coerce(part, 'long', this.report)!)
        : unified.parts;
    const family = type === 'null' || isTextType(type) ? 'string' : type;
    const name =
      comparisonKeys[expr.op] ?? {in: 'in', between: 'between', 'is distinct from': 'distinct'}[expr.op]!;
    const typed = wide.map((part) =>
      typeOf(part) === 'null' ? {...part, typed: literal('string', null)} : part,
    );
    return this.apply(expr, `${name}.${family}`, 'boolean', typed, name === 'distinct' ? false : undefined);
  }

  #case(expr: Extract<Expr, {kind: 'case'}>): Checked | undefined {
    const operand = expr.operand && this.check(expr.operand);
    if (expr.operand !== undefined && operand === undefined) return undefined;
    const whens = expr.whens.map(({when}) => this.#condition(operand, when));
    const thens = expr.whens.map(({then}) => this.check(then));
    const otherwise: Checked | undefined =
      expr.otherwise === undefined
        ? {typed: {kind: 'literal', type: 'null', value: null}, nullable: true, source: expr}
        : this.check(expr.otherwise);
    if (otherwise === undefined || whens.includes(undefined) || thens.includes(undefined)) return undefined;
    return this.choose(expr, whens as Checked[], [...(thens as Checked[]), otherwise]);
  }

  /** `case when whens[i] then values[i] ... else (the last value) end`. */
  choose(expr: Expr, whens: Checked[], values: Checked[]): Checked | undefined {
    const unified = this.unify(values, expr.kind === 'case' ? '"case"' : '"if"', expr.span);
    if (unified === undefined) return undefined;
    const nullable = values.some((value) => value.nullable);
    if (unified.type === 'null')
      return {typed: {kind: 'literal', type: 'null', value: null}, nullable, source: expr};
    const results = unified.parts.map(({typed}) => typed);
    const otherwise = results.pop()!;
    // biome-ignore lint/suspicious/noThenProperty: the typed tree's words are SQL's; nothing awaits it.
    const branches = whens.map((when, i) => ({when: when.typed, then: results[i]!}));
    return {typed: {kind: 'case', type: unified.type, whens: branches, otherwise}, nullable, source: expr};
  }

  /** The condition of a branch; `operand` is checked once, however many branches there are. */
  #condition(operand: Checked | undefined, when: Expr): Checked | undefined {
    const checked = this.check(when);
    if (checked === undefined) return undefined;
    if (operand === undefined) return this.expect(checked, ['boolean']);
    return this.#compare({kind: 'op', op: '=', args: [], span: when.span}, [operand, checked]);
  }

  #cast(expr: Extract<Expr, {kind: 'cast'}>): Checked | undefined {
    const arg = this.check(expr.arg);
    if (arg === undefined) return undefined;
    const from = typeOf(arg);
    if (from === 'null') return {typed: literal(expr.to, null), nullable: true, source: expr};
    if (!canCast(from, expr.to)) {
      const hint =
        from === 'timestamp' && expr.to === 'long'
          ? 'use epoch_ms(a timestamp)'
          : from === 'long' && expr.to === 'timestamp'
            ? 'use from_epoch_ms(a number)'
            : expr.to === 'boolean'
              ? 'write a comparison, such as x <> 0'
              : undefined;
      this.report('EXPR_TYPE', expr.span, `a ${from} cannot be cast to ${expr.to}`, hint);
      return undefined;
    }
    // cast(0.10 as money) is exact: from the digits, not through a double.
    if (expr.to === 'money' && isNumberType(from) && arg.typed.kind === 'literal') {
      const exact = coerce(arg, 'money', () => undefined);
      if (exact !== undefined) return {...exact, source: expr};
    }
    return {...cast(arg, expr.to), source: expr};
  }
}

export type {Checker};
