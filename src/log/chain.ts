/**
 * Checksums of the embedded log. A batch's CRC covers its place, its header, its ids and its bytes, and starts from the CRC of
 * the batch before it in the same partition: a batch that was altered, lost, moved or swapped breaks the chain. The first
 * batch starts from the CRC of topic and partition. A trim keeps the CRC of the last batch it deleted as the new start.
 */
import {crc32} from 'node:zlib';
import {PlatformError} from '../errors.ts';

/** A (topic, partition) as stored: ends of the chain and offsets. */
export type Stream = {
  id: number;
  topic: string;
  partition: number;
  partitions: number;
  startOffset: number;
  endOffset: number;
  /** Append time of the last batch, epoch ms; 0 before the first. */
  appendMs: number;
  startCrc: number;
  endCrc: number;
};

/** What a batch's checksum covers besides its bytes. */
export type BatchHeader = {
  baseOffset: number;
  count: number;
  /** 0 data, 1 mark. */
  kind: number;
  appendMs: number;
  /** 0 for data. */
  markMs: number;
};

const header = new Float64Array(6);
const headerBytes = new Uint8Array(header.buffer);

/** CRC that the first batch of a (topic, partition) starts from. */
export const chainSeed = (topic: string, partition: number) => crc32(`${topic}/${partition}`);

/** CRC of a batch that follows one with `previousCrc`. @returns unsigned 32-bit. */
export function batchCrc(
  previousCrc: number,
  batch: BatchHeader,
  ids: Uint8Array | null,
  bytes: Uint8Array,
): number {
  header[0] = batch.baseOffset;
  header[1] = batch.count;
  header[2] = batch.kind;
  header[3] = batch.appendMs;
  header[4] = batch.markMs;
  header[5] = ids === null ? -1 : ids.length;
  let crc = crc32(headerBytes, previousCrc);
  if (ids !== null) crc = crc32(ids, crc);
  return crc32(bytes, crc);
}

/** CRC of a row of `streams`. */
export function streamCrc(stream: Stream): number {
  header[0] = stream.startOffset;
  header[1] = stream.endOffset;
  header[2] = stream.appendMs;
  header[3] = stream.startCrc;
  header[4] = stream.endCrc;
  header[5] = stream.partitions;
  return crc32(headerBytes, chainSeed(stream.topic, stream.partition));
}

/** CRC of a row of texts and numbers: progress, ledger. */
export const rowCrc = (...values: (string | number)[]) => crc32(JSON.stringify(values));

/** LOG_CORRUPT that names the place. */
export function corrupt(topic: string, partition: number, offset: number, what: string): PlatformError {
  return new PlatformError('LOG_CORRUPT', `${topic} partition ${partition} offset ${offset}: ${what}`, {
    hint: 'restore the log directory from a backup, or start a new log',
    place: `${topic}/${partition}@${offset}`,
  });
}
