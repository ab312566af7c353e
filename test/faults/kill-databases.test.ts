/**
 * kill -9 at 20 points of runs with chDB and PGlite. They come in chains: a copy of a prepared directory (databases that exist start
 * quickly) is killed at up to three points, one after the other, so that recoveries are killed as well, while its lookup file changes
 * from one start to the next; then it runs to its end. MILLRACE_SWEEP_DATABASES=200 asks for more, MILLRACE_SWEEP_SEED for others.
 * Compared by SQL with a run without a kill; the sets are those of outcome.ts, `per_hour` is in both databases.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {openSink} from '../../src/sinks/host.ts';
import {compareOutcomes, hasCheckpoint, readOutcome} from './outcome.ts';
import {type Fault, runUntilIdle, showFault} from './process.ts';
import type {Line, SinkReader} from './sink-reader.ts';
import {makeWorld, purchases, queries, replaceLookup, seeded, views} from './world.ts';

const wantedPoints = Number(process.env.MILLRACE_SWEEP_DATABASES ?? 20);
const seed = Number(process.env.MILLRACE_SWEEP_SEED ?? 1);
const chainLength = 3;
const width = 2;

/** Rows by SQL; each database is opened once. */
async function databaseSinks(root: string): Promise<SinkReader> {
  const tables = new Map<string, Line[]>();
  const read = async (backend: string, dir: string, names: string[]) => {
    const sink = await openSink({name: backend, choice: {backend, options: {dir}}, root, readOnly: true});
    try {
      for (const name of names) {
        const {columns, rows} = await sink.query!(`select * from shop.${name}`);
        const lines = rows.map((row) =>
          Object.fromEntries(columns.map((column, index) => [column.name, plain(row[index] ?? null)])),
        );
        tables.set(`${backend} ${name}`, lines);
      }
    } finally {
      await sink.close();
    }
  };
  await Promise.all([
    read('chdb', '.millrace/clickhouse', queries),
    read('pglite', '.millrace/postgres', ['per_hour', 'purchase', 'view']),
  ]);
  return {
    count: (query) => (query === 'per_hour' ? 2 : 1),
    latest: async (query, sink) => tables.get(`${sink === 0 ? 'chdb' : 'pglite'} ${query}`)!,
    raw: async (table) => tables.get(`pglite ${table}`)!,
  };
}

/** Times as ISO 8601, whatever the database writes; integers of any size as text. */
function plain(value: unknown): Line[string] {
  if (typeof value === 'bigint') return `${value}`;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/.test(value))
    return new Date(`${value.replace(' ', 'T').replace(/\+00(:00)?$/, '')}Z`).toISOString();
  return value as Line[string];
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
  let claimed = 0;
  const point = (): Fault => {
    const index = claimed++;
    if (index % 5 < 2) return {afterMs: 1_000 + next(1_500)};
    return {failpoint: failpoints[(index * 5 + seed) % failpoints.length]!, count: 1 + next(8)};
  };
  const results: {faults: Fault[]; hits: number; seconds: number; problems: string[]; dir: string}[] = [];
  const hits = () => results.reduce((sum, each) => sum + each.hits, 0);
  const startedMs = performance.now();
  let begun = 0;
  const worker = async () => {
    // Points that a run ends before reaching are made up for, within reason.
    while (hits() < wantedPoints && claimed < wantedPoints * 2) {
      const dir = join(home, `chain-${begun++}`);
      const chain = {faults: [] as Fault[], hits: 0, seconds: 0, problems: [] as string[], dir};
      const chainMs = performance.now();
      cpSync(template, dir, {recursive: true});
      for (let killed = true; killed && chain.faults.length < chainLength; ) {
        const fault = point();
        chain.faults.push(fault);
        ({killed} = await runUntilIdle(dir, fault));
        if (killed) chain.hits++;
        if (hasCheckpoint(dir)) replaceLookup(dir, 100 * chain.faults.length);
      }
      const {code, stderr} = await runUntilIdle(dir);
      chain.problems =
        code === 0
          ? compareOutcomes(await readOutcome(dir, await databaseSinks(dir)), wanted)
          : [`exit code ${code}: ${stderr}`];
      chain.seconds = (performance.now() - chainMs) / 1000;
      results.push(chain);
      if (chain.problems.length === 0) rmSync(dir, {recursive: true});
    }
  };
  await Promise.all(Array.from({length: width}, worker));
  const total = (performance.now() - startedMs) / 1000;
  t.diagnostic(`${hits()} of ${claimed} points in ${results.length} chains, ${total.toFixed(1)} s`);
  const told = (faults: Fault[]) => faults.map(showFault).join(', ');
  for (const {faults, seconds} of results.toSorted((a, b) => b.seconds - a.seconds))
    t.diagnostic(`${seconds.toFixed(2)} s: ${told(faults)}`);
  await t.test('databases that were removed are filled again from the log', async () => {
    for (const dir of ['clickhouse', 'postgres'])
      rmSync(join(undisturbed, '.millrace', dir), {recursive: true});
    const {code, stderr} = await runUntilIdle(undisturbed);
    assert.equal(code, 0, stderr);
    const filled = await readOutcome(undisturbed, await databaseSinks(undisturbed));
    assert.deepEqual(compareOutcomes(filled, wanted).slice(0, 5), []);
  });
  const bad = results.filter(({problems}) => problems.length > 0);
  for (const {faults, dir, problems} of bad)
    t.diagnostic(`${told(faults)} in ${dir}\n  ${problems.slice(0, 8).join('\n  ')}`);
  if (bad.length === 0) rmSync(home, {recursive: true});
  assert.equal(
    bad.length,
    0,
    `${bad.length} chains differ from the undisturbed run; their directories are kept`,
  );
  assert.ok(hits() >= wantedPoints, `${hits()} points were hit`);
});
