import type {Value} from '../expr/types.ts';
import type {QueryPlan} from './plan/nodes.ts';

/** Counts of the query ledger for one (query, topic, partition) at a cut; exact integers, cumulative since the revision began. */
export type QueryCounts = {
  topic: string;
  partition: number;
  read: number;
  aggregated: number;
  corrected: number;
  lateInPart: number;
  filtered: number;
  duplicate: number;
  late: number;
  dead: number;
  /** Of those aggregated or filtered: set aside at first, as late or dead, and counted by replay since. */
  replayed: number;
};

/** An immutable lookup snapshot: key -> values of its columns, in the lookup's column order. */
export type LookupSnapshot = {
  name: string;
  /** Content hash: identifies the snapshot in the journal. */
  id: string;
  columns: string[];
  rows: Map<Value, Value[]>;
};

/** Rows that leave the engine for one query; `columns` as in `plan.table.columns`. */
export type EmittedRows = {
  query: string;
  sequence: number;
  count: number;
  columns: Value[][];
  /** Every record below these offsets is in these rows or in earlier ones; empty while changed rows are left for the next. */
  through: {topic: string; partition: number; offset: number}[];
};

/** What the engine says of a query, about once a second and after every checkpoint. */
export type QueryStatus = {
  query: string;
  state: 'running' | 'paused' | 'stopped' | 'failed';
  /** `place`: a sink, say, and where it stands in the configuration. */
  reason?: {code: string; message: string; hint?: string; place?: string};
  counts: QueryCounts[];
  /** Epoch ms; null before the first event. */
  watermarkMs: number | null;
  /** Records not yet read, and age of the oldest of them in ms. */
  lagEvents: number;
  lagMs: number;
  groups: number;
  openWindows: number;
  memoryBytes: number;
  checkpointEpoch: number;
  /** When this was so, epoch ms of the engine's clock. */
  observedMs: number;
  /** Next offset of every partition that is not in the merged state yet. */
  positions?: {topic: string; partition: number; offset: number}[];
  /** Everything that was read is in rows that the sinks have acknowledged and marked, and in a checkpoint. */
  settled?: boolean;
  /** What keeps it from being settled; absent when nothing does. */
  waitsFor?: WaitsFor[];
  /** Rows of everything that is merged were acknowledged, whether or not a checkpoint knows it. */
  isClean?: boolean;
  /** Partitions that wait for the schema of their next records; absent when none does. */
  held?: HeldPartition[];
  /** Why the log cannot be read just now; absent while it can. */
  logAway?: string;
};

/**
 * What has to come before everything that a query has read is settled. `start`: its worker and its checkpoint are not read yet;
 * `read`: what was read is on its way to be merged; `side`: what it set aside is not in the log; `rows`, `marks`: sinks have not
 * taken them; `checkpoint`: it is not committed.
 */
export type WaitsFor = 'start' | 'read' | 'side' | 'rows' | 'marks' | 'checkpoint';

/** A partition whose next records name a schema that the registry was asked for and has not told. */
export type HeldPartition = {
  topic: string;
  partition: number;
  offset: number;
  schemaId: number;
  /** Epoch ms. */
  sinceMs: number;
  /** Why it takes so long, when that is known. */
  message?: string;
};

/** An engine takes plans and runs them until it is told to drain. */
export type Engine = {
  start(plans: QueryPlan[]): Promise<void>;
  /** The sinks have made everything up to `sequence` durable. */
  acknowledge(query: string, sequence: number): void;
  pause(query: string): void;
  resume(query: string): void;
  status(): QueryStatus[];
  /**
   * Stops reading; resolves with true when all that was read is in rows that were acknowledged, in marks and in checkpoints, and with
   * false when that takes longer than `withinMs`, or the engine is stopped: the status says what each query waits for then.
   */
  drain(withinMs?: number): Promise<boolean>;
  stop(): Promise<void>;
};
