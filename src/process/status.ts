import type {PlatformError} from '../errors.ts';
import type {QueryStatus} from './types.ts';

/** Status of a query that does not run, with the figures of `known` when it ran before. */
export const stoppedStatus = (
  query: string,
  state: 'stopped' | 'failed',
  {code, message, hint, place}: Pick<PlatformError, 'hint' | 'place'> & {code: string; message: string},
  known?: QueryStatus,
): QueryStatus => ({
  counts: [],
  watermarkMs: null,
  lagEvents: 0,
  lagMs: 0,
  groups: 0,
  openWindows: 0,
  memoryBytes: 0,
  checkpointEpoch: 0,
  observedMs: 0,
  ...known,
  query,
  state,
  reason: {code, message, ...(hint ? {hint} : {}), ...(place ? {place} : {})},
  settled: true,
});
