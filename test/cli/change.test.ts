/** `plan`, `apply`, `prune` and `run --revise` as a user meets them: beside a platform that runs, and after mistakes. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {readLatest} from '../../src/sinks/file/read.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, makeShop, writeFiles} from '../support/cli.ts';
import {until} from '../support/until.ts';

const domainFile = 'config/domains/shop.yaml';
const editor =
  (root: string) =>
  (from: string | RegExp, to: string, file = domainFile) => {
    const path = join(root, file);
    const text = readFileSync(path, 'utf8');
    assert.notEqual(text.replace(from, to), text, `${file} has ${from}`);
    writeFileSync(path, text.replace(from, to));
  };
const noStack = (text: string) => assert.doesNotMatch(text, /\n {4}at |millrace has a bug/);
const rowsOf = async (root: string, table: string) =>
  (await readLatest(join(root, '.millrace/files'), `shop.${table}`))?.rows ?? [];

describe('a platform that runs', () => {
  let root = '';
  let child: Child;
  let edit: ReturnType<typeof editor>;
  const run = (...argv: string[]) => cli(root, ...argv);
  const status = async () => JSON.parse((await run('status', '--json')).stdout);
  before(async () => {
    root = await makeShop();
    edit = editor(root);
    child = start(root, ['run']);
    await child.says(/ 499 events/);
  });
  after(async () => {
    child.kill('SIGTERM');
    const {code, stderr} = await child.ended;
    assert.equal(code, 0, stderr);
    noStack(stderr);
  });

  test('takes a changed query over without a restart, and keeps its process', async () => {
    const {startedMs} = await status();
    edit('orders: count()\n      revenue', 'orders: count()\n      most: max(quantity)\n      revenue');
    const asked = await run('apply');
    assert.equal(asked.code, 3);
    assert.match(asked.stderr, /nothing was changed; to agree: --yes/);
    const {code, stderr} = await run('apply', '--yes');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /rows are the same in shop\.revenue_per_hour__r1 and shop\.revenue_per_hour__r2/);
    assert.match(stderr, /now shows revision 2/);
    assert.equal((await status()).startedMs, startedMs);
    assert.equal((await run('plan')).code, 0);
    assert.ok((await rowsOf(root, 'revenue_per_hour__r2')).every(({most}) => Number(most) > 0));
  });

  test('starts anew within its process for what comes and goes', async () => {
    const {pid, startedMs} = await status();
    edit(
      /$/,
      '  - {name: by_user, from: purchase, window: {type: tumbling, size: 1d}, group_by: [user_id], measures: {n: count()}}\n',
    );
    edit('event_types:\n', 'event_types:\n  - {name: refund, attributes: [order_id]}\n');
    const {code, stderr} = await run('apply', '--yes');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /starts anew with the new configuration/);
    const after = await status();
    assert.equal(after.pid, pid);
    assert.ok(after.startedMs > startedMs);
    assert.equal((await fetch(`${after.url}/livez`)).status, 200);
    assert.equal((await run('plan')).code, 0);
    await until(async () => {
      const {queries} = await status();
      const added = queries.find(({query}: {query: string}) => query === 'shop.by_user');
      return added?.settled && added.lagEvents === 0;
    }, 'the new query');
    const counts = (await rowsOf(root, 'by_user__r1')).map(({n}) => Number(n));
    assert.equal(
      counts.reduce((sum, n) => sum + n, 0),
      499,
    );
  });

  test('a broken edit changes nothing', async () => {
    edit('size: 1h', 'size: soon');
    const {code, stderr} = await run('apply', '--yes');
    assert.equal(code, 2);
    assert.match(stderr, /config\/domains\/shop\.yaml:\d+/);
    edit('size: soon', 'size: 1h');
    assert.equal(
      (await status()).queries.every(({state}: {state: string}) => state === 'running'),
      true,
    );
  });

  test('a schema that cannot follow is refused, field by field', async () => {
    edit(
      '- {name: quantity, type: long}',
      '- {name: quantity, type: long}\n      - {name: weight, type: double}',
    );
    const {code, stdout, stderr} = await run('apply', '--yes');
    assert.equal(code, 3);
    assert.match(stdout, /refused: purchase\.weight: READER_FIELD_MISSING_DEFAULT_VALUE/);
    assert.match(stderr, /CHANGE_REFUSED/);
    const json = JSON.parse((await run('plan', '--json')).stdout);
    assert.equal(json.changes[0].refused.reasons.length, 1);
    edit(/\n.*name: weight.*/, '');
    assert.equal((await run('plan')).code, 0);
  });

  test('a configuration that does not start leaves the one before running', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const {port} = taken.address() as {port: number};
    edit('port: 0', `port: ${port}`, 'config/platform.yaml');
    const {startedMs} = await status();
    const refused = await run('apply', '--yes');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /does not start, the one before runs on/);
    await child.says(/does not start: the one before runs on/);
    taken.close();
    const after = await status();
    assert.ok(after.startedMs > startedMs);
    edit(`port: ${port}`, 'port: 0', 'config/platform.yaml');
    assert.equal((await run('plan')).code, 0);
    assert.match(child.stderr(), /PORT_BUSY/);
  });

  test('options that make no sense are usage errors', async () => {
    assert.equal((await run('apply', '--lag-max', 'soon')).code, 2);
    assert.equal((await run('backfill')).code, 2);
    assert.equal((await run('backfill', 'nothing')).code, 2);
    assert.equal((await run('prune', '--keep', '-1')).code, 2);
    assert.equal((await run('apply', '--rollback', 'nothing')).code, 2);
    const back = await run('apply', '--rollback', 'orders_per_day');
    assert.equal(back.code, 1);
    assert.match(back.stderr, /ROLLBACK_IMPOSSIBLE/);
  });
});

describe('run --revise', () => {
  test('from-log makes the rows of a changed query anew; from-now begins with the next event', async () => {
    const root = await makeShop();
    const edit = editor(root);
    const ends = (...argv: string[]) => start(root, ['run', '--until-idle', ...argv]).ended;
    assert.equal((await ends()).code, 0);
    edit('size: 1h', 'size: 12h');
    assert.equal((await ends()).code, 2);
    assert.equal((await ends('--revise', 'from-log')).code, 0);
    const orders = (rows: Record<string, unknown>[]) =>
      rows.reduce((sum, row) => sum + Number(row.orders), 0);
    assert.equal(orders(await rowsOf(root, 'revenue_per_hour__r2')), 499);
    edit('size: 12h', 'size: 6h');
    const {code, stderr} = await ends('--revise', 'from-now');
    assert.equal(code, 0, stderr);
    assert.deepEqual(await rowsOf(root, 'revenue_per_hour__r3'), []);
    const later = readFileSync(join(root, 'data/purchases.csv'), 'utf8').replaceAll('2026-01-', '2026-08-');
    writeFiles(root, {'data/later.csv': later});
    const again = await cli(root, 'ingest', 'purchases', 'data/later.csv');
    assert.equal(again.code, 0, again.stderr);
    assert.equal((await ends()).code, 0);
    assert.equal(orders(await rowsOf(root, 'revenue_per_hour__r3')), 499);
    assert.equal((await ends('--revise', 'sometimes')).code, 2);

    // A query that went together with its sink: what cannot be reached is told, before and after.
    edit(/ {2}- name: orders_per_day[\s\S]*$/, '');
    edit('{rows: {backend: file}}', '{others: {backend: file, file: {dir: rows}}}', 'config/platform.yaml');
    edit('aggregates: rows', 'aggregates: others', 'config/platform.yaml');
    const pruned = await cli(root, 'prune', '--dry-run');
    assert.match(
      pruned.stderr,
      /^would drop shop\.orders_per_day__r1 with state .*\n {2}what rows holds of it stays: .* put it back before/m,
    );
  });
});
