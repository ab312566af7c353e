import {AssertionError} from 'node:assert';
import type {Value} from '../expr/types.ts';
import {compileJudge, type Judge, latestMsOf, type Refusal} from '../ingest/judge.ts';
import {openLog} from '../log/open.ts';
import {tellReread} from '../log/rereads.ts';
import type {LogReader, RecordBatch} from '../log/types.ts';
import {readerUntil} from '../log/until.ts';
import {openPrivacy} from '../privacy/opener.ts';
import {compileResolvingDecoder, type Decoder} from '../schema/decode.ts';
import {describeNoFrame, frameHeaderBytes, schemaIdOf, walkRecords} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import type {SchemaRegistry} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {AvroRecord, AvroSchema} from '../schema/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {RawJob} from './raw.ts';
import type {UnreadRecord} from './raw-apart.ts';
import {tableId} from './tables.ts';
import type {RawBatch} from './types.ts';

/** Rows of one write; a log batch is not divided. */
const rowsMax = 20_000;

/** An id that cannot be read is looked at again after so long; bytes that are no events can name any. */
const unreadableMs = 30_000;
const unreadableMax = 10_000;
/** Ids of one read that are asked for together. */
const askedAtOnce = 64;

/** `unread`: of the records that do not decode or do not pass, where the job makes dead letters of them; `skipped`: the others. */
export type RawRead = {batch: RawBatch; unread: UnreadRecord[]; skipped: number};

type JudgeOfBatch = (bytes: Uint8Array, start: number, end: number) => Refusal | undefined;

/** An open log with the decoders of the schemas that it holds. */
export type RawSource = {
  /** Up to where the job ends. */
  reader: LogReader;
  /** All of it. */
  log: LogReader;
  /** Rows of the records at or above `fromOffset`, at most `rowsMax` of them. */
  rowsOf(partition: number, fromOffset: number, batches: RecordBatch[]): Promise<RawRead>;
  close(): void;
};

/** @throws the log's and the registry's errors. */
export async function openSource(job: RawJob, telemetry: Telemetry): Promise<RawSource> {
  if (job.privacy) openPrivacy(job.privacy);
  const log = await openLog(job.log, {reread: (told) => tellReread(telemetry, told)});
  const reader = job.until ? readerUntil(log, job.topic, job.until) : log;
  let registry: SchemaRegistry;
  try {
    registry = await openRegistry(job.registry, {readOnly: true});
  } catch (error) {
    reader.close();
    throw error;
  }
  const decoders = new Map<number, Decoder>();
  const writers = new Map<number, AvroSchema>();
  const {judged} = job;
  let judge: Judge | undefined;
  /** Of a batch that other programs appended. */
  const judgeOf = ({isUnchecked, appendTimeMs}: RecordBatch): JudgeOfBatch | undefined => {
    if (!isUnchecked || !judged) return undefined;
    judge ??= compileJudge(judged.type, (id) => writers.get(id));
    const latestMs = latestMsOf(appendTimeMs, judged.futureMaxMs);
    return (bytes, start, end) => judge!(bytes, start, end, latestMs);
  };
  /** Ids that cannot be read -> when they are looked at again: they may have been registered since. */
  const unreadable = new Map<number, number>();
  const fields = job.table.columns.map(({name}) => name).filter((name) => !name.startsWith('_'));
  const decoderOf = async (schemaId: number): Promise<Decoder | null> => {
    const known = decoders.get(schemaId);
    if (known !== undefined) return known;
    if ((unreadable.get(schemaId) ?? 0) > performance.now()) return null;
    const schema = (await registry.byId(schemaId))?.schema;
    const decoder = decoderOfSchema(schema, job.schema, fields);
    if (schema && decoder) {
      writers.set(schemaId, schema);
      decoders.set(schemaId, decoder);
    } else {
      if (unreadable.size >= unreadableMax) unreadable.clear();
      unreadable.set(schemaId, performance.now() + unreadableMs);
    }
    return decoder;
  };
  return {
    reader,
    log,
    async rowsOf(partition, fromOffset, batches) {
      const ids = new Set<number>();
      for (const batch of batches)
        eachFrame(batch, fromOffset, (_, pos) => ids.add(readId(batch.bytes, pos)));
      const byId = new Map<number, Decoder | null>();
      const wanted = [...ids].filter((id) => id >= 0);
      for (let from = 0; from < wanted.length; from += askedAtOnce)
        await Promise.all(
          wanted.slice(from, from + askedAtOnce).map(async (id) => byId.set(id, await decoderOf(id))),
        );
      return decodeRows({job, partition, fromOffset, batches, byId, judgeOf, fields: fields.length});
    },
    close() {
      reader.close();
      registry.close();
    },
  };
}

/** Null for what is no record, or none that can be read as the event type: the engine says of its events why. */
function decoderOfSchema(
  writer: AvroSchema | undefined,
  reader: AvroRecord,
  fields: string[],
): Decoder | null {
  if (typeof writer !== 'object' || Array.isArray(writer) || writer.type !== 'record') return null;
  try {
    return compileResolvingDecoder(writer as AvroRecord, reader, fields);
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    return null;
  }
}

function decodeRows(options: {
  job: RawJob;
  partition: number;
  fromOffset: number;
  batches: RecordBatch[];
  byId: Map<number, Decoder | null>;
  judgeOf(batch: RecordBatch): JudgeOfBatch | undefined;
  fields: number;
}): RawRead {
  const {job, partition, fromOffset, batches, byId, judgeOf, fields} = options;
  const columns: Value[][] = job.table.columns.map(() => []);
  const unread: UnreadRecord[] = [];
  let skipped = 0;
  let count = 0;
  let toOffset = fromOffset;
  for (const batch of batches) {
    if (count >= rowsMax) break;
    const judge = judgeOf(batch);
    eachFrame(batch, fromOffset, (offset, pos, end) => {
      const decoded = decodeRow(byId, batch.bytes, pos, end);
      const row = 'code' in decoded ? decoded : (judge?.(batch.bytes, pos, end) ?? decoded);
      if ('code' in row) {
        if (job.letters) unread.push({offset, frame: batch.bytes.slice(pos, end), ...row});
        else skipped += 1;
        return;
      }
      for (let index = 0; index < fields; index++) columns[index]!.push(row[index]!);
      columns[fields]!.push(partition);
      columns[fields + 1]!.push(offset);
      columns[fields + 2]!.push(batch.appendTimeMs);
      count += 1;
    });
    toOffset = batch.baseOffset + batch.count;
  }
  const batch = {
    table: tableId(job.table),
    count,
    columns,
    topic: job.topic,
    partition,
    fromOffset,
    toOffset,
  };
  return {batch, unread, skipped};
}

function eachFrame(
  batch: RecordBatch,
  from: number,
  visit: (offset: number, pos: number, end: number) => void,
) {
  if (batch.kind !== 'data') return;
  walkRecords(batch, (index, pos, end) => {
    if (batch.baseOffset + index >= from) visit(batch.baseOffset + index, pos, end);
  });
}

/** Schema id of a frame; -1 when it is none. */
function readId(bytes: Uint8Array, pos: number): number {
  try {
    return schemaIdOf(bytes, pos, pos + frameHeaderBytes);
  } catch (error) {
    if (error instanceof DecodeFailure) return -1;
    throw error;
  }
}

/** The values of a record, or why it has none. */
function decodeRow(
  byId: ReadonlyMap<number, Decoder | null>,
  bytes: Uint8Array,
  pos: number,
  end: number,
): Value[] | Omit<UnreadRecord, 'offset' | 'frame'> {
  const stage = 'decode';
  const id = end - pos < frameHeaderBytes ? -1 : readId(bytes, pos);
  if (id < 0) return {stage, code: 'DECODE', message: describeNoFrame(bytes, pos, end)};
  const decoder = byId.get(id);
  if (!decoder)
    return {stage, code: 'UNKNOWN_SCHEMA', message: `schema ${id} is not known, or not one of these events`};
  try {
    return decoder(bytes, pos + frameHeaderBytes, end) as Value[];
  } catch (error) {
    if (error instanceof DecodeFailure) return {stage, code: 'DECODE', message: error.message};
    throw error;
  }
}
