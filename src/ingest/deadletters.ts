/** Dead letters in the log: topic `dlq.<domain>`, one partition, frames of `deadLetterSchema`. */
import {decodedRecords} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import type {EventType} from '../model/types.ts';
import {openOriginal} from '../privacy/opener.ts';
import {compileDecoder} from '../schema/decode.ts';
import {compileEncoder} from '../schema/encode.ts';
import {type DeadLetter, deadLetterOf, deadLetterSchema, deadLetterValues} from '../schema/side.ts';
import {deadLetterIds, rowIds} from './identity.ts';
import type {RecordSource} from './records.ts';

/** Topic of a domain's dead letters. */
export const deadLetterTopic = (domain: string): string => `dlq.${domain}`;

export type DeadLetterEncoder = (letters: readonly DeadLetter[]) => Uint8Array;

/** Encodes dead letters as the bytes of a batch. @param schemaId id of `deadLetterSchema` in the registry. */
export function deadLetterEncoder(schemaId: number): DeadLetterEncoder {
  const encoder = compileEncoder(deadLetterSchema, schemaId);
  return (letters) => {
    const values = letters.map(deadLetterValues);
    const bytes = new Uint8Array(values.reduce((size, row) => size + 4 + encoder.sizeMax(row), 0));
    let end = 0;
    for (const row of values) end = encoder.encodeRecord(row, bytes, end);
    return bytes.subarray(0, end);
  };
}

/** Why a record of a file is bad. `eventId`: as a column gives it; undefined when rows have generated ids. */
export type Rejection = {
  code: string;
  message: string;
  /** `parse`, `validate`, `check` or `transform`. */
  stage: string;
  eventId: string | null | undefined;
  /** Epoch ms. */
  timeMs: number;
};

/**
 * Makes the dead letters of a file's bad records.
 * @param source as in ledger and position. @param file what the rows are known by.
 */
export function fileDeadLetters(
  eventType: EventType,
  source: string,
  input: string,
  file: string,
): (record: Pick<RecordSource, 'row' | 'raw'>, rejection: Rejection) => DeadLetter {
  const ids = deadLetterIds(eventType.domain, source);
  const eventIds = rowIds(eventType.domain, input, file);
  return (record, {code, message, stage, eventId, timeMs}) => ({
    id: ids.of(`${record.row}/${stage}`),
    timeMs,
    domain: eventType.domain,
    eventType: eventType.name,
    stage,
    query: null,
    code,
    message,
    source,
    position: {file, row: record.row},
    eventId: eventId === undefined ? eventIds.of(record.row) : eventId,
    schemaId: null,
    // The bytes are the reader's own and change with the next record.
    original: Uint8Array.from(record.raw()),
  });
}

/** A dead letter and where it lies in `dlq.<domain>`. */
export type StoredDeadLetter = DeadLetter & {partition: number; offset: number};

export type DeadLetterFilter = {
  eventType?: string;
  /** A whole code, or what comes before the colon: `CHECK` finds every failed check. */
  code?: string;
  stage?: string;
  query?: string;
  source?: string;
  /** Newer than this, epoch ms. */
  sinceMs?: number;
};

/** Whether a dead letter is one of those that are asked for. */
export function matches(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  const {eventType, code, stage, query, source, sinceMs} = filter;
  return (
    (eventType === undefined || letter.eventType === eventType) &&
    (code === undefined || letter.code === code || letter.code.startsWith(`${code}:`)) &&
    (stage === undefined || letter.stage === stage) &&
    (query === undefined || letter.query === query) &&
    (source === undefined || letter.source === source) &&
    (sinceMs === undefined || letter.timeMs >= sinceMs)
  );
}

const decode = compileDecoder(deadLetterSchema);

/** With its record as it came; empty where it was forgotten. */
const opened = (letter: DeadLetter): DeadLetter => ({
  ...letter,
  original: openOriginal(letter.original) ?? new Uint8Array(0),
});

/** The dead letters of a domain that the log has, oldest first. Throws LOG_CORRUPT when a batch is damaged. */
export async function* readDeadLetters(
  reader: LogReader,
  domain: string,
  filter: DeadLetterFilter = {},
): AsyncGenerator<StoredDeadLetter> {
  for await (const {partition, offset, values} of decodedRecords(reader, deadLetterTopic(domain), decode)) {
    const letter = opened(deadLetterOf(values));
    if (matches(letter, filter)) yield {...letter, partition, offset};
  }
}

/** The dead letter of an id (or of its unique beginning); undefined when there is none. */
export async function findDeadLetter(
  reader: LogReader,
  domain: string,
  id: string,
): Promise<StoredDeadLetter | undefined> {
  for await (const letter of readDeadLetters(reader, domain)) if (letter.id.startsWith(id)) return letter;
  return undefined;
}
