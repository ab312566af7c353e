/** Lookups of a query that come from a database and were never read: it cannot start before they are. */
import type {Lookup, Platform} from '../model/types.ts';
import {lookupsOf} from '../process/embedded/lookup-journal.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupStore} from './lookups.ts';

/** A lookup that a valid configuration names. */
export const lookupOf = ({domains}: Platform, domain: string, name: string): Lookup =>
  domains.find((each) => each.name === domain)!.lookups.find((each) => each.name === name)!;

const inDatabases = (platform: Platform, plan: QueryPlan): Lookup[] =>
  lookupsOf(plan)
    .map((name) => lookupOf(platform, plan.domain, name))
    .filter(({csv}) => csv === null);

/** Sinks whose databases hold lookups of a query. */
export const lookupSinks = (platform: Platform, plan: QueryPlan): string[] => [
  ...new Set(inDatabases(platform, plan).map(({sink}) => sink!)),
];

/**
 * Reads those lookups of a query that no snapshot is known of; the others have one to go on with.
 * @throws SINK_UNAVAILABLE while their database is down; LOOKUP_INVALID
 */
export async function firstLookups(platform: Platform, plan: QueryPlan, store: LookupStore): Promise<void> {
  for (const lookup of inDatabases(platform, plan))
    if (!(await store.last(lookup))) await store.get(lookup, null);
}
