/**
 * kill -9 at 20 points of a run with chDB and PGlite, each from a copy of a prepared directory: databases that exist start
 * quickly. MILLRACE_SWEEP_DATABASES=200 asks for more, MILLRACE_SWEEP_SEED for others. Compared by SQL with a run without a
 * kill; the sets are those of outcome.ts, `per_hour` is in both databases.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {compareOutcomes, hasCheckpoint, readOutcome, type SinkReader} from './outcome.ts';
import {type Fault, runUntilIdle, showFault, start} from './process.ts';
import {makeWorld, purchases, replaceLookup, seeded, views} from './world.ts';

const wantedPoints = Number(process.env.MILLRACE_SWEEP_DATABASES ?? 20);
const seed = Number(process.env.MILLRACE_SWEEP_SEED ?? 1);
const width = 2;

type Line = Record<string, string | number | boolean | null>;

/** Rows by SQL, all tables of a sink in one start of its database. */
async function databaseSinks(root: string): Promise<SinkReader> {
  const ask = async (sink: string, sql: string): Promise<Line[]> => {
    const {code, stdout, stderr} = await start(root, ['query', sql, '--sink', sink, '--json']).ended;
    assert.equal(code, 0, `${sql}: ${stderr}`);
    return JSON.parse(stdout) as Line[];
  };
  return {
    count: (query) => (query === 'per_hour' ? 2 : 1),
    latest: (query, sink) => ask(sink === 0 ? 'analytics' : 'records', `select * from shop.${query}`),
    raw: (table) => ask('records', `select * from shop.${table}`),
  };
}

const failpoints = [
  'ingest.before-append',
  'log.after-commit',
  'engine.after-merge',
  'emit.before-send',
  'emit.before-acknowledge',
  'emit.after-acknowledge',
  'emit.before-mark',
  'emit.after-mark',
  'checkpoint.before-commit',
  'checkpoint.after-commit',
  'raw.before-write',
  'raw.after-write',
];

test(`kill -9 at ${wantedPoints} points with both databases changes nothing`, async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'millrace-sweep-'));
  const template = join(home, 'template');
  // Prepared: a first run without a row makes the databases and their tables.
  makeWorld(template, {sinks: 'databases', rows: 900, ratePerSecond: 3_000});
  const inputs = {'purchases.csv': purchases(900), 'views.jsonl': views(450)};
  const names = Object.keys(inputs) as (keyof typeof inputs)[];
  for (const name of names) rmSync(join(template, 'data', name));
  const prepared = await runUntilIdle(template);
  assert.match(prepared.stderr, /INPUT_MISSING/);
  for (const name of names) writeFileSync(join(template, 'data', name), inputs[name]);
  const undisturbed = join(home, 'undisturbed');
  cpSync(template, undisturbed, {recursive: true});
  const first = await runUntilIdle(undisturbed);
  assert.equal(first.code, 0, first.stderr);
  const wanted = await readOutcome(undisturbed, await databaseSinks(undisturbed));
  assert.deepEqual(wanted.problems, []);

  const next = seeded(seed);
  const faults = Array.from({length: wantedPoints}, (_, index): Fault => {
    if (index % 5 < 2) return {afterMs: 1_000 + next(1_500)};
    return {failpoint: failpoints[(index * 5 + seed) % failpoints.length]!, count: 1 + next(8)};
  });
  const results: {fault: string; seconds: number; killed: boolean; problems: string[]; dir: string}[] = [];
  const startedMs = performance.now();
  const rest = faults.entries();
  const worker = async () => {
    for (const [index, fault] of rest) {
      const dir = join(home, `point-${index}`);
      const pointMs = performance.now();
      cpSync(template, dir, {recursive: true});
      const {killed} = await runUntilIdle(dir, fault);
      if (hasCheckpoint(dir)) replaceLookup(dir, 1);
      const {code, stderr} = await runUntilIdle(dir);
      const problems =
        code === 0
          ? compareOutcomes(await readOutcome(dir, await databaseSinks(dir)), wanted)
          : [`exit code ${code}: ${stderr}`];
      results.push({
        fault: showFault(fault),
        seconds: (performance.now() - pointMs) / 1000,
        killed,
        problems,
        dir,
      });
      if (problems.length === 0) rmSync(dir, {recursive: true});
    }
  };
  await Promise.all(Array.from({length: width}, worker));
  const total = (performance.now() - startedMs) / 1000;
  t.diagnostic(
    `${results.filter(({killed}) => killed).length} of ${results.length} points killed, ${total.toFixed(1)} s`,
  );
  for (const {fault, seconds} of results.toSorted((a, b) => b.seconds - a.seconds).slice(0, 10))
    t.diagnostic(`${seconds.toFixed(2)} s: ${fault}`);
  const bad = results.filter(({problems}) => problems.length > 0);
  for (const {fault, dir, problems} of bad)
    t.diagnostic(`${fault} in ${dir}\n  ${problems.slice(0, 8).join('\n  ')}`);
  if (bad.length === 0) rmSync(home, {recursive: true});
  assert.equal(
    bad.length,
    0,
    `${bad.length} points differ from the undisturbed run; their directories are kept`,
  );
  assert.ok(results.filter(({killed}) => killed).length >= wantedPoints / 2);
});
