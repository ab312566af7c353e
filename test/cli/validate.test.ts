import assert from 'node:assert/strict';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {before, describe, test} from 'node:test';
import {asTyped} from '../../src/invocation.ts';
import {cli, makeRoot, makeShop, writeFiles} from '../support/cli.ts';

describe('init', () => {
  test('writes a platform that validates, and says what to do next', async () => {
    const root = makeRoot();
    const made = await cli(root, 'init', 'games', '--domain', 'play');
    assert.equal(made.code, 0);
    assert.equal(made.stdout, '');
    assert.ok(
      made.stderr.endsWith(
        asTyped('next:\n  cd games\n  npx millrace validate\n  npx millrace run\n', join(root, 'games')),
      ),
      made.stderr,
    );
    const {code, stderr} = await cli(join(root, 'games'), 'validate');
    assert.equal(code, 0);
    assert.equal(stderr, 'ok 1 domain, 1 event type, 2 queries, 1 input (env dev)\n');
  });

  test('its config passes from a directory below, and ignores what git must not have', async () => {
    const root = await makeShop();
    assert.equal((await cli(join(root, 'config', 'domains'), 'validate')).code, 0);
    assert.equal(readFileSync(join(root, '.gitignore'), 'utf8'), '.millrace/\n.env\n');
  });

  test('touches nothing with --dry-run, and nothing that is there without --force', async () => {
    const root = makeRoot();
    const dry = await cli(root, 'init', '--dry-run');
    assert.match(dry.stderr, /^would write in /);
    assert.deepEqual(readdirSync(root), []);
    assert.equal((await cli(root, 'init', '--json')).code, 0);
    writeFiles(root, {'config/domains/shop.yaml': 'domain: shop\n'});
    const refused = await cli(root, 'init');
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^error USAGE .*config is there already\n {2}hint: .*--force/);
    assert.equal(readFileSync(join(root, 'config/domains/shop.yaml'), 'utf8'), 'domain: shop\n');
    assert.equal((await cli(root, 'init', '--force')).code, 0);
    assert.ok(existsSync(join(root, 'data/purchases.csv')));
  });

  for (const name of ['../up', '1st', 'a__b', 'late', '', 'x'.repeat(49), 'shop; drop'])
    test(`refuses ${JSON.stringify(name.slice(0, 12))} as the name of a domain`, async () => {
      const root = makeRoot();
      const {code, stderr} = await cli(root, 'init', '--domain', name);
      assert.equal(code, 2);
      assert.match(stderr, /cannot name a domain\n {2}hint: letters, digits/);
      assert.deepEqual(readdirSync(root), []);
    });
});

/** One edit of the domain that init makes, and everything that validate then says. */
const mistakes: [title: string, from: string, to: string, said: string][] = [
  [
    'a misspelt key',
    'name: purchase\n',
    'nmae: purchase\n',
    `config/domains/shop.yaml:3:5 error KEY_UNKNOWN unknown key "nmae"
     |   - nmae: purchase
     |     ^^^^
  at event_types[0].nmae
  hint: did you mean name?

config/domains/shop.yaml:3:5 error KEY_MISSING the key "name" is missing
     |   - nmae: purchase
     |     ^
  at event_types[0]
  hint: add name: it is a name
`,
  ],
  [
    'an unknown type',
    'type: money}',
    'type: mony}',
    `config/domains/shop.yaml:7:30 error VALUE_UNKNOWN "mony" is not one of int, long, double, money
     |       - {name: amount, type: mony}        # exact, stored as amount_cents
     |                              ^^^^
  at event_types[0].metrics[0].type
  hint: did you mean money?
`,
  ],
  [
    'a duration in words',
    'size: 1h',
    'size: 1 hour',
    `config/domains/shop.yaml:16:36 error VALUE_INVALID "1 hour" is not a duration
     |     window: {type: tumbling, size: 1 hour}
     |                                    ^^^^^^
  at aggregations[0].window.size
  hint: write a number with ms, s, m, h, d or w: 10m
`,
  ],
  [
    'an event type that is none',
    'from: purchase\n',
    'from: purchases\n',
    `config/domains/shop.yaml:15:11 error EVENT_TYPE_UNKNOWN there is no event type "purchases" in this domain
     |     from: purchases
     |           ^^^^^^^^^
  at aggregations[0].from[0]
  hint: did you mean purchase?
`,
  ],
  [
    'a group_by of no column',
    '[category, country]\n    measures',
    '[category, contry]\n    measures',
    `config/domains/shop.yaml:17:26 error FIELD_UNKNOWN purchase has no column "contry"
     |     group_by: [category, contry]
     |                          ^^^^^^
  at aggregations[0].group_by[1]
  hint: did you mean country?
`,
  ],
  [
    'a measure over no column',
    'sum(amount)',
    'sum(amuont)',
    `config/domains/shop.yaml:20:20 error EXPR_UNKNOWN_NAME there is no column "amuont"
     |       revenue: sum(amuont)
     |                    ^^^^^^
  at aggregations[0].measures.revenue
  hint: did you mean "amount"?
`,
  ],
  [
    'an unknown aggregation function',
    'sum(amount)',
    'summ(amount)',
    `config/domains/shop.yaml:20:16 error EXPR_UNKNOWN_FUNCTION there is no aggregation "summ"
     |       revenue: summ(amount)
     |                ^^^^
  at aggregations[0].measures.revenue
  hint: use sum
`,
  ],
  [
    'a time zone that is none',
    'Europe/Berlin',
    'Europe/Berln',
    `config/domains/shop.yaml:25:51 error TIMEZONE_UNKNOWN there is no time zone "Europe/Berln"
     |     window: {type: calendar, unit: day, timezone: Europe/Berln}
     |                                                   ^^^^^^^^^^^^
  at aggregations[1].window.timezone
  hint: did you mean Europe/Berlin?
`,
  ],
  [
    'a slide that does not divide',
    'type: tumbling, size: 1h',
    'type: sliding, size: 10m, slide: 3m',
    `config/domains/shop.yaml:16:47 error WINDOW_SLIDE_NOT_DIVISOR slide "3m" does not divide size "10m"
     |     window: {type: sliding, size: 10m, slide: 3m}
     |                                               ^^
  at aggregations[0].window.slide
  hint: use 1m, 2m, 5m or 10m
`,
  ],
  [
    'a fraction of a cent',
    'amount >= 100.00',
    'amount >= 100.001',
    `config/domains/shop.yaml:29:30 error EXPR_LITERAL 100.001 is no amount of money: more than 2 decimals
     |       large: count(amount >= 100.001)
     |                              ^^^^^^^
  at aggregations[1].measures.large
  hint: write at most 2 decimals, or cast the column as double
`,
  ],
  [
    'a reserved name',
    'domain: shop',
    'domain: agg',
    `config/domains/shop.yaml:1:9 error NAME_RESERVED "agg" cannot be the name of a domain
     | domain: agg
     |         ^^^
  at domain
  hint: for example agg_events
`,
  ],
];

describe('validate', () => {
  let root = '';
  let right = '';
  before(async () => {
    root = await makeShop();
    right = readFileSync(join(root, 'config/domains/shop.yaml'), 'utf8');
  });

  for (const [title, from, to, said] of mistakes)
    test(`${title}: where, what, the way out`, async () => {
      assert.ok(right.includes(from));
      writeFiles(root, {'config/domains/shop.yaml': right.replace(from, to)});
      assert.deepEqual(await cli(root, 'validate'), {code: 2, stdout: '', stderr: said});
    });

  test('--json gives every mistake with its place on stdout and nothing else there', async () => {
    writeFiles(root, {
      'config/domains/shop.yaml': right
        .replace('sum(amount)', 'summ(amount)')
        .replace('size: 1h', 'size: 0h'),
    });
    const {code, stdout} = await cli(root, 'validate', '--json');
    assert.equal(code, 2);
    const {ok, diagnostics} = JSON.parse(stdout) as {ok: boolean; diagnostics: Record<string, unknown>[]};
    assert.equal(ok, false);
    assert.deepEqual(
      diagnostics.map(({file, line, column, code: what, path}) => [file, line, column, what, path]),
      [
        ['config/domains/shop.yaml', 16, 36, 'WINDOW_SIZE', 'aggregations[0].window.size'],
        ['config/domains/shop.yaml', 20, 16, 'EXPR_UNKNOWN_FUNCTION', 'aggregations[0].measures.revenue'],
      ],
    );
    writeFiles(root, {'config/domains/shop.yaml': right});
    const good = await cli(root, 'validate', '--json');
    assert.deepEqual(JSON.parse(good.stdout), {ok: true, diagnostics: []});
  });

  test('every other command stops at the same mistakes with exit code 2', async () => {
    writeFiles(root, {'config/domains/shop.yaml': right.replace('sum(amount)', 'summ(amount)')});
    const said = (await cli(root, 'validate')).stderr;
    for (const argv of [
      ['run'],
      ['ledger'],
      ['ingest', 'purchases'],
      ['explain', 'plan'],
      ['schema', 'check'],
    ])
      assert.deepEqual(await cli(root, ...argv), {code: 2, stdout: '', stderr: said}, argv.join(' '));
    assert.equal(existsSync(join(root, '.millrace')), false);
    writeFiles(root, {'config/domains/shop.yaml': right});
  });

  test('columns that a file lacks, and a timestamp_format that is none, each where it is written', async () => {
    const files = {
      'data/brands.csv': 'user,brand\nu1,Acme\n',
      'data/other.csv': 'zeit,menge,order\n2026-01-05T00:00:00Z,1,o1\n',
    };
    writeFiles(root, {
      ...files,
      'config/domains/shop.yaml': right.replace(
        /inputs:\n.*\n/,
        `lookups:
  - {name: brands, key: user_id, columns: {brnd: string}, from: {csv: ../../data/brands.csv}}
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, map: {quantity: quantty}}
  - {name: others, event_type: purchase, from: ../../data/other.csv, timestamp: zeiit}
  - {name: later, event_type: purchase, from: ../../data/none.csv, map: {quantity: what}}
`,
      ),
    });
    const {code, stderr} = await cli(root, 'validate');
    assert.equal(code, 2);
    const said = stderr.split('\n').filter((line) => /^config|hint/.test(line));
    assert.deepEqual(said, [
      'config/domains/shop.yaml:12:25 error FILE_COLUMN brands.csv has no column "user_id"',
      '  hint: known here: user, brand',
      'config/domains/shop.yaml:12:44 error FILE_COLUMN brands.csv has no column "brnd"',
      '  hint: did you mean brand?',
      'config/domains/shop.yaml:14:93 error FILE_COLUMN purchases.csv has no column "quantty"',
      '  hint: did you mean quantity?',
      'config/domains/shop.yaml:15:48 error FILE_COLUMN other.csv has no column "amount", which every purchase needs',
      '  hint: add map: {amount: <column>}; known here: zeit, menge, order',
      'config/domains/shop.yaml:15:48 error FILE_COLUMN other.csv has no column "quantity", which every purchase needs',
      '  hint: add map: {quantity: <column>}; known here: zeit, menge, order',
      'config/domains/shop.yaml:15:81 error FILE_COLUMN other.csv has no column "zeiit"',
      '  hint: did you mean zeit?',
      `config/domains/shop.yaml:16:47 warning FILE_NOT_FOUND there is no file ${join(root, 'data/none.csv')}`,
      '  hint: a path is relative to the file it stands in',
    ]);
    const {stderr: elsewhere} = await cli(root, 'ledger');
    assert.doesNotMatch(elsewhere, /FILE_COLUMN/, 'what is wrong in a file stops no other command');
    const saidOf = async (from: string, to: string) => {
      writeFiles(root, {'config/domains/shop.yaml': right.replaceAll(from, to)});
      return (await cli(root, 'validate')).stderr;
    };
    assert.match(
      await saidOf('format: csv}', "format: csv, timestamp_format: '%d.%q'}"),
      /^config\/domains\/shop.yaml:12:\d+ error TIMESTAMP_FORMAT %q is not known; known are %Y /,
    );
    assert.match(
      await saidOf('quantity', 'quantities'),
      /shop.yaml:12:51 error FILE_COLUMN purchases.csv has no column "quantities", which every purchase needs\n.*\n.*\n.*\n {2}hint: add map: \{quantities: quantity\}\n/,
    );
    writeFiles(root, {'config/domains/shop.yaml': right});
  });

  test('an environment that is not there is refused, except dev', async () => {
    assert.equal((await cli(root, 'validate', '--env', 'dev')).code, 0);
    const {code, stderr} = await cli(root, 'validate', '--env', 'prod');
    assert.equal(code, 2);
    assert.match(stderr, /ENVIRONMENT_NOT_FOUND there is no environment "prod"\n {2}hint: known here: dev/);
  });

  test('without any config the way out is named', async () => {
    const empty = makeRoot();
    const {code, stderr} = await cli(empty, 'validate');
    assert.equal(code, 2);
    assert.match(stderr, /error CONFIG_NOT_FOUND .*\n {2}hint: \S+ \S*millrace\S* init makes one/);
  });
});
