/**
 * Ids that other outboxes brought into a topic: a directory that is new, or comes back after another machine took its place, reads
 * what it missed, so that a record which is sent again is known wherever it was taken first.
 */

import type {Stream} from '../chain.ts';
import type {OutboxWriter} from '../group.ts';
import type {Outbox} from '../outbox.ts';
import {framesOf} from '../records.ts';
import type {AppendTransaction, RecordBatch} from '../types.ts';
import {addBatch} from './batch-read.ts';
import type {KafkaClient} from './client.ts';
import {isOwn} from './own.ts';
import {tailOf} from './recover.ts';

/** Ids that are remembered in one transaction. */
const idsMax = 20_000;
/** So many records are read without asking whose they are. */
const readWhole = 50_000;
const samples = 16;
const sampleBytes = 64 * 1024;
/** A longer first field is no id of ours. */
const idBytesMax = 1_024;
const decoder = new TextDecoder('utf-8', {fatal: true});

/**
 * The first field of a record, which is its id in every schema of ours: events, dead letters, late events; undefined when it
 * is no text.
 */
export function idOfFrame(frame: Uint8Array): string | undefined {
  if (frame.length < 6 || frame[0] !== 0) return undefined;
  let length = 0;
  let at = 5;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = frame[at++];
    if (byte === undefined) return undefined;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  // Zigzag: an odd number is negative.
  if ((length & 1) === 1) return undefined;
  length >>= 1;
  if (length === 0 || length > idBytesMax || at + length > frame.length) return undefined;
  try {
    return decoder.decode(frame.subarray(at, at + length));
  } catch {
    return undefined;
  }
}

/** Ids of all records of a batch of ours; undefined when one has none. */
function idsOfRecords(bytes: Uint8Array): string[] | undefined {
  const ids: string[] = [];
  for (const frame of framesOf(bytes)) {
    const id = idOfFrame(frame);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}

/**
 * Whether outboxes have written to [from, to) of a partition. A long stretch is only sampled: where others write nearly everything,
 * duplicates are for the queries' `dedup:` anyway.
 */
async function hasOutboxes(
  client: KafkaClient,
  place: {topic: string; partition: number},
  from: number,
  to: number,
): Promise<boolean> {
  if (to - from <= readWhole) return true;
  for (let sample = 0; sample < samples; sample++) {
    const offset = from + Math.floor(((to - from - 1) * sample) / (samples - 1));
    for await (const {outbox} of tailOf(client, place, offset, offset + 1, sampleBytes))
      if (outbox !== undefined) return true;
  }
  return false;
}

/** An id, and the offset of its record in Kafka. */
export type PlacedId = {id: string; offset: number};

/**
 * Ids of what other outboxes wrote to [from, to) of a partition, batch by batch; also batches without any. `other`: its name; `foreign`:
 * records of a program that is no outbox.
 */
export async function* idsOfOthers(
  {client, outbox}: {client: KafkaClient; outbox: Outbox},
  stream: Readonly<Stream>,
  from: number,
  to: number,
): AsyncGenerator<{nextOffset: number; other: string | undefined; foreign: number; ids: PlacedId[]}> {
  const {topic, partition} = stream;
  for await (const found of tailOf(client, {topic, partition}, from, to)) {
    const {batch, bytes, outbox: name, first} = found;
    const ids: PlacedId[] = [];
    const batches: RecordBatch[] = [];
    const other = first === undefined || isOwn(outbox, stream, found) ? undefined : name;
    if (other !== undefined) addBatch({topic, partition, batches}, bytes, batch);
    for (const each of batches) {
      if (each.kind !== 'data') continue;
      let offset = each.baseOffset;
      for (const frame of framesOf(each.bytes)) {
        const id = idOfFrame(frame);
        if (id !== undefined) ids.push({id, offset});
        offset++;
      }
    }
    yield {nextOffset: batch.nextOffset, other, foreign: name === undefined ? batch.count : 0, ids};
  }
}

/**
 * Reads [from, to) of a partition and remembers the ids of what other outboxes wrote; records of programs that are no outbox are
 * for the queries' own `dedup:`. @param start first offset that the partition still has. @param onOther is told of the outbox of a batch.
 * @returns how many ids, and how many records of programs that are no outbox
 * @throws KAFKA_*, LOG_CORRUPT
 */
export async function adoptIds(
  parts: {client: KafkaClient; outbox: Outbox; log: OutboxWriter},
  stream: Readonly<Stream>,
  {start, from, to}: {start: number; from: number; to: number},
  {onProgress, onOther}: {onProgress: (read: number) => void; onOther: (outbox: string) => void},
): Promise<{ids: number; foreign: number}> {
  const {client, log} = parts;
  const {topic, partition} = stream;
  let found: PlacedId[] = [];
  let count = 0;
  let foreigners = 0;
  if (!(await hasOutboxes(client, {topic, partition}, Math.max(from, start), to))) {
    const foreign = to - Math.max(from, start);
    onProgress(foreign);
    return {ids: 0, foreign};
  }
  const remember = (end: number) => {
    log.adopt(topic, partition, {start, end, ids: found});
    count += found.length;
    found = [];
  };
  let read = from;
  for await (const {nextOffset, other, foreign, ids} of idsOfOthers(
    parts,
    stream,
    Math.max(from, start),
    to,
  )) {
    onProgress(nextOffset - read);
    if (other !== undefined) onOther(other);
    foreigners += foreign;
    read = nextOffset;
    found.push(...ids);
    if (found.length >= idsMax) remember(nextOffset);
  }
  if (found.length > 0) remember(to);
  return {ids: count, foreign: foreigners};
}

/**
 * With the ids of all records, where the outbox knows those of the whole topic: what was ingested elsewhere before, such as a file,
 * is a duplicate. Not where the ledger could not say whose the duplicates are.
 */
export function withIds(transaction: AppendTransaction): AppendTransaction {
  const rows = new Map<string, number>();
  for (const {domain, eventType} of transaction.ledger ?? [])
    rows.set(`${domain}.${eventType}`, (rows.get(`${domain}.${eventType}`) ?? 0) + 1);
  return {
    ...transaction,
    appends: transaction.appends.map((append) => {
      if (append.ids !== undefined || (rows.get(append.topic) ?? 0) > 1) return append;
      const ids = idsOfRecords(append.bytes);
      return ids ? {...append, ids} : append;
    }),
  };
}
