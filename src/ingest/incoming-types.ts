/**
 * The seam between whoever has records in memory (HTTP, replay, the generator) and the log: a batch of records of one event
 * type goes in, a verdict for each comes out when everything of it is durable.
 */

/**
 * How a body holds its records.
 *
 * | format | body |
 * |---|---|
 * | `json` | one JSON value: an object is one record, an array one record an element |
 * | `ndjson` | one JSON object a line; blank lines are passed over |
 * | `avro` | an object container file, or one frame in Confluent's wire format: their first bytes tell them apart |
 * | `avro-frames` | frames one after another, each behind its length as u32 big-endian |
 */
export type IncomingFormat = 'json' | 'ndjson' | 'avro' | 'avro-frames';

/** Records of one event type, from one source. */
export type IncomingBatch = {
  domain: string;
  eventType: string;
  /** As in ledger and dead letters: `http`, `replay`, `generator`. Whole words: the ledger has a line for each. */
  source: string;
  format: IncomingFormat;
  /** Belongs to the callee from now on: it is changed while it is read, and transferred to the ingest thread where that pays. */
  bytes: Uint8Array;
  /** Names the batch: the position of its dead letters is {request, index}. */
  request: string;
  /**
   * Ids of records that have none themselves. `derived`: uuid5 of (request, index), so that the same request sent again
   * changes nothing; `generated`: new ones, in the order of time; a list: the id of each record by its index.
   */
  ids: 'derived' | 'generated' | readonly string[];
  /** `false`: rejected records are answered and counted, but no dead letters are written. */
  deadLetters: boolean;
  /** Most records of a batch. */
  recordsMax: number;
};

/** What became of one record. `duplicate`: the topic already has its id. `dropped`: its transform made no event of it. */
export type VerdictStatus = 'appended' | 'duplicate' | 'rejected' | 'dropped';

/** One record's fate. */
export type Verdict = {
  index: number;
  /** As given, derived or generated; null when the record was rejected before it had one. */
  eventId: string | null;
  status: VerdictStatus;
  /** Why it was rejected: a code of `reasons.ts`, `CHECK:<name>` for a check, and a sentence. */
  code?: string;
  message?: string;
};

/** Why a body could not be divided into records, so that nothing of it was appended. */
export type RefusalCode =
  /** No JSON, no container file, no frame. One dead letter holds the body's beginning. */
  | 'BODY_SYNTAX'
  /** No record in it. */
  | 'BODY_EMPTY'
  /** More records than `recordsMax`. */
  | 'BATCH_TOO_LARGE'
  /** Packed in a way that is not read, inside the format. */
  | 'BODY_CODEC'
  /** An Avro schema that cannot be read as the event type's. */
  | 'SCHEMA'
  /** The sender gave the name of this batch to another body before. */
  | 'KEY_REUSED';

/**
 * What became of a batch, packed so that it crosses threads cheaply; `verdictsOf` unpacks it. `statuses`: one byte a record,
 * an index into `verdictStatuses`. `problems`: of the rejected ones, by index, ascending.
 */
export type IncomingResult =
  | {
      kind: 'done';
      statuses: Uint8Array;
      ids: (string | null)[];
      problems: {index: number; code: string; message: string}[];
    }
  | {kind: 'refused'; code: RefusalCode; message: string};

export const verdictStatuses: readonly VerdictStatus[] = ['appended', 'duplicate', 'rejected', 'dropped'];

/** The verdicts of a batch that was read, in the order of its records. */
export function verdictsOf(result: IncomingResult & {kind: 'done'}): Verdict[] {
  const problems = new Map(result.problems.map((problem) => [problem.index, problem]));
  return result.ids.map((eventId, index) => {
    const problem = problems.get(index);
    const status = verdictStatuses[result.statuses[index]!]!;
    return {index, eventId, status, ...(problem && {code: problem.code, message: problem.message})};
  });
}
