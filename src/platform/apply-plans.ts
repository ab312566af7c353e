import {sinksHere} from '../model/roles.ts';
import type {Domain, Platform} from '../model/types.ts';
import {buildPlan} from '../process/plan/build.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {type Definition, loadContent} from './apply-record.ts';
import type {PlatformDirs} from './places.ts';
import {sameMeaning, withPaceOf} from './plan-meaning.ts';
import {type QueryRevisions, type Revisions, revisionOf} from './revisions.ts';

/**
 * The plans that run for a configuration: every query under its current revision. A definition that means the same as the
 * recorded one keeps its table and the order of its columns. One that means something else is what the files say, so that
 * the query stops and says so, unless a change of it is under way or was rolled back: then it runs on as it was recorded.
 */
export function plansToRun(domains: Domain[], revisions: Revisions, dirs: PlatformDirs): QueryPlan[] {
  return domains.flatMap((domain) =>
    domain.aggregations.map((aggregation) => {
      const id = `${domain.name}.${aggregation.name}`;
      const known = revisions[id];
      const revision = revisionOf(revisions, id);
      const written = buildPlan(domain, aggregation, revision);
      const recorded = recordedPlan(dirs, written, known, revision);
      if (!recorded) return withEntry(written, known);
      if (sameMeaning(recorded, written)) return withEntry(withPaceOf(recorded, written), known);
      return withEntry(known?.pinned || known?.filling || known?.switching ? recorded : written, known);
    }),
  );
}

function recordedPlan(
  dirs: PlatformDirs,
  {id}: QueryPlan,
  known: QueryRevisions | undefined,
  revision: number,
): QueryPlan | undefined {
  const hash = known?.entries?.[revision]?.definition;
  if (!hash) return undefined;
  const {plan} = loadContent<Definition>(dirs, hash);
  return plan.id === id ? plan : undefined;
}

/** A plan with what its revision began with. */
function withEntry(plan: QueryPlan, known: QueryRevisions | undefined): QueryPlan {
  const {countAllBelow, startsAt} = known?.entries?.[plan.revision] ?? {};
  return {...plan, ...(countAllBelow ? {countAllBelow} : {}), ...(startsAt ? {startsAt} : {})};
}

/** The plan of a revision as it was recorded; undefined when its definition was not kept. */
export function planOfRevision(
  dirs: PlatformDirs,
  id: string,
  known: QueryRevisions,
  revision: number,
): QueryPlan | undefined {
  const hash = known.entries?.[revision]?.definition;
  if (!hash) return undefined;
  const {plan} = loadContent<Definition>(dirs, hash);
  return plan.id === id ? withEntry(asRevision(plan, revision), known) : undefined;
}

/** The plan with the sinks that this process has for it: what is recorded names those of the configuration. */
export const planHere = (platform: Pick<Platform, 'roles'>, plan: QueryPlan): QueryPlan => ({
  ...plan,
  sinks: sinksHere(platform, plan.sinks),
});

/** The same definition under another number, with a table of that number. */
export function asRevision(plan: QueryPlan, revision: number): QueryPlan {
  const {countAllBelow: _, startsAt: __, ...rest} = plan;
  return {...rest, revision, table: {...plan.table, name: `${plan.query}__r${revision}`}};
}
