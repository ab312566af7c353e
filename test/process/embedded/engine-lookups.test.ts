import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import {PlatformError} from '../../../src/errors.ts';
import type {CheckpointHeader} from '../../../src/process/embedded/checkpoint.ts';
import {createEngine} from '../../../src/process/embedded/engine.ts';
import {openStateReader} from '../../../src/process/embedded/statestore.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import type {LookupSnapshot} from '../../../src/process/types.ts';
import {field} from '../../support/fields.ts';
import {threadsOf} from '../../support/threads.ts';
import {EngineRig} from './engine-rig.ts';
import {eventType, type Logged, planOf} from './kernel-world.ts';
import {Table} from './rig.ts';

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
/** @param padding of the ids: a batch of a MiB is one read. */
const sales = (howMany: number, partition = 0, padding = ''): Logged[] =>
  Array.from({length: howMany}, () => {
    return {
      type: sale,
      partition,
      values: {event_id: `${++count}${padding}`, timestamp: 1_000, product: 'shoe'},
    };
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

function journal(rig: EngineRig, revision: number): unknown[] {
  const reader = openStateReader(rig.stateDir);
  const entries = reader.journal(`shop.by_brand/r${revision}`).map((text) => JSON.parse(text));
  reader.close();
  return entries;
}

const entry = (snapshot: string, ...offsets: number[]) => ({
  lookup: 'products',
  snapshot,
  places: offsets.map((offset, partition) => ({topic: 'shop.sale', partition, offset})),
});

/** Three snapshots, two switches, at other offsets of the two partitions: `a` 2 + 3 events, `b` 4 + 0, `c` 1 + 2. */
async function switched(t: TestContext, workers: number, padding = ''): Promise<EngineRig> {
  const rig = new EngineRig(t, [sale], [byBrand], {partitions: 2, workers, lookups: [snapshot('v1', 'a')]});
  await rig.start();
  await rig.append([...sales(2, 0, padding), ...sales(3, 1, padding)]);
  await rig.engine.settle();
  refresh(rig, snapshot('v2', 'b'));
  await rig.engine.settle();
  await rig.append(sales(4, 0, padding));
  await rig.engine.settle();
  refresh(rig, snapshot('v3', 'c'));
  await rig.engine.settle();
  await rig.append([...sales(1, 0, padding), ...sales(2, 1, padding)]);
  await rig.engine.settle();
  assert.deepEqual(brands(rig), switchedRows);
  return rig;
}
const switchedRows = {a: 5, b: 4, c: 3};
const switchedJournal = [entry('v1', 0, 0), entry('v2', 2, 3), entry('v3', 6, 3)];

/** The sink lost its rows; the engine starts again and has not turned yet. */
async function loseRows(rig: EngineRig): Promise<void> {
  await rig.engine.stop();
  const table = rig.tables.get(byBrand.id)!;
  table.rows.clear();
  table.markedEpoch = 0;
  await rig.start();
}

/** The query begins as a new revision, with an empty table. */
async function rebuild(rig: EngineRig, plan: QueryPlan): Promise<void> {
  await rig.engine.stop();
  rig.plans = [plan];
  rig.tables.set(plan.id, new Table(plan));
  await rig.start();
}

for (const workers of [1, 2]) {
  test(`rows that are made again see the snapshots that their records saw, with ${workers} workers`, async (t) => {
    const rig = await switched(t, workers);
    await loseRows(rig);
    await rig.engine.settle();
    assert.deepEqual(brands(rig), switchedRows);
    assert.deepEqual(journal(rig, 1), switchedJournal);
  });

  test(`a new revision sees them too, and so does the one after it, with ${workers} workers`, async (t) => {
    const rig = await switched(t, workers);
    for (const revision of [2, 3]) {
      await rebuild(rig, {...byBrand, revision});
      await rig.engine.settle();
      assert.deepEqual(brands(rig), switchedRows);
      assert.deepEqual(journal(rig, revision), switchedJournal);
    }
  });

  test(`a crash while rows are made again changes nothing, with ${workers} workers`, async (t) => {
    const rig = await switched(t, workers, 'x'.repeat(2 ** 19));
    const offsets = () => {
      const reader = openStateReader(rig.stateDir);
      const {cuts} = JSON.parse(reader.load('shop.by_brand/r1')!.meta) as CheckpointHeader;
      reader.close();
      return cuts.map(({offset}) => offset).join(' ');
    };
    await loseRows(rig);
    const seen = new Set<string>();
    while (offsets() !== '7 5') {
      // One read, and a checkpoint exactly there.
      await rig.engine.turn();
      rig.engine.pause(byBrand.id);
      await rig.engine.settle();
      seen.add(offsets());
      await rig.crash();
    }
    assert.ok(seen.size > 2, [...seen].join());
    assert.ok(
      [...seen].some((cut) => /^2 |^6 /.test(cut)),
      'a crash between two switches',
    );
    await rig.engine.settle();
    assert.deepEqual(brands(rig), switchedRows);
    assert.deepEqual(journal(rig, 1), switchedJournal);
  });
}

test('a switch waits until the records of before are read again, and is journalled behind them', async (t) => {
  const rig = await switched(t, 1);
  rig.lookups.push(snapshot('v4', 'd'));
  await loseRows(rig);
  await rig.append(sales(1, 1));
  await rig.engine.settle();
  await rig.append(sales(2, 1));
  await rig.engine.settle();
  const rows = brands(rig);
  assert.deepEqual([rows.a, rows.b, Number(rows.c) + Number(rows.d)], [5, 4, 6]);
  assert.ok(Number(rows.d) >= 2);
  const [, , , last] = journal(rig, 1) as {snapshot: string; places: {offset: number}[]}[];
  assert.equal(last!.snapshot, 'v4');
  assert.equal(last!.places[0]!.offset, 7);
  await loseRows(rig);
  await rig.engine.settle();
  assert.deepEqual(brands(rig), rows);
});

test('rows are not made again with another snapshot when one of the journal is gone', async (t) => {
  const rig = await switched(t, 1);
  rig.lookups = rig.lookups.filter(({id}) => id !== 'v2');
  await rebuild(rig, {...byBrand, revision: 2});
  const [status] = rig.engine.status();
  assert.deepEqual([status!.state, status!.reason?.code], ['stopped', 'QUERY_LOOKUP_MISSING']);
  assert.match(status!.reason!.message, /v2/);
  assert.deepEqual(brands(rig), {});
});

test('a query that starts behind its switches does not need the snapshots of before', async (t) => {
  const rig = await switched(t, 1);
  rig.lookups = rig.lookups.filter(({id}) => id === 'v3');
  await rig.crash();
  await rig.append(sales(1));
  await rig.engine.settle();
  assert.deepEqual(brands(rig), {...switchedRows, c: 4});
});

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
    assert.deepEqual(journal(rig, 1), [entry('v1', 0, 0), entry('v2', 3, 2)]);
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

test('a snapshot that comes back before the switch changes nothing, and the query reads on', async (t) => {
  const rig = await started(t);
  await rig.append(sales(2));
  await rig.engine.settle();
  refresh(rig, snapshot('v2', 'new'));
  rig.engine.refreshLookup('shop', snapshot('v1', 'old'));
  await rig.append(sales(3));
  await rig.engine.settle();
  assert.deepEqual(brands(rig), {old: 5});
  // Also when the feeds hold already.
  refresh(rig, snapshot('v2', 'new'));
  await rig.engine.turn();
  rig.engine.refreshLookup('shop', snapshot('v1', 'old'));
  await rig.engine.settle();
  await rig.append(sales(1));
  await rig.engine.settle();
  assert.deepEqual(brands(rig), {old: 6});
});

test('a query that stopped switches when it runs again, behind what it had read', async (t) => {
  const rig = await started(t);
  await rig.append(sales(2));
  await rig.engine.settle();
  rig.engine.fail(byBrand.id, new PlatformError('LOG_IO', 'for this test'));
  refresh(rig, snapshot('v2', 'new'));
  await rig.append(sales(3));
  await rig.engine.settle();
  assert.deepEqual(brands(rig), {old: 2});
  rig.engine.resume(byBrand.id);
  await rig.engine.settle();
  await rig.append(sales(4));
  await rig.engine.settle();
  assert.deepEqual(brands(rig), {old: 5, new: 4});
});

test('a worker thread that is started again has the snapshots of before', async (t) => {
  const rig = new EngineRig(t, [sale], [byBrand], {lookups: [snapshot('v1', 'old')]});
  const threads = threadsOf(t);
  const engine = createEngine({...rig.options(), workers: 1, flushMs: 5, checkpointIntervalMs: 20});
  rig.engine = engine as never;
  await engine.start(rig.plans);
  const until = async (rows: Record<string, number>) => {
    const wanted = JSON.stringify(rows);
    for (let tries = 0; tries < 2_400 && JSON.stringify(brands(rig)) !== wanted; tries++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    assert.deepEqual(brands(rig), rows, JSON.stringify(engine.status()));
  };
  const journalled = async (entries: number) => {
    for (let tries = 0; tries < 2_400 && journal(rig, 1).length < entries; tries++)
      await new Promise((resolve) => setTimeout(resolve, 25));
  };
  await rig.append(sales(2));
  await until({old: 2});
  refresh(rig, snapshot('v2', 'new'));
  await journalled(2);
  await rig.append(sales(3));
  await until({new: 3, old: 2});
  // The first thread is the checkpoint writer.
  await threads[1]!.terminate();
  await rig.append(sales(4));
  await until({new: 7, old: 2});
});

test('a lookup that the journal does not know has its current snapshot from the start on', async (t) => {
  const rig = await switched(t, 1);
  const both = eventType('sale', [field('product', 'string')], {
    enrich: [
      ...sale.enrich,
      {lookup: 'colors', on: 'product', take: [{name: 'color', from: 'color', type: 'string'}]},
    ],
  });
  rig.lookups.push({name: 'colors', id: 'c1', columns: ['color'], rows: new Map([['shoe', ['red']]])});
  const plan = planOf([both], {
    name: 'by_brand',
    groupBy: ['brand', 'color'],
    lookups: ['products', 'colors'].map((name) => ({name, keyType: 'string'}) as never),
  });
  await rebuild(rig, {...plan, revision: 2});
  await rig.engine.settle();
  assert.deepEqual(
    rig.tables
      .get(plan.id)!
      .read('brand', 'color', 'events')
      .map(([, ...row]) => row),
    [
      ['a', 'red', 5],
      ['b', 'red', 4],
      ['c', 'red', 3],
    ],
  );
  assert.deepEqual(journal(rig, 2), [...switchedJournal, {...entry('c1', 0, 0), lookup: 'colors'}]);
});
