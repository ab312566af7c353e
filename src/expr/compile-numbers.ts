import {canFail, isText, type JsCompiler} from './compile.ts';
import type {TypedExpr} from './types.ts';

type Apply = Extract<TypedExpr, {kind: 'apply'}>;

/** Long lists of constants are looked up in a set. */
const chainMax = 8;

/** An operation whose result is no string, as a number with NaN as NULL. */
export function numberOp(js: JsCompiler, expr: Apply): string {
  const {op, args} = expr;
  const dot = op.indexOf('.');
  const name = dot < 0 ? op : op.slice(0, dot);
  const family = dot < 0 ? '' : op.slice(dot + 1);
  if (op === 'and' || op === 'or') return js.connectNumber(args, op === 'and');
  if (op === 'not') return `(1 - ${js.number(args[0]!)})`;
  if (op === 'isnull') return `(${js.isNull(args[0]!)} ? 1 : 0)`;
  if (name === 'in') return `${js.helper('in')}(${args.map((arg) => js.value(arg)).join(', ')})`;
  if (name === 'distinct') return `(${js.test(expr, true)} ? 1 : 0)`;
  if (name === 'between' && family === 'string')
    return `${js.helper('betweenText')}(${args.map((arg) => js.text(arg)).join(', ')})`;
  const inline = args.some((arg) => isText(arg.type)) ? undefined : inlineOp(js, name, family, args);
  if (inline !== undefined) return inline;
  return `${js.operation(op, expr.type)}(${args.map((arg) => js.value(arg)).join(', ')})`;
}

/** Operations on numbers alone that need no call of the reference operation. */
function inlineOp(js: JsCompiler, name: string, family: string, args: TypedExpr[]): string | undefined {
  const values = args.map((arg) => js.number(arg));
  const [a, b] = values as [string, string];
  const isInteger = family === 'long' || family === 'money';
  const checked = (source: string) => (isInteger ? `${js.helper('integer')}(${source})` : `(${source})`);
  const all = values.join(', ');
  switch (name) {
    case 'add':
      return checked(`${a} + ${b}`);
    case 'sub':
      return checked(`${a} - ${b}`);
    case 'mul':
      return checked(`${a} * ${b}`);
    case 'neg':
      return isInteger ? `(0 - ${a})` : `(-${a})`;
    case 'mod':
      return isInteger ? `(${a} % ${b} + 0)` : `(${a} % ${b})`;
    case 'abs':
      return `Math.abs(${a})`;
    case 'sign':
      return `(Math.sign(${a}) + 0)`;
    case 'div':
      return `${js.helper('divide')}(${all})`;
    case 'scale':
      return `${js.helper('scale')}(${all})`;
    case 'round':
    case 'floor':
    case 'ceil':
      return rounding(js, name, family, args, a);
    case 'eq':
    case 'ne':
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge':
    case 'between':
      return `${js.helper(name)}(${all})`;
    case 'greatest':
    case 'least':
      return values.reduce((best, value) => `${js.helper(name)}(${best}, ${value})`);
    case 'coalesce':
      return coalesce(js, values);
    case 'nullif': {
      const held = js.temporary();
      return `((${held} = ${a}) === ${b} ? NaN : ${held})`;
    }
    case 'epoch_ms':
      return a;
    default:
      return undefined;
  }
}

function coalesce(js: JsCompiler, values: string[]): string {
  return values.reduceRight((rest, value) => {
    const held = js.temporary();
    return `((${held} = ${value}) === ${held} ? ${held} : ${rest})`;
  });
}

function rounding(
  js: JsCompiler,
  name: 'round' | 'floor' | 'ceil',
  family: string,
  args: TypedExpr[],
  value: string,
): string | undefined {
  if (name !== 'round') {
    if (family === 'long') return value;
    if (family === 'double') return `${js.helper('integer')}(Math.${name}(${value}))`;
    return `${js.helper(name === 'floor' ? 'floorTo' : 'ceilTo')}(${value}, 100)`;
  }
  const digits = args[1]!.kind === 'literal' ? Number(args[1]!.value) : 0;
  if (family === 'double')
    return `${js.helper('roundDouble')}(${value}, ${digits < 0 ? `(${digits})` : digits})`;
  const dropped = family === 'money' ? 2 - digits : -digits;
  return dropped <= 0 ? value : `${js.helper('roundTo')}(${value}, ${10 ** dropped})`;
}

const signs: Record<string, string> = {lt: '<', le: '<=', gt: '>', ge: '>='};
const opposites: Record<string, string> = {lt: '>=', le: '>', gt: '<=', ge: '<'};

/** Whether a comparison of numbers is true (or false): NaN answers neither, so most need no third value. */
export function operatorTest(js: JsCompiler, {op, args}: Apply, want: boolean): string | undefined {
  const [name = ''] = op.split('.');
  if (name in signs && Object.hasOwn(signs, name)) {
    const sign = (want ? signs : opposites)[name]!;
    return `(${js.number(args[0]!)} ${sign} ${js.number(args[1]!)})`;
  }
  if (name === 'eq' || name === 'ne') {
    const [a, b] = [js.number(args[0]!), js.number(args[1]!)];
    return (name === 'eq') === want ? `(${a} === ${b})` : `${js.helper('differ')}(${a}, ${b})`;
  }
  if (name === 'distinct') {
    const call = `${js.helper('distinct')}(${js.number(args[0]!)}, ${js.number(args[1]!)})`;
    return want ? call : `!${call}`;
  }
  if (name === 'between' && !canFail(args[1]!) && !canFail(args[2]!)) {
    const held = js.temporary();
    const [value, low, high] = args.map((arg) => js.number(arg));
    return want
      ? `((${held} = ${value}) >= ${low} && ${held} <= ${high})`
      : `((${held} = ${value}) < ${low} || ${held} > ${high})`;
  }
  if (name === 'in') return listTest(js, args, want);
  return undefined;
}

function listTest(js: JsCompiler, [subject, ...list]: TypedExpr[], want: boolean): string | undefined {
  if (list.some((item) => item.kind !== 'literal' || item.text !== undefined)) return undefined;
  const values = list.filter((item) => item.kind === 'literal' && item.value !== null);
  // "x not in (1, null)" is never true.
  if (!want && values.length < list.length) return `(${js.number(subject!)}, false)`;
  if (values.length === 0) return `(${js.number(subject!)}, false)`;
  const held = js.temporary();
  const start = `(${held} = ${js.number(subject!)}) === ${held}`;
  const items = values.map((value) => js.number(value));
  if (items.length > chainMax) {
    const set = js.constant(`new Set([${items.join(', ')}])`);
    return `(${start} && ${want ? '' : '!'}${set}.has(${held}))`;
  }
  const chain = items.map((item) => `${held} ${want ? '===' : '!=='} ${item}`).join(want ? ' || ' : ' && ');
  return `(${start} && (${chain}))`;
}
