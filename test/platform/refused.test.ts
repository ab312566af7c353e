/** A sink that refuses for good stops its queries, visibly, and a resume begins them again from their checkpoints. */
import assert from 'node:assert/strict';
import {beforeEach, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {exitCodeOf} from '../../src/cli/outcome.ts';
import type {RunningPlatform} from '../../src/platform/runtime.ts';
import {filePlatform, makeRoot} from '../support/cli.ts';
import {runToEnd, startIn} from '../support/running.ts';

/** What the plugin does next, and what it was given: it runs in this process. */
type World = {
  refuse: 'ensure' | 'write' | 'mark' | undefined;
  /** Marks fail, and may work again. */
  isDown: boolean;
  rows: Map<string, number>;
  writes: number;
  marks: Map<string, number>;
};
const world: World = {refuse: undefined, isDown: false, rows: new Map(), writes: 0, marks: new Map()};
Object.assign(globalThis, {refusedTestWorld: world});
beforeEach(() => {
  world.refuse = undefined;
  world.isDown = false;
  world.writes = 0;
  world.rows.clear();
  world.marks.clear();
});

const errors = fileURLToPath(new URL('../../src/errors.ts', import.meta.url));
const plugin = `import {PlatformError} from ${JSON.stringify(errors)};
const world = globalThis.refusedTestWorld;
const may = (what) => {
  if (world.refuse === what)
    throw new PlatformError('SINK_REFUSED', 'access denied', {hint: 'grant it, then: npx millrace resume'});
};
export const sinks = [{
  name: 'moody', summary: 'Refuses when it is told to', fields: {},
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: false, views: false, durable: true},
  open: async () => ({
    async ensure() { may('ensure'); },
    async write(table, {count, columns}) {
      may('write');
      world.writes += count;
      const at = (name) => columns[table.columns.findIndex((column) => column.name === name)];
      for (let row = 0; row < count; row++) world.rows.set(at('kind')[row], at('n')[row]);
    },
    async mark(marks) {
      may('mark');
      if (world.isDown) throw new Error('connection refused');
      for (const {table, epoch} of marks) world.marks.set(table, epoch);
    },
    async marked(table) { return world.marks.get(table); },
    async close() {},
  }),
}];
`;
const root = () =>
  makeRoot({
    'config/platform.yaml': `${filePlatform}plugins: [../moody.ts]\n`.replace(
      'backend: file',
      'backend: moody',
    ),
    'config/domains/d.yaml': `domain: d
event_types:
  - {name: e, dimensions: [kind]}
inputs:
  - {name: in, event_type: e, from: ../../data/e.csv}
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1d}, group_by: [kind], measures: {n: count()}}
`,
    'moody.ts': plugin,
    'data/e.csv': 'timestamp,kind\n2026-01-05T00:00:00Z,a\n2026-01-05T00:00:01Z,b\n2026-01-05T00:00:02Z,a\n',
  });
const idle = (running: RunningPlatform) => running.idle(AbortSignal.timeout(120_000));
const query = (running: RunningPlatform) => running.status().queries[0]!;
/** As `millrace resume` does. */
async function resume({outputs, engine}: RunningPlatform): Promise<void> {
  await outputs.resume('d.q');
  await engine.resume('d.q');
}

for (const refuse of ['write', 'mark'] as const)
  test(`a sink that refuses a ${refuse} for good: the query stops, the run ends with 4, and a resume goes on`, async () => {
    world.refuse = refuse;
    const {running, told} = await startIn(root());
    await idle(running);
    const {state, reason} = query(running);
    assert.deepEqual(
      [state, reason?.code, reason?.hint],
      ['stopped', 'SINK_REFUSED', 'grant it, then: npx millrace resume d.q'],
    );
    assert.equal(told.filter(({name}) => name === 'QueryStopped').length, 1);
    assert.equal(exitCodeOf(running.status()), 4);
    assert.ok(running.ledger().balanced);
    world.refuse = undefined;
    await resume(running);
    while (query(running).state !== 'running') await new Promise((resolve) => setTimeout(resolve, 20));
    await idle(running);
    assert.deepEqual([...world.rows].sort(), [
      ['a', 2],
      ['b', 1],
    ]);
    assert.equal(exitCodeOf(running.status()), 0);
    assert.ok(running.ledger().balanced);
    await running.drain();
    const {writes} = world;
    await runToEnd(running.platform.root);
    assert.equal(world.writes, writes, 'started again it has nothing to write');
  });

test('a query whose table could not be had at the start is started by a resume', async () => {
  world.refuse = 'ensure';
  const {running} = await startIn(root());
  await idle(running);
  assert.deepEqual([query(running).state, query(running).reason?.code], ['stopped', 'SINK_REFUSED']);
  world.refuse = undefined;
  await resume(running);
  await idle(running);
  assert.equal(query(running).state, 'running');
  assert.equal(world.rows.size, 2);
  await running.drain();
});

test('marks that fail for a while pause the query, so that a drain need not wait for them; the next start goes on', async () => {
  world.isDown = true;
  const {running} = await startIn(root());
  while (query(running)?.state !== 'paused') await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(query(running).reason?.code, 'SINK_UNAVAILABLE');
  await running.drain();
  world.isDown = false;
  const again = await runToEnd(running.platform.root);
  assert.equal(query(again.running).state, 'running');
  assert.equal(world.marks.size, 1);
  assert.equal(world.rows.size, 2);
});
