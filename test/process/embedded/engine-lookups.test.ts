import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import {openStateReader} from '../../../src/process/embedded/statestore.ts';
import type {LookupSnapshot} from '../../../src/process/types.ts';
import {EngineRig} from './engine-rig.ts';
import {eventType, field, type Logged, planOf} from './kernel-world.ts';

const sale = eventType('sale', [field('product', 'string')], {
  enrich: [{lookup: 'products', on: 'product', take: [{name: 'brand', from: 'brand', type: 'string'}]}],
});
const byBrand = planOf([sale], {
  name: 'by_brand',
  groupBy: ['brand'],
  lookups: [{name: 'products', keyType: 'string'} as never],
});
const snapshot = (id: string, brand: string): LookupSnapshot => ({
  name: 'products',
  id,
  columns: ['brand'],
  rows: new Map([['shoe', [brand]]]),
});

let count = 0;
const sales = (howMany: number, partition = 0): Logged[] =>
  Array.from({length: howMany}, () => {
    return {type: sale, partition, values: {event_id: `${++count}`, timestamp: 1_000, product: 'shoe'}};
  });

async function started(t: TestContext, workers = 1): Promise<EngineRig> {
  const lookups = [snapshot('v1', 'old')];
  const rig = new EngineRig(t, [sale], [byBrand], {partitions: 2, workers, lookups});
  await rig.start();
  return rig;
}

const brands = (rig: EngineRig) =>
  Object.fromEntries(
    rig.tables
      .get(byBrand.id)!
      .read('brand', 'events')
      .map(([, ...row]) => row),
  );

function refresh(rig: EngineRig, next: LookupSnapshot): void {
  rig.lookups.push(next);
  rig.engine.refreshLookup('shop', next);
}

for (const workers of [1, 2])
  test(`a new snapshot counts from the offsets that were journalled with it, with ${workers} workers`, async (t) => {
    const rig = await started(t, workers);
    await rig.append([...sales(3), ...sales(2, 1)]);
    await rig.engine.settle();
    refresh(rig, snapshot('v2', 'new'));
    await rig.engine.settle();
    await rig.append([...sales(4), ...sales(1, 1)]);
    await rig.engine.settle();
    assert.deepEqual(brands(rig), {old: 5, new: 5});
    const reader = openStateReader(rig.stateDir);
    const journal = reader.journal('shop.by_brand/r1').map((entry) => JSON.parse(entry));
    reader.close();
    assert.deepEqual(journal, [
      {
        lookup: 'products',
        snapshot: 'v2',
        places: [
          {topic: 'shop.sale', partition: 0, offset: 3},
          {topic: 'shop.sale', partition: 1, offset: 2},
        ],
      },
    ]);
  });

test('after a restart the journalled snapshot counts until the log of that moment is read', async (t) => {
  const rig = await started(t);
  await rig.append(sales(3));
  await rig.engine.settle();
  await rig.engine.stop();
  // Perhaps these were read with the first snapshot before the crash, and their rows have left.
  await rig.append(sales(4));
  rig.lookups.push(snapshot('v2', 'new'));
  await rig.start();
  await rig.append(sales(2));
  await rig.engine.settle();
  await rig.append(sales(1));
  await rig.engine.settle();
  const rows = brands(rig);
  assert.equal(Number(rows.old) + Number(rows.new), 10);
  assert.ok(Number(rows.old) >= 7 && Number(rows.new) >= 1);
});

test('a query whose journalled snapshot is gone does not start', async (t) => {
  const rig = await started(t);
  await rig.append(sales(1));
  await rig.engine.settle();
  rig.lookups = [snapshot('v3', 'newest')];
  await rig.crash();
  const [status] = rig.engine.status();
  assert.deepEqual([status!.state, status!.reason?.code], ['stopped', 'QUERY_LOOKUP_MISSING']);
});
