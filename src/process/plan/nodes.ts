import type {TypedExpr, ValueType} from '../../expr/types.ts';
import type {CheckedType} from '../../model/checked.ts';
import type {Late, PiiKind, Table, WindowSpec} from '../../model/types.ts';

/**
 * The plan of one query, engine-neutral and JSON-serialisable:
 * read -> decode -> derive/enrich/filter -> watermark -> window -> aggregate -> emit.
 */
export type QueryPlan = {
  domain: string;
  query: string;
  /** `<domain>.<query>`. */
  id: string;
  revision: number;
  /** Hash of everything that changes what the rows say; not of sinks, limits or emit pacing. */
  fingerprint: string;
  sources: SourcePlan[];
  /** Over the columns of every source; a name that a source lacks is NULL there. `event_type` is the source's name. */
  where: TypedExpr | null;
  watermarkMs: number;
  /** A record whose event time is further ahead of the time at which it was appended is dead. Not part of the fingerprint. */
  futureMaxMs: number;
  /**
   * Of sources that have checks: what records that other programs appended have to pass; those of Millrace were judged before. Absent
   * without any. Not part of the fingerprint.
   */
  checks?: CheckedType[];
  late: Late;
  correctForMs: number;
  /** A record whose id was seen in its partition with an event time within this behind the running maximum is a duplicate. Absent: none is. */
  dedupMs?: number;
  idleMs: number;
  window: WindowSpec;
  /** ICU tz database version, for calendar windows. */
  tzdata: string | null;
  groupBy: {name: string; column: string; type: ValueType}[];
  accumulators: AccumulatorPlan[];
  measures: MeasurePlan[];
  emit: 'change' | 'close';
  /** It is filled from the raw table when retention has passed it; absent: it stops. Not part of the fingerprint. */
  onTrimmed?: 'archive';
  table: Table;
  sinks: string[];
  limits: {groups: number; memoryBytes: number; stateDiskBytes: number};
  /** Of a backfilled revision: records below these offsets count whatever their lateness. Not part of the fingerprint. */
  countAllBelow?: {topic: string; partition: number; offset: number}[];
  /** Of a revision that does not begin with the log: where it begins, with the running maximum there, epoch ms or null. */
  startsAt?: {topic: string; partition: number; offset: number; maxTimeMs: number | null}[];
};

export type SourcePlan = {
  topic: string;
  eventType: string;
  /** Logged fields the query needs (itself, or for derive/enrich), in Avro order; `timestamp` always, `event_id` only for first/last and `dedupMs`. */
  fields: {
    name: string;
    column: string;
    type: ValueType;
    nullable: boolean;
    aliases: string[];
    symbols?: string[];
    /** Personal data: the query sees what stands for its values. */
    pii?: PiiKind;
  }[];
  /** Needed ones, in order. */
  derive: {name: string; type: ValueType; expr: TypedExpr}[];
  enrich: {
    lookup: string;
    on: string;
    onType: ValueType;
    take: {name: string; from: string; type: ValueType}[];
  }[];
};

/** State per group and window. Measures share accumulators: `avg(x)` is `sum(x)` and `count(x)`. Index 0 is always count(*). */
export type AccumulatorPlan =
  | {op: 'count'; filter: TypedExpr | null /** Count of non-null values of this. */; arg: TypedExpr | null}
  | {op: 'sum' | 'min' | 'max'; arg: TypedExpr; type: ValueType}
  | {op: 'distinct'; arg: TypedExpr; type: ValueType}
  | {op: 'quantile'; arg: TypedExpr; type: ValueType}
  | {op: 'first' | 'last'; arg: TypedExpr; type: ValueType};

/** How a column of the row comes from the accumulators, by index. `ratio` is evaluated over the other measures, by name. */
export type MeasurePlan = {name: string; column: string; type: ValueType} & (
  | {fn: 'value'; accumulator: number}
  | {fn: 'avg'; sum: number; count: number; argType: ValueType}
  | {fn: 'sum'; sum: number; count: number; argType: ValueType}
  | {fn: 'quantile'; accumulator: number; q: number; argType: ValueType}
  | {fn: 'ratio'; expr: TypedExpr}
);
