/** SQL by way of a console to servers: the same values as in one process, nothing but reading, limits, and nothing for those who are gone. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {after, before, test} from 'node:test';
import {checkSink} from '../../src/cli/doctor-servers.ts';
import {type RunningConsole, startConsole} from '../../src/console/start.ts';
import {placesOf} from '../../src/platform/places.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {
  password as clickHousePassword,
  clickHouseServer,
  user as clickHouseUser,
  type TestServer as Front,
} from '../support/clickhouse.ts';
import {describeWithPostgres, password, postgresServer, type TestServer} from '../support/postgres.ts';
import {platformOf} from '../support/running.ts';
import {until} from '../support/until.ts';

type Failure = {code: string; message: string; hint?: string};
type Answer = {columns?: {name: string; type: string}[]; rows?: unknown[][]; error?: Failure};

describeWithPostgres('SQL by way of a console', () => {
  let postgres: TestServer;
  let clickhouse: Front;
  let seen: RunningConsole;
  let root: string;
  const ask = async (sink: string, sql: string, signal?: AbortSignal): Promise<Answer> => {
    const token = readFileSync(placesOf({root, roles: ['console']}).token, 'utf8').trim();
    const response = await fetch(`${seen.url}/v1/query`, {
      method: 'POST',
      headers: {authorization: `Bearer ${token}`},
      body: JSON.stringify({sink, sql}),
      ...(signal ? {signal} : {}),
    });
    return (await response.json()) as Answer;
  };
  /** What stands in the answer is what the command prints that asks the server itself. */
  const same = async (sink: string, sql: string, expected: Record<string, unknown>[]) => {
    const {columns, rows, error} = await ask(sink, sql);
    assert.equal(error, undefined);
    const records = rows!.map((row) =>
      Object.fromEntries(row.map((value, index) => [columns![index]!.name, value])),
    );
    assert.deepEqual(records, expected);
    const {stdout, stderr} = await cli(root, 'query', sql, '--sink', sink, '--json');
    assert.deepEqual(JSON.parse(stdout || 'null'), expected, stderr);
  };
  const refused = async (sink: string, sql: string, message: RegExp, code = 'SINK_QUERY') => {
    const {error, rows} = await ask(sink, sql);
    assert.equal(error?.code, code, `${sql}: ${JSON.stringify(error ?? rows?.slice(0, 3)).slice(0, 300)}`);
    assert.match(error.message, message);
    assert.ok(error.hint, sql);
  };

  before(async () => {
    [postgres, clickhouse] = await Promise.all([postgresServer(), clickHouseServer()]);
    // A user who may read one table, and nothing else.
    await postgres.sql(`CREATE SCHEMA shop;
      CREATE TABLE shop.sale (large int8, cents int8, exact numeric(38, 2), ratio float8, at timestamptz(3), day date,
        isOk boolean, id uuid, what text);
      INSERT INTO shop.sale VALUES (9007199254740993, 1050, 123456789012345678901234567890.10, 'NaN',
        '2026-01-05T12:00:00.123Z', '2026-01-05', true, '0190b0a0-1111-7222-8333-444455556666', 'x'),
        (NULL, NULL, NULL, '-Infinity', NULL, NULL, NULL, NULL, NULL);
      CREATE TABLE shop.hidden (a int);
      CREATE ROLE reader LOGIN PASSWORD '${password}';
      GRANT USAGE ON SCHEMA shop TO reader;
      GRANT SELECT ON shop.sale TO reader`);
    const url = `postgres://reader@127.0.0.1:${postgres.port}/${postgres.database}`;
    const server = `url: "${clickhouse.url}", username: ${clickHouseUser}, password: "${clickHousePassword}"`;
    root = makeRoot({
      'config/platform.yaml': `platform: shop
sinks:
  records: {backend: postgres, postgres: {url: "${url}", password: "${password}"}}
  hasty: {backend: postgres, postgres: {url: "${url}", password: "${password}", statement_timeout: 300ms}}
  analytics: {backend: clickhouse, clickhouse: {${server}}}
  brief: {backend: clickhouse, clickhouse: {${server}, settings: {max_execution_time: 1s}}}
defaults: {aggregates: analytics, raw: records}
server: {port: 0}
log: {backend: kafka, kafka: {brokers: ["127.0.0.1:1"]}}
`,
      'config/domains/shop.yaml':
        'domain: shop\nevent_types: [{name: sale, metrics: [{name: amount, type: money}]}]\n',
    });
    seen = await startConsole(await platformOf(root), {say: () => {}});
  });
  after(async () => {
    await seen?.close();
    await Promise.all([postgres?.stop(), clickhouse?.kill()]);
  });

  test('values are those that one process gives: int64, decimals, times, NULL, NaN', async () => {
    const [at, day, id] = ['2026-01-05 12:00:00.123', '2026-01-05', '0190b0a0-1111-7222-8333-444455556666'];
    const none = {at: null, day: null, isok: null, id: null, what: null};
    await same('records', 'SELECT * FROM shop.sale', [
      {
        ...{large: '9007199254740993', cents: 1050, exact: '123456789012345678901234567890.10', ratio: 'NaN'},
        ...{at, day, isok: true, id, what: 'x'},
      },
      {large: null, cents: null, exact: null, ratio: '-Infinity', ...none},
    ]);
    await same(
      'analytics',
      `SELECT toInt64(9007199254740993) AS large, toInt64(1050) AS cents, nan AS ratio, -inf AS less, CAST(NULL AS Nullable(Float64)) AS none,
        toDateTime64('${at}', 3, 'UTC') AS at, toDate32('${day}') AS day, true AS ok, toUUID('${id}') AS id, 'x' AS what`,
      [
        {
          ...{large: '9007199254740993', cents: 1050, ratio: 'NaN', less: '-Infinity', none: null},
          ...{at, day, ok: true, id, what: 'x'},
        },
      ],
    );
    await same('records', 'SELECT what FROM shop.sale LIMIT 0', []);
  });

  test('what is not reading is refused, and what a user may not read is told in the words of the server', async () => {
    await refused('records', 'SELECT * FROM shop.hidden', /permission denied for table hidden/);
    await refused('records', 'SELECT nope FROM shop.sale', /column "nope" does not exist/);
    await refused('records', 'INSERT INTO shop.sale (what) VALUES (1)', /only read/);
    await refused('records', 'WITH a AS (DELETE FROM shop.sale RETURNING 1) TABLE a', /read-only/);
    await refused('records', "SELECT pg_read_file('PG_VERSION')", /permission denied for function/);
    await refused('records', 'SELECT 1; SELECT 2', /multiple commands/);
    await refused('analytics', 'SELECT * FROM shop.nothing', /shop/);
    await refused('analytics', 'CREATE TABLE a (b Int8) ENGINE = Memory', /readonly/);
    await refused('analytics', 'SELECT 1 SETTINGS readonly = 0', /readonly/);
    await refused('analytics', "SELECT * FROM url('http://127.0.0.1:1/')", /function url is not for queries/);
    await refused('analytics', 'SELECT 1; SELECT 2', /not that of one statement/);
    await refused('nothing', 'SELECT 1', /there is no sink "nothing"/, 'NAME_UNKNOWN');
    assert.deepEqual(await postgres.sql('SELECT count(*)::int FROM shop.sale'), [[2]]);
    // Such a user is enough for who only reads.
    const platform = await platformOf(root);
    assert.equal(await checkSink(platform, 'records', false), 'postgres opens');
    await assert.rejects(checkSink(platform, 'records', true), {
      code: 'SINK_REFUSED',
      message: /lacks rights/,
    });
  });

  test('an answer and the time for it have limits', async () => {
    await refused(
      'records',
      'SELECT generate_series(1, 100001)',
      /has 100001 rows, and a console gives 100000/,
    );
    await refused('records', 'SELECT generate_series(1, 1100000)', /more than 1000000 rows/);
    await refused('records', "SELECT repeat('x', 1048576) FROM generate_series(1, 70)", /more than 64 MiB/);
    await refused('hasty', 'SELECT pg_sleep(60)', /statement timeout/);
    await refused('analytics', 'SELECT number FROM numbers(3000000)', /Limit for result exceeded, max rows/);
    const texts = "SELECT repeat('x', 999900 + number) FROM numbers(80)";
    await refused('analytics', texts, /Limit for result exceeded, max bytes/);
    await refused(
      'brief',
      'SELECT count() FROM numbers(100000000000000) WHERE rand() = 0',
      /[Tt]imeout exceeded/,
    );
  });

  test('who goes ends its query in the server, and the next one has its turn', async () => {
    const gone = new AbortController();
    const sleeping = 'SELECT pg_sleep(59)';
    const running = async () =>
      (await postgres.sql(`SELECT count(*)::int FROM pg_stat_activity WHERE query = '${sleeping}'`))[0]![0];
    // As many as are answered at a time.
    const asked = Array.from({length: 4}, () =>
      assert.rejects(ask('records', sleeping, gone.signal), {name: 'AbortError'}),
    );
    await until(async () => (await running()) === 4, 'they run');
    const next = ask('records', 'SELECT 1 AS one');
    gone.abort();
    await Promise.all(asked);
    assert.deepEqual((await next).rows, [[1]]);
    await until(async () => (await running()) === 0, 'the server has ended them', 30_000);
  });
});
