/**
 * Unpacks LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md, lz4_Block_format.md).
 *
 *   frame := 0x184d2204:u32 FLG:u8 BD:u8 [content size:u64] [dictionary id:u32] HC:u8 block* 0:u32 [content checksum:u32]
 *   block := size:u32 (highest bit: not packed) bytes [checksum:u32]          numbers little-endian
 *
 * The record batch around it has a checksum of its own, so those of the frame are passed over.
 */
import {CodecFailure, Growing} from './growing.ts';

const magic = 0x184d2204;
const skippable = 0x184d2a50;
const blockSizes: readonly number[] = [0, 0, 0, 0, 65_536, 262_144, 1_048_576, 4_194_304];

/** All frames' content. Throws CodecFailure. */
export function lz4Frames(packed: Uint8Array, bytesMax: number): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const out = new Growing(packed.length * 4, bytesMax);
  let at = 0;
  const take = (size: number): number => {
    const from = at;
    if (size > packed.length - at) throw new CodecFailure('the lz4 frame is torn');
    at += size;
    return from;
  };
  while (at < packed.length) {
    const kind = view.getUint32(take(4), true);
    if ((kind & 0xfffffff0) >>> 0 === skippable) {
      take(view.getUint32(take(4), true));
      continue;
    }
    if (kind !== magic) throw new CodecFailure('these are no lz4 frames');
    const flags = packed[take(1)]!;
    const blockMax = blockSizes[(packed[take(1)]! >>> 4) & 7]!;
    if (flags >>> 6 !== 1 || blockMax === 0) throw new CodecFailure('the header of the lz4 frame is broken');
    take((flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0) + 1);
    const frameStart = out.length;
    for (;;) {
      const size = view.getUint32(take(4), true);
      if (size === 0) break;
      const length = size & 0x7fffffff;
      const from = take(length);
      if (size >>> 31) {
        out.ensure(length);
        out.bytes.set(packed.subarray(from, from + length), out.length);
        out.length += length;
      } else {
        // Blocks that are independent of each other may not look at the ones before them.
        block(packed, from, from + length, out, flags & 32 ? out.length : frameStart, blockMax);
      }
      if (flags & 16) take(4);
    }
    if (flags & 4) take(4);
  }
  return out.filled;
}

/** One block; matches may begin at `lowest` or later. */
function block(
  source: Uint8Array,
  from: number,
  end: number,
  out: Growing,
  lowest: number,
  blockMax: number,
): void {
  const limit = out.length + blockMax;
  let room = out.bytes.length;
  let target = out.bytes;
  let to = out.length;
  let at = from;
  for (;;) {
    if (at >= end) throw new CodecFailure('an lz4 block is torn');
    const token = source[at++]!;
    let literals = token >>> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (at >= end) throw new CodecFailure('an lz4 block is torn');
        more = source[at++]!;
        literals += more;
      } while (more === 255);
    }
    if (literals > end - at || to + literals > limit) throw new CodecFailure('an lz4 literal is too long');
    if (to + literals > room) {
      out.length = to;
      out.ensure(literals);
      target = out.bytes;
      room = out.bytes.length;
    }
    if (literals > 32) {
      target.set(source.subarray(at, at + literals), to);
      to += literals;
      at += literals;
    } else for (let left = literals; left > 0; left--) target[to++] = source[at++]!;
    if (at === end) break;
    if (at + 2 > end) throw new CodecFailure('an lz4 block is torn');
    const distance = source[at]! | (source[at + 1]! << 8);
    at += 2;
    let length = (token & 15) + 4;
    if (length === 19) {
      let more: number;
      do {
        if (at >= end) throw new CodecFailure('an lz4 block is torn');
        more = source[at++]!;
        length += more;
      } while (more === 255);
    }
    if (distance === 0 || to - distance < lowest || to + length > limit)
      throw new CodecFailure('an lz4 match points nowhere');
    if (to + length > room) {
      out.length = to;
      out.ensure(length);
      target = out.bytes;
      room = out.bytes.length;
    }
    to = copyMatch(target, to, distance, length);
  }
  out.length = to;
}

/** Copies `length` bytes from `distance` before `to`, which may overlap. @returns the new end */
export function copyMatch(target: Uint8Array, to: number, distance: number, length: number): number {
  if (length > 64 && distance >= length) {
    target.copyWithin(to, to - distance, to - distance + length);
    return to + length;
  }
  let at = to;
  for (let from = to - distance, end = to + length; at < end; ) target[at++] = target[from++]!;
  return at;
}
