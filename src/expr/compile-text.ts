import {canFail, isText, type JsCompiler, quote} from './compile.ts';
import type {TypedExpr} from './types.ts';

type Apply = Extract<TypedExpr, {kind: 'apply'}>;

/** An operation whose result is a string, as `string | null`. */
export function textOp(js: JsCompiler, expr: Apply): string {
  const {op, args} = expr;
  const [name = ''] = op.split('.');
  if (op === 'coalesce')
    return args.map((arg) => js.text(arg)).reduceRight((rest, value) => `(${value} ?? ${rest})`);
  if (name === 'nullif') {
    const held = js.temporary();
    return `((${held} = ${js.text(args[0]!)}) === ${js.text(args[1]!)} ? null : ${held})`;
  }
  if (name === 'greatest' || name === 'least') {
    const better = js.helper(name === 'greatest' ? 'greatestText' : 'leastText');
    return args.map((arg) => js.text(arg)).reduce((best, value) => `${better}(${best}, ${value})`);
  }
  const call = js.operation(op, expr.type);
  const values = args.map((arg) => js.value(arg));
  // Joined pair by pair: a lifted operation takes up to three arguments.
  if (op === 'concat') return values.reduce((joined, value) => `${call}(${joined}, ${value})`);
  return `${call}(${values.join(', ')})`;
}

/** Without conversions that leave a string as it is. */
function plainText(expr: TypedExpr): TypedExpr {
  let bare = expr;
  while (bare.kind === 'cast' && bare.type === 'string' && bare.from !== 'null' && isText(bare.from))
    bare = bare.arg;
  return bare;
}

/** Whether a comparison of strings is true (or false). */
export function textTest(js: JsCompiler, {op, args}: Apply, want: boolean): string | undefined {
  const bare = args.map(plainText);
  const [subject, ...others] = bare as [TypedExpr, ...TypedExpr[]];
  if (op === 'distinct.string') {
    const differ = `(${js.text(subject)} !== ${js.text(others[0]!)})`;
    return want ? differ : `!${differ}`;
  }
  if (op === 'in.string') return listTest(js, subject, others, want);
  if (op !== 'eq.string' && op !== 'ne.string') return undefined;
  const equal = (op === 'eq.string') === want;
  const other = others[0]!;
  if (other.kind === 'literal') return equalLiterals(js, subject, [other.value], equal);
  if (subject.kind === 'literal') return equalLiterals(js, other, [subject.value], equal);
  // When the first is NULL the second is not looked at, which only matters if it can fail.
  if (canFail(other)) return undefined;
  const [a, b] = [js.temporary(), js.temporary()];
  const both = `(${a} = ${js.text(subject)}) !== null && (${b} = ${js.text(other)}) !== null`;
  return `(${both} && ${a} ${equal ? '===' : '!=='} ${b})`;
}

function listTest(js: JsCompiler, subject: TypedExpr, list: TypedExpr[], want: boolean): string | undefined {
  const values: (string | number | boolean | null)[] = [];
  for (const item of list) {
    if (item.kind !== 'literal') return undefined;
    values.push(item.value);
  }
  return equalLiterals(js, subject, values, want);
}

/** Whether the subject is there and equals one of the constants (`equal` false: none of them). */
function equalLiterals(
  js: JsCompiler,
  subject: TypedExpr,
  values: (string | number | boolean | null)[],
  equal: boolean,
): string {
  const texts = values.filter((value) => value !== null).map(String);
  // Beside a NULL nothing is known to be different, and a NULL alone equals nothing.
  if (texts.length === 0 || (!equal && texts.length < values.length)) return `(${js.value(subject)}, false)`;
  const items = texts.map(quote);
  const value = js.text(subject);
  if (equal && items.length === 1) return `(${value} === ${items[0]})`;
  const held = js.temporary();
  const chain = items.map((item) => `${held} ${equal ? '===' : '!=='} ${item}`).join(equal ? ' || ' : ' && ');
  return `((${held} = ${value}) !== null && (${chain}))`;
}
