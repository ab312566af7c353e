import {PlatformError} from '../../errors.ts';
import type {LogReader} from '../../log/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {ReplayHeader} from './replay-state.ts';
import type {RestoredState, StatePut} from './state.ts';
import {missingPiece} from './state-bytes.ts';
import {decodePending} from './state-codec.ts';
import type {StateCommit, StateReader} from './statestore.ts';
import type {TopicIds} from './topics-read.ts';
import type {PartitionCut} from './types.ts';

/** What a checkpoint says beside the state itself; the store keeps it as its `meta`. */
export type CheckpointHeader = {
  format: 1;
  fingerprint: string;
  /** Grows by one with every checkpoint. */
  epoch: number;
  /** Which log the offsets are of (`logName`); absent in states of before it was kept. */
  log?: string;
  /** Which topics the offsets are of; absent in states of before it was kept, and where topics have no ids. */
  topics?: TopicIds;
  /** Where the revision began. */
  starts: {topic: string; partition: number; offset: number}[];
  /** Offset, running maximum and counts of every partition: the state is that of the prefixes below the offsets. */
  cuts: (PartitionCut & {replayed?: number})[];
  /** What was set aside and replayed, and how far; absent in states of before there were replays. */
  replay?: ReplayHeader;
  closedThroughMs: number;
  /** Highest epoch that every sink of the query is known to have marked; 0 when none. */
  markedEpoch: number;
  /** Lookup -> id of the snapshot that counts from this checkpoint on. */
  lookups: Record<string, string>;
};

/** A switch of a lookup, as journalled: from `offset` on, records of the partition see the snapshot. */
export type LookupSwitch = {
  lookup: string;
  snapshot: string;
  places: {topic: string; partition: number; offset: number}[];
};

/** A copy of one query's changed state and what belongs to it, on its way to the store. */
export type CheckpointCopy = {
  header: CheckpointHeader;
  puts: StatePut[];
  deletes: string[];
  journal: LookupSwitch[];
};

export const pendingKey = 'pending';
export const tombstonesKey = 'tombstones';

/** Name of a query's state in the store: every revision has its own. */
export const stateName = (plan: {id: string; revision: number}): string => `${plan.id}/r${plan.revision}`;

/** What the store commits. */
export const commitOf = (plan: QueryPlan, {header, puts, deletes, journal}: CheckpointCopy): StateCommit => ({
  query: stateName(plan),
  epoch: header.epoch,
  meta: JSON.stringify(header, infinityOut),
  puts,
  deletes,
  journal: journal.map((entry) => JSON.stringify(entry)),
});

/** The last checkpoint of a query. */
export type SavedState = Omit<RestoredState, 'closedThroughMs'> & {header: CheckpointHeader};

/** @throws PlatformError CHECKPOINT_CORRUPT, CHECKPOINT_NEWER */
export function readCheckpoint(store: StateReader, plan: QueryPlan): SavedState | undefined {
  const name = stateName(plan);
  const loaded = store.load(name);
  if (!loaded) return undefined;
  const header = JSON.parse(loaded.meta, infinityIn) as CheckpointHeader;
  if (header.format !== 1)
    throw new PlatformError('CHECKPOINT_NEWER', `the state of ${name} has format ${header.format}, not 1`, {
      hint: `run the release that wrote it, or: npx millrace rebuild ${plan.id}`,
    });
  const read = (key: string) => store.get(name, key);
  const rows = (key: string) => {
    const bytes = read(key);
    if (!bytes) throw missingPiece(key);
    return decodePending(bytes);
  };
  return {header, keys: store.keys(name), read, pending: rows(pendingKey), tombstones: rows(tombstonesKey)};
}

/** @throws PlatformError QUERY_CHANGED when the state was made by a plan that means something else */
export function checkFingerprint(plan: QueryPlan, header: CheckpointHeader): void {
  if (header.fingerprint === plan.fingerprint) return;
  throw new PlatformError(
    'QUERY_CHANGED',
    `the definition of ${plan.id} means something else than the one its rows were made with`,
    {hint: `npx millrace rebuild ${plan.id}`, place: plan.id},
  );
}

/** What checkpoints call a log. */
export const logName = (log: Pick<LogReader, 'identity'>): string => log.identity?.() ?? 'the embedded log';

/** @throws PlatformError LOG_OTHER when the state was made from another log, whose offsets mean something else */
export function checkLog(plan: QueryPlan, header: CheckpointHeader, log: LogReader): void {
  const now = logName(log);
  if (header.log === undefined || header.log === now) return;
  throw new PlatformError(
    'LOG_OTHER',
    `the state of ${plan.id} was made from ${header.log}, and the log is ${now} now`,
    {
      hint: `go back to that log; or give each environment its own engine.embedded.checkpoints; or make the rows anew from this log: npx millrace rebuild ${plan.id}`,
      place: plan.id,
    },
  );
}

// JSON has no infinities; a partition without an event has a maximum of -Infinity.
const infinityOut = (_key: string, value: unknown): unknown =>
  value === -Infinity ? '-Infinity' : value === Infinity ? 'Infinity' : value;
const infinityIn = (_key: string, value: unknown): unknown =>
  value === '-Infinity' ? -Infinity : value === 'Infinity' ? Infinity : value;
