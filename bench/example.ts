/** The example platform as a user starts it: `millrace run` in a copy of the repository's config/ and data/, both databases on. */
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {cpSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

export const repository = join(dirname(fileURLToPath(import.meta.url)), '..');
const launcher = join(repository, 'bin', 'millrace.js');

export type Example = {
  pid: number;
  /** Whether it holds its directory: before that a command would open the files itself. */
  isOwner(): boolean;
  /** Resolves with the output of a command of the command line; undefined when it failed. */
  command(...args: string[]): Promise<string | undefined>;
  /** Ctrl-C. @returns the exit code */
  interrupt(): Promise<number | null>;
  remove(): void;
};

/** Starts it with an empty `.millrace`, on any free port. */
export function startExample(...options: string[]): Example {
  const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  for (const each of ['config', 'data']) cpSync(join(repository, each), join(root, each), {recursive: true});
  const start = (args: string[]): ChildProcess =>
    spawn(process.execPath, [launcher, ...args], {cwd: root, stdio: ['ignore', 'pipe', 'pipe']});
  const child = start(['run', '--port', '0', ...options]);
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    said = (said + chunk).slice(-4000);
  });
  child.stdout!.resume();
  const exited = once(child, 'exit');
  return {
    pid: child.pid!,
    isOwner: () => existsSync(join(root, '.millrace', 'lock')),
    async command(...args) {
      const asked = start(args);
      let text = '';
      asked.stdout!.on('data', (chunk: Buffer) => {
        text += chunk;
      });
      asked.stderr!.resume();
      const [code] = await once(asked, 'close');
      if (child.exitCode !== null) throw new Error(`the platform ended: ${said}`);
      return code === 0 ? text : undefined;
    },
    async interrupt() {
      child.kill('SIGINT');
      const [code] = await exited;
      return code as number | null;
    },
    remove: () => rmSync(root, {recursive: true, force: true}),
  };
}
