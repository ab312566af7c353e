/** `millrace dev`: edits of the configuration beside a platform that runs. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {start} from '../faults/process.ts';
import {cli, makeShop} from '../support/cli.ts';
import {until} from '../support/until.ts';

test('a broken edit changes nothing, a safe one is applied at once, another one is shown and left alone', async () => {
  const root = await makeShop();
  const path = join(root, 'config/domains/shop.yaml');
  const edit = (from: string, to: string) => {
    const text = readFileSync(path, 'utf8');
    assert.ok(text.includes(from), from);
    writeFileSync(path, text.replace(from, to));
  };
  const child = start(root, ['dev', '--fast']);
  try {
    await child.says(/499 events, \d+ rows, lag 0/);

    edit('orders: count()', 'orders: count(');
    await child.says(/shop\.yaml:19:\d+ error EXPR_SYNTAX[\s\S]*not applied: what runs goes on as it was/);
    edit('orders: count(', 'orders: count()');
    await child.says(/nothing to apply: the files mean what runs/);

    edit('quantity > 0 ', 'quantity > 1 ');
    edit('orders: count()\n      revenue', 'orders: count()\n      items: sum(quantity)\n      revenue');
    await child.says(/query shop\.revenue_per_hour {2}new revision[\s\S]*not applied by itself/);
    edit('      items: sum(quantity)\n', '');
    edit('quantity > 1 ', 'quantity > 0 ');

    writeFileSync(
      path,
      `${readFileSync(path, 'utf8')}  - {name: by_user, from: purchase, window: {type: tumbling, size: 1d}, group_by: [user_id], measures: {orders: count()}}\n`,
    );
    await child.says(/starting anew with the new configuration[\s\S]*lag 0/);
    assert.equal(await stateOf(root, 'shop.by_user'), 'running', child.stderr());
    assert.equal((await cli(root, 'plan')).code, 0);
  } finally {
    child.kill('SIGTERM');
  }
  const {code, stderr} = await child.ended;
  assert.equal(code, 0, stderr);
});

/** State of a query in the running platform, as soon as it says something. */
async function stateOf(root: string, query: string): Promise<string | undefined> {
  let state: string | undefined;
  await until(async () => {
    const {stdout} = await cli(root, 'status', '--json');
    const {queries} = JSON.parse(stdout) as {queries: {query: string; state: string}[]};
    state = queries.find((each) => each.query === query)?.state;
    return state !== undefined;
  }, `a state of ${query}`);
  return state;
}
