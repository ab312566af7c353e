/** `npm test`: static checks, then every test. Arguments narrow it down: `npm test -- test/log`. */
import {spawn, spawnSync} from 'node:child_process';
import {availableParallelism} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {endFilesThatHang} from './hanging.ts';

/** Of the whole: a test that takes longer has failed; who narrows it down may ask for sweeps that do. */
const testMsMax = 12 * 60_000;
/** A file that takes longer is ended, and has failed. */
const fileMsMax = 15 * 60_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const only = process.argv.slice(2);
/** Stripped and compiled once, not by each of hundreds of processes and threads: that was a third of the work of many. */
const compileCache = process.env.NODE_COMPILE_CACHE ?? join(root, 'node_modules', '.cache', 'millrace');
const bin = (name: string) => join(root, 'node_modules', '.bin', name);

function run(title: string, command: string, argv: string[]): boolean {
  process.stdout.write(`# ${title}\n`);
  return spawnSync(command, argv, {cwd: root, stdio: 'inherit'}).status === 0;
}

const checks =
  only.length > 0 ||
  [
    run('types', bin('tsc'), ['--noEmit']),
    run('style', bin('biome'), ['check', '--error-on-warnings', '.']),
  ].every(Boolean);
const patterns =
  only.length > 0
    ? only.map((path) => (path.endsWith('.ts') ? path : `${path}/**/*.test.ts`))
    : ['test/**/*.test.ts'];
process.stdout.write('# tests\n');
const tests = spawn(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    `--test-concurrency=${availableParallelism()}`,
    ...(only.length > 0 ? [] : [`--test-timeout=${testMsMax}`]),
    ...['spec', './test/slowest.ts'].flatMap((reporter) => [
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
    ]),
    ...patterns,
  ],
  {cwd: root, stdio: 'inherit', env: {...process.env, NODE_COMPILE_CACHE: compileCache}},
);
if (only.length === 0) endFilesThatHang(tests.pid!, fileMsMax);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tests.kill(signal));
tests.once('exit', (code) => process.exit(checks && code === 0 ? 0 : 1));
