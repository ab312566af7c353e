import type {Value} from '../../expr/types.ts';
import type {SeenDelta} from './seen-state.ts';

/**
 * What one worker's kernel of one query accumulated since its last flush. Structured-cloneable (it may cross a thread), and
 * self-contained within a generation of group ids.
 *
 * Accumulators with `op` count, sum, min or max have a cell each, in plan order; the others (distinct, quantile, first, last)
 * have an object each, in plan order. Cell 0 is always count(*).
 */
export type Delta = {
  query: string;
  worker: number;
  /** Group ids are dense integers from 0 within a generation; a new generation starts again at 0. */
  generation: number;
  /** Groups first seen in this delta: ids `firstGroup`, `firstGroup + 1`, ...; one array of values per group_by column. */
  firstGroup: number;
  newGroups: Value[][];
  cuts: PartitionCut[];
  panes: PaneDelta[];
  sessions: SessionDelta[];
  /** Records that go to the late or the dead-letter topic. */
  side: SideRecord[];
  /** Ids that were seen, of queries with `dedup`. */
  seen?: SeenDelta[];
};

/** How far this delta reaches in one (topic, partition): the state after it is exactly that of the prefix below `offset`. */
export type PartitionCut = {
  topic: string;
  partition: number;
  offset: number;
  /** Running maximum of event time in the prefix, epoch ms; -Infinity before the first event. */
  maxTimeMs: number;
  /** Additions to the query ledger. */
  read: number;
  aggregated: number;
  corrected: number;
  lateInPart: number;
  filtered: number;
  duplicate: number;
  late: number;
  dead: number;
};

/**
 * Additions to one pane (`own: false`; every window that covers it takes them) or to one window alone (`own: true`; sliding
 * events that only some windows accepted). For tumbling and calendar windows pane and window are the same.
 */
export type PaneDelta = {
  own: boolean;
  startMs: number;
  endMs: number;
  /** Group ids with at least one event; cells of `groups[i]` are at `i * cellCount`. */
  groups: Int32Array;
  /** count: number of events; sum: 0 when none; min, max: NaN when none. Exact: |x| <= 2^53, or the cell is in `wide`. */
  cells: Float64Array;
  /** Cell index -> exact value, for cells beyond 2^53 (their Float64 cell is then unused). Usually empty. */
  wide: Map<number, bigint>;
  /** One array per object accumulator, parallel to `groups`; null when it saw no non-null value. */
  objects: (AccumulatorObject | null)[][];
};

/** Additions to a group's sessions: disjoint intervals [startMs, lastMs] of accepted events, not yet merged with the state's. */
export type SessionDelta = {
  group: number;
  startMs: number;
  lastMs: number;
  cells: Float64Array;
  wide: Map<number, bigint>;
  objects: (AccumulatorObject | null)[];
};

/** Mergeable, order-free, structured-cloneable state of one object accumulator; see accumulators.ts. */
export type AccumulatorObject =
  /** HyperLogLog 2^12; sparse: sorted (index << 6 | rank) while small, then dense registers. */
  | {op: 'distinct'; sparse: Int32Array; dense: null}
  | {op: 'distinct'; sparse: null; dense: Uint8Array}
  /** DDSketch, relative accuracy 1 %: bucket index -> count, for positive and negative values, and zeros. */
  | {op: 'quantile'; positive: Map<number, number>; negative: Map<number, number>; zeros: number}
  /** Value of the smallest (first) or largest (last) (timestamp, event_id). */
  | {op: 'first' | 'last'; timeMs: number; eventId: string; value: Value};

export type SideRecord =
  | {
      kind: 'late';
      topic: string;
      partition: number;
      offset: number;
      watermarkMs: number;
      /** Starts of the windows that refused it, epoch ms. */
      missed: number[];
      frame: Uint8Array;
    }
  | {
      kind: 'dead';
      topic: string;
      partition: number;
      offset: number;
      stage: 'decode' | 'check' | 'expression';
      code: string;
      message: string;
      frame: Uint8Array;
    };
