/** What a drain that took too long was waiting for, in words. */
import type {QueryStatus, WaitsFor} from '../process/types.ts';

/** What takes longer to settle is left to the next start. */
export const drainMsMax = 25_000;

const words: Record<WaitsFor, string> = {
  start: 'its worker to begin',
  read: 'what it has read to reach its state',
  side: 'the log to take late events and dead letters',
  rows: 'its sinks to take rows',
  marks: 'its sinks to take a mark',
  checkpoint: 'a checkpoint to be committed',
};

/** A sentence for each query that has not settled. @param sideOf why the log does not take what the query set aside */
export function unsettled(
  status: readonly QueryStatus[],
  sideOf: (query: string) => string | undefined,
): string[] {
  const told = status.flatMap(({query, waitsFor = []}) => {
    if (waitsFor.length === 0) return [];
    const parts = waitsFor.map((what) => {
      const why = what === 'side' ? sideOf(query) : undefined;
      return why === undefined ? words[what] : `${words[what]} (${why})`;
    });
    return [`${query} waits for ${parts.join(', ')}`];
  });
  return told.length > 0 ? told : ['the engine does not answer'];
}
