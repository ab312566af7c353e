/** Commands on what a run has left behind, without a running platform. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {before, describe, test} from 'node:test';
import {asTyped} from '../../src/invocation.ts';
import {openLogWriter} from '../../src/log/embedded.ts';
import {start} from '../faults/process.ts';
import {cli, cliWith, makeShop, type Outcome, writeFiles} from '../support/cli.ts';

let root = '';
const run = (...argv: string[]): Promise<Outcome> => cli(root, ...argv);
const json = async (...argv: string[]) => JSON.parse((await run(...argv, '--json')).stdout);

before(async () => {
  root = await makeShop();
  const {code, stderr, stdout} = await start(root, ['run', '--until-idle', '--port', '0']).ended;
  assert.equal(code, 0, stderr);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /\nstopped: 499 events in the log, \d+ rows written in this run, ledger balanced\n\d+ windows are open: .* --final\n$/,
  );
  assert.ok(!stderr.includes('\u001b'));
});

/** Rows of a changelog, the highest version by key. */
function rowsOf(query: string): Record<string, unknown>[] {
  const lines = readFileSync(join(root, `.millrace/files/shop/${query}__r1.jsonl`), 'utf8')
    .trim()
    .split('\n');
  const newest = new Map<string, Record<string, unknown>>();
  for (const line of lines) {
    const row = JSON.parse(line) as Record<string, unknown>;
    const key = JSON.stringify([row.window_start, row.category, row.country]);
    if (Number(row.version) > Number(newest.get(key)?.version ?? -1)) newest.set(key, row);
  }
  return [...newest.values()];
}

describe('run', () => {
  test('has written what the file says', () => {
    const [, ...lines] = readFileSync(join(root, 'data/purchases.csv'), 'utf8').trim().split('\n');
    const good = lines.map((line) => line.split(',')).filter((cells) => cells[5] !== 'much');
    const cents = good.reduce((sum, cells) => sum + Math.round(Number(cells[5]) * 100), 0);
    const hourly = rowsOf('revenue_per_hour');
    assert.equal(
      hourly.reduce((sum, row) => sum + Number(row.orders), 0),
      499,
    );
    assert.equal(
      hourly.reduce((sum, row) => sum + Number(row.revenue_cents), 0),
      cents,
    );
    const large = good.filter((cells) => Number(cells[5]) >= 100).length;
    assert.equal(
      rowsOf('orders_per_day').reduce((sum, row) => sum + Number(row.large), 0),
      large,
    );
  });
});

describe('ledger', () => {
  test('accounts for every event, as a table and as JSON', async () => {
    const {code, stdout, stderr} = await run('ledger');
    assert.equal(code, 0);
    assert.equal(stderr, 'balanced: every event is accounted for\n');
    assert.match(
      stdout,
      /^INGEST\ndomain +event_type +source +received +appended +duplicate +rejected +difference\n/,
    );
    assert.match(stdout, /\nshop +purchase +purchases\/purchases\.csv +500 +499 +0 +1 +0\n/);
    const ledger = await json('ledger');
    assert.equal(ledger.balanced, true);
    assert.deepEqual(ledger.ingest, [
      {
        domain: 'shop',
        event_type: 'purchase',
        source: 'purchases/purchases.csv',
        received: 500,
        appended: 499,
        duplicate: 0,
        rejected: 1,
        difference: 0,
      },
    ]);
    const reads = ledger.query.filter(({query}: {query: string}) => query === 'orders_per_day');
    assert.equal(
      reads.reduce((sum: number, line: {read: number}) => sum + line.read, 0),
      499,
    );
  });

  test('exits with 3 when an event is missing, and shows where', async () => {
    const other = await makeShop();
    assert.equal((await cli(other, 'ingest', 'purchases')).code, 0);
    const log = openLogWriter(join(other, '.millrace/log'), {command: 'test'});
    const lost = {
      domain: 'shop',
      eventType: 'purchase',
      source: 'elsewhere',
      received: 7,
      appended: 4,
      duplicate: 1,
      rejected: 1,
    };
    await log.append({appends: [], ledger: [lost]});
    await log.close();
    const {code, stdout, stderr} = await cli(other, 'ledger');
    assert.equal(code, 3);
    assert.equal(stderr, 'NOT balanced: see the differences above\n');
    assert.match(stdout, /\nshop +purchase +elsewhere +7 +4 +1 +1 +1\n/);
    assert.equal((await cli(other, 'ledger', '--json')).code, 3);
  });
});

describe('ingest', () => {
  test('the same file again changes nothing', async () => {
    const {code, stderr} = await run('ingest', 'purchases');
    assert.equal(code, 0);
    assert.match(
      stderr,
      /: this content was ingested before, nothing to do \(--as NAME takes it as another file\)\n$/,
    );
    assert.equal((await json('ledger')).ingest[0].received, 500);
  });

  test('other content under the same name is refused with a way out', async () => {
    writeFiles(root, {
      'other/purchases.csv':
        'timestamp,order_id,user_id,category,country,amount,quantity\n2026-01-06T23:00:00Z,o1,u1,books,DE,1.00,1\n',
    });
    const {code, stderr} = await run('ingest', 'purchases', 'other/purchases.csv');
    assert.equal(code, 2);
    assert.match(
      stderr,
      /error INPUT_CHANGED purchases\.csv was ingested before with other content\n {2}at .*\n {2}hint: .*--as /,
    );
  });

  test('rows beyond every horizon are refused unless they are accepted', async () => {
    const early = await run('ingest', 'purchases', '--as', 'again');
    assert.equal(early.code, 1);
    assert.match(
      early.stderr,
      /error INPUT_LATE \d+ of 500 rows lie too far behind .*\n {2}at .*\n {2}hint: with --late /,
    );
    const other = await makeShop();
    assert.equal((await cli(other, 'ingest', 'purchases')).code, 0);
    const taken = await cli(other, 'ingest', 'purchases', '--as', 'again', '--late');
    assert.equal(taken.code, 0, taken.stderr);
    const {ingest} = JSON.parse((await cli(other, 'ledger', '--json')).stdout);
    assert.deepEqual(
      ingest.map(({source, appended}: {source: string; appended: number}) => [source, appended]),
      [
        ['purchases/again', 499],
        ['purchases/purchases.csv', 499],
      ],
    );
  });

  test('--dry-run tells and does not', async () => {
    const dry = (...argv: string[]) => run('ingest', 'purchases', ...argv, '--dry-run');
    const {code, stderr} = await dry('--as', 'never', '--late');
    assert.equal(code, 0);
    assert.match(
      stderr,
      /^would ingest .*purchases\.csv as shop\.purchases: 500 rows of csv, 1 would be rejected \(TYPE 1\)\n$/,
    );
    assert.match(
      (await dry()).stderr,
      /^would append nothing: .* \(500 rows of csv\) was ingested before as /,
    );
    assert.match((await dry('--as', 'never')).stderr, /^error INPUT_LATE /);
    assert.match((await dry('no.csv')).stderr, /^error INPUT_MISSING /);
    writeFiles(root, {'columns.csv': 'timestamp,order_id\n2026-01-06T23:00:00Z,o1\n'});
    assert.match((await dry('columns.csv')).stderr, /^error INPUT_COLUMNS /);
    writeFiles(root, {'changed/purchases.csv': 'timestamp\n'});
    assert.equal((await dry('changed/purchases.csv')).code, 2);
    assert.equal((await json('ledger')).ingest.length, 1);
    const fresh = await makeShop();
    assert.equal((await cli(fresh, 'ingest', 'purchases', '--dry-run')).code, 0);
    assert.equal(existsSync(join(fresh, '.millrace')), false);
  });

  test('--final moves time past the last window', async () => {
    const other = await makeShop();
    const report = JSON.parse((await cli(other, 'ingest', 'purchases', '--final', '--json')).stdout);
    assert.equal(report.appended, 499);
    assert.equal(report.rejected, 1);
    const {code, stderr} = await start(other, ['run', '--until-idle', '--no-inputs', '--port', '0']).ended;
    assert.equal(code, 0, stderr);
    const text = readFileSync(join(other, '.millrace/files/shop/orders_per_day__r1.jsonl'), 'utf8');
    const closed = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter((row) => row.closed);
    // 2 days by Berlin's clock that begin an hour before midnight UTC make 3, by 4 countries; the third has a last hour only.
    assert.equal(
      closed.reduce((sum, row) => sum + row.orders, 0),
      499,
    );
  });

  const refusals: [title: string, argv: string[], code: number, said: RegExp][] = [
    ['a file that is not there', ['purchases', 'no.csv'], 1, /error INPUT_MISSING .*no\.csv/],
    ['a directory', ['purchases', 'data'], 1, /error INPUT_MISSING .*data cannot be read: it is a directory/],
    [
      'an unknown input',
      ['purchase'],
      2,
      /there is no input "purchase"\n {2}hint: did you mean shop\.purchases\?/,
    ],
  ];
  for (const [title, argv, code, said] of refusals)
    test(`refuses ${title}`, async () => {
      const outcome = await run('ingest', ...argv);
      assert.match(outcome.stderr, said);
      assert.equal(outcome.code, code);
      assert.doesNotMatch(outcome.stderr, /\n {4}at /);
    });
});

describe('tap', () => {
  test('shows decoded events from the start, a line each', async () => {
    const {code, stdout} = await run('tap', 'shop.purchase', '--from', 'start', '--limit', '3');
    assert.equal(code, 0);
    const lines = stdout.trim().split('\n');
    assert.equal(lines.length, 3);
    for (const line of lines)
      assert.match(
        line,
        /^2026-01-\S+Z {2}0\/[012] {2}order_id=o\d+ user_id=u\d+ category=\w+ country=\w\w amount_cents=\d+ quantity=\d$/,
      );
  });

  test('--json is an object a line', async () => {
    const {stdout} = await run('tap', 'shop.purchase', '--from', 'start', '--limit', '1', '--json');
    const {topic, partition, offset, event} = JSON.parse(stdout);
    assert.deepEqual([topic, partition, offset], ['shop.purchase', 0, 0]);
    assert.equal(typeof event.event_id, 'string');
  });

  test('--where keeps what fits, over fields as the configuration names them; --fields shows less of it', async () => {
    const chosen = ['--where', "amount >= 150.00 and country in ('DE', 'FR')", '--fields', 'country, amount'];
    const {code, stdout} = await run('tap', 'shop.purchase', '--from', 'start', '--limit', '5', ...chosen);
    assert.equal(code, 0);
    const lines = stdout.trim().split('\n');
    assert.equal(lines.length, 5);
    for (const line of lines) {
      const [, amount = ''] = /^0\/\d+ {2}country=(?:DE|FR) amount_cents=(\d+)$/.exec(line) ?? [];
      assert.ok(Number(amount) >= 15_000, line);
    }
    const letters = await run(
      'tap',
      'dlq.shop',
      '--from',
      'start',
      '--limit',
      '1',
      '--where',
      "code = 'TYPE'",
      '--fields',
      'code,stage',
      '--json',
    );
    assert.deepEqual(JSON.parse(letters.stdout).event, {code: 'TYPE', stage: 'validate'});
  });

  test('a condition or a column that is none is refused with its place and the nearest name', async () => {
    for (const [argv, said] of [
      [
        ['--where', 'amount > 1 and amuont > 2'],
        /--where: there is no column "amuont" \(at "amuont", character 16\)\n {2}hint: did you mean "amount"/,
      ],
      [['--where', 'amount >'], /--where: /],
      [['--where', 'amount'], /--where: /],
      [['--fields', 'contry'], /there is no column "contry"\n {2}hint: did you mean country/],
    ] as const) {
      const {code, stderr} = await run('tap', 'shop.purchase', ...argv);
      assert.equal(code, 2);
      assert.match(stderr, said);
    }
  });

  test('a dead letter has its time, and its original as the file had it', async () => {
    const {stdout} = await run('tap', 'dlq.shop', '--from', 'start', '--limit', '1');
    assert.match(stdout, /^20\S+Z {2}0\/0 {2}id=.* code=TYPE .* original=2026-\S+,much,\d\n$/);
  });

  test('a query is no topic: where its rows are is said', async () => {
    const {code, stderr} = await run('tap', 'shop.orders_per_day');
    assert.equal(code, 2);
    assert.match(
      stderr,
      /is a query, not a topic: .*\n {2}hint: .* query "select \* from shop\.orders_per_day/,
    );
  });

  test('refuses an unknown topic, place or count', async () => {
    const unknown = await run('tap', 'shop.purchse');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /hint: did you mean shop\.purchase\?/);
    for (const argv of [
      ['--from', 'middle'],
      ['--limit', '0'],
      ['--limit', '1e99'],
      ['--limit', 'two'],
    ])
      assert.equal((await run('tap', 'shop.purchase', ...argv)).code, 2, argv.join(' '));
  });
});

describe('schema', () => {
  test('list, show by subject or topic, check', async () => {
    assert.match((await run('schema', 'list')).stdout, /\nshop\.purchase-value +1 +\d+\n/);
    const shown = await run('schema', 'show', 'shop.purchase-value');
    const {name, namespace, fields} = JSON.parse(shown.stdout);
    assert.deepEqual([namespace, name], ['shop', 'purchase']);
    assert.deepEqual(
      fields.map((field: {name: string}) => field.name),
      ['event_id', 'timestamp', 'order_id', 'user_id', 'category', 'country', 'amount_cents', 'quantity'],
    );
    assert.equal((await run('schema', 'show', 'shop.purchase')).stdout, shown.stdout);
    assert.deepEqual(await run('schema', 'check'), {
      code: 0,
      stdout: 'ok shop.purchase-value (backward)\n',
      stderr: '',
    });
    assert.equal((await run('schema', 'show', 'shop.purchase', '7')).code, 2);
    assert.equal((await run('schema', 'show', 'nothing')).code, 2);
  });

  test('check exits with 3 when old events could no longer be read', async () => {
    const path = join(root, 'config/domains/shop.yaml');
    const right = readFileSync(path, 'utf8');
    writeFileSync(path, right.replace('{name: quantity, type: long}', '{name: quantity, type: int}'));
    try {
      const {code, stdout} = await run('schema', 'check');
      assert.equal(code, 3, stdout);
      assert.match(stdout, /^breaks shop\.purchase-value \(backward\)\n {2}\S+ at .*quantity/);
    } finally {
      writeFileSync(path, right);
    }
  });
});

describe('dlq', () => {
  test('list and show, with the original bytes', async () => {
    const {stdout, stderr} = await run('dlq', 'list', 'shop');
    assert.match(
      stdout,
      /\n[0-9a-f]{8} {2}\S+Z {2}shop\.purchase {2}TYPE +open +file purchases\.csv, row 251 +amount: "much" is not/,
    );
    const id = stdout.split('\n')[2]!.slice(0, 8);
    assert.equal(stderr, `1 of 1; one whole: ${asTyped('npx millrace', root)} dlq show shop ${id}\n`);
    const shown = await run('dlq', 'show', 'shop', id);
    assert.match(shown.stdout, /\noriginal {4}\d+ bytes\n2026-.*,much,\d\n$/);
    const [letter] = await json('dlq', 'list');
    assert.match(Buffer.from(letter.original, 'base64').toString(), /,much,/);
    assert.equal((await json('dlq', 'show', 'shop', id)).id, letter.id);
  });

  test('nothing found is said, not shown as an empty table', async () => {
    assert.deepEqual(await run('dlq', 'list', '--code', 'RANGE'), {
      code: 0,
      stdout: '',
      stderr: 'no dead letters\n',
    });
    const unknown = await run('dlq', 'list', '--code', 'NOPE');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /there is no reason code "NOPE"\n {2}hint: known: /);
    assert.equal((await run('dlq', 'show', 'shop', 'ffffffff')).code, 2);
    assert.equal((await run('dlq', 'list', 'shp')).code, 2);
  });
});

describe('explain', () => {
  test('config: every value with its origin', async () => {
    const {stdout} = await run('explain', 'config', 'defaults');
    assert.match(stdout, /^defaults\.aggregates +rows +config\/platform\.yaml:3:\d+$/m);
    assert.match(stdout, /^defaults\.watermark +10m +default$/m);
    const unknown = await run('explain', 'config', 'defualts');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /did you mean defaults\?/);
  });

  test('plan: of one query by its short name, of all, as JSON', async () => {
    const one = await run('explain', 'plan', 'orders_per_day');
    assert.match(one.stdout, /shop\.orders_per_day/);
    const all = await run('explain', 'plan');
    assert.ok(all.stdout.includes(one.stdout) && all.stdout.includes('shop.revenue_per_hour'));
    assert.equal((await json('explain', 'plan')).length, 2);
    assert.equal((await run('explain', 'plan', 'nothing')).code, 2);
  });
});

describe('others', () => {
  test('doctor reads everything and finds nothing wrong', async () => {
    const {code, stdout} = await run('doctor');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ok +log +500 records, every checksum right$/m);
    assert.match(stdout, /^ok +running +no$/m);
    assert.match(stdout, /^ok +sink rows +file opens$/m);
    const checks = await json('doctor');
    assert.ok(checks.every(({state}: {state: string}) => state !== 'failed'));
  });

  test('components and their options; export json-schema of each kind', async () => {
    assert.match((await run('components')).stdout, /^sink +file /m);
    assert.match(
      (await run('components', 'file')).stdout,
      /^sink file: .*\noption +type +default +meaning\n/,
    );
    const unknown = await run('components', 'fiel');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /did you mean file\?/);
    for (const kind of ['platform', 'environment', 'domain']) {
      const {stdout} = await run('export', 'json-schema', kind);
      assert.match(JSON.parse(stdout).$schema, /json-schema\.org/);
    }
    assert.equal((await run('export', 'json-schema', 'nothing')).code, 2);
  });

  test('status, resume and query say what they need', async () => {
    const status = await run('status');
    assert.equal(status.code, 4);
    assert.match(status.stderr, /error NOT_RUNNING no platform runs in .*\n {2}hint: \S+ \S*millrace\S* run/);
    assert.equal((await run('resume', 'shop.orders_per_day')).code, 4);
    const {code, stderr} = await run('query', 'select 1');
    assert.equal(code, 2);
    assert.match(stderr, /sink "rows" \(file\) cannot be asked with SQL/);
    assert.equal((await run('query', ' ')).code, 2);
    assert.equal((await run('query', 'select 1', '--sink', 'nope')).code, 2);
  });

  test('a failure with --json is JSON on stdout as well', async () => {
    for (const argv of [['nope'], ['tap'], ['run', '--nope']])
      assert.equal(JSON.parse((await run(...argv, '--json')).stdout).error.code, 'USAGE', argv.join(' '));
    const {stdout, stderr} = await run('status', '--json');
    assert.equal(JSON.parse(stdout).error.code, 'NOT_RUNNING');
    assert.match(stderr, /^error NOT_RUNNING /);
  });

  test('environment variables choose the environment', async () => {
    writeFiles(root, {'config/environments/test.yaml': 'server: {port: 4711}\n'});
    const {stdout} = await cliWith(
      {cwd: root, env: {MILLRACE_ENV: 'test'}},
      'explain',
      'config',
      'server.port',
    );
    assert.match(stdout, /^server\.port +4711 +config\/environments\/test\.yaml:1:16/);
    assert.equal((await cliWith({cwd: root, env: {MILLRACE_ENV: 'nope'}}, 'validate')).code, 2);
  });

  test('before the first run the commands say so', async () => {
    const fresh = await makeShop();
    for (const argv of [['ledger'], ['tap', 'shop.purchase'], ['dlq', 'list'], ['schema', 'list']]) {
      const {code, stderr} = await cli(fresh, ...argv);
      assert.equal(code, 4, argv.join(' '));
      assert.match(stderr, /\n {2}hint: start the platform/);
    }
    assert.equal(existsSync(join(fresh, '.millrace')), false);
  });
});
