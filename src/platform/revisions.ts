import {closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync} from 'node:fs';
import {dirname} from 'node:path';
import {PlatformError} from '../errors.ts';

/**
 * Which physical table a query's view shows, and which one is being filled. A query that was never rebuilt has revision 1
 * and no entry.
 */
export type Revisions = Record<
  string,
  {current: number /** Being filled beside it, or null. */; filling: number | null}
>;

/** @throws CHECKPOINT_CORRUPT when the file is there and is not what was written. */
export function readRevisions(path: string): Revisions {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  try {
    return JSON.parse(text) as Revisions;
  } catch (cause) {
    throw new PlatformError('CHECKPOINT_CORRUPT', 'the list of revisions is damaged', {
      place: path,
      hint: 'put it back from a backup, or remove it: every query then begins again with revision 1',
      cause,
    });
  }
}

/** Durable when it returns: the new file is synced before it takes the old one's name. */
export function writeRevisions(path: string, revisions: Revisions): void {
  mkdirSync(dirname(path), {recursive: true});
  const temporary = `${path}.tmp`;
  const descriptor = openSync(temporary, 'w');
  writeSync(descriptor, `${JSON.stringify(revisions, null, 2)}\n`);
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(temporary, path);
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

/** The revision that runs: the one being filled, if there is one. */
export const revisionOf = (revisions: Revisions, query: string): number =>
  revisions[query]?.filling ?? revisions[query]?.current ?? 1;
