/** What never reached the log, on its way there: read as its file or request is read, mended if a fix is given, checked, encoded. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {domainNamespace} from '../ingest/identity.ts';
import {RecordIds} from '../ingest/incoming-ids.ts';
import {BodyRefused} from '../ingest/incoming-json.ts';
import {type IncomingRecords, incomingRecords} from '../ingest/incoming-records.ts';
import {objectInput} from '../ingest/object-input.ts';
import {compileObjectEncoder, noRoom, type ObjectEncoder, roomMax} from '../ingest/objects.ts';
import {reasonCode} from '../ingest/reasons.ts';
import type {RecordScanner} from '../ingest/records.ts';
import {inputValue} from '../ingest/transform-input.ts';
import {TransformStage} from '../ingest/transformed.ts';
import {compileRows, type RowEncoder} from '../ingest/validate.ts';
import type {Domain, EventType} from '../model/types.ts';
import type {ReplayOutcome} from '../schema/replay.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import {uuid5} from '../schema/uuid5.ts';
import type {Transforms} from '../transforms/open.ts';
import type {TransformInput} from '../transforms/types.ts';
import type {Letter} from './letters.ts';
import {jsonOf, type LetterEvents, type RecordShape, scanRecord} from './letters-events.ts';
import type {Fix} from './replay-fix.ts';

/** A record of the log (length and frame). */
export type EncodedEvent = {record: Uint8Array; partition: number; id: string; timeMs: number};
/** One event, or why it is refused again. */
export type Encoded = ({ok: true} & EncodedEvent) | Rejected;
/** What a letter becomes: one event; any number of them where its event type has a transform. */
export type EncodedLetter = {ok: true; events: EncodedEvent[]} | Rejected;
export type Rejected = {ok: false; code: string; message: string};

export type EncodeOptions = {
  domains: Domain[];
  events: LetterEvents;
  schemas: RegisteredSchema[];
  /** Topic -> id of its newest schema. */
  schemaIds: Record<string, number>;
  partitionsOf(topic: string): number;
  fix: Fix | undefined;
  /** Whether the transforms are a function that was given to mend records: it gets those, too, that cannot be read. */
  isFunction: boolean;
  transforms: Transforms;
  clock: Clock;
};

/** What became of a letter of which there are `events`, `added` of them new. */
export function fateOf(events: number, added: number): {outcome: ReplayOutcome; message: string | null} {
  if (events === 0) return {outcome: 'filtered', message: 'its transform made no event of it'};
  return added > 0
    ? {outcome: 'appended', message: null}
    : {outcome: 'duplicate', message: 'the log has an event of this id'};
}

const asLetter = (encoded: Encoded): EncodedLetter => (encoded.ok ? {ok: true, events: [encoded]} : encoded);

const rejected = (code: string, message: string): Rejected => ({ok: false, code, message});

/** The id that a letter's event has, or gets: the same one whenever it is replayed. */
export const replayedId = ({domain, id, eventId}: Letter): string =>
  eventId ?? uuid5(domainNamespace(domain), `replay/${id}`);

export class LetterEncoder {
  #options: EncodeOptions;
  #objects = new Map<string, ObjectEncoder>();
  #rows = new Map<RecordShape, {encoder: RowEncoder; ids: RecordIds}>();
  #incoming = new Map<string, IncomingRecords>();
  #stages = new Map<string, TransformStage<null>>();
  #room = new Uint8Array(64 * 1024);

  constructor(options: EncodeOptions) {
    this.#options = options;
  }

  /** What expressions mended passes the transform of its type as any record does. */
  async encode(letter: Letter): Promise<EncodedLetter> {
    const {events, fix, isFunction} = this.#options;
    const eventType = events.typeOf(letter);
    if (!eventType)
      return rejected('NAME_UNKNOWN', `there is no event type ${letter.domain}.${letter.eventType}`);
    try {
      if (isFunction) return await this.#given(letter, eventType);
      return fix
        ? await this.#mended(letter, eventType, fix)
        : 'file' in letter.position
          ? await this.#row(letter, eventType)
          : await this.#request(letter, eventType);
    } catch (error) {
      if (error instanceof BodyRefused) return rejected(error.code, error.message);
      // What the input wants of a file's columns may have changed since. A transform that cannot be loaded says nothing of the letter.
      if (error instanceof PlatformError && error.code !== 'TRANSFORM_LOAD')
        return rejected(error.code, error.message);
      throw error;
    }
  }

  /** An event as a fix left it, by field name. `id`: its event id. */
  encodeObject(object: Record<string, unknown>, id: string, eventType: EventType): Encoded {
    const {schemaIds, partitionsOf} = this.#options;
    let encoder = this.#objects.get(eventType.topic);
    if (!encoder) {
      encoder = compileObjectEncoder(eventType, schemaIds[eventType.topic]!);
      this.#objects.set(eventType.topic, encoder);
    }
    const latestMs = this.#latestMs(eventType);
    let end = encoder.encode(object, latestMs, this.#room, 0);
    if (end === noRoom) {
      this.#room = new Uint8Array(roomMax);
      end = encoder.encode(object, latestMs, this.#room, 0);
    }
    if (end < 0) return {ok: false, ...encoder.explain(object, end)};
    const partition = encoder.lastPartition(partitionsOf(eventType.topic));
    return {ok: true, record: this.#room.slice(0, end), partition, id, timeMs: encoder.lastTimeMs()};
  }

  async #mended(letter: Letter, eventType: EventType, fix: Fix): Promise<EncodedLetter> {
    const event = await this.#options.events.eventOf(letter);
    if (!event)
      return rejected(letter.code, `${letter.message}; what has no fields cannot be mended by expressions`);
    const id = replayedId(letter);
    const mended = fix.apply(event, eventType, id, this.#options.clock.now());
    if (!('object' in mended)) return {ok: false, ...mended};
    if (eventType.transform === undefined) return asLetter(this.encodeObject(mended.object, id, eventType));
    const values = objectInput(eventType, mended.object);
    if (!Array.isArray(values)) return {ok: false, ...values};
    return this.#transformed(letter, eventType, {values, extra: {...jsonOf(letter), ...event.others}});
  }

  /**
   * Through the function that was given. It gets the fields that can be read, NULL for the others, and beside them the record's text
   * (`original`) and what was sent for each field (`text`).
   */
  async #given(letter: Letter, eventType: EventType): Promise<EncodedLetter> {
    const {events, clock} = this.#options;
    const event = await events.eventOf(letter);
    const values = eventType.fields.map(({name, role, type}) => {
      if (role === 'id') return replayedId(letter);
      const value = event?.values.get(name) ?? null;
      if (value !== null) return inputValue(type, value);
      // Requests may leave the time of an event to whoever takes it.
      const isNow = role === 'time' && event && !('file' in letter.position) && !event.texts.get(name);
      return isNow ? clock.now() : null;
    });
    const original = Buffer.from(letter.original).toString('utf8');
    const text = Object.fromEntries(event?.texts ?? []);
    const extra = {...jsonOf(letter), ...event?.others, original, text};
    return this.#transformed(letter, eventType, {values, extra});
  }

  async #row(letter: Letter, eventType: EventType): Promise<EncodedLetter> {
    const shape = this.#options.events.shapeOf(letter);
    if (!shape) return rejected('INPUT_MISSING', `what ${letter.source} was read with is not known any more`);
    const {encoder, ids} = this.#rowEncoder(shape, eventType);
    const scanned = await scanRecord(letter.original, shape);
    if (!scanned) return rejected(letter.code, letter.message);
    if (scanned.reason < 0) return rejected(reasonCode(scanned.reason), scanned.detail || letter.message);
    const id = replayedId(letter);
    ids.begin(() => id);
    const latestMs = this.#latestMs(eventType);
    const {scanner} = scanned;
    const isText = shape.input.format === 'jsonl';
    if (encoder.inputs) return this.#asItIs(letter, eventType, encoder, scanner, isText);
    return asLetter(this.#encode(encoder, scanner, letter.original.length, latestMs, id));
  }

  #rowEncoder(shape: RecordShape, eventType: EventType): {encoder: RowEncoder; ids: RecordIds} {
    const known = this.#rows.get(shape);
    if (known) return known;
    const {schemaIds, partitionsOf} = this.#options;
    const {topic} = eventType;
    const ids = new RecordIds();
    const options = {
      eventType,
      input: shape.input,
      schemaId: schemaIds[topic]!,
      partitions: partitionsOf(topic),
      ids,
    };
    const made = {encoder: compileRows(options, shape.columns, shape.input.name), ids};
    this.#rows.set(shape, made);
    return made;
  }

  async #request(letter: Letter, eventType: EventType): Promise<EncodedLetter> {
    const {original, domain, source} = letter;
    const records = this.#records(eventType);
    const bytes = new Uint8Array(original.length + 1);
    bytes.set(original);
    const id = replayedId(letter);
    const isAvro = original[0] === 0 || Buffer.from(original.subarray(0, 3)).toString() === 'Obj';
    const batch = {
      domain,
      eventType: eventType.name,
      source,
      format: isAvro ? ('avro' as const) : ('json' as const),
      bytes,
      request: letter.id,
      ids: [id],
      deadLetters: false,
      recordsMax: 1,
    };
    const reader = records.open(batch, bytes, original.length);
    if (!reader.next()) return rejected('BODY_EMPTY', 'there is no record in it');
    if (reader.reason < 0) return rejected(reasonCode(reader.reason), reader.detail);
    const {encoder, scanner} = records;
    const encoded = encoder.inputs
      ? await this.#asItIs(letter, eventType, encoder, scanner, !isAvro)
      : asLetter(this.#encode(encoder, scanner, reader.size, records.latestMs(), id));
    if (encoded.ok && reader.next())
      return rejected('BATCH_TOO_LARGE', 'it holds several records; send the body again instead');
    return encoded;
  }

  /** @param isText whether the record is JSON text. */
  async #asItIs(
    letter: Letter,
    eventType: EventType,
    encoder: RowEncoder,
    scanner: RecordScanner,
    isText: boolean,
  ): Promise<EncodedLetter> {
    const values = encoder.inputs!.values(scanner, 0);
    if (typeof values === 'number') return {ok: false, ...encoder.explain(scanner, values)};
    const text = Buffer.from(letter.original).toString('utf8');
    return this.#transformed(letter, eventType, {
      values,
      extra: isText ? text : encoder.inputs!.others(scanner),
    });
  }

  async #transformed(
    {original}: Letter,
    eventType: EventType,
    input: TransformInput,
  ): Promise<EncodedLetter> {
    const stage = this.#stage(eventType);
    const latestMs = this.#latestMs(eventType);
    stage.add({record: null, bytes: original.length, eventId: String(input.values[0]), input});
    let result: EncodedLetter = {ok: true, events: []};
    await stage.settle(
      () => latestMs,
      (settled) => {
        if ('problem' in settled) result = rejected(settled.problem.code, settled.problem.message);
        else
          result = {
            ok: true,
            events: settled.encoded.events.map(({start, end, partition, id, timeMs}) => ({
              record: settled.encoded.bytes.slice(start, end),
              partition,
              id,
              timeMs,
            })),
          };
        return undefined;
      },
    );
    return result;
  }

  #stage(eventType: EventType): TransformStage<null> {
    const {topic} = eventType;
    let stage = this.#stages.get(topic);
    if (!stage) {
      const {transforms, schemaIds, partitionsOf} = this.#options;
      const runner = transforms.of(eventType)!;
      stage = new TransformStage({
        eventType,
        schemaId: schemaIds[topic]!,
        partitions: partitionsOf(topic),
        runner,
      });
      this.#stages.set(topic, stage);
    }
    return stage;
  }

  #records(eventType: EventType): IncomingRecords {
    const known = this.#incoming.get(eventType.topic);
    if (known) return known;
    const {domains, schemas, schemaIds, partitionsOf, clock} = this.#options;
    const {topic} = eventType;
    const made = incomingRecords({
      domain: domains.find(({name}) => name === eventType.domain)!,
      eventType,
      partitions: partitionsOf(topic),
      schemaId: schemaIds[topic]!,
      schemaById: (id) => schemas.find((schema) => schema.id === id),
      clock,
    });
    this.#incoming.set(topic, made);
    return made;
  }

  #encode(
    encoder: RowEncoder,
    scanner: Parameters<RowEncoder['encode']>[0],
    size: number,
    latestMs: number,
    id: string,
  ): Encoded {
    const partition = encoder.partition(scanner, 0);
    const room = new Uint8Array(encoder.room(size));
    const end = encoder.encode(scanner, 0, latestMs, room, 0);
    if (end < 0) return {ok: false, ...encoder.explain(scanner, end)};
    const given = encoder.givenId(scanner) ?? id;
    return {ok: true, record: room.slice(0, end), partition, id: given, timeMs: encoder.lastTimeMs()};
  }

  #latestMs({domain}: EventType): number {
    const {domains, clock} = this.#options;
    return clock.now() + domains.find(({name}) => name === domain)!.defaults.futureMaxMs;
  }
}
