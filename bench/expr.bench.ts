/**
 * Expressions over rows, as ingestion checks them: the compiled closure against the same function written by hand and the
 * interpreter.
 * `node bench/expr.bench.ts [rows]`; the ways take turns, medians of 7, results are compared.
 */
import {checkExpr} from '../src/expr/check.ts';
import {compileRow} from '../src/expr/compile.ts';
import {evaluate} from '../src/expr/evaluate.ts';
import {parseExpr} from '../src/expr/parse.ts';
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
const rows: Record<string, Value>[] = Array.from({length: count}, (_, i) => ({
  amount: i % 50 === 0 ? null : (i * 7919) % 30_000,
  quantity: i % 5,
  at: 1_700_000_000_000 + i * 1000,
  origin: origins[i % origins.length]!,
}));

function typedOf(text: string): TypedExpr {
  const parsed = parseExpr(text);
  const checked = parsed.ok ? checkExpr(parsed.expr, scope) : parsed;
  if (!checked.ok) throw new Error(checked.problems[0]!.message);
  return checked.typed;
}

type Row = {amount: number | null; quantity: number; at: number; origin: string | null};
const jobs: [string, (row: Row) => boolean][] = [
  [
    "amount >= 100.00 and origin = 'JFK'",
    (r) => r.amount !== null && r.amount >= 10_000 && r.origin === 'JFK',
  ],
  ['amount * quantity > 150.00', (r) => r.amount !== null && r.amount * r.quantity > 15_000],
  [
    "origin in ('JFK', 'LGA') or hour(at) between 6 and 9",
    (r) => {
      const hour = Math.floor(r.at / 3_600_000) % 24;
      return r.origin === 'JFK' || r.origin === 'LGA' || (hour >= 6 && hour <= 9);
    },
  ],
  ["starts_with(upper(origin), 'L')", (r) => r.origin?.toUpperCase().startsWith('L') === true],
];

const median = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1]!;
for (const [text, hand] of jobs) {
  const typed = typedOf(text);
  const closure = compileRow(typed);
  const ways: Record<string, () => number> = {
    'by hand': () => rows.reduce((n, row) => (hand(row as Row) ? n + 1 : n), 0),
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
