/**
 * Why a query set an event or a value aside: the codes of the dead letters that the engine writes. Stable, like those of
 * ingestion (`src/ingest/reasons.ts`).
 */
export const queryReasons = {
  DECODE:
    'The bytes of the record are no event of the schema that it names, or a column that the query needs cannot be read.',
  UNKNOWN_SCHEMA: 'The record names a schema id that the registry does not have.',
  TIMESTAMP_RANGE: 'The event time is before 1970, or beyond what a date can be.',
  TIMESTAMP_FUTURE:
    'The event time lies further ahead of the time at which the record was appended than future_max. Events that Millrace appends are judged before; this one is of another program.',
  CHECK:
    'A check of the event type is false; the code carries its name. Events that Millrace appends are judged before; this one is of another program.',
  EXPRESSION:
    'An expression of the query, or a check on a record of another program, has no value for this event: an overflow or a failed cast.',
  WINDOW_GONE:
    'A replayed event cannot be counted: its window is complete and its state deleted. `millrace backfill` counts it in a new revision.',
  SUM_OVERFLOW:
    'A total leaves 64 bits: it is NULL in its row, and the query runs on. Told once for a window and group.',
} as const satisfies Record<string, string>;
