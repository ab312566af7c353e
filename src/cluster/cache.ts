import {createHash} from 'node:crypto';
import {mkdirSync, readdirSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {acquireLock} from '../log/lock.ts';
import {pause} from './process.ts';

/** Told what is being fetched and how far it is, in words. */
export type Progress = (text: string) => void;

/** Files that are fetched once and kept: names and the SHA-256 of each, in hexadecimal. */
export type Parcel = {
  /** Name and version: `kafka-4.4.0`; the directory in the cache. */
  name: string;
  /** SHA-256 by file name. No other files are there. */
  files: Record<string, string>;
  /** Puts the files into an empty directory. @throws SERVER_FETCH, SERVER_MISSING */
  fetch(dir: string, progress: Progress): Promise<void>;
};

/** Where fetched files are kept: `MILLRACE_CACHE`, else below the user's cache directory. */
export const cacheDir = (env: NodeJS.ProcessEnv = process.env): string =>
  env.MILLRACE_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'millrace');

/**
 * The directory with the files of a parcel, each compared with its checksum at every call; what is damaged or not there is
 * fetched. Safe when several processes ask at once: one fetches, the others wait for it.
 * @throws SERVER_FETCH when what was fetched is not what is expected
 */
export async function cached(parcel: Parcel, progress: Progress, cache = cacheDir()): Promise<string> {
  const dir = join(cache, parcel.name);
  if (differences(parcel, dir).length === 0) return dir;
  const lock = await waitForLock(join(cache, 'locks', parcel.name));
  try {
    // Another process may have fetched it meanwhile.
    if (differences(parcel, dir).length === 0) return dir;
    const fresh = join(cache, `${parcel.name}.new`);
    rmSync(fresh, {recursive: true, force: true});
    mkdirSync(fresh, {recursive: true});
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
    return dir;
  } finally {
    lock.release();
  }
}

/** What is missing, damaged or too much in a directory; empty when it is whole. */
function differences({files}: Parcel, dir: string): string[] {
  let present: string[];
  try {
    present = readdirSync(dir);
  } catch {
    return ['nothing is there'];
  }
  const more = present.filter((name) => !Object.hasOwn(files, name)).map((name) => `${name} is unknown`);
  const wrong = Object.entries(files).flatMap(([name, sum]) => {
    if (!present.includes(name)) return [`${name} is missing`];
    const found = createHash('sha256')
      .update(readFileSync(join(dir, name)))
      .digest('hex');
    return found === sum ? [] : [`${name} has SHA-256 ${found} instead of ${sum}`];
  });
  return [...wrong, ...more];
}

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
