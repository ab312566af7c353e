/** Commands that need the embedded databases: SQL, views and rebuilds. One platform, since a start costs seconds. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {type Child, start} from '../faults/process.ts';
import {cli, makeShop} from '../support/cli.ts';

let root = '';
let child: Child | undefined;
const run = (...argv: string[]) => cli(root, ...argv);
const rows = async (sql: string) => {
  const {code, stdout, stderr} = await run('query', sql, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>[];
};
const orders = async () => (await rows('select count() n, sum(orders) orders from shop.revenue_per_hour'))[0];
const edit = (from: string, to: string) => {
  const path = join(root, 'config/domains/shop.yaml');
  const text = readFileSync(path, 'utf8');
  assert.ok(text.includes(from));
  writeFileSync(path, text.replace(from, to));
};

before(async () => {
  root = await makeShop({
    'config/platform.yaml':
      'platform: shop\nsinks: {analytics: {backend: chdb}}\ndefaults: {raw: none}\nserver: {port: 0}\n',
  });
  const {code, stderr} = await start(root, ['run', '--until-idle']).ended;
  assert.equal(code, 0, stderr);
});
after(async () => {
  child?.kill('SIGTERM');
  await child?.ended;
});

test('query without a running platform: a table, JSON, integers beyond 2^53', async () => {
  const table = await run(
    'query',
    'select country, sum(orders) as orders from shop.orders_per_day group by country order by country',
  );
  assert.equal(table.code, 0, table.stderr);
  assert.match(table.stdout, /^country +orders\n─+ +─+\nBR +\d+\nDE +\d+\nFR +\d+\nUS +\d+\n$/);
  assert.equal(table.stderr, '4 rows\n');
  assert.deepEqual(
    await rows(
      'select 9007199254740992 as a, 9007199254740993 as b, toInt64(-9223372036854775808) as c, null as d',
    ),
    [{a: 9007199254740992, b: '9007199254740993', c: '-9223372036854775808', d: null}],
  );
});

test('query refuses what is not there and what would write', async () => {
  for (const [sql, said] of [
    ['select * from shop.nothing', /error SINK_QUERY .*shop\.nothing/],
    ['select nope from shop.orders_per_day', /error SINK_QUERY .*nope/],
    ['drop table shop.orders_per_day', /error SINK_QUERY .*readonly/],
    ['insert into shop.orders_per_day__r1 (orders) values (1)', /error SINK_QUERY/],
    ['selec', /error SINK_QUERY .*[Ss]yntax error/],
  ] as const) {
    const {code, stdout, stderr} = await run('query', sql);
    assert.equal(code, 1, sql);
    assert.equal(stdout, '');
    assert.match(stderr, said);
  }
});

test('a changed aggregation is refused, rebuilt into a new table, and its view is switched; the old table stays', async () => {
  const before = await orders();
  edit('window: {type: tumbling, size: 1h}', 'window: {type: tumbling, size: 12h}');
  const refused = await start(root, ['run', '--until-idle']).ended;
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /QUERY_CHANGED/);
  assert.deepEqual(await orders(), before);

  assert.match(
    (await run('rebuild', 'revenue_per_hour', '--dry-run')).stderr,
    /^would fill a new revision of shop\.revenue_per_hour/,
  );
  const rebuilt = await run('rebuild', 'revenue_per_hour');
  assert.equal(rebuilt.code, 0, rebuilt.stderr);
  assert.match(
    rebuilt.stderr,
    /shop\.revenue_per_hour now shows revision 2; shop\.revenue_per_hour__r1 stays\n$/,
  );
  const after = await orders();
  assert.equal(after!.orders, 499);
  assert.ok(Number(after!.n) < Number(before!.n));
  assert.deepEqual(
    (await rows('select count() n, sum(orders) orders from shop.revenue_per_hour__r1 final'))[0],
    before,
  );
  const {code, stderr} = await start(root, ['run', '--until-idle']).ended;
  assert.equal(code, 0, stderr);
});

test('a rebuild that was cut short goes on with the same revision', async () => {
  edit('size: 12h', 'size: 6h');
  const cut = start(root, ['rebuild', 'shop.revenue_per_hour']);
  await cut.says(/revision 3: /);
  cut.kill('SIGKILL');
  await cut.ended;
  assert.equal((await orders())!.orders, 499);
  const again = await run('rebuild', 'shop.revenue_per_hour');
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /now shows revision 3; shop\.revenue_per_hour__r2 stays\n$/);
});

test('while a platform runs: query and rebuild go through it, an unknown query is refused', async () => {
  child = start(root, ['run']);
  await child.says(/ 499 events/);
  assert.equal((await orders())!.orders, 499);
  const refused = await run('query', 'select * from shop.nothing');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^error SINK_QUERY /);
  const {code, stderr} = await run('rebuild', 'orders_per_day');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /shop\.orders_per_day now shows revision 2; shop\.orders_per_day__r1 stays\n$/);
  assert.deepEqual(await rows('select sum(orders) n from shop.orders_per_day'), [{n: 499}]);
  assert.equal((await run('rebuild', 'nothing')).code, 2);
  assert.equal((await run('rebuild')).code, 2);
  assert.equal((await run('rebuild', '--sink', 'nothing')).code, 2);
  const locked = await run('rebuild', '--sink', 'analytics');
  assert.equal(locked.code, 4);
  assert.match(locked.stderr, /error LOCKED/);
});
