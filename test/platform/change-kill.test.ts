/**
 * kill -9 at every step of a revision switch, in a platform that only applies and in one that takes events in meanwhile. After
 * each kill what is shown is one definition, the old or the new one, whole; applied again it is the new one over all events.
 */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {planOfRevision} from '../../src/platform/apply-plans.ts';
import {readRevisions, revisionOf} from '../../src/platform/revisions.ts';
import {naive} from '../../src/process/naive.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {runUntilIdle, start} from '../faults/process.ts';
import {compareRows} from '../support/changelog.ts';
import {cli} from '../support/cli.ts';
import {edit, eventsOf, loadWorld, purchasesCsv, shopYaml, writeWorld, wrongRows} from './change-world.ts';

type Point = {failpoint: string; count?: number; while?: 'running'};

/** In the order in which they are passed; `revisions.*`: the notes of begin, switch and done. */
const points: Point[] = [
  {failpoint: 'revisions.before-write', while: 'running'},
  {failpoint: 'change.after-begin'},
  // Both new revisions commit before and after their rows; how often in between depends on the machine.
  {failpoint: 'state.after-commit', count: 3},
  {failpoint: 'change.caught-up', while: 'running'},
  {failpoint: 'change.met', while: 'running'},
  {failpoint: 'change.before-switching'},
  {failpoint: 'change.after-switching', while: 'running'},
  {failpoint: 'change.before-view', count: 2},
  {failpoint: 'change.after-view', count: 2, while: 'running'},
  {failpoint: 'change.after-switch', while: 'running'},
  {failpoint: 'applied.after-write', count: 2},
];
/** Most of a run is waiting, so more of them than cores go at a time. */
const width = 3;

/** What the current revision of a query shows must be what its own definition says, of the events it has read: here all. */
async function mixture(root: string): Promise<string[]> {
  const {platform, dirs} = await loadWorld(root);
  const events = await eventsOf(platform, dirs);
  const revisions = readRevisions(dirs.revisions);
  const problems: string[] = [];
  for (const query of ['shop.revenue', 'shop.baskets']) {
    const plan = planOfRevision(dirs, query, revisions[query]!, revisionOf(revisions, query))!;
    for (const sink of plan.sinks) {
      const found = await readLatest(join(root, '.millrace', sink), `shop.${plan.table.name}`);
      const wanted = naive(plan, events).rows;
      problems.push(
        ...compareRows(plan, found?.rows ?? [], wanted).map((problem) => `${plan.table.name}: ${problem}`),
      );
    }
  }
  return problems;
}

const changes: [string, string][] = [
  ['most: max(quantity)', 'most: min(quantity)\n      spent: avg(amount)'],
  ['amount >= 100.00', 'amount >= 50.00'],
];

async function kill(
  template: string,
  root: string,
  {failpoint, count = 1, ...more}: Point,
): Promise<string[]> {
  cpSync(template, root, {recursive: true});
  const problems: string[] = [];
  const fault = {failpoint, count};
  if (more.while === 'running') {
    // What is in the log is read; the rest comes while the change is under way.
    edit(root, 'order_by: none', 'order_by: none, rate: 200/s');
    const child = start(root, ['run', '--port', '0'], fault);
    await child.says(/ events, /);
    for (const [from, to] of changes) edit(root, from, to);
    const told = await cli(root, 'apply', '--yes');
    const {killed, stderr} = await child.ended;
    if (!killed) problems.push(`${failpoint} was not passed: ${stderr}`);
    if (told.code === 0) problems.push('apply says that it is done');
    if (/ {4}at |has a bug/.test(told.stderr)) problems.push(told.stderr);
    edit(root, ', rate: 200/s', '');
  } else {
    for (const [from, to] of changes) edit(root, from, to);
    const {killed, stderr} = await start(root, ['apply', '--yes'], fault).ended;
    if (!killed) problems.push(`${failpoint}:${count} was not passed: ${stderr}`);
    problems.push(...(await mixture(root)));
  }
  // Reads what is left of the input; a query whose change is under way runs on as one of the two.
  const run = await runUntilIdle(root);
  if (run.code !== 0 && !/QUERY_CHANGED/.test(run.stderr))
    problems.push(`exit code ${run.code}: ${run.stderr}`);
  const again = await cli(root, 'apply', '--yes');
  if (again.code !== 0) problems.push(`apply again: ${again.code} ${again.stderr}`);
  const {platform, dirs} = await loadWorld(root);
  problems.push(...(await wrongRows(root, platform, dirs)));
  const ledger = await cli(root, 'ledger');
  if (ledger.code !== 0) problems.push(`ledger: ${ledger.code}`);
  const plan = await cli(root, 'plan', '--json');
  if (plan.code !== 0) problems.push(`there are changes left: ${plan.stdout}`);
  return problems;
}

describe('kill -9 at every step of a revision switch', () => {
  const home = mkdtempSync(join(tmpdir(), 'millrace-switch-'));
  const template = join(home, 'template');
  before(async () => {
    const yaml = shopYaml.replace(
      '    group_by: [country]\n    measures:\n',
      '    group_by: [country]\n    sinks: [rows, copies]\n    measures:\n',
    );
    writeWorld(template, {'config/domains/shop.yaml': yaml});
    const {code, stderr} = await runUntilIdle(template);
    assert.equal(code, 0, stderr);
    const {platform, dirs} = await loadWorld(template);
    assert.deepEqual(await wrongRows(template, platform, dirs), []);
    // A second file comes in while some of the changes are made.
    edit(
      template,
      'inputs:\n',
      'inputs:\n  - {name: more, event_type: purchase, from: ../../data/more.csv, order_by: none}\n',
    );
    writeFileSync(join(template, 'data/more.csv'), purchasesCsv(600, 77).replaceAll('2025-03', '2025-04'));
  });
  after(() => rmSync(home, {recursive: true, force: true}));

  test(`${points.length} points: the old or the new, whole; then the new, over every event`, async (t) => {
    const waiting = [...points.entries()];
    const worker = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [index, point] = next;
        const root = join(home, `point-${index}`);
        const startedMs = performance.now();
        const problems = await kill(template, root, point);
        const name = `${point.failpoint}:${point.count ?? 1} ${point.while ?? 'alone'}`;
        t.diagnostic(`${name}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
        assert.deepEqual(problems, [], name);
        rmSync(root, {recursive: true});
      }
    };
    await Promise.all(Array.from({length: width}, worker));
  });
});
