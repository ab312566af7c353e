/**
 * What the log no longer has, from the raw table: for as long as a revision is filled it stands in front of the log. Events are
 * encoded again with the newest schema of their type, at the offsets that they had.
 */

import {randomBytes} from 'node:crypto';
import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {failpoint} from '../failpoint.ts';
import {type ArchiveWriter, createArchive, type LogArchive} from '../log/archive.ts';
import {openLog} from '../log/open.ts';
import {batchesFrom} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import {rawTable} from '../model/tables.ts';
import type {EventType, Table} from '../model/types.ts';
import {topicsOf} from '../process/embedded/topics-read.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {counted} from '../quantity.ts';
import {compileResolvingDecoder, type Decoder} from '../schema/decode.ts';
import {compileEncoder, type Encoder} from '../schema/encode.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import type {AvroRecord, AvroValue, RegisteredSchema} from '../schema/types.ts';
import type {RowBatch} from '../sinks/types.ts';
import {HoleFinder, unexplained} from './change-archive-holes.ts';
import type {Surely} from './fill-waiting.ts';
import {registerSchemas} from './ingest-start.ts';
import type {RunningPlatform} from './runtime.ts';

/** How the reading of the archive goes on, by topic. */
export type ArchiveLine = {
  archive: string;
  /** Events read of the raw table, and offsets that the log no longer has: marks, dead letters and what the table lacks among them. */
  events: number;
  offsets: number;
  /** Records of the log whose event is among the archived ones, and is counted there. */
  duplicates: number;
};

type ArchiveOptions = {
  signal: AbortSignal;
  surely: Surely;
  /** Refuses a raw table that ends before the log begins, or lacks rows in its middle: what lies there is nowhere. Default false. */
  isUnasked?: boolean;
};

/** Offsets of one statement. */
const chunkMax = 100_000;
/** Records of one batch. */
const batchMax = 2_048;

/** Where the archive of a platform is while it is needed. */
export const archiveDir = (running: RunningPlatform): string => join(running.dirs.temp, 'archive');

/**
 * Reads what the log no longer has of the topics of plans.
 * @returns undefined when the log has everything. @throws ARCHIVE_MISSING, the sink's errors, FILE_ACCESS
 */
export async function* readArchive(
  running: RunningPlatform,
  plans: QueryPlan[],
  {signal, surely, isUnasked = false}: ArchiveOptions,
): AsyncGenerator<ArchiveLine, LogArchive | undefined> {
  const {platform, dirs} = running;
  const topics = new Set(plans.flatMap(topicsOf));
  const log = await surely(() => openLog(dirs.source, {topics: [...topics]}));
  try {
    const trimmed = [...topics].filter((topic) => startsOf(log, topic).some((start) => start > 0));
    if (trimmed.length === 0) return undefined;
    const {newest, all} = await registerSchemas(platform, dirs);
    const dir = archiveDir(running);
    const mark = `${randomBytes(16).toString('hex')}:`;
    const writer = createArchive(dir);
    for (const topic of trimmed) {
      const source = sourceOf(running, topic);
      const part = new TopicArchive({
        ...source,
        running,
        log,
        writer,
        mark,
        signal,
        surely,
        isUnasked,
        schema: newest.get(topic)!,
        all,
      });
      yield* part.read();
    }
    writer.close();
    failpoint('change.archived');
    return {dir, mark};
  } finally {
    log.close();
  }
}

export const dropArchive = (running: RunningPlatform): void =>
  rmSync(archiveDir(running), {recursive: true, force: true});

const startsOf = (log: LogReader, topic: string): number[] =>
  Array.from({length: log.partitions(topic)}, (_, partition) => log.startOffset(topic, partition));

/** @throws ARCHIVE_MISSING when no sink keeps the events of the topic */
function sourceOf({platform}: RunningPlatform, topic: string): {sink: string; eventType: EventType} {
  const domain = platform.domains.find(({eventTypes}) => eventTypes.some((each) => each.topic === topic));
  const eventType = domain?.eventTypes.find((each) => each.topic === topic);
  const sink = domain?.defaults.raw ?? null;
  if (eventType && sink !== null) return {sink, eventType};
  throw new PlatformError('ARCHIVE_MISSING', `no sink keeps the raw events of ${topic}`, {
    hint: 'without --from archive a backfill counts what the log still holds',
  });
}

type Source = {
  running: RunningPlatform;
  log: LogReader;
  writer: ArchiveWriter;
  mark: string;
  signal: AbortSignal;
  surely: Surely;
  isUnasked: boolean;
  sink: string;
  eventType: EventType;
  /** The newest of the topic; `all`: those that its records may name. */
  schema: RegisteredSchema;
  all: RegisteredSchema[];
};

/** The archive of one topic. */
class TopicArchive {
  readonly #source: Source;
  readonly #table: Table;
  readonly #encoder: Encoder;
  readonly #fields: string[];
  /** Event id -> places in the log that have no row of their own: its event may be archived. */
  readonly #doubtful = new Map<string, {partition: number; offset: number}[]>();
  /** Partition -> offsets of the log that are left out. */
  readonly #duplicates = new Map<number, number[]>();
  readonly #line: ArchiveLine;

  constructor(source: Source) {
    const {eventType, schema} = source;
    this.#source = source;
    this.#table = rawTable(eventType);
    this.#encoder = compileEncoder(schema.schema as AvroRecord, schema.id);
    this.#fields = eventType.fields.map(({column}) => column);
    this.#line = {archive: eventType.topic, events: 0, offsets: 0, duplicates: 0};
  }

  async *read(): AsyncGenerator<ArchiveLine> {
    const {running, log, eventType, writer, sink, surely, isUnasked} = this.#source;
    const starts = startsOf(log, eventType.topic);
    const {outputs} = running;
    // Its tables are made beside everything else when the platform starts.
    await outputs.raw.started(sink);
    const durable = await surely(() => outputs.rawOffsets(sink, this.#table));
    if (isUnasked) await this.#checkEnds(starts, durable);
    await this.#findDoubtful(starts, durable);
    const finder = new HoleFinder();
    for (const [partition, toOffset] of starts.entries()) {
      writer.begin(eventType.topic, partition, toOffset);
      finder.begin(partition);
      for (let from = 0; from < toOffset; from += chunkMax) {
        const to = Math.min(toOffset, from + chunkMax);
        const columns = [...this.#fields, '_offset', '_appended_at'];
        const rows = await this.#rows(partition, from, to, columns);
        if (isUnasked) finder.see(rows.columns.at(-2) as number[]);
        this.#add(rows);
        this.#line.offsets += to - from;
        yield {...this.#line};
      }
      if (isUnasked) finder.end(toOffset);
    }
    const [hole, ...others] = await surely(() => unexplained(finder, log, eventType));
    if (hole) throw this.#missing(hole.partition, hole.from, hole.to, others.length);
    for (const [partition, places] of this.#duplicates.entries())
      for (const offset of places) writer.skip(eventType.topic, partition, offset);
  }

  async #rows(partition: number, from: number, to: number, columns: string[]): Promise<RowBatch> {
    const {running, sink, signal, surely} = this.#source;
    signal.throwIfAborted();
    return surely(() => running.outputs.rawEvents(sink, this.#table, {partition, from, to}, columns));
  }

  /** What the raw table has, or its delivery has passed, reaches to where the log begins. @throws ARCHIVE_MISSING */
  async #checkEnds(starts: number[], durable: Map<number, number>): Promise<void> {
    const {running, eventType} = this.#source;
    const {topic} = eventType;
    const passed = (await running.outputs.raw.offsets()).find((each) => each.topic === topic)?.offsets ?? {};
    for (const [partition, start] of starts.entries()) {
      const end = durable.has(partition) ? Math.max(durable.get(partition)!, passed[partition] ?? 0) : 0;
      if (end < start) throw this.#missing(partition, end, start);
    }
  }

  /** @param others further ranges of which that is true */
  #missing(partition: number, from: number, to: number, others = 0): PlatformError {
    const {sink, eventType} = this.#source;
    const more = others > 0 ? ` and ${counted(others, 'other range')}` : '';
    return new PlatformError(
      'ARCHIVE_MISSING',
      `offsets ${from} to ${to - 1} of ${eventType.topic} partition ${partition}${more} are neither in the raw table of the sink "${sink}" nor in the log`,
      {hint: 'without them: npx millrace backfill <query> --from archive; it says how many events it finds'},
    );
  }

  /**
   * An id is remembered for as long as the log keeps its record: a sender that sends an event again after that has it appended
   * again, and the raw table drops it. So a record of the log without a row of its own may be an archived event.
   */
  async #findDoubtful(starts: number[], durable: Map<number, number>): Promise<void> {
    const {log, eventType} = this.#source;
    const {topic} = eventType;
    for (const [partition, start] of starts.entries()) {
      const end = Math.min(log.endOffset(topic, partition), durable.get(partition) ?? 0);
      for (let from = start; from < end; from += chunkMax) {
        const to = Math.min(end, from + chunkMax);
        const rows = await this.#rows(partition, from, to, ['_offset']);
        if (rows.count < to - from)
          await this.#note(partition, from, to, new Set(rows.columns[0] as number[]));
      }
    }
  }

  /** Notes the ids of records without a row. */
  async #note(partition: number, from: number, to: number, has: Set<number>): Promise<void> {
    const {log, eventType, all} = this.#source;
    const decoders = new Map<number, Decoder | null>();
    const idOf = (bytes: Uint8Array, start: number, end: number): string | undefined => {
      try {
        const id = schemaIdOf(bytes, start, end);
        let decode = decoders.get(id);
        if (decode === undefined) decoders.set(id, (decode = idDecoder(all.find((each) => each.id === id))));
        return decode?.(bytes, start + frameHeaderBytes, end)[0] as string | undefined;
      } catch (error) {
        if (error instanceof DecodeFailure) return undefined;
        throw error;
      }
    };
    for await (const batch of batchesFrom(log, eventType.topic, partition, from)) {
      if (batch.baseOffset >= to) return;
      if (batch.kind !== 'data') continue;
      walkRecords(batch, (index, start, end) => {
        const offset = batch.baseOffset + index;
        if (offset < from || offset >= to || has.has(offset)) return;
        const id = idOf(batch.bytes, start, end);
        if (id === undefined) return;
        const places = this.#doubtful.get(id) ?? [];
        this.#doubtful.set(id, places);
        places.push({partition, offset});
      });
    }
  }

  /** Encodes rows, in batches of offsets without a gap. */
  #add({count, columns}: RowBatch): void {
    const offsets = columns.at(-2) as number[];
    const times = columns.at(-1) as number[];
    let rows: AvroValue[][] = [];
    for (let row = 0; row < count; row++) {
      const values = this.#values(columns, row);
      if (values) rows.push(values);
      const isLast = offsets[row + 1] !== offsets[row]! + 1;
      if (rows.length > 0 && (!values || isLast || rows.length === batchMax)) {
        const end = values ? offsets[row]! + 1 : offsets[row]!;
        this.#addBatch(rows, end - rows.length, times[row]!);
        rows = [];
      }
    }
  }

  #addBatch(rows: AvroValue[][], baseOffset: number, appendTimeMs: number): void {
    const bytes = new Uint8Array(rows.reduce((size, row) => size + 4 + this.#encoder.sizeMax(row), 0));
    let length = 0;
    for (const row of rows) length = this.#encoder.encodeRecord(row, bytes, length);
    this.#source.writer.add({baseOffset, count: rows.length, appendTimeMs, bytes: bytes.subarray(0, length)});
    this.#line.events += rows.length;
  }

  /** Undefined for a row that is no event of the type as it is now: a required value is missing. */
  #values(columns: Value[][], row: number): AvroValue[] | undefined {
    const values: AvroValue[] = [];
    for (const [index, {required, pii, symbols}] of this.#source.eventType.fields.entries()) {
      let value: AvroValue = columns[index]![row]!;
      // A symbol that the type no longer has is read as the log would be: there is none.
      if (symbols && value !== null && !symbols.includes(value as string)) value = null;
      if (value === null && required) return undefined;
      values.push(pii && value !== null ? `${this.#source.mark}${value}` : value);
    }
    const id = String(values[0]);
    const places = this.#doubtful.get(id);
    if (places) this.#leaveOut(id, places);
    return values;
  }

  #leaveOut(id: string, places: {partition: number; offset: number}[]): void {
    for (const {partition, offset} of places)
      this.#duplicates.set(partition, [...(this.#duplicates.get(partition) ?? []), offset]);
    this.#line.duplicates += places.length;
    this.#doubtful.delete(id);
  }
}

/** Reads the event id of a record; null when its schema has none or is not known. */
function idDecoder(writer: RegisteredSchema | undefined): Decoder | null {
  const schema = writer?.schema as AvroRecord | undefined;
  if (schema?.type !== 'record' || !schema.fields.some(({name}) => name === 'event_id')) return null;
  return compileResolvingDecoder(schema, schema, ['event_id']);
}
