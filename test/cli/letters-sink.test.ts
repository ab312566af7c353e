import assert from 'node:assert/strict';
import {readdirSync, readFileSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';

const domain = `domain: shop
event_types:
  - name: purchase
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv}
aggregations:
  - name: per_hour
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures: {revenue: sum(amount)}
`;
const rows = ['DE', 'FR', 'XX', 'US', 'XX'].map(
  (country, index) => `2026-01-05T10:0${index}:00Z,${country},${index}.00`,
);

/** Countries in the sink's lines. */
function countries(dir: string): string[] {
  const lines = readdirSync(dir, {recursive: true, encoding: 'utf8'})
    .filter((path) => path.includes('per_hour') && path.endsWith('.jsonl'))
    .flatMap((path) => readFileSync(join(dir, path), 'utf8').trim().split('\n'));
  return [...new Set(lines.map((line) => JSON.parse(line).country as string))].sort();
}

test('a row that a sink refuses is a dead letter, the others are written; mended there, it is sent again', async (t) => {
  const root = makeRoot({
    'config/domains/shop.yaml': domain,
    'data/purchases.csv': `timestamp,country,amount\n${rows.join('\n')}\n`,
    refuse: '',
  });
  const path = join(root, 'refuse');
  writeFiles(root, {
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: picky, picky: {dir: .millrace/rows, refuse: "${path}"}}}
defaults: {aggregates: rows, raw: none}
plugins: [${join(import.meta.dirname, 'picky-sink.ts')}]
`,
  });
  const {running, told} = await startIn(root);
  t.after(() => running.drain());
  await running.idle(new AbortController().signal);
  const json = async (...argv: string[]) => JSON.parse((await cli(root, ...argv, '--json')).stdout);
  const dir = join(root, '.millrace/rows');
  assert.deepEqual(countries(dir), ['DE', 'FR', 'US']);
  assert.equal(running.engine.status()[0]!.state, 'running');
  const letters = await json('dlq', 'list', '--stage', 'sink');
  assert.ok(letters.length > 0);
  for (const {code, query, source, message, position} of letters) {
    assert.deepEqual(
      [code, query, source, message],
      ['SINK_ROW', 'shop.per_hour', 'rows shop.per_hour__r1', 'there is no country XX'],
    );
    assert.match(position.request, /XX/);
  }
  assert.ok(told.some(({name}) => name === 'RowsRefused'));
  const lines = async () => (await json('ledger')).delivery[0];
  const before = await lines();
  assert.deepEqual([before.dead, before.difference, before.pending], [letters.length, 0, 0]);

  const outcomes = async () => (await json('dlq', 'replay', 'shop', '--stage', 'sink')).outcomes;
  assert.deepEqual(await outcomes(), {rejected: letters.length});
  rmSync(path);
  assert.deepEqual(await outcomes(), {written: letters.length});
  assert.deepEqual(countries(dir), ['DE', 'FR', 'US', 'XX']);
  assert.deepEqual(await outcomes(), {duplicate: letters.length});
  const after = await lines();
  assert.deepEqual(
    [after.written - before.written, after.dead, after.difference],
    [letters.length, letters.length, 0],
  );
});
