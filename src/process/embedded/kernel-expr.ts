/** Expressions of a plan as JavaScript over columns, for the rows that need no exactness beyond doubles. */
import {evaluate, literalValue} from '../../expr/evaluate.ts';
import {ExpressionFailure} from '../../expr/failure.ts';
import {operations} from '../../expr/operations.ts';
import type {TypedExpr, Value} from '../../expr/types.ts';
import {tokenOfText, tokenOfValue} from './accumulators.ts';
import type {TextDictionary} from './dictionary.ts';
import type {SourceScope} from './kernel-scope.ts';

/** Largest integer that doubles add to exactly: sums are checked against it. */
export const exactMax = 2 ** 53 - 1;

/** A value computed once for each code of a column. */
export type Memo = {
  /** Column of the decoder; -1: a constant, at code 0. */
  column: number;
  /** Codes below it are filled. */
  filled: number;
  table: Float64Array | Int32Array;
  /** Value at a code, given the column's text. */
  of(text: string | null): number;
};

/** What generated code calls for an expression that it does not contain. */
export type RowCall = (row: number) => number;

/**
 * Expressions -> statements and operands. Numbers follow the columns' convention: NaN is NULL, booleans are 1 and 0. Where the
 * value may be wrong (an integer beyond 2^53, a failure) the code leaves the loop with `break`: the row is then taken exactly.
 * Every operand is cheap to repeat: a local or a constant. Evaluation is strict; leaving too often costs time only.
 */
export type Emitter = {
  lines: string[];
  memos: Memo[];
  calls: RowCall[];
  number(expr: TypedExpr): string;
  /** Code of a text in `dictionary`; a column's own codes are not used. */
  text(expr: TypedExpr, dictionary: TextDictionary): string;
  /** HyperLogLog token, 0 for NULL. */
  token(expr: TypedExpr): string;
  /** Leaves the row when the expression, whose value nobody wants, fails. */
  check(expr: TypedExpr): void;
  /** Gives a name to an operand that later expressions read as a column. */
  bind(name: string, operand: string): void;
};

export function createEmitter(scope: SourceScope): Emitter {
  const lines: string[] = [];
  const memos: Memo[] = [];
  const calls: RowCall[] = [];
  const bound = new Map<string, string>();
  let locals = 0;
  const local = (js: string): string => {
    lines.push(`const t${locals}=${js};`);
    return `t${locals++}`;
  };
  /** A local that is checked: Infinity and -1 say that the exact way must be taken. */
  const checked = (js: string, sentinel: 'Infinity' | '-1'): string => {
    const name = local(js);
    lines.push(`if(${name}===${sentinel})break;`);
    return name;
  };

  const memo = (column: number, of: Memo['of'], table: Memo['table']): string => {
    const place = memos.push({column, filled: 0, table, of}) - 1;
    return column < 0 ? `Y${place}[0]` : `Y${place}[C${column}[i]]`;
  };
  const call = (of: RowCall): string => `Q[${calls.push(of) - 1}](i)`;

  /** By memo where the value depends on one text column or none, else row by row. */
  const indirect = (
    expr: TypedExpr,
    convert: (value: Value) => number,
    failed: number,
    table: () => Memo['table'],
  ): string => {
    const guarded = (get: (name: string) => Value): number => {
      try {
        return convert(evaluate(expr, get));
      } catch (error) {
        if (error instanceof ExpressionFailure) return failed;
        throw error;
      }
    };
    const roots = scope.roots(expr);
    if (roots.numbers === 0 && roots.codes.length <= 1) {
      const column = roots.codes[0] ?? -1;
      return memo(column, (text) => guarded(scope.getWith(() => text)), table());
    }
    return call((row) => guarded(scope.getRow(row)));
  };

  const asNumber = (value: Value): number =>
    value === null ? NaN : typeof value === 'bigint' ? Infinity : Number(value);

  function number(expr: TypedExpr): string {
    if (expr.kind === 'column') {
      const known = bound.get(expr.name);
      if (known !== undefined) return known;
      const column = scope.numberColumn(expr.name);
      if (column !== undefined) return local(`C${column}[i]`);
    }
    if (expr.kind === 'literal') {
      const value = asNumber(literalValue(expr));
      if (value !== Infinity) return `(${Object.is(value, -0) ? '-0' : value})`;
    }
    const roots = scope.roots(expr);
    const inline = roots.numbers > 0 || roots.codes.length > 1 ? inlined(expr) : undefined;
    if (inline !== undefined) return inline;
    return checked(
      indirect(expr, asNumber, Infinity, () => new Float64Array(16)),
      'Infinity',
    );
  }

  /** Undefined for what has no short form. */
  function inlined(expr: TypedExpr): string | undefined {
    if (expr.kind === 'cast') return inlineCast(expr);
    if (expr.kind === 'case') {
      if (isTextType(expr.type)) return undefined;
      const whens = expr.whens.map(({when, then}) => `${number(when)}===1?${number(then)}:`);
      return local(`${whens.join('')}${number(expr.otherwise)}`);
    }
    if (expr.kind !== 'apply') return undefined;
    const [name, type = ''] = expr.op.split('.') as [string, string?];
    if (isTextType(type)) return undefined;
    if (name === 'and' || name === 'or' || name === 'not') return connect(name, expr.args.map(number));
    if (name === 'isnull')
      return isTextType(expr.args[0]!.type) ? undefined : local(nullTest(number(expr.args[0]!), '1', '0'));
    if (expr.args.some((arg) => isTextType(arg.type))) return strictCall(expr);
    const write = operators[`${name}.${type}`] ?? operators[name];
    if (write === undefined) return strictCall(expr);
    const {js, exact} = write(expr.args.map(number));
    const value = local(js);
    if (exact) lines.push(`if(${value}>${exactMax}||${value}<${-exactMax})break;`);
    return value;
  }

  function connect(name: string, args: string[]): string {
    if (name === 'not') return local(`1-${args[0]}`);
    const settled = name === 'and' ? 0 : 1;
    const any = args.map((arg) => `${arg}===${settled}`).join('||');
    const all = args.map((arg) => `${arg}===${1 - settled}`).join('&&');
    return local(`${all}?${1 - settled}:${any}?${settled}:NaN`);
  }

  function inlineCast(expr: Extract<TypedExpr, {kind: 'cast'}>): string | undefined {
    const {from, type} = expr;
    if (from === 'null' || isTextType(from) || isTextType(type)) return undefined;
    const same =
      from === type ||
      (['int', 'boolean'].includes(from) && ['int', 'long'].includes(type)) ||
      (['int', 'long'].includes(from) && type === 'double');
    if (same) return number(expr.arg);
    const factor = castFactors[`${from} ${type}`];
    if (factor === undefined) return undefined;
    const value = local(`${number(expr.arg)}${factor}`);
    if (factor !== '/100') lines.push(`if(${value}>${exactMax}||${value}<${-exactMax})break;`);
    return value;
  }

  /** A strict operation on numbers and constant texts is called as it is. */
  function strictCall(expr: Extract<TypedExpr, {kind: 'apply'}>): string | undefined {
    const operation = operations.get(expr.op);
    if (operation === undefined || isTextType(expr.type)) return undefined;
    const constant = expr.args.map((arg) => (arg.kind === 'literal' ? literalValue(arg) : undefined));
    if (constant.includes(null)) return undefined;
    if (expr.args.some(({type}, k) => constant[k] === undefined && (isTextType(type) || type === 'boolean')))
      return undefined;
    const numbers = expr.args.flatMap((arg, k) => (constant[k] === undefined ? [number(arg)] : []));
    if (numbers.length === 0 || numbers.length > 3) return undefined;
    const run = (a: number, b: number, c: number): number => {
      const given = [a, b, c];
      let next = 0;
      try {
        return asNumber(operation.run(...constant.map((value) => value ?? given[next++])));
      } catch (error) {
        if (error instanceof ExpressionFailure) return Infinity;
        throw error;
      }
    };
    const place = calls.push(run as unknown as RowCall) - 1;
    const nulls = numbers.map((value) => `${value}!==${value}`).join('||');
    return checked(`${nulls}?NaN:Q[${place}](${numbers.join(',')})`, 'Infinity');
  }

  return {
    lines,
    memos,
    calls,
    number,
    text: (expr, dictionary) =>
      checked(
        indirect(
          expr,
          (value) => (value === null ? 0 : dictionary.internText(String(value))),
          -1,
          () => new Int32Array(16),
        ),
        '-1',
      ),
    token(expr) {
      if (isTextType(expr.type)) {
        const convert = (value: Value) => (value === null ? 0 : tokenOfText(String(value)));
        return checked(
          indirect(expr, convert, -1, () => new Int32Array(16)),
          '-1',
        );
      }
      const value = number(expr);
      const place = calls.push(((given: number) => tokenOfValue(given)) as RowCall) - 1;
      return local(`${value}===${value}?Q[${place}](${value}):0`);
    },
    check(expr) {
      if (canFail(expr))
        checked(
          indirect(
            expr,
            () => 0,
            Infinity,
            () => new Float64Array(16),
          ),
          'Infinity',
        );
    },
    bind: (name, operand) => void bound.set(name, operand),
  };
}

const isTextType = (type: string): boolean => type === 'string' || type === 'uuid' || type === 'enum';

const nullTest = (value: string, yes: string, no: string): string => `${value}!==${value}?${yes}:${no}`;

type Write = (args: string[]) => {js: string; exact?: boolean};

const comparison =
  (sign: string): Write =>
  ([a, b]) => ({js: `${a}${sign}${b}?1:${a}!==${a}||${b}!==${b}?NaN:0`});

/** Where the comparison is true for NaN, NULL is asked for first. */
const different: Write = ([a, b]) => ({js: `${a}!==${a}||${b}!==${b}?NaN:${a}!==${b}?1:0`});

const arithmetic =
  (sign: string, exact: boolean): Write =>
  ([a, b]) => ({js: `${a}${sign}${b}`, exact});

const divide: Write = ([a, b]) => ({js: `${b}===0?NaN:${a}/${b}`});

/** By operation and type, or by operation where the type makes no difference among numbers. */
const operators: Record<string, Write> = {
  eq: comparison('==='),
  ne: different,
  lt: comparison('<'),
  le: comparison('<='),
  gt: comparison('>'),
  ge: comparison('>='),
  'add.long': arithmetic('+', true),
  'add.money': arithmetic('+', true),
  'sub.long': arithmetic('-', true),
  'sub.money': arithmetic('-', true),
  'mul.long': arithmetic('*', true),
  'mul.money': arithmetic('*', true),
  'add.double': arithmetic('+', false),
  'sub.double': arithmetic('-', false),
  'mul.double': arithmetic('*', false),
  'div.double': divide,
  'div.money': divide,
  // 0-x, since -x of 0 is -0.
  'neg.long': ([a]) => ({js: `0-${a}`}),
  'neg.money': ([a]) => ({js: `0-${a}`}),
  'neg.double': ([a]) => ({js: `-${a}`}),
  'mod.long': ([a, b]) => ({js: `${b}===0?NaN:${a}%${b}+0`}),
  between: ([a, low, high]) => ({
    js: `${a}>=${low}&&${a}<=${high}?1:${a}!==${a}?NaN:${a}<${low}||${a}>${high}?0:NaN`,
  }),
  in: ([a, ...list]) => ({
    js: `${list.map((item) => `${a}===${item}`).join('||')}?1:${[a, ...list].map((item) => `${item}!==${item}`).join('||')}?NaN:0`,
  }),
  coalesce: (args) => ({
    js: args.map((arg, k) => (k === args.length - 1 ? arg : `${arg}===${arg}?${arg}:`)).join(''),
  }),
};

const castFactors: Record<string, string> = {
  'money double': '/100',
  'int money': '*100',
  'long money': '*100',
  'date timestamp': '*86400000',
};

/** Whether evaluating it can fail. */
export function canFail(expr: TypedExpr): boolean {
  switch (expr.kind) {
    case 'literal':
    case 'column':
      return false;
    case 'apply':
      return (operations.get(expr.op)?.canFail ?? false) || expr.args.some(canFail);
    case 'case':
      return canFail(expr.otherwise) || expr.whens.some(({when, then}) => canFail(when) || canFail(then));
    case 'cast': {
      const plain =
        expr.from === 'null' ||
        (expr.type === 'string' && expr.from !== 'timestamp' && expr.from !== 'date') ||
        (expr.type === 'double' && !isTextType(expr.from)) ||
        (expr.type === 'long' && (expr.from === 'int' || expr.from === 'boolean'));
      return !plain || canFail(expr.arg);
    }
  }
}
