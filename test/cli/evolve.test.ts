/** An event type whose fields are renamed, promoted, removed and added while events of before are in the log and in tables. */
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {readLatest} from '../../src/sinks/file/read.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';

const domain = (fields: string, sum: string) => `domain: shop
event_types:
  - name: sale
${fields}
inputs:
  - {name: sales, event_type: sale, format: csv, order_by: none}
aggregations:
  - {name: per_day, from: sale, window: {type: tumbling, size: 1d}, measures: ${sum}}
`;
const old = domain(
  `    attributes: [product, {name: color, required: true}]
    metrics: [{name: quantity, type: int}, {name: amount, type: money}]`,
  '{sold: sum(quantity), revenue: sum(amount)}',
);
const now = domain(
  `    attributes: [product, note]
    metrics: [{name: pieces, type: long, aliases: [quantity]}, {name: total, type: money, aliases: [amount]}]`,
  '{sold: sum(pieces), revenue: sum(total)}',
);
/** Rows of `query --json`, as lists of values. */
const rowsIn = (stdout: string) => {
  const json = JSON.parse(stdout);
  return (Array.isArray(json) ? json : json.rows).map(Object.values);
};
const columns = 'event_id, product, color, note, pieces, total_cents';

describe('fields that are renamed, promoted, removed and added', () => {
  const root = makeRoot({
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: file}, events: {backend: pglite}}
defaults: {aggregates: rows, raw: events}
server: {port: 0}
`,
    'config/domains/shop.yaml': old,
    'data/a.csv':
      'event_id,timestamp,product,color,quantity,amount\na1,2026-01-05T00:00:00Z,shoe,red,2,1.50\na2,2026-01-05T00:00:01Z,boot,blue,3,2.00\n',
    'data/b.csv':
      'event_id,timestamp,product,note,pieces,total\nb1,2026-01-05T00:00:02Z,hat,gift,5000000000,0.25\n',
  });
  let child: Child;
  const run = (...argv: string[]) => cli(root, ...argv);
  const done = async (...argv: string[]) => {
    const {code, stdout, stderr} = await run(...argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  /** What a statement answers as soon as it has this many rows. */
  const rowsOf = async (sql: string, count: number) => {
    for (let tries = 0; ; tries++) {
      const {code, stdout} = await run('query', sql, '--sink', 'events', '--json');
      const rows = code === 0 ? rowsIn(stdout) : [];
      if (rows.length === count || tries === 100) return rows;
      await wait(50);
    }
  };
  before(async () => {
    child = start(root, ['run']);
    await child.says(/ events/);
    await done('ingest', 'sales', 'data/a.csv');
  });
  after(async () => {
    child.kill('SIGTERM');
    const {code, stderr} = await child.ended;
    assert.equal(code, 0, stderr);
  });

  test('pass `apply`: raw table, queries, tap and explain say of every event what it means now', async () => {
    assert.equal((await rowsOf('select event_id from shop.sale', 2)).length, 2);
    writeFiles(root, {'config/domains/shop.yaml': now});
    const plan = await run('plan');
    assert.equal(plan.code, 3, plan.stderr);
    assert.match(plan.stdout, /column quantity becomes pieces/);
    assert.match(plan.stdout, /column pieces is widened/);
    assert.match(plan.stdout, /column amount_cents becomes total_cents/);
    assert.match(plan.stdout, /column color stays, NULL in new rows/);
    await done('apply', '--yes');
    await done('ingest', 'sales', 'data/b.csv');
    assert.deepEqual(await rowsOf(`select ${columns} from shop.sale order by event_id`, 3), [
      ['a1', 'shoe', 'red', null, 2, 150],
      ['a2', 'boot', 'blue', null, 3, 200],
      ['b1', 'hat', null, 'gift', 5_000_000_000, 25],
    ]);
    const tapped = await done(
      'tap',
      'shop.sale',
      '--from',
      'start',
      '--limit',
      '3',
      '--fields',
      'pieces',
      '--json',
    );
    assert.deepEqual(
      [...tapped.matchAll(/"pieces":"?(\d+)/g)].map(([, pieces]) => Number(pieces)).sort(),
      [2, 3, 5_000_000_000],
    );
    const {events} = JSON.parse(await done('explain', 'event', 'a1', '--json'));
    assert.equal(events.length, 1, JSON.stringify(events));
    // The rows above are there before the raw delivery has told where it stands since the apply.
    for (let tries = 0; ; tries++) {
      const {queries, raw} = JSON.parse(await done('status', '--json'));
      const stands = [queries[0].state, raw[0].state, raw[0].lagEvents];
      if (tries < 1_000 && raw[0].state === 'starting') await wait(50);
      else {
        assert.deepEqual(stands, ['running', 'running', 0]);
        break;
      }
    }
    const revision = JSON.parse(await done('status', '--json')).queries[0].revision ?? 2;
    const latest = await readLatest(join(root, '.millrace/files'), `shop.per_day__r${revision}`);
    assert.deepEqual(
      latest?.rows.map(({sold, revenue_cents}) => [sold, revenue_cents]),
      [[5_000_000_005, 375]],
    );
  });
});
