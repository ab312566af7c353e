/** What people write on their first day, and what they are told. */
import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import {load} from '../config/directory.ts';

/** Mistakes of one domain file, one line each: `line:column+length CODE | hint`. */
async function told(t: TestContext, yaml: string, more: Record<string, string> = {}): Promise<string[]> {
  const loaded = await load(t, {'config/domains/shop.yaml': yaml, ...more});
  const all = loaded.ok ? loaded.warnings : loaded.diagnostics;
  return all.map(({line, column, length, code, hint}) => `${line}:${column}+${length} ${code} | ${hint}`);
}

const shop = (measures: string, more = '') => `event_types:
  - {name: sale, attributes: [customer], metrics: [price]}
aggregations:
  - name: q
    from: sale
    window: {type: tumbling, size: 1m}
    measures: {${measures}}
${more}`;

test('a comma of a call inside { } is told once for each call, and what was meant is checked', async (t) => {
  assert.deepEqual(await told(t, shop('n: count(), p50: quantile(price, 0.5), p90: quantile(price, 0.9)')), [
    '7:33+20 YAML_COMMA | write "quantile(price, 0.5)" in quotes',
    '7:60+20 YAML_COMMA | write "quantile(price, 0.9)" in quotes',
  ]);
  assert.deepEqual(await told(t, shop("a: sum(if(customer = 'a, b)', prize, 0.5)), n: count()")), [
    `7:19+39 YAML_COMMA | write "sum(if(customer = 'a, b)', prize, 0.5))" in quotes`,
    '7:46+5 EXPR_UNKNOWN_NAME | did you mean "price"?',
  ]);
  assert.deepEqual(await told(t, shop('a: sum(if(price > 1, prize, 0.5)), n: count()')), [
    '7:19+30 YAML_COMMA | write "sum(if(price > 1, prize, 0.5))" in quotes',
    '7:37+5 EXPR_UNKNOWN_NAME | did you mean "price"?',
  ]);
  assert.deepEqual(await told(t, shop("n: count(coalesce(customer, 'x') = 'x')")), [
    '7:47+1 YAML_COMMA | put quotes around the whole value: "coalesce(a, b)"',
  ]);
  assert.deepEqual(await told(t, shop('n: count(), p50: "quantile(price, 0.5)"')), []);
});

test('a colon without a blank is told, inside { } and on a line of its own', async (t) => {
  assert.deepEqual(await told(t, shop('n:count(), p50:quantile(price, 0.5)')), [
    '7:16+9 YAML_COLON | write a blank after the colon: n: count()',
    '7:27+18 YAML_COLON | write a blank after the colon: p50: quantile(price',
    '7:31+20 YAML_COMMA | write "quantile(price, 0.5)" in quotes',
  ]);
  assert.deepEqual(await told(t, shop('n: count()').replace('{n: count()}', '\n      n:count()')), [
    '8:7+9 TYPE_WRONG | write a blank after the colon',
  ]);
});

test('fields that every event has are to be left out', async (t) => {
  assert.deepEqual(
    await told(t, 'event_types: [{name: sale, attributes: [customer, timestamp, event_id]}]'),
    [
      '1:51+9 NAME_RESERVED | inputs[].timestamp of an input names the column of the file',
      '1:62+8 NAME_RESERVED | inputs[].map.event_id of an input names the column of the file',
    ],
  );
});

test('habits of other languages: ==, types, a window that is only a length', async (t) => {
  const yaml = `event_types:
  - {name: sale, attributes: [{name: a, type: VARCHAR}, {name: b, type: bool}], metrics: [{name: c, type: decimal}, {name: d, type: number}, {name: e, type: integer}, {name: f, type: bool}]}
aggregations:
  - {name: q, from: sale, where: b == true, window: 1h, measures: {n: count()}}
`;
  assert.deepEqual(
    (await told(t, yaml)).map((line) => line.replace(/^[^ ]* /, '')),
    [
      'VALUE_UNKNOWN | did you mean string?',
      'VALUE_UNKNOWN | did you mean boolean?',
      'VALUE_UNKNOWN | did you mean money or double?',
      'VALUE_UNKNOWN | did you mean double or long?',
      'VALUE_UNKNOWN | did you mean int or long?',
      'VALUE_UNKNOWN | undefined',
      'EXPR_SYNTAX | one = compares',
      'TYPE_WRONG | write {type: tumbling, size: 1h}',
    ],
  );
});

test('a misspelt backend of a later version names what there is', async (t) => {
  assert.deepEqual(
    await told(t, shop('n: count()'), {'config/platform.yaml': 'engine: {backend: sparc}\n'}),
    ['1:19+5 VALUE_UNKNOWN | spark is not part of this version of Millrace yet: use embedded'],
  );
});

test('a query of a misspelt event type is checked as one of the type that is meant', async (t) => {
  const yaml = (from: string) => shop('total: sum(prise)').replace('from: sale', `from: ${from}`);
  assert.deepEqual(await told(t, yaml('sales')), [
    '5:11+5 EVENT_TYPE_UNKNOWN | did you mean sale?',
    '7:27+5 EXPR_UNKNOWN_NAME | did you mean "price"?',
  ]);
  assert.deepEqual(await told(t, yaml('warehouse')), ['5:11+9 EVENT_TYPE_UNKNOWN | known here: sale']);
});

test('a domain without event types is warned about', async (t) => {
  const loaded = await load(t, {
    'config/domains/shop.yaml': '',
    'config/domains/games.yaml': 'domain: games\n',
  });
  assert.ok(loaded.ok);
  assert.deepEqual(
    loaded.warnings.map(({file, code, message}) => `${file} ${code} ${message}`),
    [
      'config/domains/games.yaml DOMAIN_EMPTY the domain has no event types: nothing will run in it',
      'config/domains/shop.yaml DOMAIN_EMPTY the file is empty: nothing will run in this domain',
    ],
  );
});
