/** A sink that is down for a moment while a revision is filled, compared or switched to, and a full disk: waited for, as for queries that run. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {cli, filePlatform, makeRoot} from '../support/cli.ts';
import {type Started, startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

/** What the plugin does next, and what it was given: it runs in this process. `downs`: so many calls for the second revision fail. */
type World = {
  downs: {ensure: number; marked: number; latest: number; switchView: number};
  rows: Map<string, number>;
  marks: Map<string, number>;
  shown?: string;
  onDown?: (what: string) => void;
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
  if (!table.endsWith('__r2') || world.downs[what]-- <= 0) return;
  world.onDown?.(what);
  throw new PlatformError('SINK_UNAVAILABLE', 'no ' + what + ' now');
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

/** A disk of its own for checkpoints. @returns what takes and gives back all of its room; undefined where nothing can be mounted */
function smallDisk(dir: string): {take(): void; giveBack(): void; unmount(): void} | undefined {
  mkdirSync(dir, {recursive: true});
  const args = ['-t', 'tmpfs', '-o', 'size=4m', 'millrace-test', dir];
  const isMounted = spawnSync('mount', args).status === 0;
  if (!isMounted && process.env.CI === 'true') assert.fail('CI needs the right to mount a tmpfs');
  if (!isMounted) return undefined;
  const ballast = join(dir, 'ballast');
  return {
    take: () => void spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096', 'count=2000']),
    giveBack: () => rmSync(ballast),
    unmount: () => void spawnSync('umount', [dir]),
  };
}

const logged = (told: Started['told'], pattern: RegExp): unknown[] =>
  told.flatMap(({name, event}) =>
    name === 'Log' && pattern.test(String(event.message)) ? [event.message] : [],
  );

test('a rebuild whose sink is down when it begins, compares or switches, or whose disk is full, waits, says so once, and comes to its end', async (t) => {
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
  const disk = smallDisk(join(root, '.millrace/state'));
  const {running, told} = await startIn(root);
  t.after(async () => {
    await running.drain();
    disk?.unmount();
  });
  await running.idle(AbortSignal.timeout(120_000));
  // What is noted of the new revision is written by then, and nothing of its state.
  world.onDown = (what) => void (what === 'ensure' && disk?.take());
  const rebuilding = cli(root, 'rebuild', 'd.q', '--yes');
  const isFull =
    /^revision 2 of d\.q waits while it is filled: CHECKPOINT_DISK_FULL .*; it goes on by itself$/;
  if (disk) await until(() => logged(told, isFull).length > 0, 'the disk is found full');
  disk?.giveBack();
  const done = await rebuilding;
  assert.equal(done.code, 0, done.stderr);
  if (disk) {
    assert.equal(logged(told, isFull).length, 1);
    const isOver = /^revision 2 of d\.q is filled further, after [\d.]+ s \(CHECKPOINT_DISK_FULL\)$/;
    assert.equal(logged(told, isOver).length, 1);
    assert.match(done.stderr, /^d\.q revision 2 waits: CHECKPOINT_DISK_FULL no space left/m);
  }
  assert.deepEqual(logged(told, /is being filled waits:/), [
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
