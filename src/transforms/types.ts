/**
 * The seam between ingestion and users' transforms: records go in as the values of their fields, events come out the same way,
 * or a rejection. Everything here crosses threads.
 */
import type {ValueType} from '../expr/types.ts';

/** A record that is to be transformed. */
export type TransformInput = {
  /** Values in the order of the event type's fields, as `inputValue` makes them; null where there is none. */
  values: readonly unknown[];
  /** What else the record says: columns of a CSV file by name, the text of a JSON object, or null. */
  extra: Readonly<Record<string, unknown>> | string | null;
};

/** What became of one record. */
export type TransformOutcome =
  /** Events one after another, each `fields` values in the order of the fields: text, number, bigint, boolean, Date, null; [] for anything else. */
  | {kind: 'events'; count: number; values: unknown[]}
  /** A code of `transformCodes`, or `REJECTED:<code>` when the transform said no. */
  | {kind: 'rejected'; code: string; message: string};

/** Codes of the dead letters that transforms cause beside those of validation; `src/ingest/reasons.ts` says what they mean. */
export const transformCodes = [
  'REJECTED',
  'TRANSFORM_ERROR',
  'TRANSFORM_TIMEOUT',
  'TRANSFORM_OUTPUT',
  'TRANSFORM_ENDED',
] as const;

/** Runs the transform of one event type. */
export type TransformRunner = {
  /**
   * Transforms records in their order, at least one of them and as many as their results allow; the caller calls again with
   * the rest. @throws PlatformError TRANSFORM_LOAD when the module cannot be loaded, TRANSFORM_STOPPED after `close`
   */
  run(records: readonly TransformInput[]): Promise<TransformOutcome[]>;
  /** Ends the thread. */
  close(): Promise<void>;
};

/** What the thread of a transform is started with. */
export type WorkerStart = {
  path: string;
  fields: {name: string; type: ValueType}[];
  outputsMax: number;
  /** [number of the record that is being transformed in the batch, count of records begun] */
  progress: SharedArrayBuffer;
};

/** `values`: of all records, one after another; `extras`: one a record. Flat lists cross threads fastest. */
export type WorkerRequest = {batch: number; values: unknown[]; extras: TransformInput['extra'][]};

/**
 * `results`: by record, the number of its events (their values follow in `values`), or -1 for a rejection (code and message
 * follow). It may have fewer records than were asked for.
 */
export type WorkerReply =
  | {kind: 'ready'; files: string[]}
  | {kind: 'failed'; message: string}
  | {kind: 'done'; batch: number; results: number[]; values: unknown[]}
  /** Something that a record left behind failed later: an unhandled rejection, an error in a timer. */
  | {kind: 'leftover'; message: string};

/** Most characters of all the text that comes out of one record. */
export const outputCharsMax = 1024 * 1024;
/** A reply is sent when it holds about so many characters, or after so long, ms: results of a thread that is ended are lost. */
export const replyCharsMax = 2 * 1024 * 1024;
export const replyMs = 50;
