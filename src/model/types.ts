import type {Secret} from '../config/secrets/secret.ts';
import type {TypedExpr, Value, ValueType} from '../expr/types.ts';
import type {Role} from './roles.ts';

/** The model: what the configuration means, checked, with every default filled in. Immutable, no I/O, JSON-serialisable. */
export type Platform = {
  name: string;
  env: string;
  /** Absolute path of the directory that holds `config/`. */
  root: string;
  domains: Domain[];
  log: BackendChoice;
  registry: BackendChoice;
  engine: EngineConfig;
  sinks: Record<string, BackendChoice>;
  /** `token`: only when the configuration gives one. */
  server: ServerConfig;
  plugins: string[];
  /** Key of what is protected (`pii:` of attributes); absent without one. */
  pii?: {key: Secret};
  /** What this process does; absent: everything. */
  roles?: readonly Role[];
};

/** Section `engine:`. */
export type EngineConfig = {
  workers: number | 'auto';
  flushMs: number;
  checkpointIntervalMs: number;
  /** Directory of the checkpoints; of this machine's copy, where they are in a bucket. */
  checkpointsDir: string;
  /** How long the lease on the checkpoints lasts without a renewal. */
  leaseMs: number;
  /** The bucket that holds the checkpoints; absent: the directory does. */
  bucket?: {
    name: string;
    /** Names of the objects begin with it; it ends with a slash or is empty. */
    prefix: string;
    endpoint: string;
    region: string;
    accessKey: Secret;
    secretKey: Secret;
    pathStyle: boolean;
    /** Path of a PEM file. */
    ca?: string;
  };
};

/** Section `server:`. */
export type ServerConfig = {
  host: string;
  port: number;
  token?: Secret;
  connectionsMax: number;
  requestTimeoutMs: number;
  events: EventLimits;
  /** Events that a token may bring; absent: any number. */
  rate?: EventRate;
};

/** A bucket that fills by `perSecond` up to `burst`, events. */
export type EventRate = {perSecond: number; burst: number};

/** Limits of a request that brings events, and of all of them together. */
export type EventLimits = {
  bodyBytesMax: number;
  inflatedBytesMax: number;
  recordsMax: number;
  inFlightBytesMax: number;
};

/** A section that names its backend; `options` were validated against that backend's field specs. Secrets in them are `Secret`s. */
export type BackendChoice = {backend: string; options: Record<string, unknown>};

export type Defaults = {
  watermarkMs: number;
  late: Late;
  correctForMs: number;
  /** How long ids of others' records are known, in event time, ms; null: every record counts. */
  dedupMs: number | null;
  futureMaxMs: number;
  idleMs: number;
  emit: 'change' | 'close';
  onTrimmed: OnTrimmed;
  compatibility: Compatibility;
  /** Absent where it is the default: then a registry that is a server keeps its own. */
  compatibilityIsSet?: true;
  /** Name of the sink for query rows. */
  aggregates: string;
  /** Name of the sink for raw events; null: raw events go nowhere. */
  raw: string | null;
  deadLetters: {budgetShare: number; budgetAfter: number; retentionMs: number};
  limits: {groups: number; memoryBytes: number; stateDiskBytes: number};
};

export type Late = 'correct' | 'topic' | 'drop';
/** What happens to a query when retention has deleted what it had not read; `archive`: it is filled from the raw table. */
export type OnTrimmed = 'stop' | 'archive';
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
  /** What `generate:` says; null without that section. */
  generate: Generate | null;
};

/** How the values of an attribute are protected: `src/privacy/values.ts` says what readers get instead. */
export type PiiKind = 'hash' | 'mask' | 'drop';

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
  /** Personal data: what is read of it is not what was sent, and may be NULL although it was sent. */
  pii?: PiiKind;
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
  /** A function that records pass before the log; absolute path of its module. Absent without one. */
  transform?: {path: string; timeoutMs: number; outputsMax: number};
};

export type Lookup = {
  domain: string;
  name: string;
  key: string;
  keyType: ValueType;
  columns: {name: string; type: ValueType}[];
  /** Absolute path of a file; null: its rows come from a sink. */
  csv: string | null;
  /** Name of the sink whose database has the rows, with `table` or `query`; absent for a file. */
  sink?: string;
  /** `<schema>.<table>`, or a table alone. */
  table?: string;
  /** A statement that reads. */
  query?: string;
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
  /** How long ids of others' records are known, in event time, ms; null: every record counts. */
  dedupMs: number | null;
  idleMs: number;
  emit: 'change' | 'close';
  onTrimmed: OnTrimmed;
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

/** A distribution of numbers, in the unit of its field (money: units; pauses: ms). `lognormal` is given by its median. */
export type Distribution =
  | {kind: 'uniform'; from: number; to: number}
  | {kind: 'normal'; mean: number; deviation: number}
  | {kind: 'lognormal'; median: number; sigma: number};

/**
 * What a generated field holds. `scope`: drawn for every event, once for a session, or once for an entity (it then has the
 * same value for ever). `nullShare`: share of events without a value.
 */
export type GeneratedValue = {nullShare: number; scope: 'event' | 'session' | 'entity'} & (
  | {kind: 'table'; values: Value[]; weights: number[] | null}
  | {kind: 'number'; distribution: Distribution; min: number | null; max: number | null}
  /** `{n}`: number of the event, `#`: a digit, `?`: a letter. */
  | {kind: 'pattern'; text: string}
  /** Keys of a lookup; with `column` that column in the row of the key that the field `by` holds. */
  | {kind: 'lookup'; lookup: string; zipf: number}
  | {kind: 'lookupColumn'; lookup: string; column: string; by: string}
  /** The value that the session's last event of that type had. */
  | {kind: 'last'; eventType: string; field: string}
);

export type GenerateFaults = {
  late: {share: number; fromMs: number; toMs: number} | null;
  outOfOrder: {share: number; fromMs: number; toMs: number} | null;
  duplicateShare: number;
  corruptShare: number;
  driftShare: number;
};

/** Section `generate:` of a domain. */
export type Generate = {
  seed: number;
  /** Event time of the first event, epoch ms; null: where it is made decides. */
  startMs: number | null;
  rate: {
    perSecond: number;
    daily: {lowShare: number; peakMs: number} | null;
    bursts: {everyMs: number; forMs: number; times: number} | null;
  };
  keys: Record<string, {count: number; zipf: number; pattern: string | null}>;
  sessions: {
    entity: string;
    /** Field that holds the number of the session. */
    id: string;
    start: string;
    steps: Record<string, Record<string, number>>;
    /** ms */
    pause: Distribution;
    openMax: number;
  } | null;
  /** Event type -> weight, without sessions. Empty: all alike. */
  mix: Record<string, number>;
  /** `<event type>.<field>` -> values. */
  values: Record<string, GeneratedValue>;
  faults: GenerateFaults;
};

/** A physical table. Column `kind`s are neutral; each sink maps them to its own types. */
export type Column = {
  name: string;
  type: ValueType;
  nullable: boolean /** Few distinct values: LowCardinality where it exists. */;
  dimension?: boolean;
  /** Names that it had before, in a table of raw events. */
  aliases?: string[];
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
