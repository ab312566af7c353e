/**
 * Unpacks small batches together: each call of zlib costs as much as a hundred records (75 us with zstd). Both formats may be put one behind
 * the other, and come out as one.
 */
import {BatchFailure, batchHeaderBytes, type KafkaBatch} from './batch-header.ts';
import {checkCrc, type RecordBytes} from './batch-read.ts';
import {inflate} from './codecs.ts';
import {CodecFailure} from './growing.ts';
import {skipVarint, varint} from './record.ts';

/** gzip and zstd. */
const joinable = new Set([1, 4]);
/** A larger batch, packed, is unpacked alone: it is worth its call. */
const batchBytesMax = 64 * 1024;
/** Packed bytes of one call. */
const callBytesMax = 256 * 1024;
/** They unpack to no more, or each is unpacked alone. */
const unpackedBytesMax = 16 * 1024 * 1024;

/**
 * Looks at the batches from `first` on, up to about `bytesMax`: those that are packed alike in a row are unpacked together into `into`,
 * their checksums checked. Whatever is wrong with one of them, or where its records end, is left to be found when it is read alone.
 * @returns the batch up to which nothing is to be looked at again, at least the one after `first`
 */
export function unpackTogether(
  bytes: Uint8Array,
  batches: readonly KafkaBatch[],
  first: number,
  bytesMax: number,
  into: Map<KafkaBatch, RecordBytes>,
): number {
  const run: KafkaBatch[] = [];
  const {codec} = batches[first]!;
  let packed = 0;
  for (let at = first; at < batches.length; at++) {
    const batch = batches[at]!;
    const size = batch.end - batch.start;
    const isAlike = joinable.has(codec) && batch.codec === codec && batch.count > 0;
    if (!isAlike || batch.isTransactional || batch.isControl || size > batchBytesMax) break;
    packed += size;
    if (packed > Math.min(bytesMax, callBytesMax)) break;
    run.push(batch);
  }
  if (run.length < 2) return first + 1;
  const records = unpacked(bytes, run);
  for (const [index, batch] of run.entries()) if (records) into.set(batch, records[index]!);
  return first + run.length;
}

/** Undefined when something is wrong with them. */
function unpacked(bytes: Uint8Array, run: readonly KafkaBatch[]): RecordBytes[] | undefined {
  try {
    for (const batch of run) checkCrc(bytes, batch);
    const parts = run.map(({start, end}) => bytes.subarray(start + batchHeaderBytes, end));
    return divided(inflate(run[0]!.codec, Buffer.concat(parts), unpackedBytesMax), run);
  } catch (error) {
    if (error instanceof BatchFailure || error instanceof CodecFailure) return undefined;
    throw error;
  }
}

/** Each batch has as many records as it says, and they fill the bytes to the last; undefined when they do not. */
function divided(bytes: Uint8Array, run: readonly KafkaBatch[]): RecordBytes[] | undefined {
  const found: RecordBytes[] = [];
  let to = 0;
  for (const {count} of run) {
    const from = to;
    for (let left = count; left > 0; left--) {
      const length = varint(bytes, to);
      if (length < 0) return undefined;
      to = skipVarint(bytes, to) + length;
      if (to > bytes.length) return undefined;
    }
    found.push({bytes, from, to});
  }
  return to === bytes.length ? found : undefined;
}
