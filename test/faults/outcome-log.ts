/** What is in the log after a fault run, record by record, wherever it lies. */
import {type LogSource, openLog} from '../../src/log/open.ts';
import type {LogReader} from '../../src/log/types.ts';
import type {Domain} from '../../src/model/types.ts';
import type {NaiveEvent} from '../../src/process/naive.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords} from '../../src/schema/frame.ts';
import {openEmbeddedRegistry, type SchemaRegistry} from '../../src/schema/registry.ts';
import type {AvroRecord} from '../../src/schema/types.ts';
import type {Outcome} from './outcome.ts';
import type {Line} from './sink-reader.ts';

/** Of `<topic>/<partition>/<offset>`: the record's id, and its number among the records of its partition. */
export type Places = Map<string, {id: string; number: number}>;

type Decode = (bytes: Uint8Array, pos: number, end: number) => Promise<Line>;

/** Every record of a topic in the order of its partitions, decoded. */
async function* recordsOf(log: LogReader, topic: string, decode: Decode) {
  for (let partition = 0; partition < log.partitions(topic); partition++) {
    const end = log.endOffset(topic, partition);
    for (let offset = log.startOffset(topic, partition); offset < end; ) {
      const batches = await log.read(topic, partition, offset, 1 << 20);
      for (const batch of batches) {
        const spots: [number, number][] = [];
        walkRecords(batch, (_, pos, stop) => void spots.push([pos, stop]));
        for (const [index, [pos, stop]] of spots.entries())
          yield {partition, offset: batch.baseOffset + index, values: await decode(batch.bytes, pos, stop)};
        offset = batch.baseOffset + batch.count;
      }
    }
  }
}

/** @returns decodes a frame by the schema that it names */
function decoderBy(registry: SchemaRegistry): Decode {
  const decoders = new Map<number, (bytes: Uint8Array, pos: number, end: number) => Line>();
  return async (bytes, pos, end) => {
    const id = schemaIdOf(bytes, pos, end);
    let decoder = decoders.get(id);
    if (!decoder) {
      const schema = (await registry.byId(id))!.schema as AvroRecord;
      const values = compileDecoder(schema);
      decoder = (from, start, stop) =>
        Object.fromEntries(
          values(from, start, stop).map((value, i) => [schema.fields[i]!.name, value]),
        ) as Line;
      decoders.set(id, decoder);
    }
    return decoder(bytes, pos + frameHeaderBytes, end);
  };
}

/** Calls `look` with the log and a decoder of its records, and closes both. */
async function withLog<T>(
  source: LogSource,
  look: (log: LogReader, decode: Decode) => Promise<T>,
): Promise<T> {
  const registry = openEmbeddedRegistry(source.dir, {readOnly: true});
  try {
    const log = await openLog(source);
    try {
      return await look(log, decoderBy(registry));
    } finally {
      log.close();
    }
  } finally {
    registry.close();
  }
}

/** Beside events there are letters and replays, and where processes meet rows and what they tell each other. */
const hasEvents = (topic: string): boolean => topic.startsWith('shop.');

/** The events of a domain as the obvious evaluator wants them. */
export const readEvents = (source: LogSource, {eventTypes}: Domain): Promise<NaiveEvent[]> =>
  withLog(source, async (log, decode) => {
    const events: NaiveEvent[] = [];
    for (const {topic, fields} of eventTypes)
      for await (const {partition, offset, values} of recordsOf(log, topic, decode)) {
        const entries = fields.map(({name, column}) => [name, values[column] ?? null]);
        events.push({topic, partition, offset, values: Object.fromEntries(entries)});
      }
    return events;
  });

/** Fills in what of an outcome stands in the log. */
export const readLog = (source: LogSource, outcome: Outcome): Promise<Places> =>
  withLog(source, async (log, decode) => {
    const places: Places = new Map();
    const topics = log.topics();
    for (const topic of topics.filter(hasEvents)) {
      const ids = Array.from({length: log.partitions(topic)}, (): string[] => []);
      for await (const {partition, offset, values} of recordsOf(log, topic, decode)) {
        const id = String(values.event_id);
        const number = ids[partition]!.push(id) - 1;
        places.set(`${topic}/${partition}/${offset}`, {id, number});
      }
      for (const [partition, all] of ids.entries()) {
        outcome.log.set(`${topic}/${partition}`, all.join(' '));
        for (const id of repeated(all)) outcome.problems.push(`log: ${id} is twice in ${topic}/${partition}`);
      }
    }
    const side = new SideRecords(outcome, places);
    // Letters before the replays that name them.
    const order = ['dlq.', 'late.', 'replay.'];
    for (const beginning of order)
      for (const topic of topics.filter((each) => each.startsWith(beginning)))
        for await (const {values} of recordsOf(log, topic, decode)) side.note(beginning, values);
    return places;
  });

/** Dead letters, late events and replays, by what they are about: ids are made of offsets, and in Kafka fences take some. */
class SideRecords {
  readonly #outcome: Outcome;
  readonly #places: Places;
  readonly #ids = new Set<string>();
  /** What a letter is about, by its id. */
  readonly #letters = new Map<string, string>();

  constructor(outcome: Outcome, places: Places) {
    this.#outcome = outcome;
    this.#places = places;
  }

  note(kind: string, record: Line): void {
    if (kind === 'dlq.') this.#noteDead(record);
    else if (kind === 'late.') this.#noteLate(record);
    else this.#noteReplay(record);
  }

  #noteDead(record: Line): void {
    const {id, stage, query, code, source, event_id, position_file, position_row, position_request} = record;
    const {position_topic, position_partition, position_offset} = record;
    const place = this.#place(position_topic, position_partition, position_offset);
    const about = show([stage, query, source, position_file, position_row, place, position_request]);
    this.#letters.set(String(id), about);
    this.#add('dead', id, about, show([code, event_id]));
  }

  #noteLate({id, query, topic, partition, offset, watermark, missed}: Line): void {
    const about = show([query, this.#place(topic, partition, offset)]);
    this.#letters.set(String(id), about);
    this.#add('late', id, about, show([watermark, missed]));
  }

  #noteReplay({id, letter, query, topic, partition, offset, outcome, actor}: Line): void {
    // Ids of attempts and of what queries tell are made of what they are about; those of the journal's own entries are random.
    if (offset === undefined && (outcome === null || actor !== null)) return;
    const about = show([
      this.#letters.get(String(letter)),
      query,
      offset === undefined ? null : this.#place(topic, partition, offset),
    ]);
    this.#add('replayed', id, about, show([outcome]));
  }

  /** @param about what it is about: of several records the second is another member */
  #add(set: 'dead' | 'late' | 'replayed', id: Line[string] | undefined, about: string, value: string): void {
    if (this.#ids.has(String(id))) this.#outcome.problems.push(`${set}: ${id} is twice in the log: ${about}`);
    this.#ids.add(String(id));
    let key = about;
    for (let turn = 2; this.#outcome[set].has(key); turn++) key = `${about} #${turn}`;
    this.#outcome[set].set(key, value);
  }

  #place(topic?: Line[string], partition?: Line[string], offset?: Line[string]): string | null {
    if (topic === null || topic === undefined) return null;
    const number = this.#places.get(`${topic}/${partition}/${offset}`)?.number;
    return `${topic}/${partition}, record ${number ?? `at offset ${offset}, which there is not`}`;
  }
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_key, part) => (typeof part === 'bigint' ? `${part}` : part));

function repeated(values: string[]): string[] {
  const seen = new Set<string>();
  return values.filter((value) => seen.size === seen.add(value).size);
}
