/** What a start does about revisions: it finishes switches that were cut short, and revises what changed when it is told to. */
import type {Platform} from '../model/types.ts';
import {stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {planHere, planOfRevision} from './apply-plans.ts';
import {definitionOf, storeContent} from './apply-record.ts';
import {readMaxima} from './books.ts';
import {finished} from './change.ts';
import {logEnds} from './change-fill.ts';
import type {EngineHost} from './engine.ts';
import type {Outputs} from './outputs.ts';
import type {PlatformDirs} from './places.ts';
import {sameMeaning} from './plan-meaning.ts';
import {readRevisions, revisionOf, updateRevisions, writeRevisions} from './revisions.ts';

/** Views of switches that were noted but not finished show the new revision; it was whole when that was noted. */
export async function finishSwitches(
  engine: EngineHost,
  outputs: Outputs,
  dirs: PlatformDirs,
  platform: Platform,
): Promise<void> {
  const revisions = readRevisions(dirs.revisions);
  const unfinished = Object.entries(revisions).filter(([, {switching}]) => switching);
  if (unfinished.length === 0) return;
  const switchedMs = Date.now();
  await engine.sync();
  for (const [query, known] of unfinished) {
    const plan = engine.plan(query) ?? planOfRevision(dirs, query, known, known.switching!);
    if (plan) await outputs.switchView(planHere(platform, plan));
    const isRollback = known.switching! < known.current;
    revisions[query] = finished(known, known.switching!, {pinned: isRollback, switchedMs});
  }
  writeRevisions(dirs.revisions, revisions);
}

/**
 * The short way in development: every query whose definition changed gets a new revision at once, which runs in place of the
 * old one, from the log's start or from now on. @returns the queries
 */
export async function reviseChanged(
  platform: Platform,
  dirs: PlatformDirs,
  from: 'from-log' | 'from-now',
): Promise<string[]> {
  const revised: string[] = [];
  const revisions = readRevisions(dirs.revisions);
  const states = openStateReader(dirs.state);
  try {
    for (const {name: domain, aggregations} of platform.domains)
      for (const {name} of aggregations) {
        const query = `${domain}.${name}`;
        const current = revisionOf(revisions, query);
        const known = revisions[query] ?? {current, filling: null};
        const running = planOfRevision(dirs, query, known, current);
        const {plan} = definitionOf(platform, domain, name, current);
        const saved = states.load(stateName(plan));
        if (!saved) continue;
        const isSame = running
          ? sameMeaning(running, plan)
          : (JSON.parse(saved.meta) as {fingerprint: string}).fingerprint === plan.fingerprint;
        if (isSame) continue;
        await revise(platform, dirs, plan, from);
        revised.push(query);
      }
  } finally {
    states.close();
  }
  return revised;
}

async function revise(
  platform: Platform,
  dirs: PlatformDirs,
  plan: QueryPlan,
  from: 'from-log' | 'from-now',
): Promise<void> {
  const {domain, query, id} = plan;
  const ends = from === 'from-now' ? await logEnds(dirs.source, plan) : undefined;
  updateRevisions(dirs.revisions, id, (before) => {
    const noted = Object.keys(before.entries ?? {}).map(Number);
    const revision = Math.max(before.highest ?? 0, before.current, before.filling ?? 0, ...noted) + 1;
    const definition = definitionOf(platform, domain, query, revision);
    const startsAt = ends?.map((place) => {
      const maxTimeMs = readMaxima(platform, dirs, place.topic)[place.partition] ?? null;
      return {...place, maxTimeMs};
    });
    const entry = {
      definition: storeContent(dirs, definition),
      why: 'revise' as const,
      createdMs: Date.now(),
      ...(startsAt ? {startsAt} : {}),
    };
    return {
      ...before,
      highest: revision,
      switching: revision,
      entries: {...before.entries, [revision]: entry},
    };
  });
}
