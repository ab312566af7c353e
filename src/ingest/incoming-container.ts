/** Avro's object container files, block by block. https://avro.apache.org/docs/1.12.0/specification/#object-container-files */
import {inflateRawSync, zstdDecompressSync} from 'node:zlib';
import {cursor, DecodeFailure, readBlockCount, readLength, readLong, readText} from '../schema/read.ts';
import {writeLong} from '../schema/write.ts';
import {BodyRefused} from './incoming-json.ts';
import {inflationRatioMax} from './open.ts';
import {oversizeKeptBytes, recordBytesMax} from './records.ts';

const syncBytes = 16;
const schemaBytesMax = 1024 * 1024;
/** Blocks may inflate to this much in all, bytes, and by `inflationRatioMax`. */
const inflatedBytesMax = 64 * 1024 * 1024;

type Codec = 'null' | 'deflate' | 'zstandard';

export type Container = {
  /** The writer's schema, JSON. */
  readonly schema: string;
  /** The block that `at` is in, unpacked. */
  readonly block: Uint8Array;
  readonly at: number;
  /** Whether there is another record; moves to its block. @throws BodyRefused BODY_SYNTAX, BODY_CODEC */
  more(): boolean;
  /** The record at `at` ends at `end`. */
  taken(end: number): void;
  /** A container that holds the record in [from, to) of the block alone; of one that is too large its beginning. */
  only(from: number, to: number): Uint8Array;
};

/** @throws BodyRefused BODY_SYNTAX when the bytes are no container, BODY_CODEC when its blocks are packed in another way. */
export function openContainer(bytes: Uint8Array, length: number): Container {
  const header = checked(() => readHeader(bytes, length));
  const {schema, codec, sync} = header;
  let next = header.end;
  let left = 0;
  let inflated = 0;
  const container = {
    schema,
    block: new Uint8Array(0) as Uint8Array,
    at: 0,
    more(): boolean {
      while (left === 0) {
        if (container.at !== container.block.length)
          throw new BodyRefused('BODY_SYNTAX', 'a block of the container file holds more than its records');
        if (next === length) return false;
        checked(nextBlock);
      }
      return true;
    },
    taken(end: number) {
      container.at = end;
      left--;
    },
    only: (from: number, to: number) =>
      single(
        schema,
        container.block.subarray(from, to - from > recordBytesMax ? from + oversizeKeptBytes : to),
      ),
  };
  const nextBlock = (): void => {
    const count = readLong(bytes, next, length);
    const size = readLength(bytes, cursor.pos, length);
    const start = cursor.pos;
    const end = start + size;
    if (typeof count !== 'number' || count < 0 || end + syncBytes > length)
      throw new BodyRefused('BODY_SYNTAX', 'a block of the container file passes its end');
    if (!sync.every((byte, i) => bytes[end + i] === byte))
      throw new BodyRefused('BODY_SYNTAX', 'a block of the container file is not followed by its marker');
    container.block = unpack(codec, bytes.subarray(start, end), inflatedBytesMax - inflated);
    if (codec !== 'null') inflated += container.block.length;
    container.at = 0;
    left = count;
    next = end + syncBytes;
  };
  return container;
}

/** Bytes that are not what they should be are the sender's mistake. */
function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DecodeFailure)) throw error;
    throw new BodyRefused('BODY_SYNTAX', `the body is no Avro container file: ${error.message}`);
  }
}

function readHeader(bytes: Uint8Array, length: number) {
  if (length < 4 || bytes[0] !== 79 || bytes[1] !== 98 || bytes[2] !== 106 || bytes[3] !== 1)
    throw new BodyRefused('BODY_SYNTAX', 'the body is neither an Avro container file nor a frame');
  let schema: string | undefined;
  let codec = 'null';
  let at = 4;
  for (let count = readBlockCount(bytes, at, length); count > 0; count = readBlockCount(bytes, at, length)) {
    at = cursor.pos;
    for (let entry = 0; entry < count; entry++) {
      const key = text(bytes, at, length);
      const value = text(bytes, cursor.pos, length);
      at = cursor.pos;
      if (key === 'avro.schema') schema = value;
      else if (key === 'avro.codec') codec = value;
    }
  }
  const start = cursor.pos;
  if (schema === undefined || start + syncBytes > length)
    throw new BodyRefused('BODY_SYNTAX', 'the header of the container file has no schema or no marker');
  if (codec !== 'null' && codec !== 'deflate' && codec !== 'zstandard')
    throw new BodyRefused(
      'BODY_CODEC',
      `the container file is packed with ${JSON.stringify(codec.slice(0, 40))}; null, deflate and zstandard are read`,
    );
  return {schema, codec: codec as Codec, sync: bytes.slice(start, start + syncBytes), end: start + syncBytes};
}

function text(bytes: Uint8Array, position: number, length: number): string {
  const size = readLength(bytes, position, length);
  if (size > schemaBytesMax) throw new BodyRefused('SCHEMA', 'the schema is larger than 1 MiB');
  const start = cursor.pos;
  const value = readText(bytes, start, start + size);
  cursor.pos = start + size;
  return value;
}

function unpack(codec: Codec, data: Uint8Array, bytesMax: number): Uint8Array {
  if (codec === 'null') return data;
  const maxOutputLength = Math.max(1, Math.min(bytesMax, 1024 * 1024 + data.length * inflationRatioMax));
  try {
    if (codec !== 'deflate') return zstdDecompressSync(data, {maxOutputLength});
    const {buffer, engine} = inflateRawSync(data, {maxOutputLength, info: true}) as unknown as {
      buffer: Buffer;
      engine: {bytesWritten: number};
    };
    // What follows the end of the stream would be passed over.
    if (engine.bytesWritten < data.length) throw new Error('bytes follow its end');
    return buffer;
  } catch (error) {
    const {code, message} = error as NodeJS.ErrnoException;
    throw new BodyRefused(
      'BODY_SYNTAX',
      code === 'ERR_BUFFER_TOO_LARGE'
        ? 'the blocks of the container file inflate too much'
        : `a block of the container file cannot be unpacked: ${message}`,
    );
  }
}

/** A container file of one record, so that a dead letter can be read and replayed by itself. */
function single(schema: string, record: Uint8Array): Uint8Array {
  const json = Buffer.from(schema);
  const out = new Uint8Array(json.length + record.length + 128);
  let at = 0;
  const put = (bytes: Uint8Array) => {
    out.set(bytes, at);
    at += bytes.length;
  };
  const putSized = (bytes: Uint8Array) => {
    at = writeLong(bytes.length, out, at);
    put(bytes);
  };
  put(Uint8Array.of(79, 98, 106, 1));
  at = writeLong(1, out, at);
  putSized(Buffer.from('avro.schema'));
  putSized(json);
  at = writeLong(0, out, at);
  const sync = new Uint8Array(syncBytes);
  put(sync);
  at = writeLong(1, out, at);
  putSized(record);
  put(sync);
  return out.subarray(0, at);
}
