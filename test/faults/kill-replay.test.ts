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
import {type Ended, type Fault, runUntilIdle, showFault, start} from './process.ts';
import {makeWorld} from './world.ts';

const replays: string[][] = [
  ['dlq', 'replay', 'shop', '--code', 'TYPE', '--set', 'amount=1.00'],
  ['dlq', 'replay', 'shop', '--code', 'CHECK', '--set', 'quantity=abs(quantity)'],
  ['dlq', 'replay', 'shop', '--stage', 'expression', '--set', "note='7'"],
  ['late', 'replay', 'shop', '--all'],
];
/** Where a replay is killed, and where the run after it. */
const faults: [inReplay: Fault, replay: number, inRun: Fault][] = [
  [{failpoint: 'replay.before-append', count: 1}, 0, {failpoint: 'engine.after-merge', count: 3}],
  [{failpoint: 'replay.after-append', count: 1}, 1, {failpoint: 'engine.replayed', count: 1}],
  [{failpoint: 'log.before-commit', count: 2}, 2, {failpoint: 'checkpoint.before-commit', count: 4}],
  [{failpoint: 'log.after-commit', count: 2}, 2, {failpoint: 'state.before-commit', count: 2}],
  [{failpoint: 'replay.after-append', count: 2}, 3, {failpoint: 'checkpoint.after-commit', count: 9}],
  [{failpoint: 'log.acknowledged', count: 2}, 3, {failpoint: 'emit.before-acknowledge', count: 3}],
];
/** Most of a run is waiting, so more of them than cores go at a time. */
const width = 3;

const millrace = (root: string, args: string[], fault?: Fault): Promise<Ended> =>
  start(root, args, fault).ended;

async function runChain(dir: string, chain?: (typeof faults)[number]): Promise<string[]> {
  const problems: string[] = [];
  for (const [index, args] of replays.entries()) {
    if (chain?.[1] === index) {
      const {killed, stderr} = await millrace(dir, args, chain[0]);
      if (!killed) problems.push(`${showFault(chain[0])} was not reached: ${stderr}`);
    }
    const {code, stderr} = await millrace(dir, args);
    // 1: some were refused again.
    if (code !== 0 && code !== 1) problems.push(`${args.join(' ')} ended with ${code}: ${stderr}`);
  }
  if (chain) {
    const {killed, stderr} = await runUntilIdle(dir, chain[2]);
    if (!killed) problems.push(`${showFault(chain[2])} was not reached: ${stderr}`);
  }
  const {code, stderr} = await runUntilIdle(dir);
  if (code !== 0) problems.push(`exit code ${code}: ${stderr}`);
  return problems;
}

test('kill -9 at 12 points of replays counts every event once, in every query', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'millrace-replays-'));
  t.after(() => rmSync(home, {recursive: true}));
  const template = join(home, 'template');
  makeWorld(template, {rows: 700, ratePerSecond: null});
  const first = await runUntilIdle(template);
  assert.equal(first.code, 0, first.stderr);
  const undisturbed = join(home, 'undisturbed');
  cpSync(template, undisturbed, {recursive: true});
  assert.deepEqual(await runChain(undisturbed), []);
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
      const problems = await runChain(dir, next[1]);
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
