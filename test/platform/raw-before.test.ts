/** A field goes while raw events wait: what was logged with it is delivered with it. */
import assert from 'node:assert/strict';
import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {readLatest} from '../../src/sinks/file/read.ts';
import {makeRoot, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';

const shop = (fields: string) => `domain: shop
event_types:
  - name: purchase
    attributes: [${fields}]
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, order_by: none}
`;
const csv = (names: string, rows: string[]) => `timestamp,country,amount,${names}\n${rows.join('\n')}\n`;
const row = (minute: number, rest: string) => `2026-01-05T10:0${minute}:00Z,DE,${minute}.00,${rest}`;

test('events that were logged before fields went, and are delivered after, keep their values; in two changes', async (t) => {
  const root = makeRoot({
    'config/domains/shop.yaml': shop('note, user, old'),
    'data/purchases.csv': csv('note,user,old', [row(0, 'a,u0,x0'), row(1, 'b,u1,x1')]),
    refuse: 'down',
  });
  writeFiles(root, {
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: picky, picky: {dir: .millrace/rows, refuse: "${join(root, 'refuse')}"}}}
defaults: {aggregates: rows, raw: rows}
plugins: [${join(import.meta.dirname, '../cli/picky-sink.ts')}]
`,
  });
  const ingest = async (fields: string, names: string, rows: string[], name: string) => {
    writeFiles(root, {'config/domains/shop.yaml': shop(fields)});
    const {running} = await startIn(root, {inputs: false});
    const path = join(root, 'data', name);
    writeFileSync(path, csv(names, rows));
    const job = {domain: 'shop', input: 'purchases', path, as: null, fast: true, late: true, final: false};
    await running.inputs.ingest(job, () => {});
    return running;
  };
  // The sink takes nothing: what is logged waits.
  await (
    await ingest('note, user, old', 'note,user,old', [row(0, 'a,u0,x0'), row(1, 'b,u1,x1')], 'one.csv')
  ).drain();
  await (
    await ingest(
      'remark, {name: buyer, aliases: [user]}, old',
      'remark,buyer,old',
      [row(2, 'c,u2,x2')],
      'two.csv',
    )
  ).drain();
  rmSync(join(root, 'refuse'));
  const running = await ingest(
    'remark, {name: buyer, aliases: [user]}',
    'remark,buyer',
    [row(3, 'd,u3')],
    'three.csv',
  );
  t.after(() => running.drain());
  await running.idle(AbortSignal.timeout(120_000));
  const {rows} = (await readLatest(join(root, '.millrace/rows'), 'shop.purchase'))!;
  const seen = rows
    .map(({amount_cents, note = null, remark, buyer, old = null}) => [amount_cents, note, remark, buyer, old])
    .sort();
  assert.deepEqual(seen, [
    [0, 'a', null, 'u0', 'x0'],
    [100, 'b', null, 'u1', 'x1'],
    [200, null, 'c', 'u2', 'x2'],
    [300, null, 'd', 'u3', null],
  ]);
  assert.equal(running.status().raw[0]!.written, 4);
});
