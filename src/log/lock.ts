/**
 * One owner for a directory. The lock is SQLite's exclusive lock on `<path>.db`: the kernel releases it when the process ends,
 * however it ends, so nothing is ever stale and two starters cannot both win. `<path>` itself tells who the owner is.
 * The owner's file is apart from the locked one because closing a descriptor drops a process's POSIX locks on that file.
 */
import {mkdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';

/** Who holds a lock, as written into its file. */
export type LockOwner = {
  pid: number;
  /** When it took the lock, ISO 8601. */
  since: string;
  command: string;
  /** Identifies the process beside its pid (start time in clock ticks since boot, Linux), null where that is unknown. */
  processStart: string | null;
};

/** A held lock. */
export type Lock = {release(): void};

const busy = 5;
/** Held locks: without a reference from here the collection of a forgotten one would close its file and free it. */
const held = new Set<DatabaseSync>();
/** How long a refused starter waits for the winner to write its name. */
const ownerWaitMs = 500;

/** Start of a process in ticks since boot; null without /proc or when it does not run. */
export function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name stands in parentheses and may hold spaces: fields are counted from behind it. starttime is field 22.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/** Whether a process of this machine still runs; where that cannot be told apart from another one of its pid, that one. */
export function alive(owner: Pick<LockOwner, 'pid' | 'processStart'>): boolean {
  if (owner.processStart !== null && process.platform === 'linux')
    return processStart(owner.pid) === owner.processStart;
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Who holds the lock at `path`; undefined when nobody that still runs has written its name there. */
export function lockOwner(path: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(readFileSync(path, 'utf8')) as LockOwner;
    return Number.isInteger(owner.pid) && alive(owner) ? owner : undefined;
  } catch {
    return undefined;
  }
}

function refuse(path: string, cause: unknown): never {
  const waiting = new Int32Array(new SharedArrayBuffer(4));
  let owner = lockOwner(path);
  for (const untilMs = Date.now() + ownerWaitMs; !owner && Date.now() < untilMs; owner = lockOwner(path))
    Atomics.wait(waiting, 0, 0, 10);
  const who = owner
    ? `process ${owner.pid} (${owner.command}) since ${owner.since}`
    : 'another process that is just starting';
  throw new PlatformError('LOCKED', `${dirname(path)} is in use by ${who}`, {
    hint: owner
      ? `stop process ${owner.pid}, or use another directory`
      : 'try again, or use another directory',
    place: path,
    cause,
  });
}

/**
 * Takes the lock at `path` or throws LOCKED, naming pid, start and command of its holder. Files: `path` (owner, JSON) and
 * `path + '.db'` (never read nor removed by anybody else). Held until `release` or the end of the process.
 */
export function acquireLock(path: string, options: {command: string}): Lock {
  mkdirSync(dirname(path), {recursive: true});
  const database = new DatabaseSync(`${path}.db`, {timeout: 0});
  try {
    // Nothing is ever written: the memory journal only avoids that a file for it appears.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (((error as {errcode?: number}).errcode ?? 0) % 256 !== busy) throw error;
    refuse(path, error);
  }
  const owner: LockOwner = {
    pid: process.pid,
    since: new Date().toISOString(),
    command: options.command,
    processStart: processStart(process.pid),
  };
  writeFileSync(`${path}.new`, `${JSON.stringify(owner)}\n`);
  renameSync(`${path}.new`, path);
  held.add(database);
  return {
    release() {
      if (!held.delete(database)) return;
      rmSync(path, {force: true});
      database.close();
    },
  };
}
