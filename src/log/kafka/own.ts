/** Whether a batch of a partition is of this outbox. Its name alone does not say so: a copy of the directory may have had the same. */
import type {Stream} from '../chain.ts';
import type {Outbox} from '../outbox.ts';
import {framesOf} from '../records.ts';
import {recordBytes} from './batch-read.ts';
import {recordAt} from './record.ts';
import type {TailBatch} from './recover.ts';

const readBytes = 1024 * 1024;
const empty = new Uint8Array(0);

/**
 * Whether the outbox shipped the batch: it knows it by its place, or has the same records where the batch says that they come from.
 * What is neither was written by a copy, or by the one that this is a copy of.
 */
export function isOwn(
  outbox: Outbox,
  stream: Readonly<Stream>,
  {outbox: name, first, batch, bytes}: TailBatch,
): boolean {
  if (first === undefined || !outbox.identity.isName(name)) return false;
  if (outbox.hasShipped(stream.id, {first, next: first + batch.count, kafka: batch.baseOffset})) return true;
  const records = recordBytes(bytes, batch);
  let {from: at} = records;
  let left = batch.count;
  for (const frame of framesFrom(outbox, stream, first)) {
    const record = recordAt(records.bytes, at, records.to);
    if (!record || Buffer.compare(record.value ?? empty, frame) !== 0) return false;
    if (--left === 0) return true;
    at = record.end;
  }
  return false;
}

/** Records of the outbox from an offset on, an empty one for a mark; none where it does not have that one any more. */
function* framesFrom(outbox: Outbox, stream: Readonly<Stream>, from: number): Generator<Uint8Array> {
  for (let next = from; ; ) {
    const batches = outbox.batchesFrom(stream, next, readBytes);
    if (batches.length === 0) return;
    for (const {baseOffset, count, markMs, bytes} of batches) {
      if (baseOffset > next || baseOffset + count <= next) return;
      let at = baseOffset;
      for (const frame of markMs === undefined ? framesOf(bytes) : [empty]) if (at++ >= next) yield frame;
      next = baseOffset + count;
    }
  }
}
