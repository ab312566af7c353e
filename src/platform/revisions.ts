import {readFileSync} from 'node:fs';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {replaceFile} from '../log/directory.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';

/** What made a revision, and where its definition is kept. */
export type RevisionEntry = {
  /** Content of the applied record that holds the definition (`storeContent`); null for what ran before one was kept. */
  definition: string | null;
  why: 'run' | 'change' | 'rebuild' | 'backfill' | 'revise';
  /** Epoch ms. */
  createdMs: number;
  /** Events that the log no longer had came from the raw table. */
  archive?: boolean;
  /** Events a second of its refill. */
  eventsPerSecond?: number;
} & Pick<QueryPlan, 'countAllBelow' | 'startsAt'>;

/** The revisions of one query. */
export type QueryRevisions = {
  /** What the view shows. */
  current: number;
  /** Being filled beside it, or null. */
  filling: number | null;
  /** What the view showed before, kept for a rollback; null when there is none. */
  previous?: number | null;
  /** Whole, and about to be shown: a start that finds it goes on with the switch. */
  switching?: number | null;
  /** After a rollback: the query runs as its current revision was defined, whatever the files say, until the next apply. */
  pinned?: boolean;
  /** When the view was switched to `current`, epoch ms; queries of one apply have the same. */
  switchedMs?: number;
  /** Highest number ever given: none is given twice. */
  highest?: number;
  /** By number. */
  entries?: Record<string, RevisionEntry>;
};

/**
 * Which physical table a query's view shows, and which one is being filled. A query that was never changed may have no entry: it
 * has revision 1.
 */
export type Revisions = Record<string, QueryRevisions>;

/** @throws CHECKPOINT_CORRUPT when the file is there and is not what was written. */
export function readRevisions(path: string): Revisions {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const damaged = (cause?: unknown) =>
    new PlatformError('CHECKPOINT_CORRUPT', 'the list of revisions is damaged', {
      place: path,
      hint: 'put it back from a backup, or remove it: every query then begins again with revision 1',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(cause);
  }
  if (!isRecord(value) || !Object.values(value).every(isQueryRevisions)) throw damaged();
  return value as Revisions;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isRevision = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;

/** What is named lies between the first and the highest that was ever given: else it is damage. */
function isQueryRevisions(value: unknown): boolean {
  if (!isRecord(value) || !isRevision(value.current)) return false;
  const {entries = {}, current, filling, previous, switching, highest} = value;
  if (!isRecord(entries) || !Object.values(entries).every(isRecord)) return false;
  if (filling === undefined || (highest !== undefined && !isRevision(highest))) return false;
  const known = Math.max(1, Number(highest ?? 1), ...Object.keys(entries).map(Number));
  return [current, filling, previous, switching]
    .filter((each) => each !== null && each !== undefined)
    .every((each) => isRevision(each) && each <= known);
}

/** Durable when it returns: the new file is synced before it takes the old one's name. */
export function writeRevisions(path: string, revisions: Revisions): void {
  failpoint('revisions.before-write');
  replaceFile(path, `${JSON.stringify(revisions, null, 2)}\n`);
  failpoint('revisions.after-write');
}

/** Changes the entry of one query, durably. @returns what it is now */
export function updateRevisions(
  path: string,
  query: string,
  change: (before: QueryRevisions) => QueryRevisions,
): QueryRevisions {
  const revisions = readRevisions(path);
  const next = change(revisions[query] ?? {current: 1, filling: null});
  writeRevisions(path, {...revisions, [query]: next});
  return next;
}

/** The revision that runs and that the view shows, or is about to show. */
export const revisionOf = (revisions: Revisions, query: string): number =>
  revisions[query]?.switching ?? revisions[query]?.current ?? 1;
