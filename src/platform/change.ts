/** Carries out changes of queries: a new revision beside the running one, filled, compared, switched. Every step can be cut short and gone on with. */
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {openLogReader} from '../log/embedded.ts';
import type {Platform} from '../model/types.ts';
import {stateName} from '../process/embedded/checkpoint.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {asRevision, planOfRevision} from './apply-plans.ts';
import {definitionOf, storeContent} from './apply-record.ts';
import {type Comparison, compareRevisions, differs} from './change-compare.ts';
import {catchUp, type FillLine, logEnds, meet} from './change-fill.ts';
import {sameMeaning} from './plan-meaning.ts';
import {
  type QueryRevisions,
  readRevisions,
  revisionOf,
  updateRevisions,
  writeRevisions,
} from './revisions.ts';
import type {RunningPlatform} from './runtime.ts';

/** What is wanted of a query. */
export type Wish = {
  query: string;
  why: 'change' | 'rebuild' | 'backfill' | 'rollback';
};

/** How a change goes on, a line at a time. */
export type ChangeLine =
  | FillLine
  | {comparison: Comparison}
  /** Nothing was switched: the rows differ, and somebody has to say that they may. The revisions are kept. */
  | {waits: string[]; reason: string}
  | {query: string; revision: number; switched: true; old: string; oldRevision: number};

export type CarryOptions = {
  /** The configuration whose definitions are wanted; what runs has them from then on. */
  platform: Platform;
  /** Switch whatever the comparison says. */
  yes: boolean;
  /** Queries that run may lag so much while revisions are filled. */
  lagMaxMs: number;
  signal: AbortSignal;
};

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
  }
}

/** Platforms that carry out a change: one at a time. */
const underWay = new WeakSet<RunningPlatform>();

async function* carryOutAlone(
  running: RunningPlatform,
  wishes: Wish[],
  options: CarryOptions,
): AsyncGenerator<ChangeLine> {
  const {dirs, engine} = running;
  const plans: QueryPlan[] = [];
  for (const wish of wishes) plans.push(await begin(running, wish, options.platform));
  // A query that stopped because it was changed runs on as it was, now that its change is under way.
  const stopped = engine
    .status()
    .filter(({state, reason}) => state === 'stopped' && reason?.code === 'QUERY_CHANGED');
  if (stopped.some(({query}) => plans.some(({id}) => id === query))) await running.restartEngine();
  const filling = await engine.fill(plans, options.platform);
  const rates = new Map<string, number>();
  try {
    for await (const line of catchUp(engine, filling, options)) {
      if (line.eventsPerSecond > 0) rates.set(line.query, line.eventsPerSecond);
      yield line;
    }
    const refusals: string[] = [];
    for (const plan of plans) {
      const {why} = wishes.find(({query}) => query === plan.id)!;
      const old = engine.plan(plan.id)!;
      const runs = engine.status().some(({query, state}) => query === plan.id && state === 'running');
      const steering = runs ? engine.steer(plan.id) : undefined;
      const met = await meet(steering, filling, plan, {logDir: dirs.log, signal: options.signal});
      const comparisons = await compareRevisions(running.outputs, old, plan);
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
      const refusal = met
        ? refusalOf(why === 'backfill' ? why : meant, comparisons, isTrimmed(dirs.log, plan))
        : undefined;
      if (refusal) refusals.push(refusal);
    }
    if (refusals.length > 0 && !options.yes) {
      yield {waits: plans.map(({id}) => id), reason: refusals.join('; ')};
      return;
    }
    yield* switchOver(running, plans, wishes, rates, options.platform);
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
  if (why === 'change' && trimmed > 0 && onlyBefore > 0)
    return `${query}: the log begins at a later record than the rows do, and the new revision lacks ${onlyBefore} of them`;
  return undefined;
}

/** Records of a query's topics that the log no longer has. */
function isTrimmed(logDir: string, {sources}: QueryPlan): number {
  const log = openLogReader(logDir);
  try {
    let records = 0;
    for (const {topic} of sources)
      for (let partition = 0; partition < log.partitions(topic); partition++)
        records += log.startOffset(topic, partition);
    return records;
  } finally {
    log.close();
  }
}

/** The plan to be filled: that of a revision that was begun before, else of a new one, which is noted first. */
async function begin(running: RunningPlatform, {query, why}: Wish, platform: Platform): Promise<QueryPlan> {
  const {dirs, engine} = running;
  const [domainName = '', name = ''] = query.split('.');
  const domain = platform.domains.find((each) => each.name === domainName);
  if (!domain?.aggregations.some((each) => each.name === name))
    throw new PlatformError('NAME_UNKNOWN', `there is no query "${query}"`);
  const revisions = readRevisions(dirs.revisions);
  const known: QueryRevisions = revisions[query] ?? {current: revisionOf(revisions, query), filling: null};
  if (why === 'rollback') return rollbackPlan(running, query, known);
  // After a rollback the files say something else than what is to be made anew.
  const pinned =
    known.pinned && why !== 'change' ? planOfRevision(dirs, query, known, known.current) : undefined;
  const wanted = pinned ?? definitionOf(platform, domainName, name).plan;
  if (known.filling !== null) {
    const begun = planOfRevision(dirs, query, known, known.filling);
    const entry = known.entries?.[known.filling];
    if (begun && entry?.why === why && sameMeaning(begun, wanted)) return begun;
    await abandon(running, query, known);
  }
  const revision = await nextRevision(running, query, wanted, known);
  const {plan: written, aggregation} = definitionOf(platform, domainName, name, revision);
  const plan = pinned ? asRevision(pinned, revision) : written;
  const countAllBelow = why === 'backfill' ? logEnds(dirs.log, plan) : undefined;
  const hash = storeContent(dirs, {plan, aggregation});
  failpoint('change.before-begin');
  updateRevisions(dirs.revisions, query, (before) => ({
    ...before,
    filling: revision,
    highest: revision,
    entries: {
      ...before.entries,
      [revision]: {definition: hash, why, createdMs: Date.now(), ...(countAllBelow ? {countAllBelow} : {})},
    },
  }));
  failpoint('change.after-begin');
  if (engine.plan(query) === undefined)
    throw new PlatformError('NAME_UNKNOWN', `${query} does not run yet`, {
      hint: 'start the platform: npx millrace run',
    });
  return {...plan, ...(countAllBelow ? {countAllBelow} : {})};
}

/** A number that neither a table nor a state nor a note ever had. */
async function nextRevision(
  {outputs, engine}: RunningPlatform,
  query: string,
  plan: QueryPlan,
  known: QueryRevisions,
): Promise<number> {
  const taken = await outputs.revisions(engine.plan(query) ?? plan);
  const noted = Object.keys(known.entries ?? {}).map(Number);
  return Math.max(known.highest ?? 0, known.current, ...taken, ...noted) + 1;
}

/** What was begun for another definition is of no use: its table and state go. */
export async function abandon(running: RunningPlatform, query: string, known: QueryRevisions): Promise<void> {
  const {filling} = known;
  if (filling === null) return;
  await dropRevision(running, query, filling);
  updateRevisions(running.dirs.revisions, query, (before) => {
    const {[filling]: _, ...entries} = before.entries ?? {};
    return {...before, filling: null, entries};
  });
}

/** Drops the table of a revision in every sink, and its state. */
export async function dropRevision(
  {outputs, engine, platform}: RunningPlatform,
  query: string,
  revision: number,
): Promise<void> {
  for (const sink of Object.keys(platform.sinks)) {
    failpoint('prune.before-drop');
    await outputs.dropTable(sink, `${query}__r${revision}`);
  }
  await engine.forget([stateName({id: query, revision})]);
}

/** @throws ROLLBACK_IMPOSSIBLE, saying why */
function rollbackPlan({dirs}: RunningPlatform, query: string, known: QueryRevisions): QueryPlan {
  const {previous} = known;
  const impossible = (message: string, hint: string) =>
    new PlatformError('ROLLBACK_IMPOSSIBLE', `${query} cannot go back: ${message}`, {hint});
  if (previous === null || previous === undefined)
    throw impossible(
      'there is no earlier revision',
      'only a switched revision can be taken back, until prune',
    );
  const plan = planOfRevision(dirs, query, known, previous);
  if (!plan)
    throw impossible(
      `how revision ${previous} was defined is not recorded`,
      'put the old definition back into the files and apply it',
    );
  return plan;
}

/** Notes the switch, moves the views, notes that it is done, and lets the new revisions run in place of the old. */
async function* switchOver(
  running: RunningPlatform,
  plans: QueryPlan[],
  wishes: Wish[],
  rates: Map<string, number>,
  platform: Platform,
): AsyncGenerator<ChangeLine> {
  const {dirs, outputs} = running;
  const noted = readRevisions(dirs.revisions);
  for (const {id, revision} of plans)
    noted[id] = {...(noted[id] ?? {current: 1, filling: null}), switching: revision};
  failpoint('change.before-switching');
  writeRevisions(dirs.revisions, noted);
  failpoint('change.after-switching');
  for (const plan of plans) await outputs.switchView(plan);
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
