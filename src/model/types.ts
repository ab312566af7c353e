import type {Secret} from '../config/secrets/secret.ts';
import type {TypedExpr, ValueType} from '../expr/types.ts';

/** The model: what the configuration means, checked, with every default filled in. Immutable, no I/O, JSON-serialisable. */
export type Platform = {
  name: string;
  env: string;
  /** Absolute path of the directory that holds `config/`. */
  root: string;
  domains: Domain[];
  log: BackendChoice;
  registry: BackendChoice;
  engine: {workers: number | 'auto'; flushMs: number; checkpointIntervalMs: number; checkpointsDir: string};
  sinks: Record<string, BackendChoice>;
  /** `token`: only when the configuration gives one. */
  server: {host: string; port: number; token?: Secret};
  plugins: string[];
};

/** A section that names its backend; `options` were validated against that backend's field specs. Secrets in them are `Secret`s. */
export type BackendChoice = {backend: string; options: Record<string, unknown>};

export type Defaults = {
  watermarkMs: number;
  late: Late;
  correctForMs: number;
  futureMaxMs: number;
  idleMs: number;
  emit: 'change' | 'close';
  compatibility: Compatibility;
  /** Name of the sink for query rows. */
  aggregates: string;
  /** Name of the sink for raw events; null: raw events go nowhere. */
  raw: string | null;
  deadLetters: {budgetShare: number; budgetAfter: number; retentionMs: number};
  limits: {groups: number; memoryBytes: number; stateDiskBytes: number};
};

export type Late = 'correct' | 'topic' | 'drop';
export type Compatibility =
  | 'none'
  | 'backward'
  | 'backward_transitive'
  | 'forward'
  | 'forward_transitive'
  | 'full'
  | 'full_transitive';

export type Domain = {
  name: string;
  defaults: Defaults;
  eventTypes: EventType[];
  lookups: Lookup[];
  aggregations: Aggregation[];
  inputs: Input[];
};

export type FieldRole = 'id' | 'time' | 'attribute' | 'dimension' | 'metric';

/** A field of the event as it is logged, in Avro order: event_id, timestamp, attributes, dimensions, metrics. */
export type Field = {
  /** As in YAML: `amount`. Expressions and measures use this name. */
  name: string;
  /** As in Avro and in tables: `amount_cents` for money, else the name. */
  column: string;
  role: FieldRole;
  type: ValueType;
  /** Symbols of an enum. */
  symbols?: string[];
  required: boolean;
  aliases: string[];
  doc?: string;
};

export type EventType = {
  domain: string;
  name: string;
  /** `<domain>.<name>`. */
  topic: string;
  /** Field whose value picks the partition; default event_id. */
  key: string;
  fields: Field[];
  /** Computed at read; later ones may use earlier ones. */
  derive: {name: string; type: ValueType; expr: TypedExpr; text: string}[];
  /** Computed at read, after derive. `take`: new column -> column of the lookup. */
  enrich: {lookup: string; on: string; take: {name: string; from: string; type: ValueType}[]}[];
  checks: {name: string; expr: TypedExpr; text: string}[];
};

export type Lookup = {
  domain: string;
  name: string;
  key: string;
  keyType: ValueType;
  columns: {name: string; type: ValueType}[];
  /** Absolute path. */
  csv: string;
  nulls: string[];
  refreshMs: number | null;
};

export type WindowSpec =
  | {type: 'tumbling'; sizeMs: number}
  | {type: 'sliding'; sizeMs: number; slideMs: number}
  | {type: 'session'; gapMs: number}
  | {type: 'calendar'; unit: 'day' | 'week' | 'month'; timezone: string};

/**
 * One measure. `filter`: count(expr) counts the events for which it is true. `ratio` refers to other measures of the same
 * aggregation, by name, and is evaluated over their values in the row.
 */
export type Measure = {
  name: string;
  /** Column in the row: `revenue_cents` for money sums, minima and maxima. */
  column: string;
  /** Type of the column; avg, quantile and ratio are double. */
  type: ValueType;
  text: string;
} & (
  | {fn: 'count'; filter: TypedExpr | null}
  | {fn: 'sum' | 'min' | 'max' | 'avg'; arg: TypedExpr}
  | {fn: 'distinct'; arg: TypedExpr}
  | {fn: 'quantile'; arg: TypedExpr; q: number}
  | {fn: 'first' | 'last'; arg: TypedExpr}
  | {fn: 'ratio'; expr: TypedExpr}
);

export type Aggregation = {
  domain: string;
  name: string;
  from: string[];
  where: TypedExpr | null;
  window: WindowSpec;
  groupBy: {name: string; column: string; type: ValueType}[];
  measures: Measure[];
  watermarkMs: number;
  late: Late;
  correctForMs: number;
  idleMs: number;
  emit: 'change' | 'close';
  /** Names of sinks. */
  sinks: string[];
  limits: {groups: number; memoryBytes: number; stateDiskBytes: number};
};

export type Input = {
  domain: string;
  name: string;
  eventType: string;
  /** Absolute path, or null when only `ingest <input> <file>` feeds it. */
  from: string | null;
  format: 'csv' | 'jsonl';
  /** Events per second; null: as fast as it goes. */
  ratePerSecond: number | null;
  nulls: string[];
  timezone: string;
  timestampFormat: string | null;
  orderBy: 'timestamp' | 'none';
  /** Logged field name (YAML name) -> column of the file. Fields without an entry: same name. */
  map: Record<string, string>;
};

/** A physical table. Column `kind`s are neutral; each sink maps them to its own types. */
export type Column = {
  name: string;
  type: ValueType;
  nullable: boolean /** Few distinct values: LowCardinality where it exists. */;
  dimension?: boolean;
};
export type Table = {
  /** Namespace: the domain. */
  namespace: string;
  /** `revenue_per_minute__r1`, or `purchase` for raw events. */
  name: string;
  kind: 'query' | 'raw';
  columns: Column[];
  /** Names of the key columns. */
  key: string[];
  /** The view readers use: hides version and deleted. Query tables only. */
  view?: {name: string; columns: string[]};
};
