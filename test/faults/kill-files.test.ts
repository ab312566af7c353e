/**
 * kill -9 at 150 places of a run with `file` sinks: MILLRACE_SWEEP=1000 asks for more, MILLRACE_SWEEP_SEED for others.
 *
 * Runs come in chains: a directory is killed at up to four points, one after the other (so that recoveries are killed as well),
 * while its lookup file changes from one start to the next; in one chain of eight it changes while data flows, and the kills
 * come just after; then it runs undisturbed until it is idle, and what it left is
 * compared with a run without a kill (outcome.ts names the sets).
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {compareOutcomes, hasCheckpoint, type Outcome, readOutcome, switchesInFlow} from './outcome.ts';
import {pointsOf} from './points.ts';
import {type Fault, hasStrace, runRefreshing, runUntilIdle, showFault} from './process.ts';
import {fileSinks} from './sink-reader.ts';
import {makeWorld, replaceLookup, seeded} from './world.ts';

const wantedPoints = Number(process.env.MILLRACE_SWEEP ?? 150);
const seed = Number(process.env.MILLRACE_SWEEP_SEED ?? 1);
const chainLength = 4;
/** Most of a run is waiting, so more of them than cores go at a time. */
const width = 4;
/** One chain in so many refreshes its lookup while data flows; they come slowly, so that there is time for it. */
const refreshingEvery = 8;

type Chain = {
  faults: Fault[];
  hits: number;
  seconds: number;
  problems: string[];
  dir: string;
  /** Switches of a lookup between two records. */
  switches: number;
};

async function runChain(
  template: string,
  dir: string,
  faults: Fault[],
  wanted: Outcome,
  isRefreshing: boolean,
): Promise<Chain> {
  cpSync(template, dir, {recursive: true});
  const runOnce = (fault?: Fault) => {
    const version = 1 + 100 * chain.faults.length;
    if (fault && 'refreshes' in fault) return runRefreshing(dir, version, fault);
    return isRefreshing ? runRefreshing(dir, version) : runUntilIdle(dir, fault);
  };
  const chain: Chain = {faults: [], hits: 0, seconds: 0, problems: [], dir, switches: 0};
  const startedMs = performance.now();
  for (const fault of faults) {
    const {code, killed, stderr} = await runOnce(fault);
    chain.faults.push(fault);
    if (killed) chain.hits++;
    else if (code !== 0) chain.problems.push(`exit code ${code} without a kill: ${stderr}`);
    if (hasCheckpoint(dir)) replaceLookup(dir, 100 * chain.faults.length);
    if (!killed) break;
  }
  const {code, stderr} = await runOnce();
  if (code !== 0) chain.problems.push(`exit code ${code} of the run without a fault: ${stderr}`);
  else chain.problems.push(...compareOutcomes(await readOutcome(dir), wanted));
  if (isRefreshing) chain.switches = switchesInFlow(dir);
  chain.seconds = (performance.now() - startedMs) / 1000;
  if (chain.problems.length === 0) rmSync(dir, {recursive: true});
  return chain;
}

test(`kill -9 at ${wantedPoints} points loses nothing, repeats nothing and changes no row`, async (t) => {
  if (!hasStrace) assert.ok(process.env.CI !== 'true', 'CI needs strace');
  const home = mkdtempSync(join(tmpdir(), 'millrace-sweep-'));
  const template = join(home, 'template');
  makeWorld(template);
  const slow = join(home, 'slow');
  makeWorld(slow, {ratePerSecond: 300});
  const undisturbed = join(home, 'undisturbed');
  cpSync(template, undisturbed, {recursive: true});
  const first = await runUntilIdle(undisturbed);
  assert.equal(first.code, 0, first.stderr);
  const wanted = await readOutcome(undisturbed, fileSinks(undisturbed, true));
  assert.deepEqual(wanted.problems, []);

  const chains: Chain[] = [];
  const point = pointsOf(seed);
  const next = seeded(seed);
  const startedMs = performance.now();
  let claimed = 0;
  let begun = 0;
  const hits = () => chains.reduce((sum, chain) => sum + chain.hits, 0);
  const worker = async () => {
    // Points that a run ends before reaching are made up for, within reason.
    while (hits() < wantedPoints && claimed < wantedPoints * 2) {
      const faults: Fault[] = [];
      const isRefreshing = begun++ % refreshingEvery === 0;
      while (isRefreshing && faults.length < chainLength)
        faults.push({refreshes: 1 + next(3), delayMs: next(120)});
      while (faults.length < chainLength) {
        const fault = point();
        if (!('call' in fault) || hasStrace) faults.push(fault);
      }
      claimed += chainLength;
      const dir = join(home, `chain-${begun}`);
      chains.push(await runChain(isRefreshing ? slow : template, dir, faults, wanted, isRefreshing));
    }
  };
  await Promise.all(Array.from({length: width}, worker));

  const switches = chains.reduce((sum, chain) => sum + chain.switches, 0);
  const told = ({faults, seconds}: Chain) => `${seconds.toFixed(2)} s: ${faults.map(showFault).join(', ')}`;
  const total = (performance.now() - startedMs) / 1000;
  t.diagnostic(
    `${hits()} points of ${chains.flatMap(({faults}) => faults).length} in ${chains.length} chains, ${switches} switches of a lookup while data flowed, ${total.toFixed(1)} s`,
  );
  for (const chain of chains.toSorted((a, b) => b.seconds - a.seconds).slice(0, 10))
    t.diagnostic(told(chain));
  const bad = chains.filter(({problems}) => problems.length > 0);
  for (const chain of bad)
    t.diagnostic(`${told(chain)}\n  in ${chain.dir}\n  ${chain.problems.slice(0, 12).join('\n  ')}`);
  if (bad.length === 0) rmSync(home, {recursive: true});
  assert.equal(
    bad.length,
    0,
    `${bad.length} chains differ from the undisturbed run; their directories are kept`,
  );
  assert.ok(switches > 0, 'lookups were switched between records');
  assert.ok(hits() >= wantedPoints, `${hits()} points were hit`);
});
