import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {compileRow, quote} from '../../src/expr/compile.ts';
import {evaluate} from '../../src/expr/evaluate.ts';
import {ExpressionFailure} from '../../src/expr/failure.ts';
import type {TypedExpr, Value} from '../../src/expr/types.ts';
import {compileText, expression, expressions, rows} from './random.ts';

type Row = Record<string, Value>;
const getter = (row: Row) => (name: string) => (Object.hasOwn(row, name) ? row[name]! : null);

/** What it gives, comparable: failures by name, -0 as 0. */
function outcome(run: () => Value): Value {
  try {
    const value = run();
    return value === 0 ? 0 : value;
  } catch (error) {
    if (!(error instanceof ExpressionFailure)) throw error;
    return 'EXPRESSION';
  }
}

test('a compiled row gives what the reference gives, integers beyond 2^53 and failures included', () => {
  let failures = 0;
  let values = 0;
  fc.assert(
    fc.property(expressions(3), fc.array(rows(true), {minLength: 2, maxLength: 5}), ({typed}, sample) => {
      const run = compileRow(typed);
      for (const row of sample) {
        const expected = outcome(() => evaluate(typed, getter(row)));
        assert.deepEqual(
          outcome(() => run(row)),
          expected,
        );
        if (expected === 'EXPRESSION') failures++;
        else if (expected !== null) values++;
      }
    }),
    {numRuns: 2000, seed: 7},
  );
  assert.ok(failures > 200 && values > 2000, `the sample has ${failures} failures and ${values} values`);
});

const conditions = expression('boolean', 3)
  .map((source) => compileText(source))
  .filter((result) => result?.type === 'boolean')
  .map((result) => result!.typed);

/** 1 when the condition is true, else 0: a condition that is only tested stops early and needs no third value. */
const tested = (when: TypedExpr): TypedExpr => {
  const literal = (value: number): TypedExpr => ({kind: 'literal', type: 'int', value});
  // biome-ignore lint/suspicious/noThenProperty: a word of the expression language
  return {kind: 'case', type: 'int', whens: [{when, then: literal(1)}], otherwise: literal(0)};
};
const not = (arg: TypedExpr): TypedExpr => ({kind: 'apply', type: 'boolean', op: 'not', args: [arg]});

test('a condition that is tested is true exactly when the reference says true, false exactly when it says false', () => {
  fc.assert(
    fc.property(conditions, fc.array(rows(true), {minLength: 3, maxLength: 6}), (typed, sample) => {
      for (const expr of [tested(typed), tested(not(typed))]) {
        const run = compileRow(expr);
        for (const row of sample)
          assert.deepEqual(
            outcome(() => run(row)),
            outcome(() => evaluate(expr, getter(row))),
          );
      }
    }),
    {numRuns: 1500, seed: 13},
  );
});

test('what follows a NULL in "and" is evaluated when it can fail, as the reference does', () => {
  const run = compileRow(tested(typedOf('b and cast(s as long) > 0')));
  assert.equal(run({b: false, s: 'x'}), 0);
  assert.throws(() => run({b: null, s: 'x'}), ExpressionFailure);
  assert.equal(run({b: null, s: '1'}), 0);
  assert.equal(run({b: true, s: '1'}), 1);
});

test('no text of an expression reaches the code except as a JSON string', () => {
  const hostile = [
    '\u2028',
    '\u2029',
    "'",
    '"',
    '`',
    '\u0024{alert(1)}',
    '\\',
    '*/',
    '</script>',
    'constructor',
    '\uD800',
  ];
  for (const text of hostile) {
    const source = quote(text);
    assert.match(source, /^"[^\u2028\u2029\n]*"$/);
    assert.equal(new Function(`return ${source}`)(), text);
    const typed = typedOf(`s || '${text.replaceAll("'", "''")}'`);
    assert.equal(compileRow(typed)({s: '>'}), `>${text}`);
  }
});

test('a name that a row lacks is NULL, names of object members included', () => {
  const typed = typedOf("coalesce(constructor, 'none')");
  assert.equal(compileRow(typed)({}), 'none');
  assert.equal(compileRow(typed)({constructor: 'x'} as unknown as Row), 'x');
});

function typedOf(source: string): TypedExpr {
  const result = compileText(source);
  assert.ok(result, source);
  return result.typed;
}
