/** Carries out changes of queries: a new revision beside the running one, filled, compared, switched. Every step can be cut short and gone on with. */
import {systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {type LogSource, openLog} from '../log/open.ts';
import type {Platform} from '../model/types.ts';
import {topicsOf} from '../process/embedded/topics-read.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {planHere} from './apply-plans.ts';
import {type ArchiveLine, dropArchive, readArchive} from './change-archive.ts';
import {begin} from './change-begin.ts';
import {type Comparison, compareRevisions, differs} from './change-compare.ts';
import {catchUp, type FillLine, goesOn, logEnds, meet, patienceMs} from './change-fill.ts';
import {type Surely, untilAllAnswer} from './fill-waiting.ts';
import {sameMeaning} from './plan-meaning.ts';
import {type QueryRevisions, readRevisions, writeRevisions} from './revisions.ts';
import type {RunningPlatform} from './runtime.ts';

/** What is wanted of a query. */
export type Wish = {
  query: string;
  why: 'change' | 'rebuild' | 'backfill' | 'rollback';
  /** A rollback also to what reads fields that events no longer have. */
  anyway?: boolean;
  /** A backfill also with events that the log no longer has. */
  archive?: boolean;
};

/** How a change goes on, a line at a time. */
export type ChangeLine =
  | FillLine
  | ArchiveLine
  | {comparison: Comparison}
  /** Nothing was switched: the rows differ, and somebody has to say that they may. The revisions are kept. */
  | {waits: string[]; reason: string}
  | {query: string; revision: number; switched: true; old: string; oldRevision: number};

export type CarryOptions = {
  /** The configuration whose definitions are wanted, with all its sinks; what runs has them from then on. */
  platform: Platform;
  /** Switch whatever the comparison says. */
  yes: boolean;
  /** Queries that run may lag so much while revisions are filled. */
  lagMaxMs: number;
  signal: AbortSignal;
  /** Nobody asked for it and looks on: an archive that lacks offsets which the log no longer has is refused. */
  isUnasked?: boolean;
};

/** How long queries that run may lag behind the log while revisions are filled, ms, unless it is said otherwise. */
export const lagMaxDefaultMs = 2_000;

/**
 * Carries out wishes, all at once: their revisions share what they read.
 * @throws NAME_UNKNOWN, REBUILD_STOPPED, ROLLBACK_IMPOSSIBLE and the errors of sinks; what was begun is gone on with next time.
 */
export async function* carryOut(
  running: RunningPlatform,
  wishes: Wish[],
  options: CarryOptions,
): AsyncGenerator<ChangeLine> {
  if (underWay.has(running))
    throw new PlatformError('CHANGE_STOPPED', 'another change is under way', {
      hint: 'wait until it has ended',
    });
  underWay.add(running);
  try {
    yield* carryOutAlone(running, wishes, options);
  } finally {
    underWay.delete(running);
    dropArchive(running);
  }
}

/** Platforms that carry out a change: one at a time. */
const underWay = new WeakSet<RunningPlatform>();

/** Whether a change is under way: the log keeps what it has until that is over. */
export const isChanging = (running: RunningPlatform): boolean => underWay.has(running);

async function* carryOutAlone(
  running: RunningPlatform,
  wishes: Wish[],
  options: CarryOptions,
): AsyncGenerator<ChangeLine> {
  const {dirs, engine} = running;
  const plans: QueryPlan[] = [];
  const surely = untilAllAnswer({clock: systemClock, telemetry: running.metrics}, options.signal);
  for (const wish of wishes)
    plans.push(planHere(running.platform, await begin(running, wish, options.platform, surely)));
  // A query that stopped because it was changed runs on as it was, now that its change is under way.
  const stopped = engine
    .status()
    .filter(({state, reason}) => state === 'stopped' && reason?.code === 'QUERY_CHANGED');
  if (stopped.some(({query}) => plans.some(({id}) => id === query))) await running.restartEngine();
  const archive = wishes.some((wish) => wish.archive)
    ? yield* readArchive(running, plans, {...options, surely})
    : undefined;
  const filling = await engine.fill(plans, options.platform, {
    signal: options.signal,
    ...(archive && {archive}),
  });
  const rates = new Map<string, number>();
  try {
    for await (const line of catchUp(engine, filling, options)) {
      if (line.eventsPerSecond > 0) rates.set(line.query, line.eventsPerSecond);
      yield line;
    }
    const refusals: string[] = [];
    for (const plan of plans) {
      const wish = wishes.find(({query}) => query === plan.id)!;
      const {why} = wish;
      const old = engine.plan(plan.id)!;
      const known = engine.status().find(({query}) => query === plan.id);
      // One that has just begun has told nothing yet, and is waited for.
      const steering = !known || goesOn(known) ? engine.steer(plan.id) : undefined;
      const met = await meet(steering, filling, plan, {
        ends: () => surely(() => logEnds(dirs.source, plan, {patienceMs})),
        signal: options.signal,
      });
      const comparisons = await surely(() => compareRevisions(running.outputs, old, plan, met));
      steering?.until(null);
      filling.steer(plan.id).until(null);
      for (const comparison of comparisons)
        yield {
          comparison:
            met || comparison.skipped
              ? comparison
              : {...comparison, skipped: 'the old revision does not run: its rows stand where it stopped'},
        };
      const meant = sameMeaning(old, plan) ? why : 'change';
      const trimmed = await surely(() => isTrimmed(dirs.source, plan));
      const reason = why === 'backfill' ? why : meant;
      const refusal = met
        ? refusalOf(reason, comparisons, trimmed)
        : lossOf(reason, comparisons, trimmed, wish.archive);
      if (refusal) refusals.push(refusal);
    }
    if (refusals.length > 0 && !options.yes) {
      yield {waits: plans.map(({id}) => id), reason: refusals.join('; ')};
      return;
    }
    yield* switchOver(running, plans, wishes, {rates, platform: options.platform, surely});
  } finally {
    for (const {id} of plans) engine.steer(id).until(null);
    await filling.stop();
  }
}

/** Why somebody has to be asked before the switch. */
function refusalOf(why: Wish['why'], comparisons: Comparison[], trimmed: number): string | undefined {
  const differing = comparisons.filter(differs);
  if (differing.length === 0) return undefined;
  const {query} = differing[0]!;
  const onlyBefore = differing.reduce((sum, each) => sum + each.onlyBefore, 0);
  if (why === 'rebuild') return `${query}: a rebuild makes the same rows, and these differ`;
  if (why === 'backfill') return `${query}: rows differ`;
  return why === 'change' && trimmed > 0 && onlyBefore > 0 ? lackText(query, onlyBefore) : undefined;
}

const lackText = (query: string, rows: number): string =>
  `${query}: the log begins at a later record than the rows do, and the new revision lacks ${rows} of them; after it was switched to all the same, npx millrace backfill ${query} --from archive adds what raw tables keep`;

/**
 * The same where the old revision does not run: what it has not read yet differs, what the new one lacks is lost.
 * @param trimmed records that the log no longer has @param archive whether the raw table had to have them
 */
export function lossOf(
  why: Wish['why'],
  comparisons: Comparison[],
  trimmed: number,
  archive = false,
): string | undefined {
  const lacking = comparisons.filter(({onlyBefore}) => onlyBefore > 0);
  if ((why !== 'backfill' && why !== 'change') || trimmed === 0 || lacking.length === 0) return undefined;
  const {query} = lacking[0]!;
  const rows = lacking.reduce((sum, {onlyBefore}) => sum + onlyBefore, 0);
  return archive
    ? `${query}: the raw table and the log have less than the rows were made of, and the new revision lacks ${rows} of them`
    : lackText(query, rows);
}

/** Records of a query's topics that the log no longer has. */
async function isTrimmed(source: LogSource, plan: QueryPlan): Promise<number> {
  const log = await openLog(source, {patienceMs, topics: topicsOf(plan)});
  try {
    let records = 0;
    for (const topic of topicsOf(plan))
      for (let partition = 0; partition < log.partitions(topic); partition++)
        records += log.startOffset(topic, partition);
    return records;
  } finally {
    log.close();
  }
}

/** Notes the switch, moves the views, notes that it is done, and lets the new revisions run in place of the old. */
async function* switchOver(
  running: RunningPlatform,
  plans: QueryPlan[],
  wishes: Wish[],
  {rates, platform, surely}: {rates: Map<string, number>; platform: Platform; surely: Surely},
): AsyncGenerator<ChangeLine> {
  const {dirs, outputs} = running;
  const noted = readRevisions(dirs.revisions);
  for (const {id, revision} of plans)
    noted[id] = {...(noted[id] ?? {current: 1, filling: null}), switching: revision};
  failpoint('change.before-switching');
  writeRevisions(dirs.revisions, noted);
  // Whoever would take over must find it, too, before anybody sees the new rows.
  await running.engine.sync();
  failpoint('change.after-switching');
  for (const plan of plans) await surely(() => outputs.switchView(plan));
  const done = readRevisions(dirs.revisions);
  const switched: ChangeLine[] = [];
  const switchedMs = Date.now();
  for (const {id, revision} of plans) {
    const {why} = wishes.find(({query}) => query === id)!;
    const pinned = why === 'rollback' || (done[id]!.pinned === true && why !== 'change');
    const oldRevision = done[id]!.current;
    done[id] = finished(done[id]!, revision, {pinned, switchedMs, rate: rates.get(id)});
    const message = `${id} now shows revision ${revision}, not ${oldRevision}`;
    running.metrics.emit('Log', {level: 'info', message});
    switched.push({query: id, revision, switched: true, old: `${id}__r${oldRevision}`, oldRevision});
  }
  writeRevisions(dirs.revisions, done);
  failpoint('change.after-switch');
  await running.restartEngine(platform);
  yield* switched;
}

/** A query's revisions after the switch to one of them. */
export function finished(
  before: QueryRevisions,
  revision: number,
  {pinned, switchedMs, rate}: {pinned: boolean; switchedMs: number; rate?: number | undefined},
): QueryRevisions {
  const {switching: _, pinned: __, ...rest} = before;
  const entry = rest.entries?.[revision];
  return {
    ...rest,
    current: revision,
    filling: null,
    switchedMs,
    previous: before.current === revision ? (before.previous ?? null) : before.current,
    ...(pinned ? {pinned} : {}),
    ...(entry && rate ? {entries: {...rest.entries, [revision]: {...entry, eventsPerSecond: rate}}} : {}),
  };
}
