/** What one process of a platform does. Processes of several roles meet in Kafka alone. */
import type {Platform} from './types.ts';

/**
 * `ingest`: HTTP, files, generators into the log. `engine`: aggregates; its rows go to topics when sinks are elsewhere. `sinks`: rows
 * from those topics and raw events into databases.
 */
export const roles = ['ingest', 'engine', 'sinks'] as const;
export type Role = (typeof roles)[number];

/** A process that only answers questions about all others: it does no part of the work, so it is none of `roles`. */
export const consoleRole = 'console';

/** Whether the process of a platform has a role. */
export const does = ({roles: own}: Pick<Platform, 'roles'>, role: Role): boolean =>
  own === undefined || own.includes(role);

/** Every choice of roles but all of them. */
export const partsOfRoles: readonly (readonly Role[])[] = [
  ['ingest'],
  ['engine'],
  ['sinks'],
  ['ingest', 'engine'],
  ['ingest', 'sinks'],
  ['engine', 'sinks'],
];

/** Name of the sink that stands for all others in a process without the role `sinks`. */
export const rowsSink = 'rows';

/** Whether the process does everything. */
export const doesAll = (chosen: readonly Role[]): boolean => roles.every((role) => chosen.includes(role));

/** Whether rows go to topics, for sinks that are in other processes. */
const isWithoutSinks = (chosen: readonly Role[]): boolean =>
  chosen.includes('engine') && !chosen.includes('sinks');

/** Where the rows of a query go to in this process. @param named by its definition */
export const sinksHere = ({roles: own}: Pick<Platform, 'roles'>, named: string[]): string[] =>
  own !== undefined && isWithoutSinks(own) ? [rowsSink] : named;

/** What is left of a platform for a process of some roles; all of it for one of all. */
export function withRoles(platform: Platform, chosen: readonly Role[] = roles): Platform {
  if (doesAll(chosen)) return platform;
  const has = (role: Role) => chosen.includes(role);
  const isApart = isWithoutSinks(chosen);
  return {
    ...platform,
    roles: roles.filter(has),
    ...(isApart ? {sinks: {[rowsSink]: {backend: 'kafka', options: {}}}} : {}),
    domains: platform.domains.map((domain) => ({
      ...domain,
      generate: has('ingest') ? domain.generate : null,
      inputs: has('ingest') ? domain.inputs : [],
      aggregations: has('engine')
        ? domain.aggregations.map((aggregation) =>
            isApart ? {...aggregation, sinks: [rowsSink]} : aggregation,
          )
        : [],
      defaults: has('sinks') ? domain.defaults : {...domain.defaults, raw: null},
    })),
  };
}

/** `<domain>.<query>` -> names of the sinks that its rows go to. */
export const sinksByQuery = ({domains}: Platform): Record<string, string[]> =>
  Object.fromEntries(
    domains.flatMap(({name, aggregations}) =>
      aggregations.map((aggregation) => [`${name}.${aggregation.name}`, aggregation.sinks]),
    ),
  );
