import {watch} from 'node:fs';
import {join} from 'node:path';
import {Diagnostics} from '../config/diagnostics.ts';
import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import {compareOutcome, type Difference} from '../platform/scenario-compare.ts';
import {readSuites} from '../platform/scenario-read.ts';
import {openStage, type Stage} from '../platform/scenario-run.ts';
import {readSnapshots, writeSnapshots} from '../platform/scenario-snapshot.ts';
import type {Outcome, Scenario, Suite} from '../platform/scenario-types.ts';
import type {CommandBody, CommandCall, CommandIo} from './command.ts';
import {load, printDiagnostics, requirePlatform} from './context.ts';
import {formatTable, palette, printJson, ReportedError, reportFailure} from './output.ts';

type Result = {
  file: string;
  test: string;
  line: number;
  state: 'passed' | 'failed' | 'accepted';
  ms: number;
  /** Why it failed without a difference. */
  message?: string;
  differences: Difference[];
};

export const run: CommandBody = async (call) => {
  const {options, io} = call;
  if (options.update && isCi(io.env))
    throw new PlatformError('USAGE', '--update accepts results, and in CI nobody looks at them', {
      hint: 'run it on your machine, read the difference, commit it',
    });
  if (options.watch) return watchTests(call);
  return runTests(call, await requirePlatform(call));
};

const isCi = ({CI}: NodeJS.ProcessEnv): boolean =>
  CI !== undefined && CI !== '' && CI !== 'false' && CI !== '0';

async function runTests(call: CommandCall, platform: Platform): Promise<number> {
  const {args} = call;
  const diagnostics = new Diagnostics();
  const suites = readSuites(platform, diagnostics);
  const chosen = choose(suites, args[0]);
  const accepted: Accepted = new Map(
    chosen.map(({suite}) => [suite, readSnapshots(suite, platform.root, diagnostics)]),
  );
  if (diagnostics.hasErrors) {
    printDiagnostics(call, diagnostics.all());
    throw new ReportedError();
  }
  if (chosen.length === 0)
    throw new PlatformError(
      'NAME_UNKNOWN',
      args[0] ? `no test has "${args[0]}" in its name` : 'there are no tests',
      {
        hint: args[0]
          ? 'without a name all tests run'
          : 'write config/tests/<domain>.yaml; docs/testing.md shows how',
      },
    );
  const stage = openStage();
  try {
    return await runChosen(call, platform, stage, chosen, accepted);
  } finally {
    await stage.close();
  }
}

type Chosen = {suite: Suite; scenarios: Scenario[]}[];
type Accepted = Map<Suite, ReturnType<typeof readSnapshots>>;

async function runChosen(
  {options, io}: CommandCall,
  platform: Platform,
  stage: Stage,
  chosen: Chosen,
  accepted: Accepted,
): Promise<number> {
  const results: Result[] = [];
  for (const {suite, scenarios} of chosen) {
    if (!options.json) io.stdout.write(`${suite.file}\n`);
    const outcomes = new Map<string, Outcome>();
    for (const scenario of scenarios) {
      const result = await runOne(stage, suite, scenario, {
        accepted: accepted.get(suite)!,
        update: options.update === true,
        outcomes,
      });
      results.push(result);
      if (!options.json) printResult(io, result);
    }
    if (outcomes.size > 0 && options.update) {
      const shown = writeSnapshots(suite, platform.root, await complete(stage, suite, outcomes));
      if (!options.json) io.stdout.write(`  accepted results are in ${shown}\n`);
    }
  }
  const failed = results.filter(({state}) => state === 'failed').length;
  if (options.json) printJson(io, {passed: results.length - failed, failed, tests: results});
  else io.stdout.write(`${summary(io, results.length, failed)}\n`);
  return failed > 0 ? 3 : 0;
}

/** A snapshot file holds all of its tests, also when only some of them were chosen. */
async function complete(
  stage: Stage,
  suite: Suite,
  outcomes: Map<string, Outcome>,
): Promise<Map<string, Outcome>> {
  const all = new Map<string, Outcome>();
  for (const scenario of suite.scenarios)
    if (scenario.expect === 'snapshot')
      all.set(scenario.name, outcomes.get(scenario.name) ?? (await stage.run(suite, scenario)));
  return all;
}

function choose(suites: Suite[], name: string | undefined): Chosen {
  const wanted = name?.toLowerCase();
  return suites
    .map((suite) => ({
      suite,
      scenarios: suite.scenarios.filter(
        (scenario) =>
          wanted === undefined ||
          scenario.name.toLowerCase().includes(wanted) ||
          suite.file.toLowerCase().includes(wanted),
      ),
    }))
    .filter(({scenarios}) => scenarios.length > 0);
}

async function runOne(
  stage: Stage,
  suite: Suite,
  scenario: Scenario,
  {
    accepted,
    update,
    outcomes,
  }: {
    accepted: ReturnType<typeof readSnapshots>;
    update: boolean;
    /** Where results of snapshot tests go. */
    outcomes: Map<string, Outcome>;
  },
): Promise<Result> {
  const started = performance.now();
  const {file} = suite;
  const {name: test, line, expect} = scenario;
  const result = (rest: Pick<Result, 'state'> & Partial<Result>): Result => ({
    file,
    test,
    line,
    ms: Math.round(performance.now() - started),
    differences: [],
    ...rest,
  });
  try {
    const outcome = await stage.run(suite, scenario);
    const expected = expect === 'snapshot' ? accepted.get(test) : expect;
    const differences = expected ? compareOutcome(expected, outcome, suite.plans) : [];
    if (expect === 'snapshot') {
      outcomes.set(test, outcome);
      if (update && (!expected || differences.length > 0)) return result({state: 'accepted', differences});
      if (!expected)
        return result({
          state: 'failed',
          message: `no result was accepted yet; npx millrace test --update accepts this one`,
        });
    }
    return result({state: differences.length === 0 ? 'passed' : 'failed', differences});
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    const hint = error.hint ? `; ${error.hint}` : '';
    return result({state: 'failed', message: `${error.code} ${error.message}${hint}`});
  }
}

function printResult(io: CommandIo, {file, test, line, state, ms, message, differences}: Result): void {
  const color = palette(io.stdout, io.env);
  const marks = {passed: color.green('✓'), failed: color.red('✗'), accepted: color.yellow('!')};
  const place = state === 'failed' ? `  ${color.dim(`${file}:${line}`)}` : '';
  io.stdout.write(`  ${marks[state]} ${test} ${color.dim(`(${ms} ms)`)}${place}\n`);
  if (message) io.stdout.write(`      ${message}\n`);
  for (const {title, columns, lines} of differences) {
    const signs = {
      same: ' ',
      missing: color.red('-'),
      unexpected: color.green('+'),
      changed: color.yellow('~'),
    };
    const table = formatTable(
      columns,
      lines.map(({cells}) => cells),
    ).trimEnd();
    const [header = '', , ...body] = table.split('\n');
    io.stdout.write(`      ${title}\n          ${color.dim(header)}\n`);
    for (const [index, text] of body.entries()) {
      const {mark, line: at} = lines[index]!;
      const where = at !== undefined && mark !== 'same' ? color.dim(`  ${file}:${at}`) : '';
      io.stdout.write(`        ${signs[mark]} ${text}${where}\n`);
    }
  }
  if (differences.length > 0)
    io.stdout.write(color.dim('      - missing  + unexpected  ~ expected → actual\n'));
}

function summary(io: CommandIo, count: number, failed: number): string {
  const color = palette(io.stdout, io.env);
  const tests = `${count} ${count === 1 ? 'test' : 'tests'}`;
  return failed === 0 ? color.green(`${tests} passed`) : color.red(`${tests}, ${failed} failed`);
}

const settleMs = 100;

/** Runs all again whenever something below `config/` changes, until Ctrl-C. */
async function watchTests(call: CommandCall): Promise<number> {
  const {io} = call;
  const first = await load(call);
  const root = first.ok ? first.platform.root : undefined;
  if (root === undefined) await requirePlatform(call);
  let wake = () => {};
  let changed = false;
  const notice = () => {
    changed = true;
    wake();
  };
  const watcher = watch(join(root!, 'config'), {recursive: true}, notice);
  let ended = false;
  const end = () => {
    ended = true;
    wake();
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    while (!ended) {
      changed = false;
      try {
        await runTests(call, await requirePlatform(call));
      } catch (error) {
        reportFailure(error, io, false);
      }
      io.stderr.write('waiting for a change below config/; Ctrl-C ends\n');
      while (!changed && !ended)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      // An editor writes a file in several steps.
      if (!ended) await new Promise((resolve) => setTimeout(resolve, settleMs));
    }
  } finally {
    watcher.close();
    process.off('SIGINT', end).off('SIGTERM', end);
  }
  return 0;
}
