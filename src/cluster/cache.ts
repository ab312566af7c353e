import {createHash} from 'node:crypto';
import {mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {acquireLock} from '../log/lock.ts';
import {pause} from './process.ts';

/** Told what is being fetched and how far it is, in words. */
export type Progress = (text: string) => void;

/** Files that are fetched once and kept. */
export type Parcel = {
  /** Name and version: `kafka-4.4.0`; the directory in the cache. */
  name: string;
  /**
   * SHA-256 in hexadecimal by file name; or, of many files, that of the list of all of them: `<sum>  <path>` and a line feed
   * each, in the order of their paths. No other files are there.
   */
  files: Record<string, string> | {tree: string};
  /** Puts the files into an empty directory. @throws SERVER_FETCH, SERVER_MISSING */
  fetch(dir: string, progress: Progress): Promise<void>;
};

/** Where fetched files are kept: `MILLRACE_CACHE`, else below the user's cache directory. */
export const cacheDir = (env: NodeJS.ProcessEnv = process.env): string =>
  env.MILLRACE_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'millrace');

/**
 * The directory with the files of a parcel, compared with their checksums when they are fetched and whenever one was touched
 * since; what is damaged or not there is fetched. Safe when several processes ask at once: one fetches, the others wait for it.
 * @throws SERVER_FETCH when what was fetched is not what is expected
 */
export async function cached(parcel: Parcel, progress: Progress, cache = cacheDir()): Promise<string> {
  const dir = join(cache, parcel.name);
  if (isWhole(parcel, dir, cache)) return dir;
  mkdirSync(cache, {recursive: true});
  const lock = await waitForLock(join(cache, 'locks', parcel.name));
  try {
    // Another process may have fetched it meanwhile.
    if (isWhole(parcel, dir, cache)) return dir;
    const fresh = join(cache, `${parcel.name}.new`);
    rmSync(fresh, {recursive: true, force: true});
    mkdirSync(fresh);
    await parcel.fetch(fresh, progress);
    const wrong = differences(parcel, fresh);
    if (wrong.length > 0)
      throw new PlatformError(
        'SERVER_FETCH',
        `${parcel.name} as fetched is not what is expected: ${wrong.join(', ')}`,
        {
          place: fresh,
          hint: 'look at what the package manager is configured to fetch from; the files there were not used',
        },
      );
    rmSync(dir, {recursive: true, force: true});
    renameSync(fresh, dir);
    isWhole(parcel, dir, cache);
    return dir;
  } finally {
    lock.release();
  }
}

/**
 * Whether a directory has what it should. What was found whole is remembered with size and times of every file: reading 150 MB
 * again at every start would take as long as some servers do.
 */
function isWhole(parcel: Parcel, dir: string, cache: string): boolean {
  const path = join(cache, 'whole', parcel.name);
  const expected = JSON.stringify(parcel.files);
  const stamp = () =>
    sha256(
      filesOf(dir)
        .map((name) => {
          const {size, mtimeNs, ctimeNs, ino} = statSync(join(dir, name), {bigint: true});
          return `${name} ${size} ${mtimeNs} ${ctimeNs} ${ino}\n`;
        })
        .join('') + expected,
    );
  try {
    if (readFileSync(path, 'utf8') === stamp()) return true;
  } catch {
    // Never looked at, or gone.
  }
  if (differences(parcel, dir).length > 0) return false;
  mkdirSync(join(cache, 'whole'), {recursive: true});
  writeFileSync(path, stamp());
  return true;
}

/** Paths of all files below a directory, in order; none when it is not there. */
function filesOf(dir: string): string[] {
  try {
    return readdirSync(dir, {recursive: true, withFileTypes: true})
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
      .sort();
  } catch {
    return [];
  }
}

/** What is missing, damaged or too much in a directory; empty when it is whole. */
function differences({files}: Parcel, dir: string): string[] {
  const present = filesOf(dir);
  if (present.length === 0) return ['nothing is there'];
  const sumOf = (name: string) => sha256(readFileSync(join(dir, name)));
  if (typeof files.tree === 'string') {
    const sum = sha256(present.map((name) => `${sumOf(name)}  ${name}\n`).join(''));
    return sum === files.tree
      ? []
      : [`the list of its ${present.length} files has SHA-256 ${sum} instead of ${files.tree}`];
  }
  const expected: Record<string, string> = files;
  const more = present.filter((name) => !Object.hasOwn(expected, name)).map((name) => `${name} is unknown`);
  const wrong = Object.entries(expected).flatMap(([name, sum]) => {
    if (!present.includes(name)) return [`${name} is missing`];
    const found = sumOf(name);
    return found === sum ? [] : [`${name} has SHA-256 ${found} instead of ${sum}`];
  });
  return [...wrong, ...more];
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');

/** Another process may need minutes for what it fetches; the kernel frees the lock of one that died. */
async function waitForLock(path: string): Promise<{release(): void}> {
  for (;;) {
    try {
      return acquireLock(path, {command: 'fetching'});
    } catch (error) {
      if (!(error instanceof PlatformError && error.code === 'LOCKED')) throw error;
      await pause(200);
    }
  }
}
