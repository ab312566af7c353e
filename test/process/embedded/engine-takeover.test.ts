import assert from 'node:assert/strict';
import {type ChildProcess, spawn} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, type TestContext, test} from 'node:test';
import {setTimeout as sleep} from 'node:timers/promises';
import type {CheckpointPlace} from '../../../src/process/embedded/statestore.ts';
import type {EmittedRows} from '../../../src/process/types.ts';
import {startBucket} from '../../support/bucket.ts';
import {EngineRig} from './engine-rig.ts';
import {all, day, events, purchase, strict, view} from './engine-world.ts';

/** Where the owners fall asleep, one after another. */
const sleepsAt = [
  'engine.after-merge:3',
  'emit.before-send:2',
  'checkpoint.before-commit:7',
  'checkpoint.after-commit:7',
  'emit.before-mark:2',
];
const leaseMs = 1_000;
const plans = [...all, strict];

/** How long the wait for something may be, ms: machines of tests are busy. */
const patienceMs = 30_000;

async function until(what: string, isSo: () => boolean, forMs = patienceMs): Promise<void> {
  for (const endMs = performance.now() + forMs; !isSo(); await sleep(20))
    assert.ok(performance.now() < endMs, what);
}

const isStopped = ({pid}: ChildProcess): boolean => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat[stat.lastIndexOf(')') + 2] === 'T';
};

type Owner = {name: string; child: ChildProcess};

/** A chain of owners on one log and one store; each falls asleep, the next one takes over, all wake at the end. */
async function chain(
  t: TestContext,
  placeOf: (rig: EngineRig, index: number) => CheckpointPlace,
): Promise<void> {
  const rig = new EngineRig(t, [purchase, view], plans, {partitions: 2});
  const dir = join(rig.logDir, '..');
  const lines = <T>(file: string): T[] =>
    existsSync(join(dir, file))
      ? readFileSync(join(dir, file), 'utf8')
          .split('\n')
          .filter(Boolean)
          .map(
            (line) =>
              JSON.parse(line, (_key, value) =>
                /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
              ) as T,
          )
      : [];
  const owners: Owner[] = [];
  const start = (name: string, failpoint?: string): Owner => {
    const options = {dir, name, place: placeOf(rig, owners.length), leaseMs};
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'takeover-child.ts'), JSON.stringify(options)],
      {
        env: {...process.env, ...(failpoint ? {MILLRACE_FAILPOINT: `${failpoint}:stop`} : {})},
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    t.after(() => child.kill('SIGKILL'));
    owners.push({name, child});
    return owners.at(-1)!;
  };
  const owns = ({name}: Owner) => lines<[string, number]>('owners').some(([owner]) => owner === name);
  /** One that sleeps inside a transaction of a file holds that: it goes on for a moment. */
  const takeOver = async (next: Owner, sleeper: Owner | undefined) => {
    for (let attempt = 0; ; attempt++) {
      const endMs = performance.now() + (sleeper ? 5 * leaseMs : patienceMs);
      while (!owns(next) && performance.now() < endMs) await sleep(20);
      if (owns(next)) return;
      assert.ok(sleeper && attempt < 5, `${next.name} never became the owner`);
      sleeper.child.kill('SIGCONT');
      await sleep(2);
      sleeper.child.kill('SIGSTOP');
    }
  };

  let sleeper: Owner | undefined;
  for (const [index, point] of sleepsAt.entries()) {
    await rig.append(events(60, index, 2, day + index * 180_000));
    const owner = start(point, point);
    await takeOver(owner, sleeper);
    await until(`${point} is reached`, () => isStopped(owner.child));
    sleeper = owner;
  }
  await rig.append(events(60, 100, 2, day + 1_000_000));
  const last = start('last');
  await takeOver(last, sleeper);
  const settled = () => lines<{settled: boolean; lagEvents: number}[]>('status-last').at(-1);
  await until(
    'the last owner settles',
    () => settled()?.every((each) => each.settled && each.lagEvents === 0) === true,
  );

  // They wake, the oldest last, and write what they were about to write.
  for (const {child} of owners.slice(0, -1).reverse()) {
    child.kill('SIGCONT');
    await until('a sleeper that woke ends', () => child.exitCode !== null || child.signalCode !== null);
    assert.equal(child.exitCode, 0);
  }
  const fenced = lines<[string, (string | null)[]]>('fenced');
  assert.deepEqual(new Set(fenced.map(([name]) => name)), new Set(sleepsAt));
  for (const [name, codes] of fenced)
    assert.ok(
      codes.some((code) => code === 'FENCED'),
      `${name}: ${codes}`,
    );

  await rig.append(events(60, 101, 2, day + 1_100_000));
  const end = async ({name, child}: Owner) => {
    writeFileSync(join(dir, `end-${name}`), '');
    await until(`${name} ends`, () => child.exitCode !== null || child.signalCode !== null);
    assert.equal(child.exitCode, 0);
  };
  await end(last);
  // What the sleepers marked is nothing that anybody could miss: another owner, elsewhere, goes on as it is.
  const heir = start('heir');
  await takeOver(heir, undefined);
  await end(heir);
  assert.deepEqual(lines('resets'), []);

  for (const rows of lines<EmittedRows>('rows')) rig.tables.get(rows.query)!.upsert(rows);
  rig.status = lines<NonNullable<typeof rig.status>>('status-heir').at(-1);
  rig.check();
  for (const {query, checkpointEpoch} of rig.status!)
    for (const [marked, epoch] of lines<[string, number]>('marks'))
      if (marked === query)
        assert.ok(epoch <= checkpointEpoch, `${query} was marked ahead of its checkpoints`);
  const side = new Set(lines('side').map((record) => JSON.stringify(record)));
  const late = plans.flatMap((plan) =>
    rig.lateOf(plan).map((place) => JSON.stringify([plan.id, ...place, 'late'])),
  );
  assert.deepEqual([...side].sort(), late.sort());
}

test('directory: owners that fall asleep anywhere and wake after a take-over change no row, no ledger, no mark', (t) =>
  chain(t, (rig) => ({dir: rig.stateDir})));

const bucket = await startBucket();
after(() => bucket?.stop());
const skip = bucket === undefined && process.env.CI !== 'true' && 'there is no SeaweedFS here';
test('s3: the same, every owner on a machine of its own', {skip}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  await chain(t, (rig, index) => {
    const dir = join(rig.stateDir, String(index));
    mkdirSync(dir, {recursive: true});
    return {dir, remote: {s3: bucket.settings, prefix: 'chain/'}};
  });
});
