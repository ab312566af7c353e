import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {compileRow, JsCompiler, type JsOptions, quote, raiseValue} from '../../src/expr/compile.ts';
import {evaluate} from '../../src/expr/evaluate.ts';
import {ExpressionFailure} from '../../src/expr/failure.ts';
import {runtime, wide} from '../../src/expr/runtime.ts';
import type {TypedExpr, Value} from '../../src/expr/types.ts';
import {compileText, expression, expressions, rows, scope} from './random.ts';

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

/** The engine's way: columns as typed arrays and dictionary codes, one function over all rows. */
class Columns {
  readonly dictionaries = new Map<string, (string | null)[]>();
  readonly compiler: JsCompiler;
  readonly #rows: Row[];

  constructor(sample: Row[]) {
    this.#rows = sample;
    const options: JsOptions = {
      number: (name) => `numbers[${quote(name)}][r]`,
      text: (name) => `dictionaries.get(${quote(name)})[codes[${quote(name)}][r]]`,
      code: (name) => `codes[${quote(name)}][r]`,
      literalCode: (name, text) => String(this.#intern(name, text)),
    };
    this.compiler = new JsCompiler(options);
  }

  #intern(name: string, text: Value): number {
    let entries = this.dictionaries.get(name);
    if (entries === undefined) this.dictionaries.set(name, (entries = [null]));
    const known = entries.indexOf(text as string);
    return known >= 0 ? known : entries.push(text as string) - 1;
  }

  run(source: string): unknown[] {
    const numbers: Record<string, Float64Array> = {};
    const codes: Record<string, Int32Array> = {};
    for (const [name, {type}] of scope)
      if (['string', 'enum', 'uuid'].includes(type)) {
        this.#intern(name, null);
        codes[name] = Int32Array.from(this.#rows, (row) => this.#intern(name, row[name]!));
      } else
        numbers[name] = Float64Array.from(this.#rows, (row) =>
          row[name] === null ? Number.NaN : Number(row[name]),
        );
    const names = this.compiler.temporaries();
    const body = `${this.compiler.setup()}
      return (r) => { ${names.length > 0 ? `let ${names.join(', ')};` : ''} return ${source}; };`;
    const run = new Function('rt', 'numbers', 'codes', 'dictionaries', body)(
      runtime,
      numbers,
      codes,
      this.dictionaries,
    );
    return this.#rows.map((_, r) => {
      try {
        return run(r);
      } catch (error) {
        assert.equal(error, wide);
        return wide;
      }
    });
  }
}

test('code over columns gives what the reference gives, or asks for it', () => {
  let asked = 0;
  let answered = 0;
  fc.assert(
    fc.property(
      expressions(3),
      fc.array(rows(false), {minLength: 3, maxLength: 6}),
      ({typed, type}, sample) => {
        if (type === 'null') return;
        const columns = new Columns(sample);
        const results = columns.run(columns.compiler.value(typed)) as (number | string | null)[];
        sample.forEach((row, i) => {
          if ((results[i] as unknown) === wide) {
            asked++;
            return;
          }
          answered++;
          const value = raiseValue(results[i]!, type);
          assert.deepEqual(
            value === 0 ? 0 : value,
            outcome(() => evaluate(typed, getter(row))),
          );
        });
      },
    ),
    {numRuns: 1500, seed: 11},
  );
  assert.ok(answered > 3 * asked, `${answered} answered, ${asked} asked`);
});

const conditions = expression('boolean', 3)
  .map((source) => compileText(source))
  .filter((result) => result?.type === 'boolean')
  .map((result) => result!.typed);

test('a condition compiled as a test is true exactly when the reference says true, false exactly when it says false', () => {
  fc.assert(
    fc.property(conditions, fc.array(rows(false), {minLength: 3, maxLength: 6}), (typed, sample) => {
      for (const want of [true, false]) {
        const columns = new Columns(sample);
        const results = columns.run(columns.compiler.test(typed, want));
        sample.forEach((row, i) => {
          if (results[i] !== wide)
            assert.equal(results[i], outcome(() => evaluate(typed, getter(row))) === want, `want ${want}`);
        });
      }
    }),
    {numRuns: 1500, seed: 13},
  );
});

test('string results become codes without a look-up for constants', () => {
  const typed = typedOf(
    "case when l > 10 then 'large' when l is null then null when s = 'a' then s else 'small' end",
  );
  const sample = [{l: 11}, {l: 1, s: 'a'}, {l: 1, s: 'b'}, {l: null}].map((row) => ({...emptyRow(), ...row}));
  const columns = new Columns(sample);
  const codes: string[] = [];
  const target = {
    literal: (text: string) => String(codes.push(text)),
    intern: (source: string) => `(${source} + '!')`,
  };
  assert.deepEqual(columns.run(columns.compiler.code(typed, target)), [1, 'a!', 2, 0]);
  assert.deepEqual(codes, ['large', 'small']);
});

test('a column compared with a constant is a comparison of integers', () => {
  const compiler = new JsCompiler({
    number: (name) => name,
    text: () => assert.fail('the text is not needed'),
    code: (name) => `${name}_code`,
    literalCode: (name, text) => `${name}_${text}`,
  });
  assert.equal(compiler.isTrue(typedOf("e = 'JFK'")), '(e_code === e_JFK)');
  assert.equal(compiler.isTrue(typedOf("e <> 'JFK'")), '((xt0 = e_code) !== 0 && (xt0 !== e_JFK))');
  assert.equal(
    compiler.isTrue(typedOf("s in ('a', 'b')")),
    '((xt1 = s_code) !== 0 && (xt1 === s_a || xt1 === s_b))',
  );
  assert.equal(compiler.isTrue(typedOf('s is null')), '(s_code === 0)');
  assert.equal(compiler.isTrue(typedOf('m >= 100.00 and l < 5')), '((m >= 10000) && (l < 5))');
  assert.equal(compiler.setup(), '');
});

test('what follows a NULL in "and" is evaluated when it can fail, as the reference does', () => {
  const typed = typedOf('b and cast(s as long) > 0');
  const rowsOf = (b: Value, s: Value) => ({...emptyRow(), b, s});
  assert.equal(evaluate(typed, getter(rowsOf(false, 'x'))), false);
  assert.throws(() => evaluate(typed, getter(rowsOf(null, 'x'))), ExpressionFailure);
  const columns = new Columns([rowsOf(false, 'x'), rowsOf(null, 'x'), rowsOf(null, '1'), rowsOf(true, '1')]);
  assert.deepEqual(columns.run(columns.compiler.isTrue(typed)), [false, wide, false, true]);
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

function emptyRow(): Row {
  return Object.fromEntries([...scope.keys()].map((name) => [name, null]));
}
