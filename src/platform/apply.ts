/** Carries out what `plan` says, in a running platform or in one that runs for as long as that takes. */
import {PlatformError} from '../errors.ts';
import {loadPlatform} from '../model/load.ts';
import type {Platform} from '../model/types.ts';
import {sinks} from '../sinks/registry.ts';
import type {SinkSpec} from '../sinks/types.ts';
import {type ChangeLine, carryOut, type Wish} from './change.ts';
import {planChanges} from './plan.ts';
import type {Change, ChangePlan} from './plan-types.ts';
import {type Revisions, readRevisions} from './revisions.ts';
import {type RunningPlatform, startPlatform} from './runtime.ts';

export type ApplyOptions = {
  yes: boolean;
  /** Queries that run may lag so much while revisions are filled. */
  lagMaxMs: number;
  signal: AbortSignal;
};

export type ApplyLine =
  | ChangeLine
  /** Before anything is done. */
  | {plan: ChangePlan}
  /** The platform is drained and started with the new configuration, in its process. */
  | {restarting: true}
  | {applied: number};

/**
 * Applies the configuration as the files have it now to the platform that runs here.
 * @throws CONFIG_INVALID, CHANGE_REFUSED before anything is done, and what `carryOut` throws
 */
export async function* applyRunning(
  running: RunningPlatform,
  options: ApplyOptions,
): AsyncGenerator<ApplyLine> {
  const {platform, dirs, keeper} = running;
  const loaded = await loadPlatform({
    ...(keeper ? {keeper} : {}),
    from: platform.root,
    env: platform.env,
    sinkSpecs: sinks as Record<string, SinkSpec>,
  });
  if (!loaded.ok)
    throw new PlatformError('CONFIG_INVALID', 'the configuration has mistakes; what runs goes on', {
      hint: 'npx millrace validate',
    });
  const plan = await planChanges(loaded.platform, dirs, loaded.config);
  yield {plan};
  yield* apply(running, loaded.platform, plan, options);
}

/** The same where nothing runs: a platform runs for it, without inputs. */
export async function* applyOffline(
  platform: Platform,
  options: ApplyOptions & {plan: ChangePlan},
): AsyncGenerator<ApplyLine> {
  refuseAll(options.plan.changes);
  const running = await startPlatform(platform, {inputs: false, port: 0, command: 'millrace apply'});
  try {
    yield* apply(running, platform, options.plan, options);
  } finally {
    await running.drain();
  }
}

async function* apply(
  running: RunningPlatform,
  next: Platform,
  {changes}: ChangePlan,
  options: ApplyOptions,
): AsyncGenerator<ApplyLine> {
  refuseAll(changes);
  const isNew = next !== running.configured;
  const wishes = changes.filter(isRevised).map(({name}): Wish => ({query: name, why: 'change'}));
  if (wishes.length > 0) {
    let waits = false;
    for await (const line of carryOut(running, wishes, {
      ...options,
      platform: restricted(running.configured, next),
    })) {
      if ('waits' in line) waits = true;
      yield line;
    }
    if (waits) return;
  }
  const others = changes.filter((change) => !isRevised(change));
  if (others.some(needsRestart) && isNew) {
    yield {restarting: true};
    running.replaceBy(next);
  } else if (others.length > 0) {
    await running.restartEngine(next);
  }
  yield {applied: changes.length};
}

/** Queries that come, go or get another name change what is written beside them: their topics are made at a start. */
const needsRestart = ({restart, kind, action}: Change): boolean =>
  restart || (kind === 'query' && action !== 'change');

/** A change that is carried out by a new revision beside the running one. */
export const isRevised = ({kind, action, refill}: Change): boolean =>
  kind === 'query' && action === 'change' && refill !== undefined;

/** @throws CHANGE_REFUSED */
function refuseAll(changes: Change[]): void {
  const refused = changes.filter((change) => change.refused);
  if (refused.length === 0) return;
  throw new PlatformError(
    'CHANGE_REFUSED',
    refused
      .map(
        ({name, refused: why}) => `${name} cannot follow its earlier schema\n  ${why!.reasons.join('\n  ')}`,
      )
      .join('\n'),
    {hint: refused[0]!.refused!.hint},
  );
}

/** The next configuration, with those queries alone that run now: what comes and what goes does so with a restart. */
function restricted(running: Platform, next: Platform): Platform {
  return {
    ...next,
    domains: next.domains.flatMap((domain) => {
      const now = running.domains.find(({name}) => name === domain.name);
      if (!now) return [];
      const runs = new Set(now.aggregations.map(({name}) => name));
      return [{...domain, aggregations: domain.aggregations.filter(({name}) => runs.has(name))}];
    }),
  };
}

/**
 * Switches queries back to the revision before. @param names empty: all that the last apply switched
 * @throws ROLLBACK_IMPOSSIBLE
 */
export async function* rollBack(
  running: RunningPlatform,
  names: string[],
  options: ApplyOptions,
): AsyncGenerator<ApplyLine> {
  const queries = names.length > 0 ? names : lastSwitched(readRevisions(running.dirs.revisions));
  if (queries.length === 0)
    throw new PlatformError('ROLLBACK_IMPOSSIBLE', 'nothing was switched that could be taken back', {
      hint: 'npx millrace plan shows how the files differ from what runs',
    });
  const wishes = queries.map((query): Wish => ({query, why: 'rollback', anyway: options.yes}));
  yield* carryOut(running, wishes, {...options, yes: true, platform: running.configured});
}

/** Queries of the last switch that have an earlier revision. */
export function lastSwitched(revisions: Revisions): string[] {
  const switched = Object.entries(revisions).filter(([, {previous, switchedMs}]) => previous && switchedMs);
  const lastMs = Math.max(...switched.map(([, {switchedMs}]) => switchedMs!));
  return switched.filter(([, {switchedMs}]) => switchedMs === lastMs).map(([query]) => query);
}
