import {PlatformError} from '../../errors.ts';
import {formatBytes} from '../../quantity.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {PartitionState} from './merger-time.ts';

/** @throws PlatformError QUERY_LIMIT when a query has more groups with state, or needs more memory, than it may */
export function checkMemory({limits, id, dedupMs}: QueryPlan, groups: number, bytes: number): void {
  if (groups > limits.groups)
    throw new PlatformError('QUERY_LIMIT', `${id} has more than ${limits.groups} groups`, {
      hint: 'group by fewer or coarser dimensions, or raise limits.groups',
      place: id,
    });
  if (bytes > limits.memoryBytes)
    throw new PlatformError(
      'QUERY_LIMIT',
      `${id} needs ${formatBytes(bytes)} of memory for its state, its limit is ${formatBytes(limits.memoryBytes)}`,
      {
        hint: `use smaller windows, fewer groups${dedupMs === undefined ? '' : ', a shorter dedup'} or no distinct, or raise limits.memory`,
        place: id,
      },
    );
}

/** A checkpoint that is not durable after so long waits for a store that does not answer, ms. */
const storeWaitMs = 5_000;
/** Of a limit: what is on its way when reading pauses still has room. */
const shareMax = 0.75;

/**
 * Whether reading has to pause: what only a checkpoint can take out of memory would pass the query's limits otherwise.
 * @param waitingMs for how long a checkpoint has been on its way
 */
export const waitsForStore = (
  {limits}: QueryPlan,
  waitingMs: number,
  groups: number,
  bytes: () => number,
): boolean =>
  waitingMs > storeWaitMs && (groups > limits.groups * shareMax || bytes() > limits.memoryBytes * shareMax);

/** What is said of it. */
export const storeWait = {
  code: 'STORE_UNAVAILABLE',
  message: 'its checkpoint waits for a store that does not answer, and its memory is nearly used up',
  hint: 'reading goes on by itself when the store answers',
} as const;

/**
 * @param slowest the partition that holds state longest
 * @throws PlatformError QUERY_LIMIT when the store holds more of a query than it may
 */
export function checkDisk({limits, id}: QueryPlan, storedBytes: number, slowest: PartitionState): void {
  if (storedBytes <= limits.stateDiskBytes) return;
  const {topic, partition, maxTimeMs} = slowest;
  const standing =
    maxTimeMs === -Infinity ? 'has no event yet' : `stands at ${new Date(maxTimeMs).toISOString()}`;
  throw new PlatformError(
    'QUERY_LIMIT',
    `${id} keeps ${formatBytes(storedBytes)} of state on disk, its limit is ${formatBytes(limits.stateDiskBytes)}: ` +
      `${topic}/${partition} ${standing} and holds what is newer`,
    {hint: 'end that input (ingest --final), shorten correct_for, or raise limits.state_disk', place: id},
  );
}
