import type {Judge, Refusal} from '../../ingest/judge.ts';
import type {RecordBatch} from '../../log/types.ts';
import {walkRecords} from '../../schema/frame.ts';
import type {DecodedBatch} from './decode.ts';

/**
 * Finds the record of a row: rows are the records that are not dead. Only late and dead records ask, so positions are walked
 * when the first of a batch does.
 */
export function recordFinder(batch: RecordBatch, decoded: DecodedBatch): DecodedBatch['recordOf'] {
  const positions: number[] = [];
  const offsets: number[] = [];
  return (row) => {
    if (positions.length === 0) {
      const dead = new Set(decoded.dead.map(({offset}) => offset));
      let pos = 0;
      for (let offset = batch.baseOffset; offset < decoded.nextOffset; offset++) {
        if (offset >= decoded.fromOffset && !dead.has(offset)) {
          positions.push(pos);
          offsets.push(offset);
        }
        pos += 4 + readLength(batch.bytes, pos);
      }
    }
    const start = positions[row]! + 4;
    const frame = batch.bytes.slice(start, start + readLength(batch.bytes, start - 4));
    return {offset: offsets[row]!, frame};
  };
}

/** Schema id of the frame at `start`. */
export const idOf = (bytes: Uint8Array, start: number): number =>
  ((bytes[start + 1]! << 24) | (bytes[start + 2]! << 16) | (bytes[start + 3]! << 8) | bytes[start + 4]!) >>>
  0;

/** Length of the frame whose record begins at `pos`. */
export const readLength = (bytes: Uint8Array, pos: number): number =>
  (bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24)) >>> 0;

/** The text whose Avro length begins at `place`. */
export function textAt(bytes: Uint8Array, place: number): string {
  let pos = place;
  let length = bytes[pos++]!;
  if (length > 127) length = (length & 127) | (bytes[pos++]! << 7);
  return Buffer.prototype.utf8Slice.call(bytes, pos, pos + (length >>> 1));
}

/** A record that is refused before it is decoded: where it begins, with its length. */
export type RefusedRecord = Refusal & {pos: number; offset: number};

/** Records of a batch from `fromOffset` on that a judge refuses, in their order. @param latestMs see `Judge` */
export function refusedIn(
  batch: RecordBatch,
  fromOffset: number,
  judge: Judge,
  latestMs: number,
): RefusedRecord[] {
  const refused: RefusedRecord[] = [];
  walkRecords(batch, (index, start, end) => {
    const offset = batch.baseOffset + index;
    const refusal = offset < fromOffset ? undefined : judge(batch.bytes, start, end, latestMs);
    if (refusal) refused.push({...refusal, pos: start - 4, offset});
  });
  return refused;
}
