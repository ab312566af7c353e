/**
 * Unpacks snappy (https://github.com/google/snappy/blob/main/format_description.txt), bare or in the frames of xerial's
 * snappy-java, which Kafka's Java clients write:
 *
 *   xerial := 0x82 "SNAPPY" 0x00, version:int32, compatible:int32, (size:int32, snappy)*      numbers big-endian
 */
import {CodecFailure, Growing} from './growing.ts';
import {copyMatch} from './lz4.ts';

const xerial = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00] as const;

/** All content. Throws CodecFailure. */
export function snappyFrames(packed: Uint8Array, bytesMax: number): Uint8Array {
  const out = new Growing(packed.length * 4, bytesMax);
  if (!xerial.every((byte, index) => packed[index] === byte)) {
    unpack(packed, 0, packed.length, out);
    return out.filled;
  }
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 16; at < packed.length; ) {
    if (at + 4 > packed.length) throw new CodecFailure('the snappy frame is torn');
    const size = view.getInt32(at);
    at += 4;
    if (size < 0 || size > packed.length - at) throw new CodecFailure('the snappy frame is torn');
    unpack(packed, at, at + size, out);
    at += size;
  }
  return out.filled;
}

const ratioMax = 22;
const torn = () => new CodecFailure('the snappy block is torn');

function unpack(source: Uint8Array, from: number, end: number, out: Growing): void {
  let at = from;
  let size = 0;
  for (let shift = 0; ; shift += 7) {
    if (at >= end || shift > 28) throw torn();
    const byte = source[at++]!;
    size += (byte & 127) * 2 ** shift;
    if (byte < 128) break;
  }
  // No snappy packs so much: three bytes stand for 64 at most.
  if (size > (end - from) * ratioMax) throw torn();
  out.ensure(size);
  const target = out.bytes;
  const start = out.length;
  const limit = start + size;
  let to = start;
  while (at < end) {
    const tag = source[at++]!;
    let length = (tag >>> 2) + 1;
    if ((tag & 3) === 0) {
      if (length > 60) {
        const bytes = length - 60;
        if (at + bytes > end) throw torn();
        length = 1;
        for (let index = 0; index < bytes; index++) length += source[at++]! * 2 ** (8 * index);
      }
      if (length > end - at || length > limit - to) throw torn();
      if (length > 32) target.set(source.subarray(at, at + length), to);
      else for (let index = 0; index < length; index++) target[to + index] = source[at + index]!;
      at += length;
      to += length;
      continue;
    }
    let distance: number;
    if ((tag & 3) === 1) {
      if (at >= end) throw torn();
      length = ((tag >>> 2) & 7) + 4;
      distance = ((tag >>> 5) << 8) | source[at++]!;
    } else {
      const bytes = (tag & 3) === 2 ? 2 : 4;
      if (at + bytes > end) throw torn();
      distance = source[at]! | (source[at + 1]! << 8);
      if (bytes === 4) distance += source[at + 2]! * 2 ** 16 + source[at + 3]! * 2 ** 24;
      at += bytes;
    }
    if (distance === 0 || distance > to - start || length > limit - to) throw torn();
    to = copyMatch(target, to, distance, length);
  }
  if (to !== limit) throw torn();
  out.length = limit;
}
