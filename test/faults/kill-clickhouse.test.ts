/**
 * kill -9 of the platform at places around its sink while rows and raw events go to ClickHouse over HTTP; compared by SQL with a
 * run without a kill. MILLRACE_SWEEP_CLICKHOUSE=40 asks for more points.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {openSink} from '../../src/sinks/host.ts';
import {clickHouseServerFor, password, type TestServer, user} from '../support/clickhouse.ts';
import {compareOutcomes, readOutcome} from './outcome.ts';
import {type Fault, runUntilIdle, showFault} from './process.ts';
import type {Line, SinkReader} from './sink-reader.ts';
import {makeWorld, queries, seeded} from './world.ts';

const wantedPoints = Number(process.env.MILLRACE_SWEEP_CLICKHOUSE ?? 5);
const failpoints = [
  'raw.after-write',
  'emit.before-acknowledge',
  'emit.after-mark',
  'checkpoint.before-commit',
  'raw.before-write',
  'emit.before-send',
  'emit.after-acknowledge',
  'emit.before-mark',
  'checkpoint.after-commit',
];

const world = (root: string, url: string) =>
  makeWorld(root, {
    sinks: 'databases',
    rows: 900,
    ratePerSecond: 3_000,
    platform: `sinks:
  analytics: {backend: clickhouse, clickhouse: {url: "${url}", username: ${user}, password: "${password}"}}
  records: {backend: file, file: {dir: .millrace/rows}}
defaults: {raw: analytics}
`,
  });

/** Times as ISO 8601; integers of any size as text. */
function plain(value: unknown): Line[string] {
  if (typeof value === 'bigint') return `${value}`;
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/.test(value))
    return new Date(`${value.replace(' ', 'T')}Z`).toISOString();
  return value as Line[string];
}

/** What the server holds; emptied afterwards for the next run. */
async function takeOut(server: TestServer, root: string): Promise<SinkReader> {
  const sink = await openSink({name: 'analytics', choice: server.choice(), root});
  const tables = new Map<string, Line[]>();
  try {
    for (const name of [...queries, 'purchase', 'view']) {
      const final = queries.includes(name) ? '' : ' FINAL';
      const {columns, rows} = await sink.query!(`SELECT * FROM shop.${name}${final}`);
      tables.set(
        name,
        rows.map((row) =>
          Object.fromEntries(columns.map((column, index) => [column.name, plain(row[index] ?? null)])),
        ),
      );
    }
  } finally {
    await sink.close();
  }
  for (const database of ['shop', 'millrace']) {
    const answer = await fetch(server.url, {
      method: 'POST',
      headers: {'X-ClickHouse-User': user, 'X-ClickHouse-Key': password},
      body: `DROP DATABASE ${database} SYNC`,
    });
    assert.equal(answer.status, 200, await answer.text());
  }
  return {
    count: () => 1,
    latest: async (query) => tables.get(query)!,
    raw: async (table) => tables.get(table)!,
  };
}

test(`kill -9 at ${wantedPoints} points while a ClickHouse server takes rows and raw events changes nothing`, async (t) => {
  const server = await clickHouseServerFor(t);
  const home = mkdtempSync(join(tmpdir(), 'millrace-kill-'));
  t.after(() => rmSync(home, {recursive: true, force: true}));
  const undisturbed = join(home, 'undisturbed');
  world(undisturbed, server.url);
  const first = await runUntilIdle(undisturbed);
  assert.equal(first.code, 0, first.stderr);
  const wanted = await readOutcome(undisturbed, await takeOut(server, undisturbed));
  assert.deepEqual(wanted.problems, []);
  const next = seeded(3);
  let kills = 0;
  for (let point = 0; point < wantedPoints; point++) {
    const fault: Fault = {failpoint: failpoints[point % failpoints.length]!, count: 1 + next(5)};
    const dir = join(home, `point-${point}`);
    world(dir, server.url);
    if ((await runUntilIdle(dir, fault)).killed) kills += 1;
    const {code, stderr} = await runUntilIdle(dir);
    assert.equal(code, 0, `${showFault(fault)}: ${stderr}`);
    const problems = compareOutcomes(await readOutcome(dir, await takeOut(server, dir)), wanted);
    assert.deepEqual(problems.slice(0, 5), [], showFault(fault));
  }
  assert.ok(kills >= wantedPoints / 2, `${kills} of ${wantedPoints} points were reached`);
});
