/** Sinks that are down, flap, are slow or lose their answers; disks that are full. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {before, type TestContext, test} from 'node:test';
import {testClock} from '../../src/clock.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {openFiles} from '../../src/sinks/file/open.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {countryRow, queryTable} from '../conformance/sink.ts';
import {until} from '../support/until.ts';
import type {Mode} from './flaky-sink.ts';
import {compareOutcomes, type Outcome, readOutcome} from './outcome.ts';
import {main, runUntilIdle, start} from './process.ts';
import {fileSinks} from './sink-reader.ts';
import {breakSink, makeWorld} from './world.ts';

let wanted: Outcome;
before(async () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-outage-'));
  makeWorld(root, {rows: 1_200});
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  wanted = await readOutcome(root);
  rmSync(root, {recursive: true});
});

/** A world with one of its two sinks behind the flaky one. */
function world(t: TestContext, mode?: Mode, sink: 'rows' | 'copies' = 'copies'): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-outage-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  makeWorld(root, {rows: 1_200});
  if (!mode) return root;
  breakSink(root, sink, mode);
  return root;
}

/** The state is behind the name, which may hold anything. */
const isStopped = (pid: number): boolean =>
  / T \d/.test(readFileSync(`/proc/${pid}/stat`, 'utf8').split(')').at(-1)!);

async function assertSame(root: string): Promise<void> {
  assert.deepEqual(compareOutcomes(await readOutcome(root), wanted).slice(0, 5), []);
}

for (const mode of ['flapping', 'slow', 'lost'] as const)
  for (const sink of ['rows', 'copies'] as const)
    test(`the sink ${sink} ${mode === 'lost' ? 'commits and loses its answers' : `is ${mode}`}: nothing is lost or repeated`, async (t) => {
      const root = world(t, mode, sink);
      const {code, stderr} = await runUntilIdle(root);
      assert.equal(code, 0, stderr);
      await assertSame(root);
    });

test('one of two sinks of a query is down: the other has its rows, other queries go on, and it recovers alone', async (t) => {
  const root = world(t, 'down');
  const child = start(root, ['run', '--until-idle', '--port', '0']);
  await child.says(/sink copies fails for shop\.per_hour/);
  const rows = async () => {
    const sinks = fileSinks(root);
    const count = async (query: string, sink: number) => (await sinks.latest(query, sink, [])).length;
    return {
      sliding: await count('sliding', 0),
      first: await count('per_hour', 0),
      second: await count('per_hour', 1),
    };
  };
  const known = [...wanted.rows.keys()].filter((name) => name.startsWith('sliding@0')).length;
  let seen = await rows();
  while (seen.sliding < known && seen.second === 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    seen = await rows();
  }
  assert.equal(seen.second, 0, 'the sink is still down');
  assert.equal(seen.sliding, known, 'another query is through');
  assert.ok(seen.first > 0, 'its other sink has rows');
  const {code, stderr} = await child.ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /sink copies is back for shop\.per_hour/);
  await assertSame(root);
});

test('a sink that is down for a minute pauses its delivery, is tried all the time, and has every row once afterwards', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-outage-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  const clock = testClock(0);
  const files = await openFiles({dir: 'rows'}, {root, name: 's'});
  t.after(() => files.close());
  const table = queryTable('outage', {country: 'string'});
  await files.ensure(table);
  let attempts = 0;
  const upMs = 60_000;
  const sink: typeof files = {
    ...files,
    async write(to, batch) {
      attempts++;
      if (clock.now() < upMs) throw new Error('connection refused');
      await files.write(to, batch);
    },
  };
  const told: string[] = [];
  const delivery = createDelivery({
    sink,
    sinkName: 's',
    table,
    clock,
    random: () => 0.5,
    telemetry: noTelemetry,
    callbacks: {onPaused: () => told.push(`paused at ${clock.now()}`), onResumed: () => told.push('resumed')},
  });
  const pushed = Array.from({length: 5}, (_, i) =>
    delivery.push(batchOf(table, [countryRow(`c${i}`, i, 2)])),
  );
  for (let second = 0; second < 59; second++) await clock.advance(1_000);
  assert.equal(delivery.state(), 'paused');
  assert.equal(delivery.counts().written, 0);
  assert.equal(delivery.counts().pending, 5);
  assert.ok(attempts > 8 && attempts < 40, `${attempts} attempts`);
  for (let second = 0; second < 15; second++) {
    await clock.advance(1_000);
    // The write itself is real.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(pushed);
  assert.deepEqual(
    told.map((text) => text.split(' ')[0]),
    ['paused', 'resumed'],
  );
  assert.deepEqual(delivery.counts(), {emitted: 5, written: 5, pending: 0, dead: 0});
  const text = readFileSync(join(root, 'rows', table.namespace, `${table.name}.jsonl`), 'utf8');
  assert.equal(text.trim().split('\n').length, 5);
});

/** Where a run is stopped while a disk becomes full: there is more to write on that one, whatever the speed of the machine. */
const disks = {log: 'ingest.before-append', state: 'checkpoint.before-commit', rows: 'emit.before-send'};
for (const [part, failpoint] of Object.entries(disks))
  test(`the disk of ${part} is full: it waits, and goes on by itself when there is space`, async (t) => {
    const root = world(t);
    const dir = join(root, '.millrace', part);
    mkdirSync(dir, {recursive: true});
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'millrace-test', dir]).status === 0;
    if (!mounted && process.env.CI === 'true') assert.fail('CI needs the right to mount a tmpfs');
    if (!mounted) return t.skip('a tmpfs cannot be mounted here');
    try {
      const args = ['run', '--until-idle', '--port', '0'];
      const child = start(root, args, undefined, 240_000, main, {MILLRACE_FAILPOINT: `${failpoint}:2:stop`});
      await until(() => isStopped(child.pid), `it stands at ${failpoint}`);
      // Everything that is left is taken, in the middle of the run.
      const ballast = join(dir, 'ballast');
      spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096', 'count=100000']);
      child.kill('SIGCONT');
      await child.says(/no space|fails for|DISK_FULL/);
      rmSync(ballast);
      const {code, stderr} = await child.ended;
      assert.equal(code, 0, stderr);
      if (part === 'state') assert.match(stderr, /runs again, after [0-9.]+ s \(CHECKPOINT_DISK_FULL\)/);
      await assertSame(root);
    } finally {
      spawnSync('umount', [dir]);
    }
  });
