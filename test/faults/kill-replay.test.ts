/**
 * kill -9 in the middle of replays: of dead letters that never reached the log, of events that queries had set aside, mended
 * and as they are. Every chain begins with the same run, is killed in a replay, replays again what is left, is killed while
 * the queries come by it, and runs to its end; then it equals a chain that nobody disturbed.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {compareOutcomes, type Outcome, readOutcome} from './outcome.ts';
import {runUntilIdle, showFault} from './process.ts';
import {type ReplayFaults, runReplays} from './replays.ts';
import {makeWorld} from './world.ts';

/** Where a replay is killed, and where the run after it. */
const faults: ReplayFaults[] = [
  [{failpoint: 'replay.before-append', count: 1}, 0, {failpoint: 'engine.after-merge', count: 3}],
  [{failpoint: 'replay.after-append', count: 1}, 1, {failpoint: 'engine.replayed', count: 1}],
  [{failpoint: 'log.before-commit', count: 2}, 2, {failpoint: 'checkpoint.before-commit', count: 4}],
  [{failpoint: 'log.after-commit', count: 2}, 2, {failpoint: 'state.before-commit', count: 2}],
  [{failpoint: 'replay.after-append', count: 2}, 3, {failpoint: 'checkpoint.after-commit', count: 9}],
  [{failpoint: 'log.acknowledged', count: 2}, 3, {failpoint: 'emit.before-acknowledge', count: 3}],
];
/** Most of a run is waiting, so more of them than cores go at a time. */
const width = 3;

test('kill -9 at 12 points of replays counts every event once, in every query', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'millrace-replays-'));
  t.after(() => rmSync(home, {recursive: true}));
  const template = join(home, 'template');
  makeWorld(template, {rows: 700, ratePerSecond: null});
  const first = await runUntilIdle(template);
  assert.equal(first.code, 0, first.stderr);
  const undisturbed = join(home, 'undisturbed');
  cpSync(template, undisturbed, {recursive: true});
  assert.deepEqual(await runReplays(undisturbed), []);
  const wanted: Outcome = await readOutcome(undisturbed);
  assert.deepEqual(wanted.problems, []);
  const before = await readOutcome(template);
  const told = [...wanted.replayed.values()];
  for (const outcome of ['counted', 'filtered'])
    t.diagnostic(`${told.filter((text) => text.includes(outcome)).length} ${outcome}`);
  assert.ok(told.filter((text) => text.includes('counted')).length > 0, 'queries counted something');
  assert.notDeepEqual([...wanted.log], [...before.log], 'the log got something');

  const bad: string[] = [];
  const left = [...faults.entries()];
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const dir = join(home, `chain-${next[0]}`);
      cpSync(template, dir, {recursive: true});
      const problems = await runReplays(dir, next[1]);
      problems.push(...compareOutcomes(await readOutcome(dir), wanted));
      if (problems.length > 0)
        bad.push(
          `${showFault(next[1][0])}, ${showFault(next[1][2])}:\n  ${problems.slice(0, 8).join('\n  ')}`,
        );
    }
  };
  await Promise.all(Array.from({length: width}, worker));
  assert.deepEqual(bad, []);
});
