/** `millrace test`: a team's tests of its own domains. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {cli, cliWith, filePlatform, makeRoot, writeFiles} from '../support/cli.ts';

const domain = `domain: shop
event_types:
  - name: purchase
    attributes: [user_id, product_id]
    dimensions: [category]
    metrics:
      - {name: amount, type: money}
      - {name: quantity, type: long}
    enrich:
      - {lookup: products, on: product_id, take: {brand: brand}}
    checks:
      amount_is_positive: amount > 0.00
lookups:
  - {name: products, key: product_id, columns: {brand: string}, from: {csv: ../lookups/products.csv}}
aggregations:
  - name: revenue_per_minute
    from: purchase
    window: {type: tumbling, size: 1m}
    group_by: [category]
    measures: {orders: count(), revenue: sum(amount), average: avg(amount)}
    watermark: 30s
    correct_for: 1m
    idle: 1m
  - name: by_brand
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [brand]
    measures: {orders: count()}
`;

const shop = (tests: string) =>
  makeRoot({
    'config/platform.yaml': filePlatform,
    'config/domains/shop.yaml': domain,
    'config/lookups/products.csv': 'product_id,brand\np1,Acme\n',
    'config/tests/shop.yaml': tests,
  });

const all = `tests:
  - name: a late purchase corrects its minute, over a restart
    events:
      - purchase: {timestamp: "10:00:10", category: books, amount: 12.50, quantity: 1, product_id: p1}
      - purchase: {timestamp: "10:01:40", category: books, amount: 1.00, quantity: 1}
      - restart
      - purchase: {timestamp: "10:00:20", category: books, amount: 7.50, quantity: 9007199254740993, product_id: p1}
      - purchase: {timestamp: "10:05:20", category: books, amount: 7.50, quantity: 2, product_id: p1}
      - purchase: {timestamp: "10:00:21", category: books, amount: 7.50, quantity: 2, product_id: p1}
      - advance: "12:00"
    expect:
      rows:
        revenue_per_minute:
          - {window_start: "10:01", orders: 1, revenue: 1.00}
          - {window_start: "10:00", category: books, orders: 2, revenue: 20.00, average: 10, closed: true, version: 5}
          - {window_start: "10:05", orders: 1, revenue_cents: 750}
        by_brand: [{brand: Acme, orders: 4}, {brand: null, orders: 1}]
      late: [{query: revenue_per_minute, event_id: e6, missed: ["10:00"]}]
      dead_letters: []
      ledger:
        - {query: revenue_per_minute, read: 5, late: 1, corrected: 1}
        - {event_type: purchase, received: 5, appended: 5}
  - name: bad, duplicate and early events
    events:
      - purchase: {event_id: a, timestamp: "10:00:10", category: toys, amount: 1, quantity: 1}
      - purchase: {event_id: a, timestamp: "10:00:10", category: toys, amount: 1, quantity: 1}
      - purchase: {timestamp: "10:00:11", category: toys, amount: 0, quantity: 1}
      - purchase: '{"amount": '
      - {at: "10:01", purchase: {timestamp: "13:00", category: toys, amount: 1, quantity: 1}}
    expect:
      rows: {revenue_per_minute: [{orders: 1}]}
      dead_letters:
        - {code: "CHECK:amount_is_positive", stage: check, event_id: e3}
        - {code: JSON_SYNTAX, stage: parse}
        - {code: TIMESTAMP_FUTURE, event_type: purchase}
      ledger: [{event_type: purchase, received: 5, appended: 1, duplicate: 1, rejected: 3}]
  - name: idle partitions hold nothing back; a lookup of its own; no timestamp
    date: 2026-03-01
    partitions: 4
    lookups: {products: [{product_id: p1, brand: 'Ac,me "1"'}]}
    events:
      - {at: "10:00:30", purchase: {event_id: x, category: books, amount: 1, quantity: 1, product_id: p1}}
      - {at: "10:02", purchase: {event_id: x2, category: books, amount: 1, quantity: 1, product_id: p1}}
      - wait: 61s
    expect:
      rows:
        revenue_per_minute:
          - {window_start: "2026-03-01T10:00:00Z", closed: true}
          - {window_start: "10:02", closed: false}
        by_brand: [{window_start: "10:00", brand: 'Ac,me "1"', orders: 2}]
`;

describe('millrace test', () => {
  test('tests that hold pass, with versions, late events, dead letters, ledger and restarts', async () => {
    const {code, stdout, stderr} = await cli(shop(all), 'test');
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^config\/tests\/shop\.yaml\n( {2}✓ .*\n){3}3 tests passed\n$/);
  });

  test('a test that does not hold shows the rows side by side and ends with 3', async () => {
    const root = shop(`tests:
  - name: two of three are wrong
    events:
      - purchase: {timestamp: "10:00:10", category: books, amount: 12.50, quantity: 1}
      - purchase: {timestamp: "10:01:10", category: toys, amount: 2, quantity: 1}
      - purchase: {timestamp: "10:02:10", category: food, amount: 2, quantity: x}
    expect:
      rows:
        revenue_per_minute:
          - {window_start: "10:00", category: books, orders: 2, revenue: 12.50}
          - {window_start: "10:05", category: books, orders: 1}
      dead_letters: []
      ledger: [{event_type: purchase, appended: 3}]
`);
    const {code, stdout} = await cli(root, 'test');
    assert.equal(code, 3);
    const lines = stdout.split('\n').map((line) => line.trimEnd().replace(/ +/g, ' '));
    for (const line of [
      ' ~ 2026-01-05T10:00:00.000Z books 2 → 1 12.50 config/tests/shop.yaml:10',
      ' - 2026-01-05T10:05:00.000Z books 1 config/tests/shop.yaml:11',
      ' + 2026-01-05T10:01:00.000Z toys 1 2.00',
      ' + purchase TYPE',
      ' ~ purchase 3 → 2 config/tests/shop.yaml:13',
      '1 test, 1 failed',
    ])
      assert.ok(lines.includes(line), `${line}\nin\n${stdout}`);
    const json = JSON.parse((await cli(root, 'test', '--json')).stdout);
    assert.deepEqual([json.passed, json.failed], [0, 1]);
    assert.deepEqual(
      json.tests[0].differences.map(({title}: {title: string}) => title),
      ['rows of revenue_per_minute', 'dead letters', 'ledger'],
    );
  });

  test('mistakes in a test file are told with their places, all at once, before anything runs', async () => {
    const root = shop(`tests:
  - name: a
    evnts: []
    expect: {rows: {revenue: []}}
  - name: a
    events:
      - purchse: {}
      - purchase: {amuont: 1, timestamp: "25:00"}
      - advance: soon
    expect:
      rows: {revenue_per_minute: [{ordres: 1}, {orders: many}]}
`);
    const {code, stderr} = await cli(root, 'test');
    assert.equal(code, 2);
    for (const said of [
      /shop\.yaml:3:5 error KEY_UNKNOWN .*\n.*\n.*\^+\n.*\n {2}hint: did you mean events\?/,
      /shop\.yaml:7:9 error EVENT_TYPE_UNKNOWN/,
      /did you mean purchase\?/,
      /FIELD_UNKNOWN purchase has no field "amuont"/,
      /expected a time, not the text "soon"/,
      /FIELD_UNKNOWN revenue_per_minute has no column "ordres"/,
      /expected a whole number, not the text "many"/,
    ])
      assert.match(stderr, said);
  });

  test('a result is accepted only when somebody asks, and never in CI', async () => {
    const tests = (amount: number) => `tests:
  - name: snap
    events:
      - purchase: {timestamp: "10:00:10", category: books, amount: ${amount}, quantity: 1}
      - purchase: {timestamp: "10:00:10", category: books, amount: x, quantity: 1}
    expect: snapshot
`;
    const root = shop(tests(1));
    const file = join(root, 'config/tests/snapshots/shop.yaml');
    const first = await cli(root, 'test');
    assert.equal(first.code, 3);
    assert.match(first.stdout, /no result was accepted yet; npx millrace test --update accepts this one/);
    assert.ok(!existsSync(file));
    const inCi = await cliWith({cwd: root, env: {CI: 'true'}}, 'test', '--update');
    assert.equal(inCi.code, 2);
    assert.ok(!existsSync(file));
    assert.equal((await cli(root, 'test', '--update')).code, 0);
    const accepted = readFileSync(file, 'utf8');
    assert.match(accepted, /revenue_cents: 100/);
    assert.equal((await cliWith({cwd: root, env: {CI: 'true'}}, 'test')).code, 0);
    writeFiles(root, {'config/tests/shop.yaml': tests(2)});
    const changed = await cli(root, 'test');
    assert.equal(changed.code, 3);
    assert.match(changed.stdout, /100 → 200/);
    assert.equal(readFileSync(file, 'utf8'), accepted);
  });

  test('a name chooses; a name that fits nothing is told', async () => {
    const root = shop(all);
    const some = await cli(root, 'test', 'IDLE');
    assert.match(some.stdout, /1 test passed/);
    const none = await cli(root, 'test', 'nothing like it');
    assert.equal(none.code, 2);
    assert.match(none.stderr, /no test has "nothing like it" in its name/);
  });
});
