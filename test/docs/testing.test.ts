/** The example of docs/testing.md is a test that passes, and fails as the page shows it. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli, filePlatform, makeRoot, writeFiles} from '../support/cli.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/testing.md'), 'utf8');
const [, example = ''] = /```yaml\n(# config\/tests\/shop\.yaml\n[^`]*)```/.exec(page) ?? [];

const domain = `domain: shop
event_types:
  - {name: purchase, dimensions: [category], metrics: [{name: amount, type: money}, {name: quantity, type: long}]}
aggregations:
  - name: revenue_per_minute
    from: purchase
    window: {type: tumbling, size: 1m}
    group_by: [category]
    measures: {orders: count(), revenue: sum(amount)}
`;

test('the example passes; with a wrong number it shows the difference of the page', async () => {
  const root = makeRoot({
    'config/platform.yaml': filePlatform,
    'config/domains/shop.yaml': domain,
    'config/tests/shop.yaml': example,
  });
  const passed = await cli(root, 'test');
  assert.equal(passed.code, 0, passed.stdout + passed.stderr);
  assert.match(
    passed.stdout,
    /^config\/tests\/shop\.yaml\n {2}✓ a late purchase corrects its minute \(\d+ ms\)\n1 test passed\n$/,
  );
  writeFiles(root, {'config/tests/shop.yaml': example.replace('orders: 2', 'orders: 1')});
  const failed = await cli(root, 'test');
  assert.equal(failed.code, 3);
  const plain = (text: string) => text.replace(/\(\d+ ms\)|shop\.yaml:\d+/g, '').replace(/ +/g, ' ');
  const [, shown = ''] = /```console\n( {2}✗ [^`]*)```/.exec(page) ?? [];
  assert.ok(plain(failed.stdout).includes(plain(shown)), failed.stdout);
});
