import type {QueryPlan} from '../plan/nodes.ts';
import type {LookupSwitch, SavedState} from './checkpoint.ts';
import type {PartitionPlace} from './merger-time.ts';
import type {TopicIds} from './topics-read.ts';

/** What a merger begins with. */
export type MergerOptions = {
  plan: QueryPlan;
  places: PartitionPlace[];
  nowMs: number;
  /** Name of the log, for checkpoints. */
  log?: string;
  /** Of the topics that it reads, for checkpoints. */
  topics?: TopicIds;
  saved?: SavedState | undefined;
  /** Epoch of the last checkpoint when there is no `saved` but numbers were given before. */
  epoch?: number;
  /** Sequences of emissions are counted on from here. */
  firstSequence?: number;
  /** Lookup -> snapshot id, for a query that begins. */
  lookups?: Record<string, string>;
  /** Entries of the lookup journal that its next checkpoint writes. */
  journal?: LookupSwitch[];
  /** So many closed sessions leave memory together; a number that suits the store when absent. */
  leavingMin?: number;
  /** Reads committed pieces of this query back. */
  read(key: string): Uint8Array | undefined;
};
