import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {checkExpr} from '../../src/expr/check.ts';
import {limits, parseExpr} from '../../src/expr/parse.ts';
import type {Expr} from '../../src/expr/types.ts';

/** The tree in brackets: shape without positions. */
function shape(expr: Expr): string {
  switch (expr.kind) {
    case 'literal':
      return expr.type === 'string' ? `'${expr.value}'` : String(expr.value);
    case 'name':
      return expr.name;
    case 'op':
    case 'call':
      return `(${[expr.kind === 'op' ? expr.op : expr.name, ...expr.args.map(shape)].join(' ')})`;
    case 'cast':
      return `(cast ${shape(expr.arg)} ${expr.to})`;
    case 'case': {
      const whens = expr.whens.map(({when, then}) => `${shape(when)}:${shape(then)}`);
      return `(case ${[expr.operand && shape(expr.operand), ...whens, expr.otherwise && shape(expr.otherwise)].filter(Boolean).join(' ')})`;
    }
  }
}

function parsed(text: string): string {
  const result = parseExpr(text);
  assert.ok(result.ok, `${text}: ${result.ok ? '' : result.problems[0]!.message}`);
  return shape(result.expr);
}

test('operators bind as in SQL', () => {
  const cases: [string, string][] = [
    ['a or b and not c = d', '(or a (and b (not (= c d))))'],
    ['a + b * c - d', '(- (+ a (* b c)) d)'],
    ['a - b - c', '(- (- a b) c)'],
    ['-a * b', '(* (- a) b)'],
    ['- 5 - -5', '(- -5 -5)'],
    ["a || b || 'x' = c", "(= (|| a b 'x') c)"],
    ['a and b and c', '(and a b c)'],
    ['(a and b) and c', '(and (and a b) c)'],
    ['a between 1 and 2 and b', '(and (between a 1 2) b)'],
    ['a not in (1, 2) or b is not null', '(or (not (in a 1 2)) (not (is null b)))'],
    ['a is not distinct from b + 1', '(not (is distinct from a (+ b 1)))'],
    ["a not like 'x!%' escape '!'", "(not (like a 'x!%' '!'))"],
    ['CASE WHEN a THEN 1 ELSE 2 END', '(case a:1 2)'],
    ['case a when 1 then b end', '(case a 1:b)'],
    ['Cast(a AS Long)', '(cast a long)'],
    ['Coalesce(a, b)', '(coalesce a b)'],
    ['"end" + "a"', '(+ end a)'],
    ["timestamp > timestamp '1970-01-01 00:00:01'", '(> timestamp 1000)'],
    ["date '1970-01-02'", '1'],
    ['a -- a comment\n + 1', '(+ a 1)'],
    ['count(*)', '(count)'],
    ['1.50e1', '15'],
    ['a != b', '(<> a b)'],
  ];
  for (const [text, expected] of cases) assert.equal(parsed(text), expected, text);
});

test('a mistake is named at its place, with a way out', () => {
  // [text, the wrong part, message, hint]
  const cases: [string, string, RegExp, RegExp?][] = [
    ['', '', /empty/],
    ['a +', '', /ends too early/],
    ['(a', '', /expected "\)"/],
    ['a b', 'b', /does not belong/, /operator/],
    ['a && b', '&', /unexpected character/, /and/],
    ["a = 'x", "'x", /never closed/],
    ['a = `x`', '`', /unexpected/, /single quotes/],
    ['1 < a < 3', '<', /cannot be compared again/, /between/],
    ['case a end', 'end', /expected "when"/],
    ['case when a then 1', '', /expected "end"/],
    ['cast(a as bigint)', 'bigint', /no type/, /"long"/],
    ['cast(a as doubel)', 'doubel', /no type/, /"double"/],
    ['a is 5', '5', /expected "null"/],
    ['a not 5', '5', /"in", "between" or "like"/],
    ['a and and b', 'and', /keyword "and"/],
    ["timestamp '2024-13-01'", "'2024-13-01'", /no timestamp/, /timestamp '/],
    ["date '2023-02-29'", "'2023-02-29'", /no date/],
    ['9223372036854775808', '9223372036854775808', /64 bits/],
    ['1e999', '1e999', /too large/],
    ['count(distinct a)', 'distinct', /inside a call/, /distinct\(column\)/],
    ['a ? b', '?', /unexpected/, /case/],
  ];
  for (const [text, part, message, hint] of cases) {
    const result = parseExpr(text);
    assert.ok(!result.ok, text);
    const [problem] = result.problems;
    assert.match(problem!.message, message, text);
    assert.equal(text.slice(problem!.offset, problem!.offset + problem!.length), part, text);
    if (hint !== undefined) assert.match(problem!.hint ?? '', hint, text);
  }
});

test('length, depth and size are limited', () => {
  const code = (text: string) => {
    const result = parseExpr(text);
    return result.ok ? 'ok' : result.problems[0]!.code;
  };
  assert.equal(code(`'${'x'.repeat(limits.textBytesMax - 2)}'`), 'ok');
  assert.equal(code(`'${'x'.repeat(limits.textBytesMax - 1)}'`), 'EXPR_LIMIT');
  assert.equal(code(`'${'é'.repeat(limits.textBytesMax / 2)}'`), 'EXPR_LIMIT');
  assert.equal(code(`${'('.repeat(60)}1${')'.repeat(60)}`), 'ok');
  assert.equal(code(`${'('.repeat(70)}1${')'.repeat(70)}`), 'EXPR_LIMIT');
  assert.equal(code(`${'not '.repeat(70)}a`), 'EXPR_LIMIT');
  assert.equal(code(`${'-'.repeat(1)}${'(-'.repeat(70)}a${')'.repeat(70)}`), 'EXPR_LIMIT');
  assert.equal(code(Array(400).fill('a').join(' or ')), 'ok');
  assert.equal(code(Array(1200).fill('a').join('+')), 'EXPR_LIMIT');
});

test('"case x when" cannot blow the tree up', () => {
  let text = 'a';
  for (let i = 0; i < 12; i++) text = `case ${text} when 1 then 2 when 3 then 4 when 5 then 6 end`;
  const result = parseExpr(text);
  assert.ok(result.ok);
  const checked = checkExpr(result.expr, new Map([['a', {type: 'long'}]]));
  assert.equal(checked.ok ? 'ok' : checked.problems[0]!.code, 'EXPR_LIMIT');
});

test('no text makes the parser or the checker throw', () => {
  const words = [
    'a',
    'and',
    'or',
    'not',
    'case',
    'when',
    'then',
    'else',
    'end',
    'cast',
    '(',
    ')',
    ',',
    '+',
    '-',
    '*',
    '/',
    '%',
    '||',
    '=',
    '<>',
    'is',
    'null',
    'in',
    'between',
    'like',
    'escape',
    "'x'",
    "'",
    '"',
    '1',
    '.5',
    '1e9',
    'as',
    'long',
    'distinct',
    'from',
    'timestamp',
    'date',
    'round',
    'hour',
    'if',
    'sum',
    '__proto__',
    'constructor',
    'toString',
    '--',
    '😀',
    '\uD800',
    '\0',
  ];
  const soup = fc.array(fc.constantFrom(...words), {maxLength: 25}).map((parts) => parts.join(' '));
  fc.assert(
    fc.property(fc.oneof(soup, fc.string({unit: 'binary'}), fc.string()), (text) => {
      const result = parseExpr(text);
      if (result.ok) {
        const checked = checkExpr(result.expr, new Map([['a', {type: 'long'}]]), 'boolean');
        assert.ok(checked.ok || checked.problems.length > 0);
      } else {
        const {offset, length} = result.problems[0]!;
        assert.ok(offset >= 0 && offset + length <= text.length);
      }
    }),
    {numRuns: 5000, seed: 3},
  );
});
