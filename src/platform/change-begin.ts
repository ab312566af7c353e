/** How a revision begins, or is gone on with, and how one that is of no use goes. */
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {openLog} from '../log/open.ts';
import type {Platform} from '../model/types.ts';
import {type CheckpointHeader, stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {topicsOf} from '../process/embedded/topics-read.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {asRevision, planHere, planOfRevision} from './apply-plans.ts';
import {definitionOf, storeContent} from './apply-record.ts';
import type {Wish} from './change.ts';
import {logEnds, patienceMs} from './change-fill.ts';
import type {Surely} from './fill-waiting.ts';
import type {PlatformDirs} from './places.ts';
import {sameMeaning} from './plan-meaning.ts';
import {type QueryRevisions, readRevisions, revisionOf, updateRevisions} from './revisions.ts';
import type {RunningPlatform} from './runtime.ts';

/**
 * The plan to be filled: that of a revision that was begun before, else of a new one, which is noted first. Its sinks are those of the
 * configuration.
 */
export async function begin(
  running: RunningPlatform,
  wish: Wish,
  platform: Platform,
  surely: Surely,
): Promise<QueryPlan> {
  const {dirs, engine} = running;
  const {query, why} = wish;
  const [domainName = '', name = ''] = query.split('.');
  const domain = platform.domains.find((each) => each.name === domainName);
  if (!domain?.aggregations.some((each) => each.name === name))
    throw new PlatformError('NAME_UNKNOWN', `there is no query "${query}"`);
  const revisions = readRevisions(dirs.revisions);
  const known: QueryRevisions = revisions[query] ?? {current: revisionOf(revisions, query), filling: null};
  if (why === 'rollback') return rollbackPlan(running, wish, known, surely);
  // After a rollback the files say something else than what is to be made anew.
  const pinned =
    known.pinned && why !== 'change' ? planOfRevision(dirs, query, known, known.current) : undefined;
  const wanted = pinned ?? definitionOf(platform, domainName, name).plan;
  if (known.filling !== null) {
    const begun = planOfRevision(dirs, query, known, known.filling);
    const entry = known.entries?.[known.filling];
    const isSameWish = entry?.why === why && (entry.archive === true) === (wish.archive === true);
    const isUseful = begun && isSameWish && sameMeaning(begun, wanted);
    // One without a state yet begins with the log, wherever that begins.
    // One with an archive in front goes on when it is past that.
    if (
      isUseful &&
      ((!wish.archive && !hasState(dirs, begun)) ||
        (await surely(() => missingOf(dirs, begun))) === undefined)
    )
      return begun;
    await abandon(running, query, known);
  }
  const revision = await nextRevision(running, query, wanted, known);
  const {plan: written, aggregation} = definitionOf(platform, domainName, name, revision);
  const plan = pinned ? asRevision(pinned, revision) : written;
  const countAllBelow =
    why === 'backfill' ? await surely(() => logEnds(dirs.source, plan, {patienceMs})) : undefined;
  const hash = storeContent(dirs, {plan, aggregation});
  failpoint('change.before-begin');
  updateRevisions(dirs.revisions, query, (before) => ({
    ...before,
    filling: revision,
    highest: revision,
    entries: {
      ...before.entries,
      [revision]: {
        definition: hash,
        why,
        createdMs: Date.now(),
        ...(countAllBelow ? {countAllBelow} : {}),
        ...(wish.archive ? {archive: true} : {}),
      },
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
  {outputs, engine, platform}: RunningPlatform,
  query: string,
  plan: QueryPlan,
  known: QueryRevisions,
): Promise<number> {
  const taken = await outputs.revisions(engine.plan(query) ?? planHere(platform, plan));
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
  await engine.sync();
  for (const sink of Object.keys(platform.sinks)) {
    failpoint('prune.before-drop');
    await outputs.dropTable(sink, `${query}__r${revision}`);
  }
  await engine.forget([stateName({id: query, revision})]);
}

/** @throws ROLLBACK_IMPOSSIBLE, saying why */
async function rollbackPlan(
  {dirs, platform}: RunningPlatform,
  {query, anyway}: Wish,
  known: QueryRevisions,
  surely: Surely,
): Promise<QueryPlan> {
  const {previous} = known;
  const impossible = (message: string, hint: string) =>
    new PlatformError('ROLLBACK_IMPOSSIBLE', `${query} cannot go back: ${message}`, {hint});
  if (known.pinned)
    throw impossible(
      `it was taken back already and shows revision ${known.current}`,
      'forward again: npx millrace apply',
    );
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
  const gone = anyway ? [] : vanishedFields(platform, plan);
  if (gone.length > 0)
    throw impossible(
      `revision ${previous} reads ${gone.join(', ')}, which new events no longer have: they would count as NULL`,
      'take the change back in the files, too, and apply that; or: npx millrace apply --rollback --yes',
    );
  const missing = await surely(() => missingOf(dirs, plan));
  if (missing) throw impossible(missing, 'put the old definition back into the files and apply it');
  return plan;
}

/** Fields that a plan reads and that events as they are logged now do not have. */
function vanishedFields({domains}: Platform, {sources}: QueryPlan): string[] {
  const eventTypes = domains.flatMap((domain) => domain.eventTypes);
  return sources.flatMap(({topic, fields}) => {
    const now = eventTypes.find((eventType) => eventType.topic === topic);
    const logged = new Set(now?.fields.map(({column}) => column));
    return fields.filter(({column}) => !logged.has(column)).map(({name}) => `${topic}: ${name}`);
  });
}

function hasState(dirs: PlatformDirs, plan: QueryPlan): boolean {
  const states = openStateReader(dirs.state);
  try {
    return states.load(stateName(plan)) !== undefined;
  } finally {
    states.close();
  }
}

/** What a revision would have to read and the log no longer has, in words; undefined when it has all of it. */
async function missingOf(dirs: PlatformDirs, plan: QueryPlan): Promise<string | undefined> {
  const states = openStateReader(dirs.state);
  const log = await openLog(dirs.source, {patienceMs, topics: topicsOf(plan)});
  try {
    const saved = states.load(stateName(plan));
    const {cuts} = saved ? (JSON.parse(saved.meta) as CheckpointHeader) : {cuts: []};
    for (const topic of topicsOf(plan))
      for (let partition = 0; partition < log.partitions(topic); partition++) {
        const cut = cuts.find((each) => each.topic === topic && each.partition === partition);
        const start = log.startOffset(topic, partition);
        if (start > (cut?.offset ?? 0))
          return `its state ends at ${cut?.offset ?? 0} of ${topic}/${partition}, where the log begins at ${start} now`;
      }
    return undefined;
  } finally {
    log.close();
    states.close();
  }
}
