/**
 * Avro bodies as records: frames of Confluent's wire format, and object container files. Values become the text that the
 * converters read, so that a record is checked and written in one way whatever it came as.
 *
 *   frames    := { length:u32 big-endian, frame:length bytes }
 *   container := "Obj" 0x01, map of metadata, sync:16 bytes, { count:long, size:long, data:size bytes, sync:16 bytes }
 *
 * https://avro.apache.org/docs/1.12.0/specification/#object-container-files
 */
import {PlatformError} from '../errors.ts';
import {formatDate} from '../expr/calendar.ts';
import {formatCents} from '../expr/values.ts';
import type {EventType, Field} from '../model/types.ts';
import {avroSchema} from '../schema/avro.ts';
import {compileResolvingDecoder, type Decoder} from '../schema/decode.ts';
import {collectNames} from '../schema/flat.ts';
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import {unprotected} from '../schema/protected.ts';
import {DecodeFailure} from '../schema/read.ts';
import {type Skip, skipper} from '../schema/skip.ts';
import type {AvroRecord, AvroSchema, AvroValue, RegisteredSchema} from '../schema/types.ts';
import {openContainer} from './incoming-container.ts';
import {BodyRefused, type RecordReader} from './incoming-json.ts';
import type {IncomingBatch} from './incoming-types.ts';
import {reasonNumber} from './reasons.ts';
import {absent, needMore, oversizeKeptBytes, type RecordScanner, recordBytesMax} from './records.ts';

/** How records of one writer's schema are read. */
type Writer = {decode: Decoder; skip: Skip};

/** Containers bring schemas of their own; so many compiled ones are kept. */
const writersMax = 64;

/** Ids of the schemas that a batch's frames name, each once; frames that cannot be read name none. */
export function schemaIdsOf({format, bytes}: IncomingBatch): number[] {
  if (format === 'avro')
    return bytes[0] === 0 && bytes.length >= frameHeaderBytes ? [schemaIdOf(bytes, 0, bytes.length)] : [];
  if (format !== 'avro-frames') return [];
  const ids = new Set<number>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 4 + frameHeaderBytes <= bytes.length; at += 4 + view.getUint32(at))
    if (bytes[at + 4] === 0) ids.add(view.getUint32(at + 5));
  return [...ids];
}

/** The event type's schema as incoming records are read: what is missing is the validation's business. */
function lenientSchema(eventType: EventType): AvroRecord {
  const schema = avroSchema(eventType);
  return {
    ...schema,
    fields: schema.fields.map((field) => ({
      ...field,
      type: Array.isArray(field.type) ? field.type : ['null', field.type],
      default: null,
    })),
  };
}

/** The value as the text that its field's converter reads. */
function textOf(field: Field, value: AvroValue): string {
  switch (field.type) {
    case 'money':
      return formatCents(value as number | bigint);
    case 'date':
      return formatDate(value as number);
    case 'double':
      return Object.is(value, -0) ? '-0' : String(value);
    default:
      return String(value);
  }
}

export class AvroReader {
  readonly #fields: readonly Field[];
  readonly #reader: AvroRecord;
  readonly #columns: string[];
  readonly #schemaById: (id: number) => RegisteredSchema | undefined;
  readonly #byId = new Map<number, Writer>();
  readonly #byText = new Map<string, Writer>();
  readonly scanner: RecordScanner;

  /** @param columns names of fields by slot, as the encoder wants them. */
  constructor(
    eventType: EventType,
    columns: readonly string[],
    schemaById: (id: number) => RegisteredSchema | undefined,
  ) {
    this.#fields = columns.map((name) => eventType.fields.find((field) => field.name === name)!);
    this.#reader = lenientSchema(eventType);
    this.#columns = this.#fields.map(({column}) => column);
    this.#schemaById = schemaById;
    this.scanner = {
      columns,
      starts: new Int32Array(columns.length),
      ends: new Int32Array(columns.length),
      buffer: new Uint8Array(1024),
      recordStart: 0,
      recordEnd: 0,
      reason: 0,
      detail: '',
      scan: () => needMore,
    };
  }

  /** @throws BodyRefused */
  open(format: 'avro' | 'avro-frames', bytes: Uint8Array, length: number): RecordReader {
    if (format === 'avro-frames') return this.#frames(bytes, length);
    if (length === 0) return this.#frames(bytes, 0);
    if (bytes[0] === 0) return this.#frame(bytes, length);
    return this.#container(bytes, length);
  }

  #frame(bytes: Uint8Array, length: number): RecordReader {
    let isDone = false;
    return this.#reading((place) => {
      if (isDone) return false;
      isDone = true;
      place(bytes, 0, length);
      return true;
    });
  }

  #frames(bytes: Uint8Array, length: number): RecordReader {
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    let at = 0;
    return this.#reading((place) => {
      if (at === length) return false;
      const size = at + 4 <= length ? view.getUint32(at) : Number.POSITIVE_INFINITY;
      if (size > length - at - 4)
        throw new BodyRefused('BODY_SYNTAX', `the frame at byte ${at} passes the end of the body`);
      place(bytes, at + 4, at + 4 + size);
      at += 4 + size;
      return true;
    });
  }

  /** Frames one after another. */
  #reading(step: (place: (bytes: Uint8Array, from: number, to: number) => void) => boolean): RecordReader {
    let bytes = new Uint8Array(0);
    let from = 0;
    let to = 0;
    const place = (source: Uint8Array, start: number, end: number) => {
      bytes = source as Uint8Array<ArrayBuffer>;
      from = start;
      to = end;
    };
    const reader: RecordReader = {
      reason: 0,
      detail: '',
      size: 0,
      original: () => bytes.slice(from, to - from > recordBytesMax ? from + oversizeKeptBytes : to),
      next: () => {
        if (!step(place)) return false;
        this.#take(reader, to - from, () => {
          const id = schemaIdOf(bytes, from, to);
          const writer = this.#writerOf(id);
          if (writer === undefined) {
            reader.reason = reasonNumber.UNKNOWN_SCHEMA;
            reader.detail = `the registry has no schema ${id}`;
            return undefined;
          }
          return writer.decode(bytes, from + frameHeaderBytes, to);
        });
        return true;
      },
    };
    return reader;
  }

  #container(bytes: Uint8Array, length: number): RecordReader {
    const container = openContainer(bytes, length);
    const writer = this.#writerOfText(container.schema);
    let from = 0;
    let to = 0;
    const reader: RecordReader = {
      reason: 0,
      detail: '',
      size: 0,
      original: () => container.only(from, to),
      next: () => {
        if (!container.more()) return false;
        from = container.at;
        try {
          to = writer.skip(container.block, from, container.block.length, 0);
        } catch (error) {
          if (!(error instanceof DecodeFailure)) throw error;
          throw new BodyRefused('BODY_SYNTAX', `a record of the container file is damaged: ${error.message}`);
        }
        container.taken(to);
        this.#take(reader, to - from, () => writer.decode(container.block, from, to));
        return true;
      },
    };
    return reader;
  }

  /** Decodes a record and lays its values out as text; what cannot be decoded is the record's reason. */
  #take(reader: RecordReader, size: number, decode: () => AvroValue[] | undefined): void {
    reader.size = size;
    reader.reason = 0;
    reader.detail = '';
    if (size > recordBytesMax) {
      reader.reason = reasonNumber.RECORD_TOO_LARGE;
      reader.detail = `the record has ${size} bytes`;
      return;
    }
    try {
      const values = decode();
      // Text may be longer than the bytes that it came from: a number of ten bytes has up to 24 digits.
      if (values !== undefined) reader.size = this.#layOut(values);
    } catch (error) {
      if (!(error instanceof DecodeFailure || error instanceof PlatformError)) throw error;
      reader.reason = error instanceof DecodeFailure ? reasonNumber.AVRO : reasonNumber.UNKNOWN_SCHEMA;
      reader.detail = error.message;
    }
  }

  #layOut(values: readonly AvroValue[]): number {
    const {scanner} = this;
    let end = 0;
    values.forEach((value, slot) => {
      scanner.starts[slot] = absent;
      if (value === null) return;
      const text = Buffer.from(textOf(this.#fields[slot]!, value));
      if (scanner.buffer.length < end + text.length) {
        const larger = new Uint8Array(2 * (end + text.length));
        larger.set(scanner.buffer.subarray(0, end));
        scanner.buffer = larger;
      }
      scanner.buffer.set(text, end);
      scanner.starts[slot] = end;
      end += text.length;
      scanner.ends[slot] = end;
    });
    return end;
  }

  /** @throws PlatformError SCHEMA_INCOMPATIBLE, SCHEMA_UNSUPPORTED */
  #compile(schema: AvroSchema): Writer {
    if (typeof schema !== 'object' || Array.isArray(schema) || schema.type !== 'record')
      throw new PlatformError('SCHEMA_INCOMPATIBLE', 'the schema is no record');
    const record = schema as AvroRecord;
    return {
      decode: compileResolvingDecoder(unprotected(record), unprotected(this.#reader), this.#columns),
      skip: skipper(record, collectNames(record), record.namespace ?? ''),
    };
  }

  #writerOf(id: number): Writer | undefined {
    let writer = this.#byId.get(id);
    if (writer === undefined) {
      const registered = this.#schemaById(id);
      if (registered === undefined) return undefined;
      writer = this.#compile(registered.schema);
      this.#byId.set(id, writer);
    }
    return writer;
  }

  /** @throws BodyRefused SCHEMA */
  #writerOfText(text: string): Writer {
    let writer = this.#byText.get(text);
    if (writer !== undefined) return writer;
    try {
      writer = this.#compile(JSON.parse(text) as AvroSchema);
    } catch (error) {
      throw new BodyRefused('SCHEMA', `the container's schema cannot be used: ${(error as Error).message}`);
    }
    if (this.#byText.size >= writersMax) this.#byText.clear();
    this.#byText.set(text, writer);
    return writer;
  }
}
