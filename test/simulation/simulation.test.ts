/**
 * The engine against the obvious evaluator, on random domains, logs, schedules and crashes. `MILLRACE_SEEDS=1000` runs more,
 * `MILLRACE_SEEDS=17` or `17-40` or `17,90` those alone.
 */
import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {after, before, test} from 'node:test';
import type {Domain} from '../../src/model/types.ts';
import {
  type CheckpointWriter,
  openStateStore,
  type StateStore,
  startCheckpointWriter,
} from '../../src/process/embedded/statestore.ts';
import {show} from '../support/changelog.ts';
import {loadDomains} from '../support/platform.ts';
import {random} from '../support/random.ts';
import {scratchDir} from '../support/scratch.ts';
import {type RandomDomain, randomDomain} from './domains.ts';
import {type SimulateOptions, simulate} from './simulate.ts';

const seeds = seedsOf(process.env.MILLRACE_SEEDS ?? '1-150');
const dir = scratchDir('simulation');
let writer: CheckpointWriter;
let store: StateStore;
let revision = 0;

function seedsOf(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [first, last] = part.split('-').map(Number);
    return Array.from({length: (last ?? first!) - first! + 1}, (_, index) => first! + index);
  });
}

before(async () => {
  writer = await startCheckpointWriter(dir);
  store = openStateStore(dir, writer.connect());
});
after(async () => {
  store.close();
  await writer.close();
  rmSync(dir, {recursive: true});
});

/** Loads the domains of many seeds, some hundred at once, as a configuration may hold. */
async function domainsOf(recipes: RandomDomain[]): Promise<Map<string, Domain>> {
  const domains = new Map<string, Domain>();
  for (let from = 0; from < recipes.length; from += 500) {
    const files: Record<string, string> = {};
    for (const {name, yaml, lookup} of recipes.slice(from, from + 500)) {
      files[`domains/${name}.yaml`] = yaml;
      if (lookup) files[`lookups/${name}.csv`] = lookup.csv;
    }
    for (const domain of await loadDomains(files)) domains.set(domain.name, domain);
  }
  return domains;
}

/** The smallest number of appends with which the run still fails. */
async function shrink(seed: number, options: SimulateOptions, appends: number): Promise<string> {
  let [passing, failing] = [0, appends];
  let last = '';
  while (failing - passing > 1) {
    const appendsMax = (passing + failing) >> 1;
    const outcome = await simulate(seed, {...options, revision: ++revision, appendsMax}).then(
      ({problems}) => problems,
      (error: Error) => [String(error.stack)],
    );
    if (outcome.length === 0) passing = appendsMax;
    else [failing, last] = [appendsMax, outcome.join('\n  ')];
  }
  return `with ${failing} of ${appends} appends:\n  ${last}`;
}

/** Runs the seeds. @returns what was met, and what went wrong in words */
async function runAll(seeds: number[], whole: boolean) {
  const recipes = seeds.map((seed) => randomDomain(seed, random(seed)));
  const domains = await domainsOf(recipes);
  const seen = {events: 0, rows: 0, crashes: 0, late: 0, dead: 0, duplicates: 0};
  const failures: string[] = [];
  for (const [index, seed] of seeds.entries()) {
    const recipe = recipes[index]!;
    const options = {domain: domains.get(recipe.name)!, recipe, ...(whole ? {} : {store})};
    let appends = 64;
    let problems: string[];
    try {
      const result = await simulate(seed, {...options, revision: ++revision});
      ({problems, appends} = result);
      for (const key of Object.keys(seen) as (keyof typeof seen)[]) seen[key] += result[key];
    } catch (error) {
      problems = [String((error as Error).stack)];
    }
    if (problems.length === 0) continue;
    const more = failures.length < 3 ? await shrink(seed, {...options, revision}, appends) : '';
    failures.push(
      `MILLRACE_SEEDS=${seed}: ${problems.length} differences\n  ${problems.slice(0, 6).join('\n  ')}\n${more.slice(0, 3000)}\n${recipe.yaml}`,
    );
    if (failures.length >= 20) break;
  }
  return {seen, failures};
}

test(`the engine's parts say what the obvious evaluator says, on ${seeds.length} random domains and logs`, async (t) => {
  const {seen, failures} = await runAll(seeds, false);
  t.diagnostic(show(seen));
  assert.equal(
    failures.length,
    0,
    `${failures.length} seeds fail\n${failures.join('\n\n').slice(0, 30_000)}`,
  );
  // A suite that never met late events, dead letters and crashes would prove little.
  if (seeds.length >= 100)
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 50, `only ${count} ${what}`);
});

const some = seeds.filter((_, index) => index % 10 === 0);

test(`so does the whole engine, on ${some.length} of them`, async (t) => {
  const {seen, failures} = await runAll(some, true);
  t.diagnostic(show(seen));
  assert.equal(
    failures.length,
    0,
    `${failures.length} seeds fail\n${failures.join('\n\n').slice(0, 30_000)}`,
  );
});
