import assert from 'node:assert/strict';
import {numberOp, operatorTest} from './compile-numbers.ts';
import {textOp, textTest} from './compile-text.ts';
import {evaluate} from './evaluate.ts';
import {operations} from './operations.ts';
import {runtime, wide} from './runtime.ts';
import type {TypedExpr, Value, ValueType} from './types.ts';
import {walk} from './walk.ts';

type Case = Extract<TypedExpr, {kind: 'case'}>;

/** A constant as JavaScript source, safe inside any script. */
export function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

export const isText = (type: ValueType | 'null'): boolean =>
  type === 'string' || type === 'enum' || type === 'uuid';

/** Conversions that every value survives, exactly as doubles hold it. */
const safeCasts = new Set([
  'int>long',
  'int>double',
  'long>double',
  'money>double',
  'enum>string',
  'uuid>string',
  'date>timestamp',
  'boolean>int',
  'boolean>long',
]);

/** Whether evaluating it can fail, or leave what doubles hold exactly. */
export function canFail(expr: TypedExpr): boolean {
  for (const part of walk(expr)) {
    if (part.kind === 'literal' && part.text !== undefined) return true;
    if (part.kind === 'cast' && part.from !== 'null' && !safeCasts.has(`${part.from}>${part.type}`))
      return true;
    if (part.kind === 'apply' && operations.get(part.op)?.canFail) return true;
  }
  return false;
}

/**
 * Compiles a typed expression to JavaScript over `row`, an object of values by name, with `rt` as runtime. Names of config never
 * enter the text but through `quote`. Code throws `wide` (runtime.ts) for a row that `evaluate` must answer; a result never
 * differs from `evaluate`. Strings are `string | null`, all else are numbers with NaN as NULL (times and dates as such, booleans
 * 1 and 0).
 */
export class JsCompiler {
  readonly #constants = new Map<string, string>();
  #temporaries = 0;

  /** Statements that define the constants used so far. */
  setup(): string {
    return [...this.#constants].map(([source, name]) => `const ${name} = ${source};`).join('\n');
  }

  /** Names of the temporaries used so far. */
  temporaries(): string[] {
    return Array.from({length: this.#temporaries}, (_, i) => `t${i}`);
  }

  /** A constant that is computed once; equal sources share it. */
  constant(source: string): string {
    let name = this.#constants.get(source);
    if (name === undefined) this.#constants.set(source, (name = `c${this.#constants.size}`));
    return name;
  }

  /** A function of the runtime. */
  helper(name: keyof typeof runtime): string {
    return this.constant(`rt.${name}`);
  }

  /** A reference operation, lifted to compiled values. */
  operation(key: string, type: ValueType): string {
    return this.constant(`rt.op(${quote(key)}, ${isText(type) ? "'t'" : "'n'"})`);
  }

  temporary(): string {
    return `t${this.#temporaries++}`;
  }

  /** A number with NaN as NULL; for expressions of every type but strings. */
  number(expr: TypedExpr): string {
    switch (expr.kind) {
      case 'literal':
        return this.#numberLiteral(expr);
      case 'column':
        return `${this.helper('toNumber')}(row[${quote(expr.name)}])`;
      case 'cast':
        return this.#numberCast(expr);
      case 'case':
        return this.#choose(expr, (part) => this.number(part));
      case 'apply':
        return numberOp(this, expr);
    }
  }

  /** `string | null`; for expressions of type string, enum and uuid. */
  text(expr: TypedExpr): string {
    switch (expr.kind) {
      case 'literal':
        return expr.value === null ? 'null' : quote(String(expr.value));
      case 'column':
        return `${this.helper('toText')}(row[${quote(expr.name)}])`;
      case 'cast': {
        const {arg, from, type} = expr;
        if (from === 'null') return 'null';
        if (isText(from) && (type === 'string' || from === type)) return this.text(arg);
        return `${this.#caster(from, type)}(${this.value(arg)})`;
      }
      case 'case':
        return this.#choose(expr, (part) => this.text(part));
      case 'apply':
        return textOp(this, expr);
    }
  }

  /** `text` for strings, else `number`. */
  value(expr: TypedExpr): string {
    return isText(expr.type) ? this.text(expr) : this.number(expr);
  }

  /** Whether it is NULL. */
  isNull(expr: TypedExpr): string {
    if (isText(expr.type)) return `(${this.text(expr)} === null)`;
    return expr.type === 'null' ? 'true' : `Number.isNaN(${this.number(expr)})`;
  }

  /** Whether a condition is true (`want` false: whether it is false; NULL is neither); stops early as `evaluate` does. */
  test(expr: TypedExpr, want: boolean): string {
    if (expr.kind === 'literal') return String(expr.value === want);
    if (expr.kind === 'case') return this.#choose(expr, (part) => this.test(part, want));
    if (expr.kind === 'apply') {
      const {op, args} = expr;
      if (op === 'not') return this.test(args[0]!, !want);
      if (op === 'and' || op === 'or') return this.#connect(args, op === 'and', want);
      if (op === 'isnull') return want ? this.isNull(args[0]!) : `!${this.isNull(args[0]!)}`;
      const special = isText(args[0]!.type) ? textTest(this, expr, want) : operatorTest(this, expr, want);
      if (special !== undefined) return special;
    }
    return `(${this.number(expr)} === ${want ? 1 : 0})`;
  }

  /** Three-valued `and` and `or` as a number. */
  connectNumber(args: TypedExpr[], all: boolean): string {
    const [first, ...rest] = args;
    const left = this.number(first!);
    if (rest.length === 0) return left;
    const [a, b] = [this.temporary(), this.temporary()];
    const settled = all ? 0 : 1;
    const right = this.connectNumber(rest, all);
    const both = all ? `${a} * ${b}` : `Math.max(${a}, ${b})`;
    return `((${a} = ${left}) === ${settled} ? ${settled} : (${b} = ${right}) === ${settled} ? ${settled} : ${both})`;
  }

  #connect(args: TypedExpr[], all: boolean, want: boolean): string {
    // "and is false" and "or is true" ask one part after the other until one settles it.
    if (all !== want) return `(${args.map((arg) => this.test(arg, want)).join(' || ')})`;
    const [first, ...rest] = args;
    if (rest.length === 0) return this.test(first!, want);
    // A NULL settles the test but not the value: what follows must still be evaluated if it can fail.
    if (!rest.some(canFail)) return `(${args.map((arg) => this.test(arg, want)).join(' && ')})`;
    const held = this.temporary();
    const settled = all ? 0 : 1;
    return `((${held} = ${this.number(first!)}) !== ${settled} && ${this.#connect(rest, all, want)} && ${held} === ${1 - settled})`;
  }

  #choose({whens, otherwise}: Case, compile: (part: TypedExpr) => string): string {
    const branches = whens.map(({when, then}) => `${this.test(when, true)} ? ${compile(then)} : `);
    return `(${branches.join('')}${compile(otherwise)})`;
  }

  #numberLiteral({value, text}: Extract<TypedExpr, {kind: 'literal'}>): string {
    if (text !== undefined) return `${this.helper('raise')}()`;
    if (value === null) return 'NaN';
    if (typeof value === 'boolean') return value ? '1' : '0';
    assert(typeof value === 'number');
    return value < 0 || Object.is(value, -0) ? `(${Object.is(value, -0) ? '-0' : value})` : String(value);
  }

  #numberCast({arg, from, type}: Extract<TypedExpr, {kind: 'cast'}>): string {
    if (from === 'null') return 'NaN';
    if (isText(from)) return `${this.#caster(from, type)}(${this.text(arg)})`;
    const value = this.number(arg);
    if (
      from === type ||
      ['int>long', 'int>double', 'long>double', 'boolean>int', 'boolean>long'].includes(`${from}>${type}`)
    )
      return value;
    if (from === 'money' && type === 'double') return `(${value} / 100)`;
    if (type === 'money' && from !== 'double') return `${this.helper('integer')}(${value} * 100)`;
    if (from === 'double' && type === 'long') return `${this.helper('truncate')}(${value})`;
    if (from === 'timestamp' && type === 'date') return `Math.floor(${value} / 86400000)`;
    if (from === 'date' && type === 'timestamp') return `(${value} * 86400000)`;
    return `${this.#caster(from, type)}(${value})`;
  }

  #caster(from: ValueType, to: ValueType): string {
    const kind = isText(to) ? "'t'" : "'n'";
    return this.constant(`rt.cast(${quote(from)}, ${quote(to)}, ${kind})`);
  }
}

/**
 * A closure that evaluates rows one by one, faster than `evaluate` and always equal to it. A name that a row lacks is NULL.
 * The closure throws ExpressionFailure as `evaluate` does.
 */
export function compileRow(typed: TypedExpr): (row: Record<string, Value>) => Value {
  const compiler = new JsCompiler();
  const source = typed.type === 'null' ? 'null' : compiler.value(typed);
  const temporaries = compiler.temporaries();
  const names = temporaries.length === 0 ? '' : `let ${temporaries.join(', ')};`;
  // The text holds nothing of config but names and constants through JSON.stringify.
  const run = new Function('rt', `${compiler.setup()}\nreturn (row) => { ${names} return ${source}; };`)(
    runtime,
  ) as (row: Record<string, Value>) => number | string | null;
  return (row) => {
    try {
      return raiseValue(run(row), typed.type);
    } catch (error) {
      if (error !== wide) throw error;
      return evaluate(typed, (name) => (Object.hasOwn(row, name) ? row[name]! : null));
    }
  };
}

/** A compiled result as a value. */
function raiseValue(result: number | string | null, type: ValueType | 'null'): Value {
  if (typeof result !== 'number') return result;
  if (Number.isNaN(result)) return null;
  return type === 'boolean' ? result === 1 : result;
}
