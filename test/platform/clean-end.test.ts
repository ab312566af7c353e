/** What a run leaves that ended cleanly: a checkpoint which knows that its rows were acknowledged, however slow the sink. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {filePlatform, makeRoot} from '../support/cli.ts';
import {runToEnd} from '../support/running.ts';

/** The sink runs in this process: how slow it is, and what it was given. */
const world = {writeMs: 0, markMs: 0, rows: 0, marks: new Map<string, number>()};
Object.assign(globalThis, {cleanEndTestWorld: world});

const plugin = `const world = globalThis.cleanEndTestWorld;
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const sinks = [{
  name: 'slow', summary: 'Answers late', fields: {},
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: false, views: false, durable: true},
  open: async () => ({
    async ensure() {},
    async write(table, {count}) { await after(world.writeMs); world.rows += count; },
    async mark(marks) {
      await after(world.markMs);
      for (const {table, epoch} of marks) world.marks.set(table, epoch);
    },
    async marked(table) { return world.marks.get(table); },
    async close() {},
  }),
}];
`;

// A write that outlasts a checkpoint; a mark that outlasts the look at whether anything is left to do.
for (const [writeMs, markMs] of [
  [1_500, 0],
  [0, 2_500],
] as const)
  test(`rows take ${writeMs} ms, marks ${markMs} ms: started again it writes nothing`, async () => {
    Object.assign(world, {writeMs, markMs, rows: 0});
    world.marks.clear();
    const root = makeRoot({
      'config/platform.yaml': `${filePlatform}plugins: [../slow.ts]\n`.replace(
        'backend: file',
        'backend: slow',
      ),
      'config/domains/d.yaml': `domain: d
event_types:
  - {name: e, dimensions: [kind]}
inputs:
  - {name: in, event_type: e, from: ../../data/e.csv}
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1d}, group_by: [kind], measures: {n: count()}}
`,
      'slow.ts': plugin,
      'data/e.csv': 'timestamp,kind\n2026-01-05T00:00:00Z,a\n2026-01-05T00:00:01Z,b\n',
    });
    await runToEnd(root);
    const {rows} = world;
    assert.ok(rows >= 2);
    await runToEnd(root);
    assert.equal(world.rows, rows);
  });
