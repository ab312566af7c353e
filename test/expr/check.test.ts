import assert from 'node:assert/strict';
import {test} from 'node:test';
import {checkExpr} from '../../src/expr/check.ts';
import {parseExpr} from '../../src/expr/parse.ts';
import type {ExprScope, TypedExpr, ValueType} from '../../src/expr/types.ts';

const scope: ExprScope = new Map(
  Object.entries({
    amount: {type: 'money', nullable: false},
    quantity: {type: 'long', nullable: false},
    small: {type: 'int'},
    share: {type: 'double'},
    ok: {type: 'boolean'},
    basket: {type: 'string'},
    origin: {type: 'enum', symbols: ['JFK', 'LGA', 'EWR']},
    at: {type: 'timestamp'},
    day: {type: 'date'},
    id: {type: 'uuid'},
  } as const),
);

function check(text: string, expected?: ValueType | ValueType[]) {
  const parsed = parseExpr(text);
  assert.ok(parsed.ok, text);
  return checkExpr(parsed.expr, scope, expected);
}

test('types of results', () => {
  const cases: [string, ValueType | 'null'][] = [
    ['1', 'long'],
    ['1.0', 'double'],
    ['small', 'int'],
    ['small + small', 'long'],
    ['quantity / quantity', 'double'],
    ['quantity + 0.5', 'double'],
    ['-small', 'long'],
    ['amount * quantity', 'money'],
    ['amount * 1.19', 'money'],
    ['amount * share', 'double'],
    ['amount / quantity', 'double'],
    ['amount / amount', 'double'],
    ['amount + 5', 'money'],
    ['coalesce(small, small)', 'int'],
    ['coalesce(small, 0)', 'long'],
    ["coalesce(origin, 'none')", 'string'],
    ['coalesce(amount, 0)', 'money'],
    ['coalesce(id, id)', 'uuid'],
    ['case when ok then 1 else 0.5 end', 'double'],
    ['null', 'null'],
    ['case when ok then null end', 'null'],
    ['if(ok, at, null)', 'timestamp'],
    ['greatest(1, 2.5)', 'double'],
    ['basket || origin', 'string'],
    ['length(basket)', 'long'],
    ["date_trunc('day', at)", 'timestamp'],
    ["date_trunc('month', day)", 'date'],
    ['to_date(at)', 'date'],
    ['round(amount)', 'money'],
    ['floor(share)', 'long'],
    ['cast(small as string)', 'string'],
    ['not ok', 'boolean'],
  ];
  for (const [text, type] of cases) {
    const result = check(text);
    assert.ok(result.ok, `${text}: ${result.ok ? '' : result.problems[0]!.message}`);
    assert.equal(result.type, type, text);
  }
});

test('every mistake has a code, a place and a way out', () => {
  // [text, code, the wrong part, message, hint]
  const cases: [string, string, string, RegExp, RegExp?][] = [
    ['amout > 1', 'EXPR_UNKNOWN_NAME', 'amout', /no column "amout"/, /"amount"/],
    ['xyzzy > 1', 'EXPR_UNKNOWN_NAME', 'xyzzy', /no column/, /columns: amount, quantity/],
    ['uppr(basket)', 'EXPR_UNKNOWN_FUNCTION', 'uppr', /no function/, /upper/],
    ['now()', 'EXPR_UNKNOWN_FUNCTION', 'now', /no function/, /no clock/],
    ['constructor(1)', 'EXPR_UNKNOWN_FUNCTION', 'constructor', /no function/],
    ['max(quantity, 1)', 'EXPR_UNKNOWN_FUNCTION', 'max(quantity, 1)', /aggregation/, /greatest/],
    ['round()', 'EXPR_ARGUMENTS', 'round()', /round\(long \[, digits\]\)/],
    ['round(basket)', 'EXPR_ARGUMENTS', 'round(basket)', /round\(string\) does not exist/],
    ['round(share, 99)', 'EXPR_LITERAL', '99', /-15 to 15/],
    ["hour(at, 'America/NewYork')", 'EXPR_LITERAL', "'America/NewYork'", /no time zone/, /America\/New_York/],
    ["date_trunc('hours', at)", 'EXPR_LITERAL', "'hours'", /no unit/, /'hour'/],
    ["date_trunc('hour', day)", 'EXPR_LITERAL', "'hour'", /no unit/],
    ['amount = 1.005', 'EXPR_LITERAL', '1.005', /more than 2 decimals/],
    ["origin = 'JFX'", 'EXPR_SYMBOL', "'JFX'", /no symbol/, /'JFK'/],
    ["origin in ('JFK', 'nowhere')", 'EXPR_SYMBOL', "'nowhere'", /no symbol/, /JFK, LGA, EWR/],
    ["case origin when 'LGX' then 1 end", 'EXPR_SYMBOL', "'LGX'", /no symbol/, /'LGA'/],
    ["id = 'x'", 'EXPR_LITERAL', "'x'", /no uuid/],
    [
      "at >= '2024-01-01'",
      'EXPR_TYPE',
      "at >= '2024-01-01'",
      /timestamp and string/,
      /timestamp '2024-01-01'/,
    ],
    ["day = '2024-01-01'", 'EXPR_TYPE', "day = '2024-01-01'", /date and string/, /date '2024-01-01'/],
    ['at > day', 'EXPR_TYPE', 'at > day', /timestamp and date/, /to_date/],
    ['at > 5', 'EXPR_TYPE', 'at > 5', /timestamp and long/, /epoch_ms/],
    ["quantity = '5'", 'EXPR_TYPE', "quantity = '5'", /long and string/, /no quotes: 5/],
    ['amount > quantity', 'EXPR_TYPE', 'amount > quantity', /money and long/, /cast\(x as money\)/],
    ['amount + share', 'EXPR_TYPE', 'amount + share', /money and double/, /cast/],
    ['amount * amount', 'EXPR_TYPE', 'amount * amount', /no meaning/],
    ['1 / amount', 'EXPR_TYPE', '1 / amount', /no meaning/],
    ['at - at', 'EXPR_TYPE', 'at', /takes numbers/, /date_diff/],
    ["basket + 'x'", 'EXPR_TYPE', 'basket', /takes numbers/, /\|\|/],
    ['basket || quantity', 'EXPR_TYPE', 'quantity', /expected string/, /cast/],
    ['basket = null', 'EXPR_TYPE', 'basket = null', /never true/, /is null/],
    ['ok = 1', 'EXPR_TYPE', 'ok = 1', /boolean and long/, /by itself/],
    ['quantity and ok', 'EXPR_TYPE', 'quantity', /expected boolean/],
    ['cast(at as long)', 'EXPR_TYPE', 'cast(at as long)', /cannot be cast/, /epoch_ms/],
    ['cast(quantity as boolean)', 'EXPR_TYPE', 'cast(quantity as boolean)', /cannot be cast/, /<> 0/],
    ["case when ok then 1 else 'x' end", 'EXPR_TYPE', "case when ok then 1 else 'x' end", /long and string/],
    ["basket like 'a' escape '!!'", 'EXPR_ARGUMENTS', "'!!'", /one character/],
    ["basket like 'a!' escape '!'", 'EXPR_LITERAL', "'a!'", /ends with/],
  ];
  for (const [text, code, part, message, hint] of cases) {
    const result = check(text);
    assert.ok(!result.ok, text);
    assert.equal(result.problems.length, 1, `${text}: ${JSON.stringify(result.problems)}`);
    const problem = result.problems[0]!;
    assert.equal(problem.code, code, text);
    assert.equal(text.slice(problem.offset, problem.offset + problem.length), part, text);
    assert.match(problem.message, message, text);
    if (hint !== undefined) assert.match(problem.hint ?? '', hint, text);
  }
});

test('all mistakes are reported, not only the first', () => {
  const result = check("amout > 1 and uppr(basket) = 'x' and origin = 'JFX'");
  assert.deepEqual(result.ok ? [] : result.problems.map(({code}) => code), [
    'EXPR_UNKNOWN_NAME',
    'EXPR_UNKNOWN_FUNCTION',
    'EXPR_SYMBOL',
  ]);
});

test('the expected type converts what SQL converts, and refuses the rest', () => {
  const typed = (text: string, expected: ValueType | ValueType[]) => {
    const result = check(text, expected);
    return result.ok ? result.type : result.problems[0]!.message;
  };
  assert.equal(typed('small', 'double'), 'double');
  assert.equal(typed('5', 'money'), 'money');
  assert.equal(typed('0.05', 'money'), 'money');
  assert.equal(typed('null', 'boolean'), 'boolean');
  assert.equal(typed('origin', 'string'), 'string');
  assert.equal(typed('small', ['string', 'long']), 'long');
  assert.equal(typed('quantity', 'boolean'), 'expected boolean, found long');
  assert.equal(typed('share', 'long'), 'expected long, found double');
});

test('nullability follows the columns and the operators', () => {
  const nullable = (text: string) => {
    const result = check(text);
    return result.ok && result.nullable;
  };
  for (const text of [
    'quantity + 1',
    'amount > 0',
    'coalesce(small, 0)',
    'small is null',
    "case when ok then 'a' else 'b' end",
    'small is distinct from 1',
  ])
    assert.equal(nullable(text), false, text);
  for (const text of [
    'small',
    'quantity / 2',
    'quantity % 2',
    'nullif(quantity, 0)',
    "case when ok then 'a' end",
    'quantity in (1, null)',
    'quantity + small',
  ])
    assert.equal(nullable(text), true, text);
});

test('the typed tree is JSON, with 64-bit literals as text and conversions as casts', () => {
  const result = check('small + 9223372036854775807 > quantity');
  assert.ok(result.ok);
  const column = (name: string, type: ValueType): TypedExpr => ({kind: 'column', type, name});
  const expected: TypedExpr = {
    kind: 'apply',
    type: 'boolean',
    op: 'gt.long',
    args: [
      {
        kind: 'apply',
        type: 'long',
        op: 'add.long',
        args: [
          {kind: 'cast', type: 'long', from: 'int', arg: column('small', 'int')},
          {kind: 'literal', type: 'long', value: null, text: '9223372036854775807'},
        ],
      },
      column('quantity', 'long'),
    ],
  };
  assert.deepEqual(result.typed, expected);
  assert.deepEqual(JSON.parse(JSON.stringify(result.typed)), expected);
});
