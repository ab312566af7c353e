/** Commands as a user types them: in this process where its behaviour as a process is not the point. */
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {PassThrough} from 'node:stream';
import {text} from 'node:stream/consumers';
import {main} from '../../src/cli/main.ts';

/** How a command ended and what it printed. */
export type Outcome = {code: number; stdout: string; stderr: string};

/** Runs one command line in `cwd`. */
export async function cli(cwd: string, ...argv: string[]): Promise<Outcome> {
  return cliWith({cwd}, ...argv);
}

/** The same with an environment, or as on a terminal. */
export async function cliWith(
  {cwd, env = {}, isTty = false}: {cwd: string; env?: Record<string, string>; isTty?: boolean},
  ...argv: string[]
): Promise<Outcome> {
  const stdout = Object.assign(new PassThrough(), {isTTY: isTty});
  const stderr = Object.assign(new PassThrough(), {isTTY: isTty});
  const texts = Promise.all([text(stdout), text(stderr)]);
  const code = await main(argv, {stdout, stderr, env, cwd});
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return {code, stdout: out, stderr: err};
}

const roots: string[] = [];
process.on('exit', () => {
  for (const root of roots) rmSync(root, {recursive: true, force: true});
});

/** A directory with these files, by path below it; removed at the end of the process. */
export function makeRoot(files: Record<string, string> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-cli-'));
  roots.push(root);
  writeFiles(root, files);
  return root;
}

export function writeFiles(root: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), text);
  }
}

/** Rows go to files and raw events nowhere: nothing heavy is started. */
export const filePlatform =
  'platform: shop\nsinks: {rows: {backend: file}}\ndefaults: {aggregates: rows, raw: none}\nserver: {port: 0}\n';

/** The platform that `millrace init` makes, with a file sink instead of databases. */
export async function makeShop(more: Record<string, string> = {}): Promise<string> {
  const root = makeRoot();
  await cli(root, 'init');
  writeFiles(root, {'config/platform.yaml': filePlatform, ...more});
  return root;
}
