/** A sink that is down for a moment while a revision is filled, compared or switched to: it is waited for, as for queries that run. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {cli, filePlatform, makeRoot} from '../support/cli.ts';
import {startIn} from '../support/running.ts';

/** What the plugin does next, and what it was given: it runs in this process. `downs`: so many calls for the second revision fail. */
type World = {
  downs: {ensure: number; marked: number; latest: number; switchView: number};
  rows: Map<string, number>;
  marks: Map<string, number>;
  shown?: string;
};
const world: World = {
  downs: {ensure: 1, marked: 1, latest: 1, switchView: 1},
  rows: new Map(),
  marks: new Map(),
};
Object.assign(globalThis, {fillDownWorld: world});

const errors = fileURLToPath(new URL('../../src/errors.ts', import.meta.url));
const plugin = `import {PlatformError} from ${JSON.stringify(errors)};
const world = globalThis.fillDownWorld;
const may = (what, table) => {
  if (table.endsWith('__r2') && world.downs[what]-- > 0) throw new PlatformError('SINK_UNAVAILABLE', 'no ' + what + ' now');
};
export const sinks = [{
  name: 'shaky', summary: 'Fails for a moment', fields: {},
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: false, views: true, durable: true},
  open: async () => ({
    async ensure(table) { may('ensure', table.name); },
    async write(table, {count, columns}) {
      const at = (name) => columns[table.columns.findIndex((column) => column.name === name)];
      for (let row = 0; row < count; row++) world.rows.set(table.name + ' ' + at('kind')[row], at('n')[row]);
    },
    async mark(marks) { for (const {table, epoch} of marks) world.marks.set(table, epoch); },
    async marked(table) { may('marked', table); return world.marks.get(table); },
    async latest(table) {
      may('latest', table.name);
      const kinds = [...world.rows].flatMap(([row, n]) => row.startsWith(table.name + ' ') ? [[row.split(' ')[1], n]] : []);
      const valueOf = (name, kind, n) => name === 'kind' ? kind : name === 'n' ? n : 0;
      return kinds.map(([kind, n]) => table.columns.map(({name}) => valueOf(name, kind, n)));
    },
    async switchView(table) { may('switchView', table.name); world.shown = table.name; },
    async close() {},
  }),
}];
`;

test('a rebuild whose sink is down when it begins, compares or switches waits for it, says so each time, and comes to its end', async (t) => {
  const root = makeRoot({
    'config/platform.yaml': `${filePlatform}plugins: [../shaky.ts]\n`.replace(
      'backend: file',
      'backend: shaky',
    ),
    'config/domains/d.yaml': `domain: d
event_types:
  - {name: e, dimensions: [kind]}
inputs:
  - {name: in, event_type: e, from: ../../data/e.csv}
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1d}, group_by: [kind], measures: {n: count()}}
`,
    'shaky.ts': plugin,
    'data/e.csv': 'timestamp,kind\n2026-01-05T00:00:00Z,a\n2026-01-05T00:00:01Z,b\n2026-01-05T00:00:02Z,a\n',
  });
  const {running, told} = await startIn(root);
  t.after(() => running.drain());
  await running.idle(AbortSignal.timeout(120_000));
  const done = await cli(root, 'rebuild', 'd.q', '--yes');
  assert.equal(done.code, 0, done.stderr);
  const waits = told.flatMap(({name, event}) =>
    name === 'Log' && /is being filled waits:/.test(String(event.message)) ? [event.message] : [],
  );
  assert.deepEqual(waits, [
    'what is being filled waits: SINK_UNAVAILABLE no ensure now; it goes on by itself',
    'what is being filled waits: SINK_UNAVAILABLE no marked now; it goes on by itself',
    'what is being filled waits: SINK_UNAVAILABLE no latest now; it goes on by itself',
    'what is being filled waits: SINK_UNAVAILABLE no switchView now; it goes on by itself',
  ]);
  assert.equal(world.shown, 'q__r2');
  assert.deepEqual([...world.rows].filter(([row]) => row.startsWith('q__r2 ')).sort(), [
    ['q__r2 a', 2],
    ['q__r2 b', 1],
  ]);
});
