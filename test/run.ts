/** `npm test`: static checks, then every test. Arguments narrow it down: `npm test -- test/log`. */
import {spawnSync} from 'node:child_process';
import {availableParallelism} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const only = process.argv.slice(2);
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
const tests = run('tests', process.execPath, [
  '--disable-warning=ExperimentalWarning',
  '--test',
  `--test-concurrency=${availableParallelism()}`,
  ...patterns,
]);
process.exit(checks && tests ? 0 : 1);
