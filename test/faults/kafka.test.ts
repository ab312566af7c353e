/**
 * The fault cases of the dev size with the log in Kafka, where one file of an environment puts it: what a world leaves behind is what
 * the same world leaves on the embedded log, and what the obvious evaluator says of the events in the topics; ledgers balance.
 * MILLRACE_SWEEP_KAFKA=66 kills at every failpoint twice, MILLRACE_SWEEP_SEED at others; MILLRACE_FAULTS_KAFKA=1 asks for every fault
 * of sinks, for a drain, for kills in replays, and for kills with checkpoints in a bucket.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, suite, type TestContext, test} from 'node:test';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {skipWithout} from '../cluster/needs.ts';
import {type Bucket, startBucket} from '../support/bucket.ts';
import type {Mode} from './flaky-sink.ts';
import {environment, forgetTopics, judge, kafkaSource, writeEnvironment} from './kafka-world.ts';
import {compareOutcomes, hasCheckpoint, type Outcome, readOutcome, stateOf} from './outcome.ts';
import {kafkaChainsOf} from './points.ts';
import {type Ended, type Fault, runUntilIdle, showFault, start} from './process.ts';
import {type ReplayFaults, runReplays} from './replays.ts';
import {fileSinks} from './sink-reader.ts';
import {breakSink, makeWorld, replaceLookup, type WorldOptions} from './world.ts';

const wantedPoints = Number(process.env.MILLRACE_SWEEP_KAFKA ?? 6);
const seed = Number(process.env.MILLRACE_SWEEP_SEED ?? 1);
const isAll = process.env.MILLRACE_FAULTS_KAFKA === '1';
const onDemand = isAll ? false : 'on demand: MILLRACE_FAULTS_KAFKA=1';
const chainLength = 3;
/** The first one in CI. */
const sinkFaults: ['rows' | 'copies', Mode][] = [
  ['rows', 'lost'],
  ['copies', 'lost'],
  ['rows', 'flapping'],
  ['copies', 'slow'],
  ['copies', 'down'],
];
const replayFaults: ReplayFaults[] = [
  [{failpoint: 'replay.before-append', count: 1}, 0, {failpoint: 'engine.after-merge', count: 3}],
  [{failpoint: 'replay.after-append', count: 1}, 1, {failpoint: 'engine.replayed', count: 1}],
  [{failpoint: 'kafka.after-produce', count: 1}, 2, {failpoint: 'checkpoint.before-commit', count: 4}],
  [{failpoint: 'kafka.before-produce', count: 2}, 3, {failpoint: 'emit.before-acknowledge', count: 3}],
];
const options: WorldOptions = {rows: 700, ratePerSecond: 3_000};

suite('the fault cases on Kafka', skipWithout('java', 'mvn'), () => {
  const home = mkdtempSync(join(tmpdir(), 'millrace-on-kafka-'));
  const template = join(home, 'template');
  let kafka: Kafka;
  /** What the embedded log makes of it. */
  let wanted: Outcome;
  let starts = 0;

  before(async () => {
    makeWorld(template, options);
    const embedded = join(home, 'embedded');
    cpSync(template, embedded, {recursive: true});
    const [started, {code, stderr}] = await Promise.all([startKafka(), runUntilIdle(embedded)]);
    kafka = started;
    assert.equal(code, 0, stderr);
    wanted = await readOutcome(embedded, fileSinks(embedded, true));
    assert.deepEqual(wanted.problems, []);
    // From here on for every command, as a user would set it.
    process.env.MILLRACE_ENV = environment;
  });
  after(async () => {
    await kafka?.stop();
    rmSync(home, {recursive: true});
  });

  /** A copy of the world whose log is in Kafka, in topics of its own. */
  async function world(name: string): Promise<string> {
    const dir = join(home, name);
    cpSync(template, dir, {recursive: true});
    await forgetTopics(kafka.brokers);
    return dir;
  }

  const run = (dir: string, fault?: Fault, bucket?: Bucket): Promise<Ended> => {
    writeEnvironment(dir, kafka.brokers, `c${++starts}`, bucket?.settings);
    return runUntilIdle(dir, fault);
  };

  /** @returns what is not as on the embedded log, or not as the obvious evaluator says */
  async function problemsOf(dir: string, same: Outcome = wanted): Promise<string[]> {
    const source = kafkaSource(dir, kafka.brokers);
    const outcome = await readOutcome(dir, fileSinks(dir), source);
    const judged = same === wanted ? await judge(dir, source, outcome) : [];
    return [...compareOutcomes(outcome, same), ...judged].slice(0, 12);
  }

  /** @param bucket checkpoints are there, and their copy here is lost with every kill */
  async function runChain(
    dir: string,
    faults: readonly Fault[],
    bucket?: Bucket,
  ): Promise<{hits: number; problems: string[]}> {
    const problems: string[] = [];
    let hits = 0;
    for (const [index, fault] of faults.entries()) {
      const {code, killed, stderr} = await run(dir, fault, bucket);
      if (killed) hits++;
      else if (code !== 0) problems.push(`exit code ${code} without a kill: ${stderr}`);
      if (hasCheckpoint(dir)) replaceLookup(dir, index + 1);
      if (bucket) rmSync(stateOf(dir), {recursive: true, force: true});
      // A recovery that there was none of leaves the rest to do.
      if (!killed && !('failpoint' in fault && fault.failpoint.endsWith('-fence'))) break;
    }
    const {code, stderr} = await run(dir, undefined, bucket);
    if (code !== 0) problems.push(`exit code ${code} of the run without a fault: ${stderr}`);
    else problems.push(...(await problemsOf(dir)));
    return {hits, problems};
  }

  /** Kills at so many points, in chains. */
  async function sweep(t: TestContext, points: number, bucket?: Bucket): Promise<void> {
    const chainOf = kafkaChainsOf(seed, chainLength, bucket !== undefined);
    const bad: string[] = [];
    let hits = 0;
    for (let claimed = 0; claimed < points; claimed += chainLength) {
      const faults = chainOf();
      const dir = await world(`chain-${bucket ? 'bucket-' : ''}${claimed}`);
      const chain = await runChain(dir, faults, bucket);
      hits += chain.hits;
      const named = `${chain.hits} of ${faults.map(showFault).join(', ')}`;
      t.diagnostic(named);
      if (chain.problems.length > 0) bad.push(`${named}:\n  ${chain.problems.join('\n  ')}`);
      rmSync(dir, {recursive: true});
    }
    assert.deepEqual(bad, []);
    assert.ok(hits >= points / 2, `${hits} points were hit`);
  }

  test('an undisturbed run is that of the embedded log, and what the obvious evaluator says', async () => {
    const dir = await world('undisturbed');
    const {code, stderr} = await run(dir);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await problemsOf(dir), []);
  });

  test(`kill -9 at ${wantedPoints} failpoints loses nothing, repeats nothing and changes no row`, (t) =>
    sweep(t, wantedPoints));

  test('the same with checkpoints in a bucket, the directory of checkpoints deleted after every kill', {
    skip: onDemand,
  }, async (t) => {
    const bucket = await startBucket();
    assert.ok(bucket, 'SeaweedFS can be had');
    t.after(() => bucket.stop());
    await sweep(t, Math.max(wantedPoints, 33), bucket);
  });

  for (const [sink, mode] of sinkFaults.filter((_, index) => isAll || index === 0))
    test(`the sink ${sink} is ${mode}: nothing is lost or repeated`, async () => {
      const dir = await world(`${sink}-${mode}`);
      breakSink(dir, sink, mode);
      const {code, stderr} = await run(dir);
      assert.equal(code, 0, stderr);
      assert.deepEqual(await problemsOf(dir), []);
    });

  test('SIGTERM under load drains, and the next run goes on from there', {skip: onDemand}, async () => {
    const dir = await world('drain');
    writeEnvironment(dir, kafka.brokers, 'drain');
    const child = start(dir, ['run', '--port', '0']);
    await child.says(/ running /);
    child.kill('SIGTERM');
    const {code, stderr} = await child.ended;
    assert.equal(code, 0, stderr);
    const second = await run(dir);
    assert.equal(second.code, 0, second.stderr);
    assert.deepEqual(await problemsOf(dir), []);
  });

  test('kill -9 in the midst of replays counts every event once, in every query', {
    skip: onDemand,
  }, async () => {
    delete process.env.MILLRACE_ENV;
    const embedded = join(home, 'embedded');
    assert.deepEqual(await runReplays(embedded), []);
    const replayed = await readOutcome(embedded);
    process.env.MILLRACE_ENV = environment;
    assert.ok(replayed.replayed.size > 0);
    for (const [index, faults] of [undefined, ...replayFaults].entries()) {
      const dir = await world(`replays-${index}`);
      const {code, stderr} = await run(dir);
      assert.equal(code, 0, stderr);
      assert.deepEqual(await runReplays(dir, faults), []);
      assert.deepEqual(await problemsOf(dir, replayed), [], JSON.stringify(faults));
    }
  });
});
