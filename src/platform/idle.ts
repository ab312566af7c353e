import type {Platform} from '../model/types.ts';
import {passesByItself} from '../process/embedded/worker-again.ts';
import type {QueryStatus} from '../process/types.ts';
import type {Outputs} from './outputs.ts';
import type {RawStatus} from './status.ts';

/**
 * Whether everything that is in the log is in rows that were acknowledged, judged by what was observed after `sinceMs`. Queries
 * that stopped cannot become idle and are not waited for.
 */
export function isIdle(
  {domains}: Platform,
  queries: QueryStatus[],
  outputs: Outputs,
  raw: RawStatus[],
  sinceMs: number,
): boolean {
  return (
    // A query that has not told anything yet is not idle.
    queries.length === domains.reduce((sum, {aggregations}) => sum + aggregations.length, 0) &&
    queries.every(
      ({state, reason, settled, lagEvents, observedMs}) =>
        ((state === 'stopped' || state === 'failed') && !passesByItself(reason?.code)) ||
        (state === 'running' && settled === true && lagEvents === 0 && observedMs > sinceMs),
    ) &&
    outputs.deliveries().every(({pending, state}) => pending === 0 || state === 'stopped') &&
    raw.every(({lagEvents, state}) => state === 'stopped' || (state === 'running' && lagEvents === 0))
  );
}
