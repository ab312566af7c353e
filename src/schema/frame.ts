/**
 * Confluent wire format, and the records of a batch.
 *
 *   batch  := record*
 *   record := length:u32 little-endian, frame:length bytes
 *   frame  := 0x00, schema id:u32 big-endian, Avro body
 *
 * https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
 * https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
import {DecodeFailure} from './read.ts';

/** Bytes of a frame before its Avro body. */
export const frameHeaderBytes = 5;

/** Schema id of the frame in [pos, end). @throws DecodeFailure FRAME_INVALID when it is shorter than a header or its first byte is not 0. */
export function schemaIdOf(bytes: Uint8Array, pos: number, end: number): number {
  if (end > bytes.length || end - pos < frameHeaderBytes)
    throw new DecodeFailure('FRAME_INVALID', `the record has ${end - pos} bytes, a frame has at least 5`);
  if (bytes[pos] !== 0)
    throw new DecodeFailure('FRAME_INVALID', `the first byte is ${bytes[pos]}, a frame begins with 0`);
  return ((bytes[pos + 1]! << 24) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 8) | bytes[pos + 4]!) >>> 0;
}

/** Whether [pos, end) begins as a frame does. What other programs write to a topic need not. */
export const isFrame = (bytes: Uint8Array, pos: number, end: number): boolean =>
  end - pos >= frameHeaderBytes && bytes[pos] === 0;

const noteCharsMax = 300;
const noteStart = '\xffmillrace: ';

/** A record that stands for what cannot be handed out, and says why: no frame, so that whoever decodes it makes a dead letter. */
export const noteRecord = (text: string): Uint8Array => Buffer.from(`${noteStart}${text}`, 'latin1');

/** What a record without a frame's header in [pos, end) seems to be, for whoever has to mend its producer. */
export function describeNoFrame(bytes: Uint8Array, pos: number, end: number): string {
  const {length} = bytes.subarray(pos, end);
  if (length === 0) return 'the record has no value';
  const note = Buffer.from(bytes.subarray(pos, Math.min(end, pos + noteCharsMax))).toString('latin1');
  if (note.startsWith(noteStart)) return note.slice(noteStart.length);
  const start = Buffer.from(bytes.subarray(pos, Math.min(end, pos + 64))).toString('latin1');
  if (/^\s*[[{"]/.test(start)) return 'the record is JSON, and no frame of Avro';
  if (start.startsWith('Obj\x01')) return 'the record is a file of Avro, and no frame of it';
  if (length < frameHeaderBytes)
    return `the record has ${length} bytes, a frame has at least ${frameHeaderBytes}`;
  return `the record begins with the byte ${bytes[pos]}, a frame begins with 0 and the id of its schema`;
}

/** Writes a frame's header. @returns position after it. */
export function writeFrameHeader(schemaId: number, buffer: Uint8Array, pos: number): number {
  buffer[pos] = 0;
  buffer[pos + 1] = schemaId >>> 24;
  buffer[pos + 2] = schemaId >>> 16;
  buffer[pos + 3] = schemaId >>> 8;
  buffer[pos + 4] = schemaId;
  return pos + frameHeaderBytes;
}

/** Writes a record's length prefix. @returns position after it. */
export function writeRecordLength(length: number, buffer: Uint8Array, pos: number): number {
  buffer[pos] = length;
  buffer[pos + 1] = length >>> 8;
  buffer[pos + 2] = length >>> 16;
  buffer[pos + 3] = length >>> 24;
  return pos + 4;
}

/**
 * Length of the frame whose record begins at `pos`; the frame is [pos + 4, pos + 4 + length).
 * @throws DecodeFailure BATCH_INVALID when it would end beyond `end`.
 */
export function recordLength(bytes: Uint8Array, pos: number, end: number): number {
  if (pos + 4 > end)
    throw new DecodeFailure('BATCH_INVALID', `${end - pos} bytes are left where a record begins`);
  const length =
    (bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24)) >>> 0;
  if (length > end - pos - 4)
    throw new DecodeFailure('BATCH_INVALID', `a record of ${length} bytes, ${end - pos - 4} are left`);
  return length;
}

/**
 * Visits every frame of a batch, in order; a batch of the log that is a mark or a gap has none.
 * @throws DecodeFailure BATCH_INVALID when lengths or the count disagree with the bytes; frames before it were visited.
 */
export function walkRecords(
  batch: {bytes: Uint8Array; count: number; kind?: string},
  visit: (index: number, pos: number, end: number) => void,
): void {
  const {bytes, count, kind = 'data'} = batch;
  if (kind !== 'data') return;
  let pos = 0;
  for (let index = 0; index < count; index++) {
    const length = recordLength(bytes, pos, bytes.length);
    visit(index, pos + 4, pos + 4 + length);
    pos += 4 + length;
  }
  if (pos !== bytes.length)
    throw new DecodeFailure(
      'BATCH_INVALID',
      `${bytes.length - pos} bytes follow the last of ${count} records`,
    );
}

/**
 * Visits what a decoder makes of every record of a topic that we alone write. What another program wrote there is passed over: a batch
 * is as it was written, its checksum says so, and no reader may stop at a stranger's record.
 * @throws DecodeFailure BATCH_INVALID
 */
export function walkDecoded<T>(
  batch: {bytes: Uint8Array; count: number; kind?: string},
  decode: (bytes: Uint8Array, pos: number, end: number) => T,
  visit: (index: number, values: T) => void,
): void {
  walkRecords(batch, (index, pos, end) => {
    // Bytes of anything else may happen to be a body.
    if (!isFrame(batch.bytes, pos, end)) return;
    let values: T;
    try {
      values = decode(batch.bytes, pos + frameHeaderBytes, end);
    } catch (error) {
      if (error instanceof DecodeFailure) return;
      throw error;
    }
    visit(index, values);
  });
}

/** A batch's bytes from whole frames. */
export function packRecords(frames: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(frames.reduce((sum, frame) => sum + 4 + frame.length, 0));
  let pos = 0;
  for (const frame of frames) {
    pos = writeRecordLength(frame.length, bytes, pos);
    bytes.set(frame, pos);
    pos += frame.length;
  }
  return bytes;
}
