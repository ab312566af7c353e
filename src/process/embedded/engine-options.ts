import type {Clock} from '../../clock.ts';
import type {PlatformError} from '../../errors.ts';
import type {LogSource, openLog} from '../../log/open.ts';
import type {AvroSchema, RegisteredSchema} from '../../schema/types.ts';
import type {Telemetry} from '../../telemetry.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {EmittedRows, LookupSnapshot, QueryStatus} from '../types.ts';
import type {CheckpointWriter} from './statestore.ts';
import type {SideOutput} from './worker-messages.ts';

/** What an embedded engine is given, and whom it tells. */
export type EngineOptions = {
  log: LogSource;
  /** Directory of the checkpoint store; the engine starts its writer unless it is given one. */
  stateDir: string;
  /** Of engines that share a store: theirs, which whoever started it closes. */
  writer?: CheckpointWriter;
  /** Writers' schemas that records may name. */
  schemas: RegisteredSchema[];
  /**
   * Asks the registry for another one; null: it has no such id. It may take its time, then the partition waits; `waits` says
   * why, for the status. Must not reject. Without it only `schemas` are known.
   */
  schemaOf?(id: number, waits: (why: string) => void): Promise<AvroSchema | null>;
  workers: number | 'auto';
  flushMs: number;
  checkpointIntervalMs: number;
  /** A lookup's snapshot: the one of that id, or the current one; undefined when there is none. */
  lookup?(domain: string, name: string, id: string | null): Promise<LookupSnapshot | undefined>;
  /** Lowest epoch that the query's sinks have marked; undefined when one of them has none, null when none keeps marks. */
  marked?(plan: QueryPlan): Promise<number | undefined | null>;
  /**
   * A query of sessions begins from an empty state while its sinks may hold rows of it: their table must be emptied, since
   * the keys of sessions depend on the order of reading until they settle. (Rows of windows are simply written again.)
   */
  onReset?(plan: QueryPlan): Promise<void>;
  /** Rows to deliver; answer with `acknowledge(query, sequence)`. One at a time for a query. */
  onRows(rows: EmittedRows): void;
  /** To be marked in every sink of the query; answer with `marked(query, epoch)`. */
  onMark(query: string, epoch: number): void;
  /** To be made durable, see `sideTransaction`; call `durable` then, or `fail` for the query when that cannot be. The query's checkpoints wait for it. */
  onSide(plan: QueryPlan, side: SideOutput, durable: () => void): void;
  /**
   * A query cannot begin. @returns whether it is tried again later, by an engine that is started anew, and its status told until then;
   * else it is stopped
   */
  onCannotBegin?(plan: QueryPlan, error: PlatformError): boolean;
  /** Opens the log for a query that is to begin. Where it is left out, one whose brokers are away cannot begin. */
  openLog?: typeof openLog;
  onStatus?(status: QueryStatus[]): void;
  /** The query stopped: rows of it that are on their way to sinks come again from its checkpoint if it is resumed. */
  onStopped?(query: string): void;
  telemetry?: Telemetry;
  /** Inline engine only; threads have the system's. */
  clock?: Clock;
};
