import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {EngineRig} from './engine-rig.ts';
import {all, day, events, purchase, strict, view} from './engine-world.ts';

/** Every step from the read to the mark. */
const failpoints = [
  'engine.after-read',
  'engine.after-process',
  'engine.before-merge',
  'engine.after-merge',
  'emit.before-send',
  'emit.before-acknowledge',
  'emit.after-acknowledge',
  'emit.before-mark',
  'emit.after-mark',
  'checkpoint.before-copy',
  'checkpoint.before-commit',
  'checkpoint.after-commit',
];

test('kill -9 at every step from read to mark changes no row, no ledger and no side output', async (t) => {
  const plans = [...all, strict];
  const rig = new EngineRig(t, [purchase, view], plans, {partitions: 2});
  const dir = join(rig.logDir, '..');
  const run = async (failpoint?: string) => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('./engine-child.ts', import.meta.url)), dir],
      {
        env: {...process.env, ...(failpoint ? {MILLRACE_FAILPOINT: failpoint} : {})},
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    const [code, signal] = await once(child, 'exit');
    return signal ?? code;
  };
  const lines = (name: string) =>
    readFileSync(join(dir, name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) =>
        JSON.parse(line, (_key, value) => (/^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value)),
      );

  for (const [index, failpoint] of failpoints.entries()) {
    await rig.append(events(60, index, 2, day + index * 180_000));
    // At the first pass all queries are about to take the step; at the third some have and some have not.
    assert.equal(await run(`${failpoint}:${index % 2 === 0 ? 1 : 3}`), 'SIGKILL', failpoint);
  }
  assert.equal(await run(), 0);

  for (const rows of lines('rows')) rig.tables.get(rows.query)!.upsert(rows);
  rig.status = lines('status').at(-1);
  rig.check();
  const late = new Set(lines('side').map((record) => JSON.stringify(record)));
  const expected = plans.flatMap((plan) =>
    rig.lateOf(plan).map((place) => JSON.stringify([plan.id, ...place, 'late'])),
  );
  assert.deepEqual([...late].sort(), expected.sort());
  assert.ok(late.size > 0);
});
