import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import type {CommandSpec} from '../../src/cli/command.ts';
import {commands} from '../../src/cli/commands.ts';
import {cli, cliWith, makeRoot, makeShop} from '../support/cli.ts';
import {until} from '../support/until.ts';

const cwd = makeRoot();

/** Every command with the words that name it. */
const paths = (specs: CommandSpec[], above: string[] = []): {path: string[]; spec: CommandSpec}[] =>
  specs.flatMap((spec) => {
    const path = [...above, spec.name];
    return [{path, spec}, ...paths(spec.subcommands ?? [], path)];
  });

test('help of every command begins with its examples, which name the command', async () => {
  for (const {path, spec} of paths(commands)) {
    const {code, stdout, stderr} = await cli(cwd, ...path, '--help');
    assert.equal(code, 0);
    assert.equal(stderr, '');
    const lines = stdout.split('\n');
    assert.equal(lines[0], 'Examples:', path.join(' '));
    assert.ok(lines[1]!.startsWith(`  millrace ${path.join(' ')}`), lines[1]!);
    assert.ok(stdout.includes(`\nUsage: millrace ${path.join(' ')}`));
    for (const {flags} of spec.options ?? []) assert.ok(stdout.includes(`  ${flags}`), flags);
    assert.deepEqual(await cli(cwd, 'help', ...path), {code, stdout, stderr});
  }
});

test('without a command the overview is shown, with the first steps on top', async () => {
  const bare = await cli(cwd);
  assert.equal(bare.code, 0);
  assert.match(bare.stdout, /^Examples:\n {2}millrace init .*\n {2}millrace validate .*\n {2}millrace run /);
  for (const {name, summary} of commands) {
    assert.ok(bare.stdout.includes(`\n  ${name}`), name);
    assert.ok(bare.stdout.replace(/\n +/g, ' ').includes(summary), summary);
  }
  assert.equal((await cli(cwd, '--help')).stdout, bare.stdout);
});

test('an unknown command or option is refused with the nearest one', async () => {
  const cases: [argv: string[], stderr: RegExp][] = [
    [['vlaidate'], /^error: unknown command 'vlaidate'\n\(Did you mean validate\?\)\nhint: /],
    [['help', 'vlaidate'], /^error: unknown command 'vlaidate'\n\(Did you mean validate\?\)\nhint: /],
    [['schema', 'lst'], /^error: unknown command 'lst'\n\(Did you mean list\?\)\nhint: /],
    [['run', '--prot', '3'], /^error: unknown option '--prot'\n\(Did you mean --port\?\)\nhint: /],
    [['ingest'], /^error: missing required argument 'input'\nhint: /],
    [['validate', 'there'], /^error: too many arguments for 'validate'/],
  ];
  for (const [argv, stderr] of cases) {
    const outcome = await cli(cwd, ...argv);
    assert.equal(outcome.code, 2, argv.join(' '));
    assert.equal(outcome.stdout, '');
    assert.match(outcome.stderr, stderr);
  }
});

test('--version prints the version alone', async () => {
  const {code, stdout} = await cli(cwd, '--version');
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('colours only on a terminal and without NO_COLOR', async () => {
  const colour = '\u001b[';
  const doctor = (env: Record<string, string>, isTty: boolean) =>
    cliWith({cwd, env, isTty}, 'doctor').then(({stdout}) => stdout.includes(colour));
  assert.equal(await doctor({}, true), true);
  assert.equal(await doctor({}, false), false);
  assert.equal(await doctor({NO_COLOR: '1'}, true), false);
  assert.equal(await doctor({TERM: 'dumb'}, true), false);
});

test('the launcher runs from any directory and hands back the exit code', () => {
  const launcher = join(import.meta.dirname, '../../bin/millrace.js');
  const launch = (...argv: string[]) =>
    spawnSync(process.execPath, [launcher, ...argv], {cwd: '/', encoding: 'utf8'});
  assert.match(launch('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  const refused = launch('validate');
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /CONFIG_NOT_FOUND/);
});

test('a launcher that is killed takes the platform with it, which drains', async (t) => {
  const launcher = join(import.meta.dirname, '../../bin/millrace.js');
  const root = await makeShop();
  // As an old Node does it: hand over to the pinned one.
  const old = `Object.defineProperty(process, 'versions', {value: {...process.versions, node: '20.0.0'}});
    require(${JSON.stringify(launcher)})`;
  const child = spawn(process.execPath, ['-e', old, '--', launcher, 'run', '--port', '0'], {
    cwd: root,
    stdio: 'ignore',
  });
  t.after(() => child.kill('SIGKILL'));
  const lock = join(root, '.millrace/lock');
  const holder = (): number => {
    try {
      return Number((JSON.parse(readFileSync(lock, 'utf8')) as {pid: number}).pid);
    } catch {
      return 0;
    }
  };
  const lives = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  await until(() => holder() > 0 && existsSync(join(root, '.millrace/control.sock')), 'the platform');
  const platform = holder();
  assert.notEqual(platform, child.pid);
  child.kill('SIGKILL');
  await until(() => !lives(platform), 'its end');
});

test('a reader that goes away is no failure', () => {
  const launcher = join(import.meta.dirname, '../../bin/millrace.js');
  const command = `${process.execPath} ${launcher} export json-schema | head -c 10; echo " \${PIPESTATUS[0]}"`;
  const {stdout, stderr} = spawnSync('bash', ['-c', command], {encoding: 'utf8', cwd: '/'});
  assert.equal(stdout, '{\n  "$sche 0\n');
  assert.equal(stderr, '');
});
