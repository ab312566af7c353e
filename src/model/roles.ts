/** What one process of a platform does. Processes of several roles meet in Kafka alone. */
import type {Platform} from './types.ts';

/**
 * `ingest`: HTTP, files, generators into the log. `engine`: aggregates; its rows go to topics when sinks are elsewhere. `sinks`: rows
 * from those topics and raw events into databases.
 */
export const roles = ['ingest', 'engine', 'sinks'] as const;
export type Role = (typeof roles)[number];

/** Name of the sink that stands for all others in a process without the role `sinks`. */
export const rowsSink = 'rows';

/** Whether the process does everything. */
export const doesAll = (chosen: readonly Role[]): boolean => roles.every((role) => chosen.includes(role));

/** What is left of a platform for a process of some roles. */
export function withRoles(platform: Platform, chosen: readonly Role[]): Platform {
  if (doesAll(chosen)) return platform;
  const does = (role: Role) => chosen.includes(role);
  const isApart = does('engine') && !does('sinks');
  return {
    ...platform,
    roles: roles.filter(does),
    ...(isApart ? {sinks: {[rowsSink]: {backend: 'kafka', options: {}}}} : {}),
    domains: platform.domains.map((domain) => ({
      ...domain,
      generate: does('ingest') ? domain.generate : null,
      inputs: does('ingest') ? domain.inputs : [],
      aggregations: does('engine')
        ? domain.aggregations.map((aggregation) =>
            isApart ? {...aggregation, sinks: [rowsSink]} : aggregation,
          )
        : [],
      defaults: does('sinks') ? domain.defaults : {...domain.defaults, raw: null},
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
