/** Record batches of a topic -> columns, once for all queries over the topic. */
import assert from 'node:assert/strict';
import {compileJudge, type Judge, latestMsOf, oddTime, type Refusal, timeMsMax} from '../../ingest/judge.ts';
import type {RecordBatch} from '../../log/types.ts';
import {describeNoFrame, frameHeaderBytes} from '../../schema/frame.ts';
import {tokenReader} from '../../schema/protected.ts';
import {DecodeFailure} from '../../schema/read.ts';
import type {AvroRecord, AvroSchema, AvroValue} from '../../schema/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import {type DecodeState, missFields, slackOf} from './decode-code.ts';
import {type ColumnSpec, type ColumnUse, columnsOfTopic} from './decode-columns.ts';
import {idOf, type RefusedRecord, readLength, recordFinder, refusedIn, textAt} from './decode-frames.ts';
import {fillMisses, internWanted, storeValue} from './decode-texts.ts';
import {prepareWriter, problemOf, type Writer} from './decode-writer.ts';
import {createTextDictionary, emptyProbe, type TextDictionary} from './dictionary.ts';
import {createProtectedDictionary} from './dictionary-protected.ts';

/** The columns of one batch; valid until the decoder's next `decode`. */
export type DecodedBatch = {
  topic: string;
  partition: number;
  /** Offset of the first record looked at; those before it in the batch were skipped. */
  fromOffset: number;
  /** Offset after the batch. */
  nextOffset: number;
  /** Generation of the dictionaries that the codes refer to. */
  generation: number;
  /** Records that decoded; columns hold so many values. */
  rows: number;
  /** By the index of `TopicDecoder.columns`. */
  columns: (Float64Array | Int32Array)[];
  /** Rows with a value that does not fit its column, ascending; usually none. */
  special: SpecialRow[];
  /** Records that did not decode, ascending; usually none. */
  dead: DeadRecord[];
  /** Of an end mark: the event time it moves the running maximum to. */
  markTimeMs: number | undefined;
  /** Offset and a copy of the frame of a row. */
  recordOf(row: number): {offset: number; frame: Uint8Array};
  /** The text at a position from a `place` column. */
  textAt(place: number): string;
};

export type SpecialRow = {
  row: number;
  /** Column -> exact value: an integer beyond 2^53. */
  wide: Map<number, bigint>;
  /** Column -> why its value cannot be used. The record is dead for a query that needs the column. */
  bad: Map<number, string>;
};

/** Why a record is dead. */
type Death = Omit<Refusal, 'code'> & {code: Refusal['code'] | 'UNKNOWN_SCHEMA'};

export type DeadRecord = Death & {offset: number; frame: Uint8Array};

export type TopicDecoder = {
  topic: string;
  columns: ColumnSpec[];
  /** Of a `code` column; undefined for the others. */
  dictionaries: (TextDictionary | undefined)[];
  /** Index of a column; an assertion failure when no query asked for it. */
  column(name: string, use: ColumnUse): number;
  /** Decodes the records from `fromOffset` on, which is in the batch. Never throws for what a record holds, but what `schemaOf` throws. */
  decode(batch: RecordBatch, fromOffset: number): DecodedBatch;
  /** Approximate memory of dictionaries and columns, bytes. */
  bytes(): number;
  /** Forgets the dictionaries. Every kernel over the topic must have been taken with `endGeneration` before. */
  endGeneration(): void;
};

const none: RefusedRecord[] = [];
/** Rows after which texts that were met for the first time become known to the generated code. */
const blockRows = 256;

/**
 * @param plans all queries over the topic.
 * @param schemaOf writer's schema by id; undefined when it is not known.
 */
export function createTopicDecoder(
  topic: string,
  plans: QueryPlan[],
  schemaOf: (id: number) => AvroSchema | undefined,
): TopicDecoder {
  const specs = columnsOfTopic(topic, plans);
  assert.ok(specs.length > 0, `no query reads topic ${topic}`);
  const dictionaries = specs.map(({use, of}) =>
    use !== 'code' ? undefined : of ? createProtectedDictionary(of) : createTextDictionary(),
  );
  const isProtected = specs.some(({of}) => of);
  const writers = new Map<number, Writer>();
  let generation = 0;
  /** What is being decoded. */
  let bytes: Uint8Array = new Uint8Array(0);
  let view = new DataView(bytes.buffer);
  let capacity = 0;
  let slack = slackOf(1);
  let copy = new Uint8Array(0);
  /** Positions of a `place` column are in one array: the copy. */
  const hasPlaces = specs.some(({use}) => use === 'place');
  /** Texts of `place` columns that went the checked way: the k-th is at -2 - k. */
  let texts: string[] = [];

  const state: DecodeState = {
    pos: 0,
    row: 0,
    columns: specs.map(() => new Int32Array(0)),
    dictionaries: dictionaries.map((dictionary) => dictionary ?? emptyProbe()),
    latestMs: timeMsMax,
    wanted: new Int32Array(specs.length),
    misses: new Int32Array(missFields),
    missed: 0,
  };
  internWanted(state.wanted, specs, dictionaries);

  /** What other programs appended is judged before it is decoded; made when there is something of theirs. */
  const checks = plans.flatMap((plan) => plan.checks ?? []).find((each) => each.topic === topic);
  let judge: Judge | undefined;
  function refusedOf(batch: RecordBatch, fromOffset: number): RefusedRecord[] {
    if (!batch.isUnchecked || !checks) return none;
    judge ??= compileJudge(checks, schemaOf);
    return refusedIn(batch, fromOffset, judge, state.latestMs);
  }

  /** Lets decoding work on the batch's own bytes. */
  function open(batch: RecordBatch): void {
    bytes = batch.bytes;
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // The plans are of one domain.
    state.latestMs = latestMsOf(batch.appendTimeMs, plans[0]!.futureMaxMs);
    if (capacity >= batch.count) return;
    capacity = batch.count * 2;
    state.columns = specs.map(({use}) =>
      use === 'number' ? new Float64Array(capacity) : new Int32Array(capacity),
    );
  }

  /** Lets decoding work on a copy of the batch from `from` on, with room behind it for the generated code to look at. */
  function openCopy(batch: RecordBatch, from: number): void {
    const rest = batch.bytes.length - from;
    if (copy.length < rest + slack) copy = new Uint8Array((rest + slack) * 2);
    copy.set(from === 0 ? batch.bytes : batch.bytes.subarray(from));
    // What stands there is defined, whatever batch was here before.
    copy.fill(0, rest, rest + slack);
    bytes = copy;
    view = new DataView(copy.buffer);
  }

  function writerOf(id: number): Writer | undefined {
    const known = writers.get(id);
    if (known) return known;
    const schema = schemaOf(id);
    if (schema === undefined || typeof schema === 'string' || Array.isArray(schema)) return undefined;
    if (schema.type !== 'record') return undefined;
    const record = schema as AvroRecord;
    const made = prepareWriter(record, id, specs);
    writers.set(id, made);
    const missesMax = blockRows * missFields * made.texts.length;
    if (state.misses.length < missesMax) state.misses = new Int32Array(missesMax);
    slack = Math.max(slack, slackOf(record.fields.length));
    return made;
  }

  /**
   * The generated way over a block of records: `state` says how far. It may stop in front of the first, which then needs the
   * checked way.
   */
  function runBlock({run, texts}: Writer, pos: number, end: number, row: number): void {
    let rowEnd = Math.min(row + blockRows, capacity);
    do {
      run!(state, bytes, view, pos, end, row, rowEnd);
      rowEnd = fillMisses(state, texts, dictionaries, bytes, view);
    } while (rowEnd >= 0);
  }

  /** One record by the checked way into the columns. @returns why it is dead. */
  function decodeChecked(
    decoded: DecodedBatch,
    start: number,
    end: number,
    writer: Writer,
  ): Death | undefined {
    let values: AvroValue[];
    try {
      values = writer.checked(bytes, start + frameHeaderBytes, end);
    } catch (error) {
      if (error instanceof DecodeFailure) return {stage: 'decode', code: 'DECODE', message: error.message};
      throw error;
    }
    const special: SpecialRow = {row: decoded.rows, wide: new Map(), bad: new Map(writer.bad)};
    const to = {columns: state.columns, dictionaries, texts};
    for (const [index, spec] of specs.entries()) {
      const place = writer.places[index]!;
      const value = place < 0 ? null : values[place]!;
      const limit = writer.limits.get(index);
      const problem = limit && problemOf(spec, limit, value);
      if (problem !== undefined) special.bad.set(index, problem);
      storeValue(spec, index, problem === undefined ? value : null, special, to);
    }
    const timeMs = special.wide.get(0) ?? state.columns[0]![decoded.rows]!;
    if (special.bad.has(0)) return {stage: 'decode', code: 'DECODE', message: special.bad.get(0)!};
    if (Number.isNaN(timeMs))
      return {stage: 'decode', code: 'DECODE', message: 'the record has no timestamp'};
    const odd = oddTime(timeMs, state.latestMs);
    if (odd) return odd;
    if (special.wide.size > 0 || special.bad.size > 0) decoded.special.push(special);
    decoded.rows++;
    return undefined;
  }

  function decodeRecords(batch: RecordBatch, decoded: DecodedBatch): void {
    const whole = batch.bytes.length;
    const refused = refusedOf(batch, decoded.fromOffset);
    let met = 0;
    let pos = 0;
    let offset = batch.baseOffset;
    for (; offset < decoded.fromOffset; offset++) pos += 4 + readLength(batch.bytes, pos);
    // Where `bytes` begins in the batch, and how much room is behind it; the last records are decoded from a copy with room.
    let base = 0;
    let room = 0;
    while (pos < whole) {
      const length = readLength(batch.bytes, pos);
      const start = pos + 4;
      const end = start + length;
      assert.ok(end <= whole, `batch ${batch.topic}/${batch.partition} at ${batch.baseOffset} is torn`);
      const next = refused[met];
      if (next?.offset === offset) {
        const {stage, code, message} = next;
        decoded.dead.push({offset, stage, code, message, frame: batch.bytes.slice(start, end)});
        met++;
        offset++;
        pos = end;
        continue;
      }
      const hasHeader = length >= frameHeaderBytes && batch.bytes[start] === 0;
      const id = hasHeader ? idOf(batch.bytes, start) : -1;
      const writer = hasHeader ? writerOf(id) : undefined;
      if (room < slack && (hasPlaces || end > whole - slack)) {
        base = hasPlaces ? 0 : pos;
        room = slack;
        openCopy(batch, base);
      }
      if (writer?.run && writer.bad.size === 0) {
        const before = decoded.rows;
        runBlock(writer, pos - base, Math.min(whole - (slack - room), next?.pos ?? whole) - base, before);
        decoded.rows = state.row;
        offset += state.row - before;
        if (state.row > before) {
          pos = state.pos + base;
          continue;
        }
      }
      const stage = 'decode';
      const problem: Death | undefined = writer
        ? decodeChecked(decoded, start - base, end - base, writer)
        : hasHeader
          ? {stage, code: 'UNKNOWN_SCHEMA', message: `schema ${id} is not known`}
          : {stage, code: 'DECODE', message: describeNoFrame(batch.bytes, start, end)};
      if (problem) decoded.dead.push({offset, ...problem, frame: batch.bytes.slice(start, end)});
      offset++;
      pos = end;
    }
    assert.equal(offset, decoded.nextOffset, 'a batch holds as many records as it says');
  }

  const decoder: TopicDecoder = {
    topic,
    columns: specs,
    dictionaries,
    column(name, use) {
      const index = specs.findIndex((spec) => spec.name === name && spec.use === use);
      assert.ok(index >= 0, `no query asked topic ${topic} for ${use} ${name}`);
      return index;
    },
    decode(batch, fromOffset) {
      const nextOffset = batch.baseOffset + batch.count;
      assert.ok(
        fromOffset >= batch.baseOffset && fromOffset < nextOffset,
        `offset ${fromOffset} is not in the batch at ${batch.baseOffset}`,
      );
      const find = (row: number) => (finder ??= recordFinder(batch, decoded))(row);
      let finder: DecodedBatch['recordOf'] | undefined;
      const decoded: DecodedBatch = {
        topic,
        partition: batch.partition,
        fromOffset,
        nextOffset,
        generation,
        rows: 0,
        columns: state.columns,
        special: [],
        dead: [],
        markTimeMs: batch.kind === 'mark' ? batch.markTimeMs : undefined,
        recordOf: (row) => find(row),
        textAt: (place) => (place < -1 ? texts[-2 - place]! : textAt(bytes, place)),
      };
      texts = [];
      if (batch.kind !== 'data') return decoded;
      if (isProtected) tokenReader().refresh();
      open(batch);
      decoded.columns = state.columns;
      decodeRecords(batch, decoded);
      return decoded;
    },
    bytes: () =>
      copy.length +
      capacity * specs.reduce((sum, {use}) => sum + (use === 'number' ? 8 : 4), 0) +
      dictionaries.reduce((sum, dictionary) => sum + (dictionary?.bytes() ?? 0), 0),
    endGeneration() {
      for (const dictionary of dictionaries) dictionary?.clear();
      for (const {texts} of writers.values()) for (const {codes} of texts) codes.fill(0);
      internWanted(state.wanted, specs, dictionaries);
      generation++;
    },
  };
  return decoder;
}
