/** The event inside a letter, as values of its event type's fields: what conditions look at and fixes begin with. */

import type {Value} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import {convertedBytesMax, converterOf} from '../ingest/convert.ts';
import {CsvScanner} from '../ingest/csv.ts';
import {requestInput} from '../ingest/incoming-records.ts';
import {JsonScanner} from '../ingest/jsonl.ts';
import {compileJudge} from '../ingest/judge.ts';
import {type FilePosition, progressKey} from '../ingest/position.ts';
import {type RecordScanner, StreamRecords} from '../ingest/records.ts';
import {timeZone} from '../ingest/time.ts';
import {columnOf, wantedColumns} from '../ingest/validate.ts';
import type {LogReader} from '../log/types.ts';
import {checkedType} from '../model/checked.ts';
import type {Domain, EventType, Input} from '../model/types.ts';
import {avroSchema} from '../schema/avro.ts';
import {compileResolvingDecoder, type Decoder} from '../schema/decode.ts';
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import {dateText, hasDateText} from '../sinks/tables.ts';
import {isUnread, type Letter} from './letters.ts';

/**
 * Values by field name; NULL where a text cannot be read as its field's type. `texts`: as they were sent, where they were text.
 * `others`: columns of a CSV record that no field is made of.
 */
export type LetterEvent = {
  values: Map<string, Value>;
  texts: Map<string, string | null>;
  others: Record<string, string | null>;
};

/** Where a record of a file or a request has its fields. */
export type RecordShape = {input: Input; columns: string[]};

/** Reads the events of letters. */
export class LetterEvents {
  #domains: Domain[];
  #schemas: readonly RegisteredSchema[];
  #log: LogReader;
  #decoders = new Map<string, Decoder | undefined>();
  #shapes = new Map<string, RecordShape | undefined>();

  /** @param schemas may grow before a letter that names one is read */
  constructor(domains: Domain[], schemas: readonly RegisteredSchema[], log: LogReader) {
    this.#domains = domains;
    this.#schemas = schemas;
    this.#log = log;
  }

  typeOf({domain, eventType}: Pick<Letter, 'domain' | 'eventType'>): EventType | undefined {
    return this.#domains.find(({name}) => name === domain)?.eventTypes.find(({name}) => name === eventType);
  }

  /** Undefined when the record cannot be divided into fields, or its event type or input is not there any more. */
  async eventOf(letter: Letter): Promise<LetterEvent | undefined> {
    const eventType = this.typeOf(letter);
    // What a sink refused is a row of a query, or an event of the log.
    const isRow = letter.stage === 'sink' && letter.query !== null;
    if (!eventType || letter.stage === 'emit' || isRow) return undefined;
    // A record of a request may be such a frame, too; no text begins with this byte.
    if ('topic' in letter.position || letter.original[0] === 0)
      return this.#logged(letter.original, eventType);
    const shape = this.shapeOf(letter);
    const record = shape && (await scanRecord(letter.original, shape));
    if (record?.reason !== 0 || !shape) return undefined;
    return textEvent(eventType, shape, record.scanner);
  }

  /** How a record that never reached the log is read; undefined when its input or file is not known any more. */
  shapeOf(letter: Letter): RecordShape | undefined {
    const key = `${letter.domain}/${letter.source}/${letter.eventType}`;
    if (!this.#shapes.has(key)) this.#shapes.set(key, this.#findShape(letter));
    return this.#shapes.get(key);
  }

  #findShape({domain, source, eventType: name, position}: Letter): RecordShape | undefined {
    const eventType = this.typeOf({domain, eventType: name});
    if (!eventType) return undefined;
    if (!('file' in position)) {
      const input = requestInput(eventType);
      return {input, columns: wantedColumns(eventType, input)};
    }
    const inputs = this.#domains.find((each) => each.name === domain)!.inputs;
    const input = inputs.find(
      (each) => each.eventType === name && source === `${each.name}/${position.file}`,
    );
    if (!input) return undefined;
    if (input.format === 'jsonl') return {input, columns: wantedColumns(eventType, input)};
    const stored = this.#log.progress(progressKey(input, position.file));
    const columns = stored === undefined ? undefined : (JSON.parse(stored) as FilePosition).columns;
    return columns && {input, columns};
  }

  /** Values of a frame in the order of the event type's fields; undefined when it cannot be decoded. */
  decode(frame: Uint8Array, eventType: EventType): Value[] | undefined {
    if (frame.length < frameHeaderBytes || frame[0] !== 0) return undefined;
    const id = schemaIdOf(frame, 0, frame.length);
    const key = `${eventType.topic} ${id}`;
    if (!this.#decoders.has(key)) this.#decoders.set(key, this.#compile(id, eventType));
    try {
      return this.#decoders.get(key)?.(frame, frameHeaderBytes, frame.length) as Value[] | undefined;
    } catch (error) {
      if (error instanceof DecodeFailure) return undefined;
      throw error;
    }
  }

  /** Whether an unread record still does not pass, and why; undefined when it does, or is none. @param nowMs when it is replayed */
  refusal(letter: Letter, nowMs: number): {outcome: 'rejected'; code: string; message: string} | undefined {
    const eventType = this.typeOf(letter);
    const domain = this.#domains.find(({name}) => name === letter.domain);
    if (!isUnread(letter) || !eventType || !domain) return undefined;
    const schemaOf = (id: number) => this.#schemas.find((schema) => schema.id === id)?.schema;
    const refused = compileJudge(checkedType(eventType), schemaOf)(
      letter.original,
      0,
      letter.original.length,
      nowMs + domain.defaults.futureMaxMs,
    );
    return refused && {outcome: 'rejected', code: refused.code, message: refused.message};
  }

  /** When the log took a record, epoch ms; undefined when it no longer has it. */
  async appendedMs(topic: string, partition: number, offset: number): Promise<number | undefined> {
    const isThere =
      offset >= this.#log.startOffset(topic, partition) && offset < this.#log.endOffset(topic, partition);
    const batches = isThere ? await this.#log.read(topic, partition, offset, 1) : [];
    return batches.find(({baseOffset, count}) => offset >= baseOffset && offset < baseOffset + count)
      ?.appendTimeMs;
  }

  #compile(id: number, eventType: EventType): Decoder | undefined {
    const writer = this.#schemas.find((schema) => schema.id === id);
    if (!writer) return undefined;
    try {
      return compileResolvingDecoder(writer.schema as AvroRecord, avroSchema(eventType));
    } catch {
      // A schema of before that the event type of today cannot read.
      return undefined;
    }
  }

  #logged(frame: Uint8Array, eventType: EventType): LetterEvent | undefined {
    const values = this.decode(frame, eventType);
    return (
      values && {
        values: new Map(eventType.fields.map(({name}, index) => [name, values[index]!])),
        texts: new Map(),
        others: {},
      }
    );
  }
}

/** The one record in some bytes, as its file's or request's scanner sees it. */
export async function scanRecord(
  original: Uint8Array,
  {input, columns}: RecordShape,
): Promise<{scanner: RecordScanner; reason: number; detail: string} | undefined> {
  const scanner = input.format === 'csv' ? new CsvScanner(columns) : new JsonScanner(columns);
  const records = new StreamRecords(
    (async function* () {
      yield original;
    })(),
    scanner,
  );
  while (await records.fill())
    if (records.next()) return {scanner, reason: records.reason, detail: records.detail};
  return undefined;
}

function textEvent(eventType: EventType, {input, columns}: RecordShape, scanner: RecordScanner): LetterEvent {
  const convert = {zone: timeZone(input.timezone), timestampFormat: input.timestampFormat};
  const event: LetterEvent = {values: new Map(), texts: new Map(), others: {}};
  const textOf = (slot: number) => {
    const start = slot < 0 ? -1 : scanner.starts[slot]!;
    return start < 0
      ? null
      : Buffer.from(scanner.buffer.subarray(start, scanner.ends[slot]!)).toString('utf8');
  };
  const used = new Set(eventType.fields.map((field) => columnOf(field, input)));
  if (input.format === 'csv')
    for (const [slot, name] of columns.entries()) if (!used.has(name)) event.others[name] = textOf(slot);
  for (const field of eventType.fields) {
    const slot = columns.indexOf(columnOf(field, input));
    const start = slot < 0 ? -1 : scanner.starts[slot]!;
    const end = slot < 0 ? -1 : scanner.ends[slot]!;
    const text = textOf(slot);
    const isNull = text === null || input.nulls.includes(text);
    event.texts.set(field.name, text);
    const converter = converterOf(field, convert);
    const room = new Uint8Array(convertedBytesMax(end - start));
    const fits = !isNull && converter.write(scanner.buffer, start, end, room, 0) >= 0;
    event.values.set(field.name, fits ? converter.read(scanner.buffer, start, end) : null);
  }
  return event;
}

/** What a JSON record says, fields among it; nothing for others. */
export function jsonOf({original}: Letter): Record<string, unknown> {
  if (original[0] !== 0x7b) return {};
  try {
    return JSON.parse(Buffer.from(original).toString('utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** A value as people write it into a file or a request, which is how it is read again. */
export function writtenAs(type: string, value: Value): unknown {
  if (value === null) return null;
  if (type === 'money') return formatCents(value as number | bigint);
  // A day that no calendar has stays a number, which is read as no date again.
  if (type === 'date') return hasDateText(Number(value)) ? dateText(Number(value)) : String(value);
  return value;
}
