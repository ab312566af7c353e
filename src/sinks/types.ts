import type {FieldSpec} from '../config/fields.ts';
import type {Value} from '../expr/types.ts';
import type {LogSource} from '../log/open.ts';
import type {Table} from '../model/types.ts';
import type {AvroRecord} from '../schema/types.ts';
import type {Telemetry} from '../telemetry.ts';

/** Columns of values, in the order of the table's columns. int64 beyond 2^53 is bigint. */
export type RowBatch = {
  /** `<namespace>.<table>`. */
  table: string;
  count: number;
  columns: Value[][];
};

/** A run of raw events of one (topic, partition): offsets `fromOffset`..`toOffset` (exclusive), which become durable with the rows. */
export type RawBatch = RowBatch & {
  topic: string;
  partition: number;
  fromOffset: number;
  toOffset: number;
  /** Rows count that lie below the durable offset, too, and that offset does not go back: they are written once more, or singly. */
  again?: true;
};

/** Offsets `from`..`to` (exclusive) of a partition. */
export type RawRange = {partition: number; from: number; to: number};

/** Tables of a namespace that are to be written, of queries without their revision. */
export type WantedTables = {namespace: string; tables: string[]};

/** What of a table has become durable: written by the sink beside the data, read at start. */
export type DeliveryMark = {
  table: string;
  /** The checkpoint's number, growing by one; rows of that checkpoint and all before were acknowledged when it was written. */
  epoch: number;
};

export type QueryResult = {columns: {name: string; type: string}[]; rows: Value[][]};

/** An open sink. Every promise resolves when the data is durable in it, as far as that sink can say. */
export type Sink = {
  /** Creates namespace, table and view, or verifies them; throws SINK_TABLE_DIFFERS with the difference and a mending statement. */
  ensure(table: Table): Promise<void>;
  /** Upserts by key where the version is greater; a batch has one row a key. Idempotent. */
  write(table: Table, batch: RowBatch): Promise<void>;
  mark(marks: DeliveryMark[]): Promise<void>;
  /** Highest epoch marked for the table, undefined when none. */
  marked(table: string): Promise<number | undefined>;
  /** Inserts by event_id; a repeated one changes nothing. The offset is durable in the same transaction as the rows. */
  writeRaw?(table: Table, batch: RawBatch): Promise<void>;
  /** Sets a column of raw events to NULL, for those that want to be forgotten. Idempotent. */
  eraseRaw?(table: Table, column: string, eventIds: string[]): Promise<void>;
  /** Raw events of a range of offsets, each once, by offset: these columns of the table. */
  readRaw?(table: Table, range: RawRange, columns: string[]): Promise<RowBatch>;
  /** For a raw table: partition -> next offset wanted. */
  rawOffsets?(table: Table): Promise<Map<number, number>>;
  /** Points the view of `table` at it, atomically. */
  switchView?(table: Table): Promise<void>;
  /** Physical tables `<name>__r<n>` that exist for a query: revisions. */
  revisions?(namespace: string, query: string): Promise<number[]>;
  drop?(table: string): Promise<void>;
  /** Drops a view, `<namespace>.<query>`. */
  dropView?(view: string): Promise<void>;
  /** Where SQL cannot ask: of every key the row with the highest version, tombstones left out, latest windows first. */
  latest?(table: Table): Promise<Value[][]>;
  /** Read-only SQL. */
  query?(sql: string): Promise<QueryResult>;
  /**
   * Statements that give the sink's user what is missing for these tables; empty when nothing is, undefined when that cannot be asked.
   * Nothing is made.
   */
  missingRights?(wanted: readonly WantedTables[]): Promise<string[] | undefined>;
  close(): Promise<void>;
};

/** What a sink needs that writes rows into topics of the log's cluster. */
export type RowTopics = {
  source: LogSource;
  /** @returns id of the schema */
  registerSchema(subject: string, schema: AvroRecord): Promise<number>;
};

export type SinkContext = {
  /** Directory of the platform; relative `dir` options are against it. */
  root: string;
  /** Name of the sink in the configuration. */
  name: string;
  readOnly?: boolean;
  /** Command line of the platform: told to a second one that wants the same directory. */
  command?: string;
  /** What the sink has to tell beside the outcome of its calls. */
  telemetry?: Telemetry;
  /** Sinks that run inline only. */
  topics?: RowTopics;
};

export type SinkSpec = {
  name: string;
  summary: string;
  fields: Record<string, FieldSpec>;
  capabilities: {
    /** Where it must run: `inline` in the host's own thread, `worker` in a thread, `process` in a child process. */
    isolation: 'inline' | 'worker' | 'process';
    /** Upserts by key and version; otherwise it is a changelog and readers take the highest version. */
    upsert: boolean;
    raw: boolean;
    /** Whether raw events can be read back; default true. */
    rawRead?: boolean;
    query: boolean;
    views: boolean;
    /** Keeps rows, marks and offsets over a restart; otherwise they are not compared with the checkpoint at start. */
    durable: boolean;
    /** Writes into one table that may be under way at once; default 1. */
    writes?: number;
  };
  /** Loads its libraries only here. */
  open(options: Record<string, unknown>, context: SinkContext): Promise<Sink>;
};

/** Identity function that types a specification; see `docs/extending.md`. */
export const defineSink = (spec: SinkSpec): SinkSpec => spec;
