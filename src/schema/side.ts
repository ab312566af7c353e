/** Records of the side topics: dead letters (`dlq.<domain>`) and late events (`late.<domain>.<query>`), each with its original bytes. */
import type {AvroField, AvroRecord, AvroSchema, AvroValue} from './types.ts';

/** Where a record came from: a row of a file, a place in a log, an event of a request. */
export type Position =
  | {file: string; row: number}
  | {topic: string; partition: number; offset: number}
  | {request: string; index: number};

/** An event that was set aside. Its identity is (source, position, stage, query), of which `id` is made. */
export type DeadLetter = {
  id: string;
  /** When it was set aside, epoch ms. */
  timeMs: number;
  domain: string;
  eventType: string | null;
  /** The step that refused it: parse, validate, decode, check, expression, emit. */
  stage: string;
  query: string | null;
  code: string;
  message: string;
  source: string;
  position: Position;
  eventId: string | null;
  schemaId: number | null;
  original: Uint8Array;
};

/** An event that came too late for some or all of a query's windows. */
export type LateEvent = {
  id: string;
  timeMs: number;
  domain: string;
  query: string;
  topic: string;
  partition: number;
  offset: number;
  /** The watermark that judged it, epoch ms. */
  watermarkMs: number;
  /** Starts of the windows that it missed, epoch ms. */
  missed: number[];
  /** The event's frame. */
  original: Uint8Array;
};

/** What is the same for all late events of a query from a topic, in the words of dead letters. @param query name without its domain */
export function lateProvenance({domain, query, topic}: Pick<LateEvent, 'domain' | 'query' | 'topic'>) {
  const eventType = topic.slice(topic.indexOf('.') + 1);
  return {eventType, stage: 'late', query: `${domain}.${query}`, code: 'LATE', source: topic};
}

/** Types and fields that records of our own topics are made of. */
export const timestamp: AvroSchema = {type: 'long', logicalType: 'timestamp-millis'};
export const required = (name: string, type: AvroSchema): AvroField => ({name, type});
export const optional = (name: string, type: AvroSchema): AvroField => ({
  name,
  type: ['null', type],
  default: null,
});

/** Schema of `dlq.<domain>`, the same for every domain. The position is flat: one group of its columns is set. */
export const deadLetterSchema: AvroRecord = {
  type: 'record',
  name: 'dead_letter',
  namespace: 'millrace',
  fields: [
    required('id', 'string'),
    required('time', timestamp),
    required('domain', 'string'),
    optional('event_type', 'string'),
    required('stage', 'string'),
    optional('query', 'string'),
    required('code', 'string'),
    required('message', 'string'),
    required('source', 'string'),
    optional('position_file', 'string'),
    optional('position_row', 'long'),
    optional('position_topic', 'string'),
    optional('position_partition', 'int'),
    optional('position_offset', 'long'),
    optional('position_request', 'string'),
    optional('position_index', 'long'),
    optional('event_id', 'string'),
    optional('schema_id', 'long'),
    required('original', 'bytes'),
  ],
};

/** Schema of `late.<domain>.<query>`, the same for every query. */
export const lateSchema: AvroRecord = {
  type: 'record',
  name: 'late_event',
  namespace: 'millrace',
  fields: [
    required('id', 'string'),
    required('time', timestamp),
    required('domain', 'string'),
    required('query', 'string'),
    required('topic', 'string'),
    required('partition', 'int'),
    required('offset', 'long'),
    required('watermark', timestamp),
    required('missed', {type: 'array', items: timestamp}),
    required('original', 'bytes'),
  ],
};

/** Values for an encoder of `deadLetterSchema`. */
export function deadLetterValues(letter: DeadLetter): AvroValue[] {
  const {position} = letter;
  return [
    letter.id,
    letter.timeMs,
    letter.domain,
    letter.eventType,
    letter.stage,
    letter.query,
    letter.code,
    letter.message,
    letter.source,
    'file' in position ? position.file : null,
    'file' in position ? position.row : null,
    'topic' in position ? position.topic : null,
    'topic' in position ? position.partition : null,
    'topic' in position ? position.offset : null,
    'request' in position ? position.request : null,
    'request' in position ? position.index : null,
    letter.eventId,
    letter.schemaId,
    letter.original,
  ];
}

/** The dead letter of what a decoder of `deadLetterSchema` returned (all columns). */
export function deadLetterOf(values: readonly AvroValue[]): DeadLetter {
  const [id, timeMs, domain, eventType, stage, query, code, message, source, ...rest] = values;
  const [file, row, topic, partition, offset, request, index, eventId, schemaId, original] = rest;
  const position =
    file !== null
      ? {file, row}
      : topic !== null
        ? {topic, partition, offset}
        : {request: request ?? '', index: index ?? 0};
  return {
    id,
    timeMs,
    domain,
    eventType,
    stage,
    query,
    code,
    message,
    source,
    position,
    eventId,
    schemaId,
    original,
  } as DeadLetter;
}

/** Values for an encoder of `lateSchema`. */
export const lateValues = (late: LateEvent): AvroValue[] => [
  late.id,
  late.timeMs,
  late.domain,
  late.query,
  late.topic,
  late.partition,
  late.offset,
  late.watermarkMs,
  late.missed,
  late.original,
];

/** The late event of what a decoder of `lateSchema` returned (all columns). */
export function lateOf(values: readonly AvroValue[]): LateEvent {
  const [id, timeMs, domain, query, topic, partition, offset, watermarkMs, missed, original] = values;
  return {
    id,
    timeMs,
    domain,
    query,
    topic,
    partition,
    offset,
    watermarkMs,
    missed,
    original,
  } as LateEvent;
}
