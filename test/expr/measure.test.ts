import assert from 'node:assert/strict';
import {test} from 'node:test';
import {parseMeasure, parseMeasures} from '../../src/expr/measure.ts';
import type {ExprScope} from '../../src/expr/types.ts';

const scope: ExprScope = new Map(
  Object.entries({
    amount: {type: 'money'},
    quantity: {type: 'long'},
    small: {type: 'int'},
    delay: {type: 'double'},
    basket: {type: 'string'},
    at: {type: 'timestamp'},
    ok: {type: 'boolean'},
  } as const),
);

test('aggregations and the types of their columns', () => {
  const cases: [string, string, string][] = [
    ['count()', 'count', 'long'],
    ['count(*)', 'count', 'long'],
    ["count(basket = 'large')", 'count', 'long'],
    ['count(basket)', 'count', 'long'],
    ['sum(small)', 'sum', 'long'],
    ['sum(amount)', 'sum', 'money'],
    ['sum(amount * quantity)', 'sum', 'money'],
    ['SUM(delay)', 'sum', 'double'],
    ['min(small)', 'min', 'int'],
    ['max(at)', 'max', 'timestamp'],
    ['max(amount)', 'max', 'money'],
    ['avg(amount)', 'avg', 'double'],
    ['avg(small)', 'avg', 'double'],
    ['distinct(basket)', 'distinct', 'long'],
    ['quantile(amount, 0.95)', 'quantile', 'double'],
    ['first(basket)', 'first', 'string'],
    ['last(amount)', 'last', 'money'],
  ];
  for (const [text, fn, type] of cases) {
    const result = parseMeasure('m', text, scope, new Map());
    assert.ok(result.ok, `${text}: ${result.ok ? '' : result.problems[0]!.message}`);
    assert.equal(result.measure.fn, fn, text);
    assert.equal(result.measure.type, type, text);
    assert.equal(result.measure.text, text);
  }
});

test('count of a condition counts true, of anything else what is there', () => {
  const filter = (text: string) => {
    const result = parseMeasure('m', text, scope, new Map());
    assert.ok(result.ok && result.measure.fn === 'count');
    return result.measure.filter;
  };
  assert.equal(filter('count()'), null);
  assert.deepEqual(filter('count(ok)'), {kind: 'column', type: 'boolean', name: 'ok'});
  assert.deepEqual(filter('count(basket)'), {
    kind: 'apply',
    type: 'boolean',
    op: 'not',
    args: [
      {
        kind: 'apply',
        type: 'boolean',
        op: 'isnull',
        args: [{kind: 'column', type: 'string', name: 'basket'}],
      },
    ],
  });
});

test('mistakes in measures', () => {
  const others = new Map([['orders', {type: 'long'} as const]]);
  const cases: [string, RegExp, RegExp?][] = [
    ['sum(basket)', /takes numbers, found string/],
    ['sum(ok)', /found boolean/, /count\(condition\)/],
    ['min(basket)', /found string/, /first\(\)/],
    ['avg(at)', /found timestamp/],
    ['sum()', /write sum\(number\)/],
    ['count(1, 2)', /write count/],
    ['quantile(delay)', /write quantile/],
    ['quantile(delay, 95)', /0 to 1/],
    ['quantile(delay, delay)', /0 to 1/],
    ['sum(count())', /cannot stand inside/],
    ['sum(amount) / count()', /stands alone/, /part: sum\(amount\)/],
    ['average(delay)', /no aggregation "average"/, /avg/],
    ['medain(delay)', /no aggregation "medain"/, /quantile/],
    ['quantity / orders', /no measure "quantity"/, /is a column: aggregate it/],
    ['order / 2', /no measure "order"/, /"orders"/],
    ['orders > 1', /is a number, found boolean/],
    ['1 + 1', /uses no other measure/],
    ['sum(amout)', /no column "amout"/, /amount/],
    ['count(null)', /counts nothing/],
  ];
  for (const [text, message, hint] of cases) {
    const result = parseMeasure('m', text, scope, others);
    assert.ok(!result.ok, text);
    assert.match(result.problems[0]!.message, message, text);
    if (hint !== undefined) assert.match(result.problems[0]!.hint ?? '', hint, text);
  }
});

test('measures over measures are doubles in units, and see every aggregate but only earlier ones of their kind', () => {
  const {measures, problems} = parseMeasures(
    new Map([
      ['share', 'large / orders'],
      ['orders', 'count()'],
      ['large', "count(basket = 'large')"],
      ['revenue', 'sum(amount)'],
      ['per_order', 'revenue / orders'],
      ['double_share', 'share * 2'],
      ['whole', 'orders + large'],
      ['net', 'revenue - 5'],
    ]),
    scope,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    measures.map(({name, type, fn}) => `${name} ${type} ${fn}`),
    [
      'share double ratio',
      'orders long count',
      'large long count',
      'revenue money sum',
      'per_order double ratio',
      'double_share double ratio',
      'whole double ratio',
      'net double ratio',
    ],
  );
  const net = measures.at(-1)!;
  assert.ok(net.fn === 'ratio' && net.expr.kind === 'cast' && net.expr.from === 'money');
});

test('no cycles, and a broken measure is reported once', () => {
  const names = (texts: Record<string, string>) =>
    parseMeasures(new Map(Object.entries(texts)), scope).problems.map(
      ({measure, problem}) => `${measure} ${problem.code}`,
    );
  assert.deepEqual(names({a: 'b + 1', b: 'a + 1'}), ['a EXPR_UNKNOWN_NAME']);
  assert.deepEqual(names({a: 'a + 1'}), ['a EXPR_UNKNOWN_NAME']);
  assert.deepEqual(names({total: 'sum(basket)', share: 'total / n', n: 'count()'}), ['total EXPR_TYPE']);
});
