/** An event type gets a field: its raw table takes it, without being filled again. */
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import {readAll} from '../../src/sinks/file/read.ts';
import {makeRoot, writeFiles} from '../support/cli.ts';
import {runToEnd} from '../support/running.ts';

const platform = `platform: shop
sinks: {rows: {backend: file}}
defaults: {aggregates: rows, raw: rows}
server: {port: 0}
`;
const domain = (attributes: string, file: string) => `domain: shop
event_types:
  - {name: sale, attributes: [${attributes}]}
inputs:
  - {name: sales, event_type: sale, from: ../../data/${file}}
aggregations:
  - {name: per_day, from: sale, window: {type: tumbling, size: 1d}, measures: {sold: count()}}
`;

test('events of before read NULL in the new column, those of after carry it, and queries go on', async () => {
  const root = makeRoot({
    'config/platform.yaml': platform,
    'config/domains/shop.yaml': domain('product', 'a.csv'),
    'data/a.csv': 'timestamp,product\n2026-01-05T00:00:00Z,shoe\n',
    'data/b.csv': 'timestamp,product,color\n2026-01-05T00:00:01Z,boot,red\n',
  });
  await runToEnd(root);
  writeFiles(root, {'config/domains/shop.yaml': domain('product, color', 'b.csv')});
  const {running} = await runToEnd(root);
  const {queries, raw} = running.status();
  assert.deepEqual(
    [queries[0]!.state, raw[0]!.state, raw[0]!.lagEvents],
    ['running', 'running', 0],
    raw[0]!.message ?? '',
  );
  const dir = join(root, '.millrace/files');
  const {table, batch} = (await readAll(dir, 'shop', 'sale'))!;
  const column = (name: string) => batch.columns[table.columns.findIndex((each) => each.name === name)]!;
  const rows = column('product').map((product, row) => [product, column('color')[row]]);
  assert.deepEqual(rows.sort(), [
    ['boot', 'red'],
    ['shoe', null],
  ]);
});
