/**
 * Records that a log no longer has, put back in front of it for one reading: files beside the log, and a reader that goes on in
 * the log where they end. They are made for a task and removed with it; a crash leaves a directory that the next task empties.
 *
 *   records.bin := the bytes of batches, one behind the other (as `RecordBatch.bytes`)
 *   index.json  := ArchiveIndex
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {walkRecords} from '../schema/frame.ts';
import type {LogReader, RecordBatch} from './types.ts';

/** Where an archive is. */
export type LogArchive = {
  dir: string;
  /** What texts of protected fields begin with that are stand-ins already; random. */
  mark: string;
};

/** Base offset, count, append time (epoch ms), position and length in the file. */
type Entry = [baseOffset: number, count: number, appendTimeMs: number, position: number, length: number];

/** One partition: its records below `toOffset`, in order; offsets between them hold no record. */
type ArchivedPartition = {
  topic: string;
  partition: number;
  toOffset: number;
  batches: Entry[];
  skip: number[];
};

type ArchiveIndex = {partitions: ArchivedPartition[]};

/** Writes an archive; nothing of it is there before `close`. */
export type ArchiveWriter = {
  /** Begins a partition. @param toOffset where the log takes over */
  begin(topic: string, partition: number, toOffset: number): void;
  /** Records of the partition that was begun, behind those before. */
  add(batch: Pick<RecordBatch, 'baseOffset' | 'count' | 'appendTimeMs' | 'bytes'>): void;
  /** A record of the log that is left out: its event is among the archived ones. */
  skip(topic: string, partition: number, offset: number): void;
  close(): void;
};

const paths = (dir: string) => ({records: join(dir, 'records.bin'), index: join(dir, 'index.json')});

/** Empties the directory. @throws FILE_ACCESS when it cannot be written, on a full disk say */
export function createArchive(dir: string): ArchiveWriter {
  const {records, index} = paths(dir);
  rmSync(dir, {recursive: true, force: true});
  mkdirSync(dir, {recursive: true, mode: 0o700});
  const file = openSync(records, 'w', 0o600);
  const partitions: ArchivedPartition[] = [];
  let position = 0;
  return {
    begin: (topic, partition, toOffset) =>
      void partitions.push({topic, partition, toOffset, batches: [], skip: []}),
    add({baseOffset, count, appendTimeMs, bytes}) {
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      } catch (cause) {
        throw new PlatformError('FILE_ACCESS', `the archive cannot be kept: ${(cause as Error).message}`, {
          place: records,
          cause,
          hint: 'free space on the disk, then the same again',
        });
      }
      partitions.at(-1)!.batches.push([baseOffset, count, appendTimeMs, position, bytes.length]);
      position += bytes.length;
    },
    skip(topic, partition, offset) {
      partitions.find((each) => each.topic === topic && each.partition === partition)!.skip.push(offset);
    },
    close() {
      closeSync(file);
      for (const {skip} of partitions) skip.sort((a, b) => a - b);
      writeFileSync(index, JSON.stringify({partitions} satisfies ArchiveIndex), {mode: 0o600});
    },
  };
}

/** The log with an archive in front of it. Closes both. */
export function withArchive(log: LogReader, {dir}: LogArchive): LogReader {
  const {records, index} = paths(dir);
  const {partitions} = JSON.parse(readFileSync(index, 'utf8')) as ArchiveIndex;
  const file = openSync(records, 'r');
  const sizeBytes = fstatSync(file).size;
  const partOf = (topic: string, partition: number) =>
    partitions.find((each) => each.topic === topic && each.partition === partition);
  const bytesOf = ([, , , position, length]: Entry): Uint8Array => {
    const bytes = new Uint8Array(length);
    if (position + length > sizeBytes || readSync(file, bytes, 0, length, position) !== length)
      throw new PlatformError('LOG_CORRUPT', 'the archive is shorter than its index says', {place: records});
    return bytes;
  };
  return {
    refresh: (topics) => log.refresh(topics),
    topics: () => log.topics(),
    partitions: (topic) => log.partitions(topic),
    startOffset(topic, partition) {
      const part = partOf(topic, partition);
      return part && part.toOffset > 0 ? 0 : log.startOffset(topic, partition);
    },
    endOffset: (topic, partition) => log.endOffset(topic, partition),
    async read(topic, partition, offset, bytesMax) {
      const part = partOf(topic, partition);
      if (part && offset < part.toOffset) return archived(part, offset, bytesMax, bytesOf);
      const batches = await log.read(topic, partition, offset, bytesMax);
      return part && part.skip.length > 0 ? batches.flatMap((batch) => without(batch, part.skip)) : batches;
    },
    waitForAppend: (timeoutMs) => log.waitForAppend(timeoutMs),
    ledger: () => log.ledger(),
    transformed: () => log.transformed(),
    progress: (source) => log.progress(source),
    knows: (topic, ids) => log.knows(topic, ids),
    placeOf: (topic, id) => log.placeOf(topic, id),
    ...(log.identity ? {identity: () => log.identity!()} : {}),
    ...(log.topicId ? {topicId: (topic: string) => log.topicId!(topic)} : {}),
    close() {
      closeSync(file);
      log.close();
    },
  };
}

/** Archived batches from the one that holds `offset` on, at least one; what lies between them as gaps. */
function archived(
  {topic, partition, toOffset, batches}: ArchivedPartition,
  offset: number,
  bytesMax: number,
  bytesOf: (entry: Entry) => Uint8Array,
): RecordBatch[] {
  let at = firstBehind(batches, offset);
  const found: RecordBatch[] = [];
  const gap = (from: number, to: number): RecordBatch => ({
    ...{topic, partition, baseOffset: from, count: to - from},
    ...{appendTimeMs: 0, kind: 'gap', bytes: new Uint8Array(0)},
  });
  for (let next = offset, size = 0; next < toOffset && (found.length === 0 || size < bytesMax); at++) {
    const entry = batches[at];
    const baseOffset = entry?.[0] ?? toOffset;
    if (baseOffset > next) found.push(gap(next, baseOffset));
    if (!entry) break;
    const [, count, appendTimeMs, , length] = entry;
    found.push({topic, partition, baseOffset, count, appendTimeMs, kind: 'data', bytes: bytesOf(entry)});
    next = baseOffset + count;
    size += length;
  }
  return found;
}

/** Index of the first batch that ends behind `offset`. */
function firstBehind(batches: Entry[], offset: number): number {
  let low = 0;
  let high = batches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const [baseOffset, count] = batches[middle]!;
    if (baseOffset + count > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The batch in pieces, with a gap where a record is left out. */
function without(batch: RecordBatch, skip: number[]): RecordBatch[] {
  const {baseOffset, count, bytes} = batch;
  const inside = new Set(skip.filter((offset) => offset >= baseOffset && offset < baseOffset + count));
  if (batch.kind !== 'data' || inside.size === 0) return [batch];
  const pieces: RecordBatch[] = [];
  let begun = 0;
  let from = 0;
  const piece = (to: number, end: number) => {
    if (to > begun)
      pieces.push({
        ...batch,
        baseOffset: baseOffset + begun,
        count: to - begun,
        bytes: bytes.subarray(from, end),
      });
  };
  walkRecords(batch, (index, start, end) => {
    if (!inside.has(baseOffset + index)) return;
    piece(index, start - 4);
    pieces.push({...batch, baseOffset: baseOffset + index, count: 1, kind: 'gap', bytes: new Uint8Array(0)});
    begun = index + 1;
    from = end;
  });
  piece(count, bytes.length);
  return pieces;
}
