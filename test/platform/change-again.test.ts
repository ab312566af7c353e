/** What is done after an apply begins with what runs now, not with what ran at the start. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {applyRunning} from '../../src/platform/apply.ts';
import {refillRunning} from '../../src/platform/rebuild.ts';
import {startPlatform} from '../../src/platform/runtime.ts';
import {loadWorld, purchasesCsv, writeWorld} from './change-world.ts';

const yaml = (measures: string) => `domain: shop
event_types:
  - {name: sale, dimensions: [country], metrics: [{name: amount, type: long}]}
aggregations:
  - {name: changed, from: sale, window: {type: tumbling, size: 1h}, group_by: country, measures: {${measures}}}
  - {name: other, from: sale, window: {type: tumbling, size: 1h}, group_by: country, measures: {n: count()}}
`;

test('a rebuild after an apply leaves the changed query running, and rebuilds what it means now', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-again-'));
  writeWorld(root, {
    'config/domains/shop.yaml': yaml('total: sum(amount)'),
    'data/purchases.csv': purchasesCsv(1),
  });
  const {platform} = await loadWorld(root);
  const running = await startPlatform(platform, {port: 0});
  t.after(async () => {
    await running.drain();
    rmSync(root, {recursive: true});
  });
  const options = {yes: true, lagMaxMs: 2000, signal: new AbortController().signal};
  const doneBy = async (lines: AsyncIterable<object>) => {
    let switched = 0;
    for await (const line of lines) if ('switched' in line) switched++;
    return switched;
  };
  const states = async () => {
    await running.idle(options.signal);
    return running
      .status()
      .queries.map(({query, state}) => `${query} ${state}`)
      .sort();
  };

  writeWorld(root, {'config/domains/shop.yaml': yaml('largest: max(amount)')});
  assert.equal(await doneBy(applyRunning(running, options)), 1);
  assert.equal(await doneBy(refillRunning(running, {query: 'shop.other', why: 'rebuild'}, options)), 1);
  assert.deepEqual(await states(), ['shop.changed running', 'shop.other running']);
  assert.equal(await doneBy(refillRunning(running, {query: 'shop.changed', why: 'rebuild'}, options)), 1);
  assert.deepEqual(await states(), ['shop.changed running', 'shop.other running']);
});
