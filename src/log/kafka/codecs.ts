/**
 * The codecs of record batches: attributes' lowest three bits say which
 * (https://kafka.apache.org/documentation/#recordbatch). gzip and zstd are Node's, snappy and lz4 are ours.
 */
import {gunzipSync, zstdDecompressSync} from 'node:zlib';
import {CodecFailure, tooLarge} from './growing.ts';
import {lz4Frames} from './lz4.ts';
import {snappyFrames} from './snappy.ts';

export const codecNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

/** Of what is unpacked, bytes that zlib makes room for at once: with the pieces of 16 KiB that it takes by itself a large batch costs a third more. */
const roomOf = (packed: Uint8Array) => Math.min(4 * 2 ** 20, Math.max(16 * 1024, packed.length * 4));

/**
 * The bytes that were packed, in memory of their own.
 * @throws CodecFailure when they cannot be unpacked or are more than `bytesMax`
 */
export function inflate(codec: number, packed: Uint8Array, bytesMax: number): Uint8Array {
  switch (codec) {
    case 1:
      return attempt(() => gunzipSync(packed, {maxOutputLength: bytesMax, chunkSize: roomOf(packed)}));
    case 2:
      return snappyFrames(packed, bytesMax);
    case 3:
      return lz4Frames(packed, bytesMax);
    case 4:
      return attempt(() =>
        zstdDecompressSync(packed, {maxOutputLength: bytesMax, chunkSize: roomOf(packed)}),
      );
    default:
      throw new CodecFailure(`codec ${codec} is not known`);
  }
}

function attempt(work: () => Uint8Array): Uint8Array {
  try {
    return work();
  } catch (error) {
    const {code, message} = error as NodeJS.ErrnoException;
    throw new CodecFailure(code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge : message);
  }
}
