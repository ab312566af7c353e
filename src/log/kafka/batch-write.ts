/**
 * Record batches of Kafka (format 2), written from batches of the embedded log without an object for each record.
 *
 *   batch   := baseOffset:int64 batchLength:int32 leaderEpoch:int32 magic:int8=2 crc:uint32 attributes:int16 lastOffsetDelta:int32
 *              baseTimestamp:int64 maxTimestamp:int64 producerId:int64 producerEpoch:int16 baseSequence:int32 count:int32 records
 *   record  := length:varint attributes:int8=0 timestampDelta:varint=0 offsetDelta:varint keyLength:varint=-1
 *              valueLength:varint value headers
 *   headers := count:varint {keyLength:varint key valueLength:varint value}
 *
 * `crc` is CRC-32C from `attributes` to the end; numbers are big-endian, varints zigzag. Records may be compressed, with zstd, lz4
 * or gzip. https://kafka.apache.org/documentation/#recordbatch
 *
 * The first record of every batch names the outbox that it comes from and its offset there; the others follow without a gap. A
 * broker takes a batch whole or not at all, so that the last such header in a partition says how far an outbox has come. Records of
 * letters have headers of their own behind those (provenance.ts).
 */
import {constants, gzipSync, zstdCompressSync} from 'node:zlib';
import {batchHeaderBytes} from './batch-header.ts';
import {crc32c} from './crc32c.ts';
import {lz4Frame} from './lz4-pack.ts';

export type Compression = 'none' | 'gzip' | 'lz4' | 'zstd';

/** Bits of `attributes`. */
const codecs: Record<Compression, number> = {none: 0, gzip: 1, lz4: 3, zstd: 4};
/** Smaller batches are not worth it. */
const compressFrom = 1024;
/** Most that a record adds to its value and headers: lengths, deltas, attributes. */
const recordOverhead = 5 + 1 + 1 + 5 + 1 + 5;
const encoder = new TextEncoder();

/** Records that go into a batch: those of `bytes` from the position `at` on (types.ts: length, frame). */
export type Source = {bytes: Uint8Array; at: number};

/**
 * Headers of the record whose value is [from, to), their count before them: fewer than 32, so that it takes one byte. Valid until the
 * next call.
 */
export type HeadersOf = (bytes: Uint8Array, from: number, to: number) => Uint8Array;

/** No header: a count of 0. */
export const noHeaders: Uint8Array = Uint8Array.of(0);

export type BatchHead = {
  /** `[name, value]`, of the first record; fewer than 32. */
  headers: readonly (readonly [string, string])[];
  /** Epoch ms; brokers whose topics have times of appending put theirs in its place. */
  timeMs: number;
  compression: Compression;
  /** Further headers of each record; undefined: only the first has any. */
  headersOf?: HeadersOf | undefined;
};

/** A batch that can be sent, and sent again: only its producer's fields change, by `setProducer`. */
export type EncodedBatch = {
  bytes: Buffer;
  count: number;
  /** Where it stopped in the last source: position of the first record that is not in it. */
  end: number;
  /** Number of sources that were read to their ends. */
  sources: number;
};

/** Length of a zigzag varint of `value`, which is not negative. */
export const varintLength = (value: number): number =>
  value < 0x40 ? 1 : value < 0x2000 ? 2 : value < 0x100000 ? 3 : value < 0x8000000 ? 4 : 5;

/** Writes a zigzag varint of `value`, which is not negative. @returns position after it */
export function writeVarint(value: number, to: Buffer, at: number): number {
  let rest = value * 2;
  let end = at;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) to[end++] = (rest & 0x7f) | 0x80;
  to[end++] = rest;
  return end;
}

function headerBytes(headers: BatchHead['headers']): Uint8Array {
  const parts: Buffer[] = [];
  const varint = (value: number) => {
    const bytes = Buffer.alloc(5);
    parts.push(bytes.subarray(0, writeVarint(value, bytes, 0)));
  };
  varint(headers.length);
  for (const [name, value] of headers)
    for (const text of [name, value]) {
      const bytes = encoder.encode(text);
      varint(bytes.length);
      parts.push(Buffer.from(bytes));
    }
  return Buffer.concat(parts);
}

/** The headers of the batch before those of its first record; `first` and `own` begin with their counts. */
const joined = (first: Uint8Array, own: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.of(first[0]! + own[0]!), first.subarray(1), own.subarray(1)]);

/** Writes a record; `from`, `length`: of its value in `source`. @returns position after it */
function writeRecord(
  to: Buffer,
  at: number,
  delta: number,
  source: Buffer,
  from: number,
  length: number,
  headers: Uint8Array,
): number {
  const size = 3 + varintLength(delta) + varintLength(length) + length + headers.length;
  let end = writeVarint(size, to, at);
  to[end++] = 0;
  to[end++] = 0;
  end = writeVarint(delta, to, end);
  // No key: its length is -1, zigzag 1.
  to[end++] = 1;
  end = writeVarint(length, to, end);
  source.copy(to, end, from, from + length);
  end += length;
  if (headers.length === 1) to[end] = headers[0]!;
  else to.set(headers, end);
  return end + headers.length;
}

/**
 * Writes the records of the sources, until the next one would make it larger than `bytesMax` or `countMax` are in it; always one
 * at least. The producer's fields are set by `setProducer`.
 */
export function encodeBatch(
  sources: readonly Source[],
  head: BatchHead,
  bytesMax: number,
  countMax = 0x7fffffff,
): EncodedBatch {
  const {headersOf} = head;
  const first = headerBytes(head.headers);
  let to: Buffer = Buffer.allocUnsafe(
    Math.min(bytesMax, expectedBytes(sources)) + first.length + batchHeaderBytes,
  );
  let end = batchHeaderBytes;
  let count = 0;
  let at = 0;
  let done = 0;
  for (const source of sources) {
    const bytes = Buffer.from(source.bytes.buffer, source.bytes.byteOffset, source.bytes.length);
    for (at = source.at; at < bytes.length; ) {
      const length =
        (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
      const isFirst = count === 0;
      let headers = isFirst ? first : noHeaders;
      if (headersOf !== undefined) {
        const own = headersOf(bytes, at + 4, at + 4 + length);
        headers = isFirst ? joined(first, own) : own;
      }
      const room = recordOverhead + length + headers.length;
      if (!isFirst && (end + room > bytesMax || count === countMax))
        return finish(to, end, {count, end: at, sources: done}, head);
      if (end + room > to.length) to = grown(to, end, room);
      end = writeRecord(to, end, count, bytes, at + 4, length, headers);
      count++;
      at += 4 + length;
    }
    done++;
  }
  return finish(to, end, {count, end: at, sources: done}, head);
}

/** What a batch of these sources takes, when its records are not much smaller than events are. */
function expectedBytes(sources: readonly Source[]): number {
  let bytes = recordOverhead;
  for (const source of sources) bytes += source.bytes.length - source.at;
  return bytes + (bytes >> 2);
}

function grown(bytes: Buffer, used: number, room: number): Buffer {
  const larger = Buffer.allocUnsafe(Math.max(bytes.length * 2, used + room));
  bytes.copy(larger, 0, 0, used);
  return larger;
}

/** A batch of one record without a value. */
export function encodeEmpty(head: BatchHead): EncodedBatch {
  const headers = headerBytes(head.headers);
  const to = Buffer.allocUnsafe(batchHeaderBytes + recordOverhead + headers.length);
  const end = writeRecord(to, batchHeaderBytes, 0, to, 0, 0, headers);
  return finish(to, end, {count: 1, end: 0, sources: 1}, {...head, compression: 'none'});
}

const compressors: Record<Exclude<Compression, 'none'>, (bytes: Uint8Array) => Uint8Array> = {
  gzip: (bytes) => gzipSync(bytes, {level: 1}),
  lz4: lz4Frame,
  zstd: (bytes) => zstdCompressSync(bytes, {params: {[constants.ZSTD_c_compressionLevel]: 1}}),
};

function finish(
  written: Buffer,
  end: number,
  made: Omit<EncodedBatch, 'bytes'>,
  {timeMs, compression}: BatchHead,
): EncodedBatch {
  let bytes = written.subarray(0, end);
  let codec = 0;
  if (compression !== 'none' && end >= compressFrom) {
    const packed = compressors[compression](bytes.subarray(batchHeaderBytes));
    if (packed.length < end - batchHeaderBytes) {
      // Of its own size: it is kept until it is acknowledged.
      bytes = Buffer.allocUnsafe(batchHeaderBytes + packed.length);
      bytes.set(packed, batchHeaderBytes);
      codec = codecs[compression];
    }
  }
  writeBatchHeader(bytes, {codec, count: made.count, timeMs});
  return {...made, bytes};
}

/** Writes what stands before the records of a whole batch, but for the fields of `setProducer`. */
export function writeBatchHeader(
  bytes: Buffer,
  {codec, count, timeMs}: {codec: number; count: number; timeMs: number},
): void {
  bytes.writeBigInt64BE(0n, 0);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt32BE(-1, 12);
  bytes[16] = 2;
  bytes.writeInt16BE(codec, 21);
  bytes.writeInt32BE(count - 1, 23);
  bytes.writeBigInt64BE(BigInt(timeMs), 27);
  bytes.writeBigInt64BE(BigInt(timeMs), 35);
  bytes.writeInt32BE(count, 57);
}

/** Sets whose batch it is and its place among those of the producer in this partition, and the checksum. */
export function setProducer(
  {bytes}: Pick<EncodedBatch, 'bytes'>,
  {id, epoch, sequence}: {id: number; epoch: number; sequence: number},
): void {
  bytes.writeBigInt64BE(BigInt(id), 43);
  bytes.writeInt16BE(epoch, 51);
  bytes.writeInt32BE(sequence, 53);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
}

/** Sequence number after `count` more records: it begins again at 0 after 2^31 - 1. */
export const nextSequence = (sequence: number, count: number): number => (sequence + count) % 2 ** 31;
