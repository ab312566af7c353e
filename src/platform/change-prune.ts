import type {Platform} from '../model/types.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {planOfRevision} from './apply-plans.ts';
import {abandon, dropRevision} from './change-begin.ts';
import type {PlatformDirs} from './places.ts';
import {type QueryRevisions, readRevisions, revisionOf, writeRevisions} from './revisions.ts';
import type {RunningPlatform} from './runtime.ts';

/** What `prune` drops of one query. */
export type Pruned = {
  query: string;
  /** Numbers of revisions whose tables and state go. */
  revisions: number[];
  /** A revision whose filling was begun and not finished; it goes too. */
  begun: number | null;
  /** The query is not in the configuration any more: nothing of it stays. */
  isGone: boolean;
  /** Sinks that the configuration does not have any more: what they hold of these revisions stays. Absent: none, as far as is recorded. */
  left?: string[];
};

/**
 * What there is to drop. @param keep how many revisions before the current one stay, for a rollback
 */
export function toPrune(platform: Platform, dirs: PlatformDirs, keep: number): Pruned[] {
  const revisions = readRevisions(dirs.revisions);
  const states = openStateReader(dirs.state);
  const stored = states.queries();
  states.close();
  const names = new Set([...Object.keys(revisions), ...stored.map((state) => state.replace(/\/r\d+$/, ''))]);
  const running = new Set(
    platform.domains.flatMap(({name, aggregations}) => aggregations.map((query) => `${name}.${query.name}`)),
  );
  return [...names].sort().flatMap((query) => {
    const known = revisions[query] ?? {current: revisionOf(revisions, query), filling: null};
    const isGone = !running.has(query);
    const isStored = stored.some((state) => state.startsWith(`${query}/r`));
    if (isGone && !isStored && Object.keys(known.entries ?? {}).length === 0) return [];
    const old = olderOf(query, known, stored);
    const dropped = isGone ? [...old, known.current] : old.slice(0, Math.max(0, old.length - keep));
    if (dropped.length === 0 && known.filling === null) return [];
    const left = sinksOf(dirs, query, known, dropped).filter((sink) => !Object.hasOwn(platform.sinks, sink));
    return [{query, revisions: dropped, begun: known.filling, isGone, ...(left.length > 0 ? {left} : {})}];
  });
}

/** Where the tables of revisions are, by their definitions. */
const sinksOf = (dirs: PlatformDirs, query: string, known: QueryRevisions, revisions: number[]): string[] => [
  ...new Set(revisions.flatMap((revision) => planOfRevision(dirs, query, known, revision)?.sinks ?? [])),
];

/** Revisions that neither run nor are being filled, in the order in which they would be missed: the last one most. */
function olderOf(query: string, known: QueryRevisions, stored: string[]): number[] {
  const numbers = new Set([
    ...Object.keys(known.entries ?? {}).map(Number),
    ...stored
      .filter((state) => state.startsWith(`${query}/r`))
      .map((state) => Number(state.slice(query.length + 2))),
    ...(known.previous ? [known.previous] : []),
  ]);
  const rank = (revision: number) => (revision === known.previous ? Infinity : revision);
  return [...numbers]
    .filter((revision) => revision !== known.current && revision !== known.filling)
    .sort((a, b) => rank(a) - rank(b));
}

/** Drops tables and states, then forgets that they were. Cut short, it is done again from the beginning. */
export async function prune(running: RunningPlatform, keep: number): Promise<Pruned[]> {
  const {dirs, platform} = running;
  const pruned = toPrune(running.configured, dirs, keep);
  for (const {query, revisions, begun, isGone} of pruned) {
    const known = readRevisions(dirs.revisions)[query];
    if (begun !== null && known) await abandon(running, query, known);
    for (const revision of revisions) await dropRevision(running, query, revision);
    if (isGone) for (const sink of Object.keys(platform.sinks)) await running.outputs.dropView(sink, query);
    forget(dirs, query, revisions, isGone);
  }
  return pruned;
}

function forget(dirs: PlatformDirs, query: string, dropped: number[], isGone: boolean): void {
  const all = readRevisions(dirs.revisions);
  const known = all[query];
  if (!known) return;
  if (isGone) {
    // Its numbers are not given again: a sink may still hold marks of them.
    all[query] = {
      current: (known.highest ?? known.current) + 1,
      filling: null,
      highest: (known.highest ?? known.current) + 1,
    };
  } else {
    const entries = Object.fromEntries(
      Object.entries(known.entries ?? {}).filter(([revision]) => !dropped.includes(Number(revision))),
    );
    const previous = known.previous && !dropped.includes(known.previous) ? known.previous : null;
    all[query] = {...known, entries, previous};
  }
  writeRevisions(dirs.revisions, all);
}
