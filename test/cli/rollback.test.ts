/** Going back after an event type changed: nothing is counted as NULL unsaid, and twice is once. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli, makeShop} from '../support/cli.ts';

test('a rollback to what reads a field that events no longer have is refused, unless it is wanted; a second one changes nothing', async () => {
  const root = await makeShop();
  const run = (...argv: string[]) => cli(root, ...argv);
  const path = join(root, 'config/domains/shop.yaml');
  const edit = (from: string | RegExp, to: string) =>
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(from, to));
  edit(
    '      orders: count()\n      revenue',
    '      orders: count()\n      items: sum(quantity)\n      revenue',
  );
  assert.equal((await run('run', '--until-idle', '--fast')).code, 0);

  edit('{name: quantity, type: long}', '{name: pieces, type: long, aliases: [quantity], required: false}');
  edit('sum(quantity)', 'sum(pieces)');
  edit('quantity > 0', 'pieces > 0');
  const applied = await run('apply', '--yes');
  assert.equal(applied.code, 0, applied.stderr + applied.stdout);
  assert.match((await run('explain', 'plan', 'revenue_per_hour')).stdout, /pieces/);

  const refused = await run('apply', '--rollback');
  assert.notEqual(refused.code, 0);
  assert.match(
    refused.stderr,
    /ROLLBACK_IMPOSSIBLE .*reads shop\.purchase: quantity, which new events no longer have[\s\S]*hint: take the change back in the files, too/,
  );
  const anyway = await run('apply', '--rollback', '--yes');
  assert.equal(anyway.code, 0, anyway.stderr);
  assert.match(anyway.stderr, /revenue_per_hour now shows revision 1/);
  // What runs is what was rolled back to, whatever the files say.
  assert.match((await run('explain', 'plan', 'revenue_per_hour')).stdout, /quantity/);

  const again = await run('apply', '--rollback', '--yes', 'revenue_per_hour');
  assert.notEqual(again.code, 0);
  assert.match(again.stderr, /taken back already and shows revision 1[\s\S]*forward again/);
});
