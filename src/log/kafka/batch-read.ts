/**
 * Kafka's record batches -> ours (log/types.ts), without an object a record: values are moved together where they lie, each
 * behind its length, which is never longer than the Kafka record's header before it.
 *
 *   record := length:varint attributes:int8 time delta:varint offset delta:varint
 *             key length:varint key value length:varint value headers:varint (length:varint name length:varint value)*
 *
 * Varints are zigzag; a key or value length of -1 is null. A null value (a tombstone) becomes an empty frame, which no decoder
 * takes: on a topic of events it is a dead letter. https://kafka.apache.org/documentation/#record
 */
import {noteRecord, packRecords} from '../../schema/frame.ts';
import type {RecordBatch} from '../types.ts';
import {BatchFailure, batchHeaderBytes, type KafkaBatch} from './batch-header.ts';
import {inflate} from './codecs.ts';
import {crc32c} from './crc32c.ts';
import {CodecFailure, tooLarge} from './growing.ts';
import {machine, moveBytesLeast, type Place} from './machine.ts';
import {
  fenceHeader,
  isOfOutbox,
  type KafkaRecord,
  markHeader,
  outboxHeader,
  recordAt,
  skipVarint,
  varint,
} from './record.ts';

/** A batch may unpack to so much. */
export const inflatedBytesMax = 256 * 1024 * 1024;

/** Latest instant of JavaScript's dates, epoch ms. */
const dateMsMax = 8.64e15;

/** A batch that is whole and unpacks to more: no other replica has it otherwise, and nobody unpacks it here. */
class BatchTooLarge extends BatchFailure {}

/** Where batches belong, and what takes them. `held`: bytes of records in the batches that one read took, as far as that counts. */
export type BatchTarget = {topic: string; partition: number; batches: RecordBatch[]; held?: number};

/**
 * Adds offsets that hold no record. They are never joined with those of another Kafka batch: whoever stops at the end of a batch
 * finds that end again, however the log is read.
 */
export function addGap(
  {topic, partition, batches}: BatchTarget,
  from: number,
  to: number,
  timeMs: number,
): void {
  if (to <= from) return;
  const appendTimeMs = Math.max(0, timeMs);
  const bytes = new Uint8Array(0);
  batches.push({topic, partition, baseOffset: from, count: to - from, appendTimeMs, kind: 'gap', bytes});
}

/** Checks the batch's checksum. Throws BatchFailure. */
export function checkCrc(bytes: Uint8Array, {start, end, crc}: KafkaBatch): void {
  if (crc32c(bytes, start + 21, end) !== crc) throw new BatchFailure('its checksum differs');
}

/** Records that are not packed: where in the bytes they begin and end. */
export type RecordBytes = {bytes: Uint8Array; from: number; to: number};

/** The records' bytes, unpacked if they are packed. Throws BatchFailure. */
export function recordBytes(bytes: Uint8Array, {start, end, codec}: KafkaBatch): RecordBytes {
  const from = start + batchHeaderBytes;
  if (codec === 0) return {bytes, from, to: end};
  try {
    const inflated = inflate(codec, bytes.subarray(from, end), inflatedBytesMax);
    return {bytes: inflated, from: 0, to: inflated.length};
  } catch (error) {
    if (error instanceof CodecFailure && error.message === tooLarge) throw new BatchTooLarge(tooLarge);
    if (error instanceof CodecFailure) throw new BatchFailure(error.message);
    throw error;
  }
}

/**
 * Adds a batch of data whose checksum is right, as one batch or more: holes in its offsets are gaps. Its bytes in `bytes` are
 * used up. Throws BatchFailure; then nothing of it was added.
 * @param unpacked its records, where that was done before
 */
export function addBatch(
  target: BatchTarget,
  bytes: Uint8Array,
  batch: KafkaBatch,
  unpacked?: RecordBytes,
): void {
  const {topic, partition, batches} = target;
  const known = batches.length;
  let records: RecordBytes;
  try {
    records = unpacked ?? recordBytes(bytes, batch);
  } catch (error) {
    if (!(error instanceof BatchTooLarge)) throw error;
    addNote(target, batch);
    return;
  }
  const {from, to} = records;
  const state: Walk = {
    bytes: records.bytes,
    view: viewOf(records.bytes),
    at: from,
    to,
    delta: 0,
    write: from,
  };
  const appendTimeMs = Math.max(0, batch.maxTimeMs);
  // Before the records are moved. Transactions are never ours.
  const isOurs = !batch.isTransactional && isOfOutbox(records.bytes, from, to);
  try {
    for (let left = batch.count; left > 0; ) {
      const first = state.delta;
      const start = state.write;
      const taken = walk(state, left);
      left -= taken;
      if (taken > 0)
        batches.push({
          topic,
          partition,
          baseOffset: batch.baseOffset + first,
          count: taken,
          appendTimeMs,
          kind: 'data',
          bytes: records.bytes.subarray(start, state.write),
        });
      if (left > 0) left -= takeOdd(state, target, batch, left);
    }
    if (state.at !== to) throw new BatchFailure(`${to - state.at} bytes follow its records`);
    if (batch.baseOffset + state.delta > batch.nextOffset)
      throw new BatchFailure('a record lies beyond its last offset');
    addGap(target, batch.baseOffset + state.delta, batch.nextOffset, batch.maxTimeMs);
    if (!isOurs)
      for (let index = known; index < batches.length; index++)
        if (batches[index]!.kind === 'data') batches[index]!.isUnchecked = true;
  } catch (error) {
    batches.length = known;
    throw error;
  }
}

/** In the place of records that are not unpacked: one that says so, which becomes a dead letter, and offsets that hold none. */
function addNote(target: BatchTarget, {baseOffset, nextOffset, count, maxTimeMs}: KafkaBatch): void {
  const {topic, partition, batches} = target;
  const limit = `${inflatedBytesMax / 2 ** 20} MiB`;
  const text = `offsets ${baseOffset} to ${nextOffset - 1} are one batch of ${count} records, which unpacks to more than ${limit}: none of them was read, and Kafka has them`;
  const bytes = packRecords([noteRecord(text)]);
  const appendTimeMs = Math.max(0, maxTimeMs);
  const place = {topic, partition, baseOffset, count: 1, appendTimeMs};
  batches.push({...place, kind: 'data', bytes, isUnchecked: true});
  addGap(target, baseOffset + 1, nextOffset, maxTimeMs);
}

type Walk = Place & {bytes: Uint8Array; view: DataView};

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/**
 * Moves records together as long as their offsets follow each other and none is odd: up to `countMax`.
 * @returns how many; what stopped it is at `state.at`
 */
function walk(state: Walk, countMax: number): number {
  const {bytes, view, to} = state;
  let count = to - state.at < moveBytesLeast ? 0 : (machine()?.move(bytes, state, countMax) ?? 0);
  let {at, delta, write} = state;
  for (; count < countMax; count++) {
    const start = skipVarint(bytes, at);
    const end = start + varint(bytes, at);
    // The attributes are nothing that we use.
    let pos = skipVarint(bytes, start + 1);
    if (varint(bytes, pos) !== delta) break;
    pos = skipVarint(bytes, pos);
    const keyLength = varint(bytes, pos);
    pos = skipVarint(bytes, pos);
    if (keyLength > 0) pos += keyLength;
    const length = varint(bytes, pos);
    pos = skipVarint(bytes, pos);
    if (length <= 0) break;
    const valueEnd = pos + length;
    if (end > to || keyLength < -1 || valueEnd >= end || valueEnd < pos) throw tornAt(delta);
    view.setUint32(write, length, true);
    write += 4;
    let from = pos;
    for (const words = valueEnd - 3; from < words; from += 4, write += 4)
      view.setInt32(write, view.getInt32(from, true), true);
    while (from < valueEnd) bytes[write++] = bytes[from++]!;
    at = end;
    delta++;
  }
  state.at = at;
  state.delta = delta;
  state.write = write;
  return count;
}

const tornAt = (delta: number) => new BatchFailure(`its record ${delta} is torn`);

/** Takes what stopped the walk. @returns how many records it was, up to `countMax`; 0: offsets are missing before the next one */
function takeOdd(state: Walk, target: BatchTarget, batch: KafkaBatch, countMax: number): number {
  const record = recordAt(state.bytes, state.at, state.to);
  if (!record) throw tornAt(state.delta);
  const offset = batch.baseOffset + state.delta;
  if (record.offsetDelta !== state.delta) {
    if (record.offsetDelta < state.delta) throw new BatchFailure('its offsets go back');
    if (batch.baseOffset + record.offsetDelta >= batch.nextOffset)
      throw new BatchFailure('a record lies beyond its last offset');
    addGap(target, offset, batch.baseOffset + record.offsetDelta, batch.maxTimeMs);
    state.delta = record.offsetDelta;
    return 0;
  }
  const {topic, partition, batches} = target;
  state.at = record.end;
  state.delta++;
  if (record.headers.some(({name}) => name === fenceHeader)) {
    addGap(target, offset, offset + 1, batch.maxTimeMs);
    return 1;
  }
  const markTimeMs = markOf(record);
  const base = {topic, partition, baseOffset: offset, appendTimeMs: Math.max(0, batch.maxTimeMs)};
  if (markTimeMs !== undefined) {
    batches.push({...base, count: 1, kind: 'mark', markTimeMs, bytes: emptyRecord});
    return 1;
  }
  const count = 1 + takeEmpty(state, countMax - 1);
  batches.push({...base, count, kind: 'data', bytes: new Uint8Array(4 * count)});
  return count;
}

/** Event time of an end mark, epoch ms; undefined for what no outbox writes: a mark that names none, or a time that is no date. */
function markOf({headers}: KafkaRecord): number | undefined {
  const mark = headers.find(({name}) => name === markHeader);
  if (!mark?.value || headers[0]!.name !== outboxHeader) return undefined;
  const timeMs = Number(Buffer.from(mark.value).toString());
  return Number.isInteger(timeMs) && Math.abs(timeMs) <= dateMsMax ? timeMs : undefined;
}

/** Takes the records without a value that follow: a packed batch may hold millions, and an object for each would be gigabytes. */
function takeEmpty(state: Walk, countMax: number): number {
  let count = 0;
  for (; count < countMax; count++) {
    const next = recordAt(state.bytes, state.at, state.to);
    if (!next || next.offsetDelta !== state.delta || next.value?.length || next.headers.length > 0) break;
    state.at = next.end;
    state.delta++;
  }
  return count;
}

const emptyRecord = new Uint8Array(0);
