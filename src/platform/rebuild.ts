import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import {readRevisions, revisionOf, writeRevisions} from './revisions.ts';
import {type RunningPlatform, startPlatform} from './runtime.ts';

export type RebuildLine =
  | {query: string; revision: number; lagEvents: number}
  | {query: string; revision: number; switched: true; old: string};

const lookMs = 500;

/**
 * Fills a new revision of a query from the log beside the old table, then switches the view. A rebuild that was cut short
 * goes on: its revision is the one being filled.
 * @throws NAME_UNKNOWN, and the reason when the query stops while it is being filled.
 */
export async function* rebuildRunning(running: RunningPlatform, query: string): AsyncGenerator<RebuildLine> {
  const {dirs, engine, outputs} = running;
  if (!engine.plan(query)) throw new PlatformError('NAME_UNKNOWN', `there is no query "${query}"`);
  const revisions = readRevisions(dirs.revisions);
  const current = revisions[query]?.current ?? 1;
  const revision = revisions[query]?.filling ?? (await nextRevision(running, query, current));
  if (revisionOf(revisions, query) !== revision) {
    writeRevisions(dirs.revisions, {...revisions, [query]: {current, filling: revision}});
    await running.restartEngine();
  }
  // Statuses from before the new revision began say nothing about it.
  const sinceMs = Date.now() + lookMs;
  for (;;) {
    const status = engine.status().find((each) => each.query === query);
    if (status?.state === 'stopped' || status?.state === 'failed')
      throw new PlatformError(
        'REBUILD_STOPPED',
        `revision ${revision} of ${query} stopped: ${status.reason?.code} ${status.reason?.message}`,
        {
          hint: status.reason?.hint ?? 'mend the cause, then rebuild again: it goes on where it was',
        },
      );
    if (status && status.observedMs > sinceMs) {
      if (status.lagEvents === 0 && status.settled) break;
      yield {query, revision, lagEvents: status.lagEvents};
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  const plan = engine.plan(query)!;
  await outputs.switchView(plan);
  writeRevisions(dirs.revisions, {
    ...readRevisions(dirs.revisions),
    [query]: {current: revision, filling: null},
  });
  yield {query, revision, switched: true, old: `${query}__r${current}`};
}

/** A number that no table in any sink of the query has. */
async function nextRevision(
  {engine, outputs}: RunningPlatform,
  query: string,
  current: number,
): Promise<number> {
  const taken = await outputs.revisions(engine.plan(query)!);
  return Math.max(current, ...taken) + 1;
}

/** The same without a running platform: one runs for as long as it takes, without inputs and for no other query. */
export async function* rebuildOffline(platform: Platform, query: string): AsyncGenerator<RebuildLine> {
  const [domain, name] = query.split('.');
  const alone: Platform = {
    ...platform,
    domains: platform.domains
      .filter((each) => each.name === domain)
      .map((each) => ({
        ...each,
        inputs: [],
        aggregations: each.aggregations.filter((aggregation) => aggregation.name === name),
        defaults: {...each.defaults, raw: null},
      })),
  };
  const running = await startPlatform(alone, {inputs: false, port: 0, command: 'millrace rebuild'});
  try {
    yield* rebuildRunning(running, query);
  } finally {
    await running.drain();
  }
}
