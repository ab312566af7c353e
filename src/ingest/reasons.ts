/**
 * Why one record was rejected: the codes of dead letters that ingestion writes. Stable: people filter and alert on them.
 * A failed check has the code `CHECK:<name of the check>`.
 */
export const reasons = {
  CSV_RAGGED: 'The row has more or fewer fields than the header.',
  CSV_QUOTE:
    'A quoted field is not closed, or text follows its closing quote. The record ends at its first line end.',
  JSON_SYNTAX: 'The line is not JSON.',
  JSON_OBJECT: 'The line is JSON, but not an object.',
  JSON_DEPTH: 'The line is nested deeper than 64 levels.',
  AVRO: 'The bytes are no frame, or not what their Avro schema says.',
  UNKNOWN_SCHEMA:
    'A frame names a schema that the registry does not have, or that cannot be read as the event type.',
  UTF8: 'The text is not UTF-8, or an escape names half of a surrogate pair.',
  RECORD_TOO_LARGE: 'The record is larger than 1 MiB; its first 64 KiB are kept.',
  EVENT_ID: 'The event id that the sender chose is empty or longer than 256 bytes.',
  REQUIRED: 'A required field has no value.',
  TYPE: 'A value cannot be read as the type of its field.',
  RANGE: 'A number does not fit its type (int: 32 bits, long and money: 64 bits, double: finite).',
  MONEY_SCALE: 'An amount of money has more than two decimals that are not zero.',
  ENUM: 'A value is not among the symbols of its field.',
  TIMESTAMP_RANGE: 'The event time lies before 1970.',
  TIMESTAMP_FUTURE: 'The event time lies further ahead of the time of appending than future_max.',
  EXPRESSION: 'A check could not be computed: an overflow or a failed cast.',
  CHECK: 'A check of the event type is false; the code carries its name.',
  REJECTED: 'The transform of the event type refused the record; the code carries the one that it gave.',
  TRANSFORM_ERROR: 'The transform of the event type threw an error on the record.',
  TRANSFORM_TIMEOUT: 'The transform of the event type did not return in time.',
  TRANSFORM_OUTPUT: 'What the transform of the event type returned is no event, or too much of it.',
  TRANSFORM_ENDED: 'The thread of the transform ended on the record: out of memory, or ended by itself.',
} as const satisfies Record<string, string>;

/** Code of a rejected record without the name of a check. */
export type ReasonCode = keyof typeof reasons;

const codes = Object.keys(reasons) as ReasonCode[];

/** Reasons as small negative integers, so that hot paths can return a position or a reason: -1 is the first code. */
export const reasonNumber = Object.fromEntries(codes.map((code, index) => [code, -1 - index])) as Record<
  ReasonCode,
  number
>;

/** The code of a negative number that a scanner or converter returned. */
export const reasonCode = (number: number): ReasonCode => codes[-1 - number]!;
