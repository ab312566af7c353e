/**
 * What a dead letter or a late event says of where it comes from, as headers of its Kafka record: for programs that select records
 * without reading their values. They are made of the value when it is shipped, and are never read by us.
 *
 *   millrace.id code stage time                of the letter; time is ISO 8601, UTC
 *   millrace.domain event_type query source    whose it is
 *   millrace.position.file row                 of the original: in a file,
 *   millrace.position.request index            of a request, or what else is no place in a log,
 *   millrace.position.topic partition offset   or in the log
 *   millrace.event_id                          as the letter knows it
 *   millrace.watermark                         of a late event: what judged it; ISO 8601, UTC
 *
 * What a letter does not know has no header.
 */
import {compileDecoder} from '../../schema/decode.ts';
import {frameHeaderBytes} from '../../schema/frame.ts';
import {DecodeFailure} from '../../schema/read.ts';
import {deadLetterSchema, lateProvenance, lateSchema} from '../../schema/side.ts';
import type {AvroValue} from '../../schema/types.ts';
import {type HeadersOf, noHeaders} from './batch-write.ts';

/** A longer value is cut, and ends with `...`. */
export const headerBytesMax = 256;
/** A larger letter has none: they would be what makes it larger than a broker takes (1 MiB by default). */
export const letterBytesMax = 1_000_000;
/** More than all headers of a record take: twelve at most, with names of up to 27 bytes. */
const scratchBytes = 4096;

const scratch = Buffer.alloc(scratchBytes);
const cutMark = '...';

/** A name with its length before it, as it stands in a record. */
function nameBytes(name: string): Uint8Array {
  const bytes = Buffer.from(`millrace.${name}`);
  return Buffer.concat([Buffer.of(bytes.length * 2), bytes]);
}

/** Writes a header's value at `at` with its length before it. @returns position after it */
function writeValue(value: string, at: number): number {
  // Nearly all are short and ASCII: a loop is quicker than a call out of JavaScript.
  if (value.length < 64) {
    let i = 0;
    for (; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 127) break;
      scratch[at + 1 + i] = code;
    }
    scratch[at] = i * 2;
    if (i === value.length) return at + 1 + i;
  }
  let length = Buffer.byteLength(value);
  const isCut = length > headerBytesMax;
  // Lengths are zigzag varints: of two bytes from 64 on.
  const from = at + (length < 64 ? 1 : 2);
  if (isCut) {
    // A character that would be divided is left out.
    length = scratch.write(value, from, headerBytesMax - cutMark.length);
    length += scratch.write(cutMark, from + length);
  } else scratch.write(value, from);
  if (length < 64) scratch[at] = length * 2;
  else {
    scratch[at] = ((length * 2) & 0x7f) | 0x80;
    scratch[at + 1] = (length * 2) >> 7;
  }
  return from + length;
}

type Column = {name: Uint8Array; text: (value: AvroValue) => string};

function headersBytes(columns: readonly Column[], values: readonly AvroValue[]): Uint8Array {
  let count = 0;
  let end = 1;
  for (let i = 0; i < columns.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) continue;
    const {name, text} = columns[i]!;
    for (let j = 0; j < name.length; j++) scratch[end++] = name[j]!;
    end = writeValue(text(value), end);
    count++;
  }
  scratch[0] = count * 2;
  return scratch.subarray(0, end);
}

const timeMsMax = 8.64e15;
/** Letters that are set aside together have the same time. */
let recent = {value: 0, text: new Date(0).toISOString()};

function isoText(value: AvroValue): string {
  if (typeof value !== 'number' || Math.abs(value) > timeMsMax) return String(value);
  if (recent.value !== value) recent = {value, text: new Date(value).toISOString()};
  return recent.text;
}

const columnOf = (name: string): Column => ({
  name: nameBytes(name),
  text: name === 'time' || name === 'watermark' ? isoText : String,
});

/** Fields of a dead letter that become headers; `position_file` is `position.file`. */
const deadFields = deadLetterSchema.fields
  .map(({name}) => name)
  .filter((name) => !['message', 'schema_id', 'original'].includes(name));
const deadColumns = deadFields.map((name) => columnOf(name.replace(/^position_/, 'position.')));
const decodeDead = compileDecoder(deadLetterSchema, deadFields);

const lateColumns = [
  'id',
  'time',
  'domain',
  'event_type',
  'stage',
  'query',
  'code',
  'source',
  'position.topic',
  'position.partition',
  'position.offset',
  'watermark',
].map(columnOf);
const decodeLate = compileDecoder(lateSchema, [
  'id',
  'time',
  'domain',
  'query',
  'topic',
  'partition',
  'offset',
  'watermark',
]);

function lateValues(values: readonly AvroValue[]): AvroValue[] {
  const [id, time, domain, query, topic, partition, offset, watermark] = values;
  const of = lateProvenance({domain: String(domain), query: String(query), topic: String(topic)});
  return [
    ...[id!, time!, domain!, of.eventType, of.stage, of.query, of.code, of.source],
    ...[topic!, partition!, offset!, watermark!],
  ];
}

/** A letter that is not what its schema says is shipped as it is: its bytes are worth more than what is said about them. */
const orNone =
  (headersOf: HeadersOf): HeadersOf =>
  (bytes, from, to) => {
    if (to - from > letterBytesMax) return noHeaders;
    try {
      return headersOf(bytes, from + frameHeaderBytes, to);
    } catch (error) {
      if (error instanceof DecodeFailure) return noHeaders;
      throw error;
    }
  };

const ofDead = orNone((bytes, from, to) => headersBytes(deadColumns, decodeDead(bytes, from, to)));
const ofLate = orNone((bytes, from, to) =>
  headersBytes(lateColumns, lateValues(decodeLate(bytes, from, to))),
);

/** What makes the headers of a topic's records; undefined for topics whose records have none: all but those of letters. */
export function provenanceOf(topic: string): HeadersOf | undefined {
  // No domain has one of these names (config/names.ts).
  if (topic.startsWith('dlq.')) return ofDead;
  return topic.startsWith('late.') ? ofLate : undefined;
}
