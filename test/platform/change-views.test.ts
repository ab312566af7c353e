/** Views in both embedded databases while a revision is switched: readers see the old rows or the new ones, whole. */
import assert from 'node:assert/strict';
import {readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {type Child, start} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';

test('a reader sees one revision, whole: during a switch, after a kill between two views, and after the next start', async () => {
  const root = makeRoot();
  await cli(root, 'init');
  const path = join(root, 'config/domains/shop.yaml');
  const edit = (from: string, to: string) => {
    const text = readFileSync(path, 'utf8');
    assert.ok(text.includes(from), from);
    writeFileSync(path, text.replace(from, to));
  };
  writeFileSync(
    join(root, 'config/platform.yaml'),
    'platform: shop\ndefaults: {raw: none}\nserver: {port: 0}\n',
  );
  const sinks = '    sinks: [analytics, records]\n';
  edit('  - name: revenue_per_hour\n', `  - name: revenue_per_hour\n${sinks}`);
  edit('  - name: orders_per_day\n', `  - name: orders_per_day\n${sinks}`);

  const read = async (sink: string) => {
    const sql = 'select * from shop.revenue_per_hour';
    const {code, stdout, stderr} = await cli(root, 'query', sql, '--sink', sink, '--json');
    assert.equal(code, 0, stderr);
    const rows = JSON.parse(stdout) as Record<string, unknown>[];
    const orders = rows.reduce((sum, row) => sum + Number(row.orders), 0);
    return {columns: Object.keys(rows[0] ?? {}), orders};
  };
  const whole = async (sink: string, isNew: boolean, column: string) => {
    const {columns, orders} = await read(sink);
    assert.equal(columns.includes(column), isNew, `${sink}: ${columns}`);
    assert.equal(orders, 499, sink);
  };

  let child: Child = start(root, ['run'], undefined, 150_000);
  await child.says(/ 499 events.*lag 0/);
  edit('      revenue:', '      most: max(quantity)\n      revenue:');
  let isDone = false;
  const applying = cli(root, 'apply', '--yes').finally(() => {
    isDone = true;
  });
  let looks = 0;
  while (!isDone) {
    for (const sink of ['analytics', 'records']) assert.equal((await read(sink)).orders, 499, sink);
    looks++;
  }
  const {code, stderr} = await applying;
  assert.equal(code, 0, stderr);
  assert.ok(looks > 0);
  for (const sink of ['analytics', 'records']) {
    assert.match(stderr, new RegExp(`in ${sink}: all \\d+ rows are the same`));
    await whole(sink, true, 'most');
  }
  child.kill('SIGTERM');
  assert.equal((await child.ended).code, 0);

  edit('      most: max(quantity)', '      least: min(quantity)');
  const killed = await start(root, ['apply', '--yes'], {failpoint: 'change.after-view', count: 1}).ended;
  assert.ok(killed.killed, killed.stderr);
  await whole('analytics', true, 'least');
  await whole('records', false, 'least');
  child = start(root, ['run', '--until-idle']);
  const ended = await child.ended;
  assert.equal(ended.code, 0, ended.stderr);
  await whole('analytics', true, 'least');
  await whole('records', true, 'least');
  assert.equal((await cli(root, 'plan')).code, 0);

  // Checkpoints that are lost take the list of revisions along: the first one's table is not as the configuration is now.
  rmSync(join(root, '.millrace/state'), {recursive: true});
  const lost = await start(root, ['run', '--until-idle']).ended;
  assert.match(lost.stderr, /query shop\.revenue_per_hour stopped: SINK_TABLE_DIFFERS/);
  const rebuilt = await cli(root, 'rebuild', 'shop.revenue_per_hour', '--yes');
  assert.equal(rebuilt.code, 0, rebuilt.stderr);
  assert.match(rebuilt.stderr, /not compared: the old table cannot be read: SINK_QUERY/);
  await whole('analytics', true, 'least');
  await whole('records', true, 'least');

  // A query that is gone leaves with its tables and views.
  writeFileSync(path, readFileSync(path, 'utf8').replace(/ {2}- name: orders_per_day[\s\S]*$/, ''));
  const pruned = await cli(root, 'prune', '--keep', '0');
  assert.equal(pruned.code, 0, pruned.stderr);
  await whole('records', true, 'least');
  for (const sink of ['analytics', 'records'])
    for (const table of ['revenue_per_hour__r1', 'orders_per_day', 'orders_per_day__r1']) {
      const gone = await cli(root, 'query', `select 1 from shop.${table}`, '--sink', sink);
      assert.equal(gone.code, 1, `${sink} ${table}`);
    }
});
