import assert from 'node:assert/strict';
import {test} from 'node:test';
import {checkExpr} from '../../src/expr/check.ts';
import {compileRow} from '../../src/expr/compile.ts';
import {evaluate} from '../../src/expr/evaluate.ts';
import {ExpressionFailure} from '../../src/expr/failure.ts';
import {functions} from '../../src/expr/functions.ts';
import {parseExpr} from '../../src/expr/parse.ts';
import type {ExprScope, TypedExpr, Value, ValueType} from '../../src/expr/types.ts';
import {castValue, roundDouble, roundDoubleExactly} from '../../src/expr/values.ts';

const scope: ExprScope = new Map(
  Object.entries({
    amount: {type: 'money'},
    quantity: {type: 'long'},
    small: {type: 'int'},
    share: {type: 'double'},
    ok: {type: 'boolean'},
    name: {type: 'string'},
    origin: {type: 'enum', symbols: ['JFK', 'LGA']},
    at: {type: 'timestamp'},
    day: {type: 'date'},
  } as const),
);

function typedOf(text: string): {typed: TypedExpr; type: ValueType | 'null'} {
  const parsed = parseExpr(text);
  assert.ok(parsed.ok, text);
  const checked = checkExpr(parsed.expr, scope);
  assert.ok(checked.ok, `${text}: ${checked.ok ? '' : checked.problems[0]!.message}`);
  return checked;
}

/** The value by the interpreter, which the compiled row must repeat. */
function value(text: string, row: Record<string, Value> = {}): Value {
  const {typed} = typedOf(text);
  const run = () => evaluate(typed, (name) => row[name] ?? null);
  const compiled = compileRow(typed);
  let expected: Value;
  try {
    expected = run();
  } catch (error) {
    assert.throws(() => compiled(row), ExpressionFailure);
    throw error;
  }
  assert.deepEqual(compiled(row), expected, `compiled: ${text}`);
  return expected;
}

/** Each line: expression, then its value; `FAIL` for an ExpressionFailure. */
function table(lines: [string, Value | 'FAIL'][], row: Record<string, Value> = {}): void {
  for (const [text, expected] of lines)
    if (expected === 'FAIL')
      assert.throws(() => value(text, row), {code: 'EXPRESSION', name: 'ExpressionFailure'}, text);
    else assert.deepEqual(value(text, row), expected, text);
}

test('and, or and not follow three-valued logic', () => {
  const values = {true: true, false: false, null: null} as const;
  // [a, b, a and b, a or b]
  const rows: ['true' | 'false' | 'null', 'true' | 'false' | 'null', Value, Value][] = [
    ['true', 'true', true, true],
    ['true', 'false', false, true],
    ['true', 'null', null, true],
    ['false', 'true', false, true],
    ['false', 'false', false, false],
    ['false', 'null', false, null],
    ['null', 'true', null, true],
    ['null', 'false', false, null],
    ['null', 'null', null, null],
  ];
  for (const [a, b, and, or] of rows) {
    table([
      [`${a} and ${b}`, and],
      [`${a} or ${b}`, or],
    ]);
    // The same with the value from a column, so that nothing is known beforehand.
    assert.equal(value(`ok and ${b}`, {ok: values[a]}), and);
    assert.equal(value(`ok or ${b}`, {ok: values[a]}), or);
  }
  table([
    ['not true', false],
    ['not false', true],
    ['not null', null],
  ]);
});

test('a comparison with NULL is NULL; is null and is distinct from never are', () => {
  table([
    ['1 = 1', true],
    ['1 <> 1', false],
    ['1 != 2', true],
    ['1 < 2', true],
    ['2 <= 1', false],
    ['2 > 1', true],
    ['1 >= 2', false],
    ['1 = quantity', null],
    ['quantity < 1', null],
    ['quantity <> quantity', null],
    ['quantity is null', true],
    ['quantity is not null', false],
    ['1 is null', false],
    ['quantity is distinct from 1', true],
    ['quantity is not distinct from null', true],
    ['1 is distinct from 1', false],
    ['1 is not distinct from 2', false],
    ["'b' > 'a'", true],
    ["'B' < 'a'", true],
    ["'' = ' '", false],
    ['true > false', true],
    ['1 = 1.0', true],
    ['9007199254740993 > 9007199254740992', true],
    ["timestamp '2024-01-01' < timestamp '2024-01-01 00:00:00.001'", true],
    ["date '2024-01-01' = date '2024-01-02'", false],
  ]);
});

test('strings compare by code point, above the surrogates too', () => {
  // U+FF5E is above every UTF-16 surrogate unit, yet below U+1F600.
  table([
    ["'\uFF5E' < '😀'", true],
    ["'a😀' > 'a\uFF5E'", true],
    ["'a' < 'ab'", true],
    ["greatest('\uFF5E', '😀')", '😀'],
  ]);
});

test('in and between treat NULLs as SQL does', () => {
  table([
    ['1 in (1, 2)', true],
    ['3 in (1, 2)', false],
    ['1 in (1, null)', true],
    ['3 in (1, null)', null],
    ['quantity in (1)', null],
    ['3 not in (1, 2)', true],
    ['3 not in (1, null)', null],
    ['1 not in (1, null)', false],
    ['2 between 1 and 3', true],
    ['1 between 1 and 1', true],
    ['4 between 1 and 3', false],
    ['2 not between 1 and 3', false],
    ['0 between 1 and quantity', false],
    ['2 between 1 and quantity', null],
    ['quantity between 1 and 2', null],
    ['5 between quantity and 4', false],
  ]);
});

test('like', () => {
  table([
    ["'millrace' like 'mill%'", true],
    ["'millrace' like '%race'", true],
    ["'millrace' like '%llr%'", true],
    ["'millrace' like 'mill'", false],
    ["'abc' like 'a_c'", true],
    ["'abc' like 'a_'", false],
    ["'a😀c' like 'a_c'", true],
    ["'' like ''", true],
    ["'' like '%'", true],
    ["'' like '_'", false],
    ["'aXbXc' like '%X%X%'", true],
    ["'aab' like '%ab'", true],
    ["'abab' like 'ab%ab'", true],
    ["'ab' like 'ab%ab'", false],
    ["'100%' like '100!%' escape '!'", true],
    ["'1000' like '100!%' escape '!'", false],
    ["'a_b' like 'a!_b' escape '!'", true],
    ["'a!b' like 'a!!b' escape '!'", true],
    ["'a\\b' like 'a\\b'", true],
    ["'A' like 'a'", false],
    ["name like 'a'", null],
    ["'a' like name", null],
    ["'abc' not like 'a%'", false],
    ["'%' like '%%' escape '%'", true],
  ]);
  // A pattern that backtracks: time is bounded by text x pattern.
  assert.equal(value(`name like '${'%a'.repeat(40)}%b'`, {name: 'a'.repeat(5000)}), false);
});

test('integers are exact to 64 bits and fail beyond', () => {
  const max = 2n ** 63n - 1n;
  table(
    [
      ['9007199254740992 + 1', 9007199254740993n],
      ['9007199254740993 - 1', 9007199254740992],
      ['3037000499 * 3037000499', 9223372030926249001n],
      ['9223372036854775807', max],
      ['-9223372036854775808', -(2n ** 63n)],
      ['9223372036854775807 + 1', 'FAIL'],
      ['-9223372036854775808 - 1', 'FAIL'],
      ['9223372036854775807 * 2', 'FAIL'],
      ['-(-9223372036854775808)', 'FAIL'],
      ['abs(-9223372036854775808)', 'FAIL'],
      ['-9223372036854775807 - 1', -(2n ** 63n)],
      ['7 % 3', 1],
      ['-7 % 3', -1],
      ['7 % -3', 1],
      ['7 % 0', null],
      ['9223372036854775807 % 10', 7],
      ['1 / 4', 0.25],
      ['7 / 2', 3.5],
      ['1 / 0', null],
      ['0 / 0', null],
      ['1 + quantity', null],
      ['small + 2147483647', 2147483648],
    ],
    {small: 1},
  );
  assert.equal(value('quantity + 1', {quantity: 2n ** 62n}), 2n ** 62n + 1n);
  assert.equal(value('quantity = 9007199254740993', {quantity: 2n ** 53n + 1n}), true);
  assert.equal(value('0 * quantity', {quantity: -5}), 0);
});

test('doubles are IEEE, NaN is NULL', () => {
  table(
    [
      ['0.1 + 0.2', 0.30000000000000004],
      ['1.5 / 0', null],
      ['1.5 % 0', null],
      ['5.5 % 2', 1.5],
      ['1e308 * 10', Infinity],
      ['1e308 * 10 - 1e308 * 10', null],
      ['-share', -0.5],
      ['2 * share', 1],
    ],
    {share: 0.5},
  );
});

test('money is exact cents', () => {
  const row = {amount: 10_000, quantity: 3};
  table(
    [
      ['amount >= 100.00', true],
      ['amount > 100', false],
      ['amount < 100.01', true],
      ['amount = 100.0', true],
      ['amount in (99.99, 100)', true],
      ['amount + 0.05', 10_005],
      ['5 - amount', -9_500],
      ['amount * quantity', 30_000],
      ['quantity * amount', 30_000],
      ['-amount', -10_000],
      // 100.00 * 0.333 = 33.30; 100.05 * 0.5 = 50.025 -> 50.03, away from zero on both sides.
      ['amount * 0.333', 3_330],
      ['(amount + 0.05) * 0.5', 5_003],
      ['-(amount + 0.05) * 0.5', -5_003],
      ['amount / quantity', 100 / 3],
      ['amount / amount', 1],
      ['amount / 8', 12.5],
      ['amount / 0', null],
      ['amount / 0.5', 200],
      ['amount * share', 50],
      ['cast(amount as double)', 100],
      ['cast(amount as long)', 100],
      ['cast(-0.99 as money)', -99],
      ['cast(cast(-0.99 as money) as long)', 0],
      ['cast(7 as money)', 700],
      ['cast(quantity as money)', 300],
      ['cast(0.10 as money)', 10],
      ["cast('12.345' as money)", 1_235],
      ["cast('-12.345' as money)", -1_235],
      ["cast(' 5 ' as money)", 500],
      ["cast('1,5' as money)", 'FAIL'],
      ['cast(share as money)', 50],
      ['cast(1.005 * 1 as money)', 101],
      ['cast(amount as string)', '100.00'],
      ['cast(cast(-0.05 as money) as string)', '-0.05'],
      ['round(amount * 0.3333)', 3_300],
      ['round(cast(12.5 as money))', 1_300],
      ['round(cast(-12.5 as money))', -1_300],
      ['round(cast(12.34 as money), 1)', 1_230],
      ['floor(cast(-0.5 as money))', -100],
      ['ceil(cast(0.01 as money))', 100],
      ['cast(92233720368547758.07 as money) + 0.01', 'FAIL'],
      ['sign(-amount)', -1],
      ['coalesce(nullif(amount, 100), 7)', 700],
    ],
    {...row, share: 0.5},
  );
  // 46116860184273879.04 * 1.19 = 54879063619285916.0576
  assert.equal(value('amount * 1.19', {amount: 2n ** 62n}), 5487906361928591606n);
});

test('rounding is half away from zero, by the decimal digits', () => {
  table([
    ['round(0.5)', 1],
    ['round(1.5)', 2],
    ['round(2.5)', 3],
    ['round(-0.5)', -1],
    ['round(-2.5)', -3],
    ['round(0.49999999999999994)', 0],
    ['round(1.005, 2)', 1.01],
    ['round(2.675, 2)', 2.68],
    ['round(-1.005, 2)', -1.01],
    ['round(1e300, 2)', 1e300],
    ['round(123.456, -1)', 120],
    ['round(125, -1)', 130],
    ['round(-125, -1)', -130],
    ['round(7, 2)', 7],
    ['round(9223372036854775807, -1)', 'FAIL'],
    ['floor(-0.5)', -1],
    ['ceil(-0.5)', 0],
    ['floor(1e300)', 'FAIL'],
    ['floor(9007199254740994.0)', 9007199254740994n],
  ]);
  let state = 1;
  for (let i = 0; i < 20_000; i++) {
    state = (state * 48271) % 2147483647;
    const sample = (state / 1000) * (i % 2 === 0 ? 1 : -1) + (i % 3 === 0 ? 0.5 : 0);
    const digits = i % 5;
    const [fast, exact] = [roundDouble(sample, digits), roundDoubleExactly(sample, digits)];
    assert.ok(fast === exact, `${sample} to ${digits}: ${fast}, ${exact}`);
  }
});

test('casts', () => {
  table(
    [
      ["cast('12' as long)", 12],
      ["cast(' -7 ' as int)", -7],
      ["cast('1.5' as long)", 'FAIL'],
      ["cast('' as long)", 'FAIL'],
      ["cast('2147483648' as int)", 'FAIL'],
      ["cast('9223372036854775808' as long)", 'FAIL'],
      ["cast('9223372036854775807' as long)", 2n ** 63n - 1n],
      ['cast(2147483648 as int)', 'FAIL'],
      ['cast(2.9 as long)', 2],
      ['cast(-2.9 as long)', -2],
      ['cast(1e19 as long)', 'FAIL'],
      ["cast('1e3' as double)", 1000],
      ["cast('.5' as double)", 0.5],
      ["cast('Infinity' as double)", 'FAIL'],
      ["cast('0x10' as double)", 'FAIL'],
      ["cast('1e999' as double)", 'FAIL'],
      ["cast('TRUE' as boolean)", true],
      ["cast('1' as boolean)", 'FAIL'],
      ['cast(true as long)', 1],
      ['cast(1.5 as string)', '1.5'],
      ['cast(true as string)', 'true'],
      ['cast(null as long)', null],
      ['cast(quantity as string)', null],
      ["cast('2024-02-29' as date)", 19_782],
      ["cast('2023-02-29' as date)", 'FAIL'],
      ["cast(date '2024-02-29' as string)", '2024-02-29'],
      ["cast(date '1970-01-02' as timestamp)", 86_400_000],
      ["cast(timestamp '1969-12-31 23:59:59' as date)", -1],
      ["cast('2024-01-01T00:00:00+05:30' as timestamp)", 1_704_047_400_000],
      ["cast('2024-01-01 00:00' as timestamp)", 1_704_067_200_000],
      ["cast('2024-01-01 24:00' as timestamp)", 'FAIL'],
      ["cast('yesterday' as timestamp)", 'FAIL'],
      ["cast('FFFFFFFF-ffff-4fff-bfff-ffffffffffff' as uuid)", 'ffffffff-ffff-4fff-bfff-ffffffffffff'],
      ["cast('x' as uuid)", 'FAIL'],
      ["cast(origin as string) || '!'", 'JFK!'],
    ],
    {origin: 'JFK'},
  );
});

test('case takes the first true branch and evaluates no other', () => {
  table([
    ["case when ok then 'a' when true then 'b' else 'c' end", 'b'],
    ["case quantity when 1 then 'one' when 2 then 'two' end", null],
    ["case 2 when 1 then 'one' when 2 then 'two' end", 'two'],
    ["case quantity when 1 then 'x' else 'none' end", 'none'],
    ["case when false then cast('x' as long) else 1 end", 1],
    ["if(ok, cast('x' as long), 2)", 2],
    ["coalesce(1, cast('x' as long))", 1],
    ["false and cast('x' as long) > 0", false],
    ["true or cast('x' as long) > 0", true],
    ["1 in (1, cast('x' as long))", true],
    ["null and cast('x' as long) > 0", 'FAIL'],
    ['case when true then 1 else 2.5 end', 1],
    ['case when true then amount else 0 end', null],
    ["coalesce(origin, 'none')", 'none'],
  ]);
});

test('strings count characters, not units', () => {
  table([
    ["length('a😀')", 2],
    ["substring('a😀b', 2, 1)", '😀'],
    ["substring('abc', 0, 2)", 'ab'],
    ["substring('abc', -5, 3)", 'a'],
    ["substring('abc', 4)", ''],
    ["substring('abc', 1, -1)", ''],
    ["position('b', 'a😀b')", 3],
    ["position('', 'a')", 1],
    ["trim('\t a ')", '\t a'],
    ["replace('aaa', 'a', 'bb')", 'bbbbbb'],
    ["replace('abc', '', 'x')", 'abc'],
    ["'a' || name", null],
    ["'it''s'", "it's"],
    ["concat('a', 'b') || 'c'", 'abc'],
  ]);
  assert.throws(() => value("replace(name, 'a', name)", {name: 'a'.repeat(2000)}), {code: 'EXPRESSION'});
});

test('times in UTC and in zones, over the days when clocks change', () => {
  table([
    // New York springs forward at 2024-03-10 07:00 UTC (02:00 -> 03:00), falls back at 2024-11-03 06:00 UTC (02:00 -> 01:00).
    ["hour(timestamp '2024-03-10 06:59:59', 'America/New_York')", 1],
    ["hour(timestamp '2024-03-10 07:00:00', 'America/New_York')", 3],
    ["hour(timestamp '2024-11-03 05:30:00', 'America/New_York')", 1],
    ["hour(timestamp '2024-11-03 06:30:00', 'America/New_York')", 1],
    ["hour(timestamp '2024-11-03 07:00:00', 'America/New_York')", 2],
    [
      "date_trunc('day', timestamp '2024-03-10 23:00:00', 'America/New_York') = timestamp '2024-03-10 05:00:00'",
      true,
    ],
    [
      "date_trunc('day', timestamp '2024-03-11 12:00:00', 'America/New_York') = timestamp '2024-03-11 04:00:00'",
      true,
    ],
    [
      "date_trunc('hour', timestamp '2024-11-03 06:30:00', 'America/New_York') = timestamp '2024-11-03 06:00:00'",
      true,
    ],
    // Kolkata is 5:30 ahead: its hours begin at half past.
    [
      "date_trunc('hour', timestamp '2024-01-01 00:10:00', 'Asia/Kolkata') = timestamp '2023-12-31 23:30:00'",
      true,
    ],
    ["minute(timestamp '2024-01-01 00:10:00', 'Asia/Kolkata')", 40],
    // Samoa left out 2011-12-30.
    ["to_date(timestamp '2011-12-30 09:59:59', 'Pacific/Apia') = date '2011-12-29'", true],
    ["to_date(timestamp '2011-12-30 10:00:00', 'Pacific/Apia') = date '2011-12-31'", true],
    // Havana's clocks jump over midnight on 2024-03-10: the day begins at 01:00 local.
    [
      "date_trunc('day', timestamp '2024-03-10 12:00:00', 'America/Havana') = timestamp '2024-03-10 05:00:00'",
      true,
    ],
    ["date_trunc('week', timestamp '2024-03-03 23:59:59') = timestamp '2024-02-26'", true],
    ["date_trunc('quarter', date '2024-06-30') = date '2024-04-01'", true],
    ["date_trunc('year', timestamp '2024-06-30') = timestamp '2024-01-01'", true],
    ["year(timestamp '1969-12-31 23:59:59')", 1969],
    ["dayofweek(date '1970-01-01')", 4],
    ["dayofweek(date '2024-03-03')", 7],
    ["dayofyear(date '2024-12-31')", 366],
    ["hour(timestamp '1969-12-31 23:00:00')", 23],
    ["date_diff('day', timestamp '2024-03-01 12:00:00', timestamp '2024-03-03 11:59:59')", 1],
    ["date_diff('hour', timestamp '2024-01-02', timestamp '2024-01-01')", -24],
    ["date_add('month', 1, timestamp '2023-01-31 10:00:00') = timestamp '2023-02-28 10:00:00'", true],
    ["date_add('year', 10000, date '2024-01-01')", 'FAIL'],
    ["date_add('week', -1, date '2024-01-08') = date '2024-01-01'", true],
    ['hour(at)', null],
    ['from_epoch_ms(9223372036854775807)', 'FAIL'],
  ]);
});

test('the examples of the reference are true', () => {
  let count = 0;
  for (const {examples} of Object.values(functions))
    for (const [text, expected] of examples) {
      const {type} = typedOf(text);
      const result = value(text);
      assert.equal(result === null ? 'NULL' : castValue(result, type as ValueType, 'string'), expected, text);
      count++;
    }
  assert.ok(count > 40);
});
