/** Whether a process is ready: a load balancer sends work to one that is, and none to one that is not. */
import type {Role} from '../model/roles.ts';
import type {PlatformStatus} from './status.ts';

/**
 * Why it is not, in words; undefined when it is. Sinks that others write into keep only a process from being ready that has nothing else to
 * do: one that takes events, or aggregates, does that meanwhile. @param roles undefined: all
 */
export function whyNotReady(
  {phase, standby, sinkLeases = []}: Pick<PlatformStatus, 'phase' | 'standby' | 'sinkLeases'>,
  roles: readonly Role[] | undefined,
): string | undefined {
  if (phase !== 'running') return phase;
  if (standby !== undefined) return `standby: ${standby}`;
  const standsBy = sinkLeases.length > 0 && sinkLeases.every(({state}) => state === 'standby');
  if (!standsBy || roles?.join() !== 'sinks') return undefined;
  const texts = sinkLeases.map(({sink, holder = 'another process'}) => `${holder} writes into sink ${sink}`);
  return `standby: ${texts.join('; ')}`;
}
