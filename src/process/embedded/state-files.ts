/**
 * Files beside the checkpoints that another machine needs, too: the list of revisions, what was applied, snapshots of lookups.
 * They are written by other threads, whole (log/directory.ts); in an object store they travel with the commits.
 */
import {createHash} from 'node:crypto';
import {readdirSync, readFileSync, rmSync, statSync} from 'node:fs';
import {join, normalize, relative, sep} from 'node:path';
import {PlatformError} from '../../errors.ts';
import {replaceFile} from '../../log/directory.ts';
import type {PieceWork} from './state-pieces.ts';

/** What belongs to this machine alone: the file of the store, locks, what is being written. */
const own = /^(state\.db(-wal|-shm)?|state\.head|lock(\.db(-journal)?|\.new)?)$|\.tmp$/;

/** Name of a content. */
export const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Paths below `dir`, with slashes, relative to it. */
export function filesBeside(dir: string): string[] {
  const entries = readdirSync(dir, {recursive: true, withFileTypes: true});
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !own.test(path))
    .sort();
}

/** Watches them for changes. */
export class FilesBeside {
  readonly #dir: string;
  /** Path -> size and time of change when it was read last. */
  readonly #seen = new Map<string, string>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * What changed against what is known. A file that has the size and the time that it had is taken for the same.
   * @param known path -> hash @returns with the hash of each; null for one that is gone
   */
  changes(known: ReadonlyMap<string, string>): {work: PieceWork & {kind: 'file'}; hash: string | null}[] {
    const changes: {work: PieceWork & {kind: 'file'}; hash: string | null}[] = [];
    const there = new Set<string>();
    for (const path of filesBeside(this.#dir)) {
      there.add(path);
      const {size, mtimeMs, ino} = statSync(join(this.#dir, path));
      const sign = `${size} ${mtimeMs} ${ino}`;
      if (known.has(path) && this.#seen.get(path) === sign) continue;
      const bytes = readFileSync(join(this.#dir, path));
      this.#seen.set(path, sign);
      const hash = hashOf(bytes);
      if (known.get(path) !== hash) changes.push({work: {kind: 'file', path, bytes}, hash});
    }
    for (const path of known.keys())
      if (!there.has(path)) changes.push({work: {kind: 'file', path, bytes: null}, hash: null});
    return changes;
  }
}

/** Writes a file as an object says it. @throws CHECKPOINT_CORRUPT for a path that leads elsewhere */
export function placeFile(dir: string, path: string, bytes: Uint8Array | null): void {
  const target = join(dir, path);
  if (normalize(path) !== path || path.startsWith('..') || path.startsWith('/') || own.test(path))
    throw new PlatformError(
      'CHECKPOINT_CORRUPT',
      `an object of the checkpoint store names the file ${path}`,
      {
        hint: 'somebody else wrote to the bucket: use another prefix',
      },
    );
  if (bytes === null) rmSync(target, {force: true});
  else if (!isThere(target, bytes)) replaceFile(target, bytes);
}

function isThere(path: string, bytes: Uint8Array): boolean {
  try {
    return statSync(path).size === bytes.length && readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}

/** Removes everything that is no lock: a copy that is made anew. */
export function clearCopy(dir: string): void {
  for (const name of readdirSync(dir))
    if (!/^lock/.test(name)) rmSync(join(dir, name), {recursive: true, force: true});
}
