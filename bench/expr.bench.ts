/**
 * Expressions over columns: generated code against the same loop written by hand, the closure for rows and the interpreter.
 * `node bench/expr.bench.ts [rows]`; the ways take turns, medians of 7, results are compared.
 */
import {checkExpr} from '../src/expr/check.ts';
import {compileRow, JsCompiler} from '../src/expr/compile.ts';
import {evaluate} from '../src/expr/evaluate.ts';
import {parseExpr} from '../src/expr/parse.ts';
import {runtime} from '../src/expr/runtime.ts';
import type {ExprScope, TypedExpr, Value} from '../src/expr/types.ts';

const count = Number(process.argv[2] ?? 300_000);
const scope: ExprScope = new Map(
  Object.entries({
    amount: {type: 'money'},
    quantity: {type: 'long'},
    origin: {type: 'string'},
    at: {type: 'timestamp'},
  } as const),
);
const origins = [null, 'JFK', 'LGA', 'EWR', 'BOS'];
const amount = Float64Array.from({length: count}, (_, i) =>
  i % 50 === 0 ? Number.NaN : (i * 7919) % 30_000,
);
const quantity = Float64Array.from({length: count}, (_, i) => i % 5);
const at = Float64Array.from({length: count}, (_, i) => 1_700_000_000_000 + i * 1000);
const origin = Int32Array.from({length: count}, (_, i) => i % origins.length);
const orNull = (x: number): Value => (Number.isNaN(x) ? null : x);
const rows: Record<string, Value>[] = Array.from({length: count}, (_, i) => ({
  amount: orNull(amount[i]!),
  quantity: orNull(quantity[i]!),
  at: orNull(at[i]!),
  origin: origins[origin[i]!]!,
}));

function typedOf(text: string): TypedExpr {
  const parsed = parseExpr(text);
  const checked = parsed.ok ? checkExpr(parsed.expr, scope) : parsed;
  if (!checked.ok) throw new Error(checked.problems[0]!.message);
  return checked.typed;
}

/** Counts the rows for which the condition is true. */
function generated(typed: TypedExpr): () => number {
  const js = new JsCompiler({
    number: (name) => `${name}[r]`,
    text: (name) => `origins[${name}[r]]`,
    code: (name) => `${name}[r]`,
    literalCode: (_, text) => String(origins.indexOf(text)),
  });
  const condition = js.isTrue(typed);
  const names = js.temporaries();
  const body = `${js.setup()} return () => { ${names.length > 0 ? `let ${names.join(', ')};` : ''}
    let n = 0; for (let r = 0; r < ${count}; r++) if (${condition}) n++; return n; };`;
  return new Function('rt', 'amount', 'quantity', 'at', 'origin', 'origins', body)(
    runtime,
    amount,
    quantity,
    at,
    origin,
    origins,
  );
}

function byHand(test: (r: number) => boolean): () => number {
  return () => {
    let n = 0;
    for (let r = 0; r < count; r++) if (test(r)) n++;
    return n;
  };
}

const jobs: [string, (r: number) => boolean][] = [
  ["amount >= 100.00 and origin = 'JFK'", (r) => amount[r]! >= 10_000 && origin[r] === 1],
  ['amount * quantity > 150.00', (r) => amount[r]! * quantity[r]! > 15_000],
  [
    "origin in ('JFK', 'LGA') or hour(at) between 6 and 9",
    (r) => {
      const hour = Math.floor(at[r]! / 3_600_000) % 24;
      return origin[r] === 1 || origin[r] === 2 || (hour >= 6 && hour <= 9);
    },
  ],
  ["starts_with(upper(origin), 'L')", (r) => origins[origin[r]!]?.toUpperCase().startsWith('L') === true],
];

const median = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1]!;
for (const [text, hand] of jobs) {
  const typed = typedOf(text);
  const closure = compileRow(typed);
  const ways: Record<string, () => number> = {
    generated: generated(typed),
    'by hand': byHand(hand),
    compileRow: () => rows.reduce((n, row) => (closure(row) === true ? n + 1 : n), 0),
    evaluate: () => rows.reduce((n, row) => (evaluate(typed, (name) => row[name]!) === true ? n + 1 : n), 0),
  };
  const times: Record<string, number[]> = {};
  const answers = new Set<number>();
  for (let round = 0; round < 9; round++)
    for (const [name, run] of Object.entries(ways)) {
      const start = performance.now();
      answers.add(run());
      if (round >= 2) (times[name] ??= []).push(performance.now() - start);
    }
  if (answers.size !== 1) throw new Error(`${text}: the ways disagree: ${[...answers]}`);
  const speeds = Object.entries(times).map(
    ([name, list]) => `${name} ${(count / median(list) / 1000).toFixed(1)}`,
  );
  console.log(`${text}\n  M rows/s: ${speeds.join(', ')}`);
}
