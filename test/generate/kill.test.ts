/**
 * kill -9 while events are generated and while rows are made of them, then `generate --verify`: nothing is repeated, nothing skipped, and
 * the rows are the expected ones. MILLRACE_KILL_SEEDS=100 asks for more.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import type {Verification} from '../../src/platform/generate-verify.ts';
import {type Fault, start} from '../faults/process.ts';
import {makeShopPlatform} from './world.ts';

const seeds = Number(process.env.MILLRACE_KILL_SEEDS ?? 8);
const events = 2_500;
const places = ['generate.before-append', 'generate.after-append', 'log.before-commit', 'log.after-commit'];
const later = [
  'engine.before-merge',
  'emit.before-send',
  'emit.before-acknowledge',
  'checkpoint.before-commit',
];

async function killed(
  seed: number,
  sinks: 'files' | 'databases',
): Promise<{kills: number; verification: Verification}> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-generate-'));
  try {
    makeShopPlatform(root, seed, sinks);
    let kills = 0;
    const faults: Fault[] = [
      {failpoint: places[seed % places.length]!, count: 1 + (seed % 4)},
      {failpoint: later[seed % later.length]!, count: 1 + (seed % 5)},
    ];
    const args = ['generate', 'shop', '--to', String(events), '--fast'];
    for (const [index, fault] of faults.entries()) {
      const run = await start(root, index === 0 ? args : [...args, '--verify'], fault).ended;
      if (run.killed) kills++;
      else assert.equal(run.code, 0, run.stderr + run.stdout);
    }
    const {code, stdout, stderr} = await start(root, [...args, '--verify', '--json']).ended;
    assert.equal(code, 0, `seed ${seed}: ${stdout} ${stderr}`);
    return {kills, verification: JSON.parse(stdout) as Verification};
  } finally {
    rmSync(root, {recursive: true, force: true});
  }
}

const check = ({verification}: {verification: Verification}) => {
  assert.equal(verification.events, events);
  assert.deepEqual(
    verification.checks.flatMap(({differences}) => differences),
    [],
  );
  const rows = verification.checks.filter(({what}) => what.startsWith('rows of'));
  assert.equal(rows.length, 4);
  for (const {what, compared} of rows) assert.ok(compared > 0, what);
};

test(`generating is killed and goes on, ${seeds} seeds with files as sinks`, async () => {
  let kills = 0;
  let next = 1001;
  const walk = async () => {
    while (next <= 1000 + seeds) {
      const outcome = await killed(next++, 'files');
      kills += outcome.kills;
      check(outcome);
    }
  };
  await Promise.all([walk(), walk(), walk()]);
  assert.ok(kills >= seeds, `${kills} kills on ${seeds} seeds`);
});

test('the same with ClickHouse and PostgreSQL, 2 seeds', async () => {
  for (const seed of [2001, 2002]) check(await killed(seed, 'databases'));
});
