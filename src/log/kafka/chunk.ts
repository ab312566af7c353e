/** Records of one partition as a broker sent them, handed out batch by batch without what readers of committed records do not see. */
import type {RecordBatch} from '../types.ts';
import {BatchFailure, batchAt, batchHeaderBytes, type KafkaBatch} from './batch-header.ts';
import {addBatch, addGap, type BatchTarget, checkCrc, type RecordBytes, recordBytes} from './batch-read.ts';
import type {FetchAnswer} from './fetch.ts';
import {recordAt} from './record.ts';
import {unpackTogether} from './unpack.ts';

/** One read hands out so many bytes of records and the batch that reaches that: kilobytes may unpack to gigabytes. */
const heldBytesMax = 32 * 2 ** 20;

/** Whether a read has enough, however little of it was fetched. */
export const isFull = ({held = 0}: BatchTarget): boolean => held >= heldBytesMax;

/** One answer's whole batches of a partition. */
export type Chunk = {
  batches: KafkaBatch[];
  /** Next of `batches` to hand out. */
  next: number;
  bytes: Uint8Array;
  /** Bytes of `batches` that were not handed out. */
  left: number;
  /** Aborted transactions that begin further on, ascending. */
  aborted: FetchAnswer['aborted'];
  /** Producers whose transaction here was aborted. */
  aborting: Set<bigint>;
  /** Records of the next batches, which were unpacked together and their checksums checked. */
  unpacked: Map<KafkaBatch, RecordBytes>;
  /** Batches before this one are not looked at again for that. */
  looked: number;
  /** The answer that it is a part of; undefined: its memory is not used again. */
  answer?: SharedAnswer;
};

/** Chunks that lie in one answer and are still looked at. */
export type SharedAnswer = {chunks: number; free(): void};

/** Nobody looks at what the chunk handed out any more. */
export function releaseChunk({answer}: Chunk): void {
  if (answer && --answer.chunks === 0) answer.free();
}

/**
 * The whole batches of an answer that reach beyond `offset`; undefined when there is none. Throws BatchFailure when batches are
 * broken or not in the order of their offsets.
 */
export function chunkOf({bytes, aborted}: FetchAnswer, offset: number): Chunk | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const batches: KafkaBatch[] = [];
  let left = 0;
  for (let at = 0, next = 0; ; ) {
    const batch = batchAt(bytes, view, at);
    if (!batch) break;
    if (batch.baseOffset < next) throw new BatchFailure(`its offsets are not in order: ${batch.baseOffset}`);
    next = batch.nextOffset;
    at = batch.end;
    if (batch.nextOffset <= offset) continue;
    batches.push(batch);
    left += batch.end - batch.start;
  }
  if (batches.length === 0) return undefined;
  const sorted = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  return {
    batches,
    next: 0,
    bytes,
    left,
    aborted: sorted,
    aborting: new Set(),
    unpacked: new Map(),
    looked: 0,
  };
}

/**
 * The first place where a batch does not begin where the one before it ended, or where it was asked for; undefined where each does. Offsets of
 * batches have no checksum. `isHole`: records are missing there, as compaction leaves it.
 */
export function oddPlace({batches}: Chunk, offset: number): {name: string; isHole: boolean} | undefined {
  let expected = offset;
  for (const {baseOffset, nextOffset} of batches) {
    if (baseOffset !== expected) return {name: `${expected}/${baseOffset}`, isHole: baseOffset > expected};
    expected = nextOffset;
  }
  return undefined;
}

/** Where a chunk ends: the offset to read next, and the epoch under which its last batch was written. */
export function endOfChunk({batches}: Chunk): {offset: number; leaderEpoch: number} {
  const last = batches.at(-1)!;
  return {offset: last.nextOffset, leaderEpoch: last.leaderEpoch};
}

/**
 * Adds the chunk's next batches to `target`, up to about `bytesMax` and at least one, checksums checked; `offset` is where
 * the reader stands. @returns the offset after them: before the first that is broken. Throws BatchFailure when none comes before it
 */
export function takeFrom(chunk: Chunk, target: BatchTarget, offset: number, bytesMax: number): number {
  let taken = 0;
  let at = offset;
  for (let batch = chunk.batches[chunk.next]; batch && taken < bytesMax; batch = chunk.batches[chunk.next]) {
    const size = batch.end - batch.start;
    if (taken > 0 && (taken + size > bytesMax || isFull(target))) break;
    const known = target.batches.length;
    try {
      addNext(chunk, target, batch, {at, bytesMax: bytesMax - taken});
    } catch (error) {
      target.batches.length = known;
      if (taken === 0 || !(error instanceof BatchFailure)) throw error;
      break;
    }
    for (let index = known; index < target.batches.length; index++)
      target.held = (target.held ?? 0) + target.batches[index]!.bytes.length;
    at = batch.nextOffset;
    chunk.next++;
    chunk.left -= size;
    taken += size;
  }
  return at;
}

function addNext(
  chunk: Chunk,
  target: BatchTarget,
  batch: KafkaBatch,
  {at, bytesMax}: {at: number; bytesMax: number},
): void {
  // What compaction removed between two batches.
  if (batch.baseOffset > at) addGap(target, at, batch.baseOffset, batch.maxTimeMs);
  if (chunk.next >= chunk.looked)
    chunk.looked = unpackTogether(chunk.bytes, chunk.batches, chunk.next, bytesMax, chunk.unpacked);
  const unpacked = chunk.unpacked.get(batch);
  chunk.unpacked.delete(batch);
  if (!unpacked) checkCrc(chunk.bytes, batch);
  if (isShown(chunk, batch)) addBatch(target, chunk.bytes, batch, unpacked);
  else addGap(target, batch.baseOffset, batch.nextOffset, batch.maxTimeMs);
}

/** Whether the batch holds records of no transaction or of one that was committed; follows the transactions. */
function isShown(chunk: Chunk, batch: KafkaBatch): boolean {
  const {aborted, aborting} = chunk;
  while (aborted[0] && aborted[0].firstOffset < batch.nextOffset) aborting.add(aborted.shift()!.producerId);
  if (batch.isControl) {
    if (isAbort(chunk.bytes, batch)) aborting.delete(batch.producerId);
    return false;
  }
  return !(batch.isTransactional && aborting.has(batch.producerId));
}

/** Whether a control batch ends a transaction as aborted: its key is `version:int16 type:int16`, type 0. */
function isAbort(bytes: Uint8Array, batch: KafkaBatch): boolean {
  if (batch.end - batch.start <= batchHeaderBytes) return false;
  const records = recordBytes(bytes, batch);
  const key = recordAt(records.bytes, records.from, records.to)?.key;
  return key?.length === 4 && key[2] === 0 && key[3] === 0;
}

/** Batches of `batches` that reach beyond `offset`. */
export const batchesBeyond = (batches: readonly RecordBatch[], offset: number): RecordBatch[] =>
  batches.filter(({baseOffset, count}) => baseOffset + count > offset);
