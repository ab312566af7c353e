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
import {openSink} from '../../src/sinks/host.ts';
import {compareOutcomes, hasCheckpoint, readOutcome} from './outcome.ts';
import {type Fault, runUntilIdle, showFault} from './process.ts';
import type {Line, SinkReader} from './sink-reader.ts';
import {makeWorld, purchases, queries, replaceLookup, seeded, views} from './world.ts';

const wantedPoints = Number(process.env.MILLRACE_SWEEP_DATABASES ?? 20);
const seed = Number(process.env.MILLRACE_SWEEP_SEED ?? 1);
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
  await t.test('databases that were removed are filled again from the log', async () => {
    for (const dir of ['clickhouse', 'postgres'])
      rmSync(join(undisturbed, '.millrace', dir), {recursive: true});
    const {code, stderr} = await runUntilIdle(undisturbed);
    assert.equal(code, 0, stderr);
    const filled = await readOutcome(undisturbed, await databaseSinks(undisturbed));
    assert.deepEqual(compareOutcomes(filled, wanted).slice(0, 5), []);
  });
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
