/**
 * On demand, MILLRACE_SWEEP_ROLES=10: so many times three processes, ingest, engine and sinks, that meet in Kafka, each of them killed at a failpoint of
 * its own while data flows. What they leave behind is what one process leaves on the embedded log, and what the obvious evaluator says.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import type {Role} from '../../src/model/roles.ts';
import {skipWithout} from '../cluster/needs.ts';
import {environment, forgetTopics, judge, kafkaSource, writeEnvironment} from './kafka-world.ts';
import {compareOutcomes, hasCheckpoint, type Outcome, readOutcome} from './outcome.ts';
import {type Child, type Fault, runUntilIdle, showFault, start} from './process.ts';
import {fileSinks} from './sink-reader.ts';
import {makeWorld, replaceLookup, seeded} from './world.ts';

const turns = Number(process.env.MILLRACE_SWEEP_ROLES ?? 0);
const skip = turns === 0 ? 'on demand: MILLRACE_SWEEP_ROLES=10' : skipWithout('java', 'mvn').skip;
const seed = Number(process.env.MILLRACE_SWEEP_SEED ?? 1);

/** What each of them passes, a few times at least. */
const failpoints: Record<'ingest' | 'engine' | 'sinks', string[]> = {
  ingest: [
    ...['ingest.before-append', 'ingest.after-append', 'log.before-commit', 'log.after-commit'],
    ...['log.acknowledged', 'kafka.before-produce', 'kafka.after-produce'],
  ],
  engine: [
    ...['engine.after-read', 'engine.after-process', 'engine.before-merge', 'engine.after-merge'],
    ...['emit.before-send', 'emit.before-acknowledge', 'emit.after-acknowledge', 'emit.before-mark'],
    ...['emit.after-mark', 'checkpoint.before-copy', 'checkpoint.before-commit', 'checkpoint.after-commit'],
    ...['state.before-commit', 'state.after-commit'],
  ],
  sinks: [
    ...['raw.before-write', 'raw.after-write', 'file.before-sync', 'file.after-sync'],
    ...['file.before-rename', 'file.after-rename'],
  ],
};
const roles = Object.keys(failpoints) as (keyof typeof failpoints)[];
/** What a process said beside how it goes. */
const toldBy = (stderr: string): string =>
  stderr
    .split('\n')
    .filter((line) => !/^\d{4}-\d\d-\d\dT.* running /.test(line))
    .join('\n');
/** A process that does not come by its failpoint is killed after so long, ms. */
const patienceMs = 60_000;

suite('three processes on Kafka', {skip}, () => {
  const home = mkdtempSync(join(tmpdir(), 'millrace-roles-on-kafka-'));
  const template = join(home, 'template');
  let kafka: Kafka;
  let wanted: Outcome;

  before(async () => {
    makeWorld(template, {rows: 700, ratePerSecond: 150});
    const embedded = join(home, 'embedded');
    cpSync(template, embedded, {recursive: true});
    kafka = await startKafka();
    const {code, stderr} = await runUntilIdle(embedded);
    assert.equal(code, 0, stderr);
    wanted = await readOutcome(embedded, fileSinks(embedded, true));
    process.env.MILLRACE_ENV = environment;
  });
  after(async () => {
    await kafka?.stop();
    rmSync(home, {recursive: true});
  });

  const up = (dir: string, role: Role, fault?: Fault): Child =>
    start(dir, ['run', '--only', role, '--port', '0'], fault, 300_000);

  /** Starts it with a fault, and once more when that has killed it. @returns the second one, and whether the fault did it */
  async function killed(dir: string, role: Role, fault: Fault): Promise<{child: Child; isHit: boolean}> {
    const first = up(dir, role, fault);
    let isHit = true;
    const timer = setTimeout(() => {
      isHit = false;
      first.kill('SIGKILL');
    }, patienceMs);
    const {killed: wasKilled, stderr} = await first.ended;
    clearTimeout(timer);
    assert.ok(wasKilled, `${role} ended by itself at ${showFault(fault)}: ${stderr}`);
    if (hasCheckpoint(dir)) replaceLookup(dir, 1);
    return {child: up(dir, role), isHit};
  }

  async function problemsOf(dir: string): Promise<string[]> {
    const source = kafkaSource(dir, kafka.brokers);
    const outcome = await readOutcome(dir, fileSinks(dir), source);
    return [...compareOutcomes(outcome, wanted), ...(await judge(dir, source, outcome))].slice(0, 12);
  }

  /** The ledger is told by the processes, and they have ended. */
  async function problemsAfter(dir: string): Promise<string[]> {
    const outcome = await readOutcome(dir, fileSinks(dir), kafkaSource(dir, kafka.brokers));
    const problems = outcome.problems.filter((problem) => !problem.startsWith('ledger: '));
    return compareOutcomes({...outcome, problems, ledger: wanted.ledger}, wanted).slice(0, 12);
  }

  test(`${turns} times each of them is killed at a failpoint: nothing is lost or repeated`, async (t) => {
    const next = seeded(seed);
    let hits = 0;
    for (let turn = 0; turn < turns; turn++) {
      const dir = join(home, `turn-${turn}`);
      cpSync(template, dir, {recursive: true});
      await forgetTopics(kafka.brokers);
      writeEnvironment(dir, kafka.brokers, `roles${turn}`);
      const faults = roles.map((role): [Role, Fault] => {
        const names = failpoints[role];
        return [role, {failpoint: names[(turn + seed) % names.length]!, count: 1 + next(4)}];
      });
      const again = await Promise.all(faults.map(([role, fault]) => killed(dir, role, fault)));
      hits += again.filter(({isHit}) => isHit).length;
      const named = faults.map(([role, fault]) => `${role} ${showFault(fault)}`).join(', ');
      let problems = ['nothing was looked at'];
      for (const endMs = performance.now() + 120_000; performance.now() < endMs; await wait(500)) {
        problems = await problemsOf(dir).catch((error: Error) => [String(error.stack)]);
        if (problems.length === 0) break;
      }
      for (const {child} of again) child.kill('SIGINT');
      const ended = await Promise.all(again.map(({child}) => child.ended));
      t.diagnostic(`${again.map(({isHit}) => (isHit ? 'hit' : 'missed')).join(', ')}: ${named}`);
      assert.deepEqual(problems, [], `${named}\n${ended.map(({stderr}) => toldBy(stderr)).join('\n')}`);
      for (const {code, stderr} of ended) assert.equal(code, 0, stderr);
      assert.deepEqual(await problemsAfter(dir), [], `after the end: ${named}`);
      rmSync(dir, {recursive: true});
    }
    assert.ok(hits >= turns, `${hits} failpoints were hit`);
  });
});
