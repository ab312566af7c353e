/**
 * Records with keys into topics, each batch acknowledged by all replicas in sync: for records that may come twice, such as rows
 * that carry versions. What is to be there once goes through an outbox.
 */
import {PlatformError} from '../../errors.ts';
import {partitionOfBytes} from '../partition.ts';
import {batchHeaderBytes} from './batch-header.ts';
import {setProducer, varintLength, writeBatchHeader, writeVarint} from './batch-write.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, isTransient, kafkaError} from './codes.ts';
import {type Outgoing, produce, produceLane} from './produce.ts';

/** `partition`: given, or that of the key as Kafka's own producers choose it. */
export type KeyedRecord = {key: Uint8Array; value: Uint8Array; partition?: number};

const batchBytesMax = 512 * 1024;
/** A request has the next batches of so many partitions at most: brokers take no more than 100 MB of one. */
const batchesMax = 32;
/** How long the leader waits for the replicas, ms. */
const replicasMs = 30_000;
const retries = {count: 3, firstMs: 50};

/**
 * Writes records of one topic, in order by partition. @returns next offset of every partition that was written
 * @throws KAFKA_UNAVAILABLE after some attempts, KAFKA_REFUSED, KAFKA_ACCESS: some of them may be there
 */
export async function writeKeyed(
  client: KafkaClient,
  topic: string,
  records: readonly KeyedRecord[],
): Promise<Map<number, number>> {
  const partitions = client.metadata.topics.get(topic)?.length ?? (await partitionsOf(client, topic));
  const byPartition = Map.groupBy(
    records,
    ({key, partition}) => partition ?? partitionOfBytes(key, partitions),
  );
  const ends = new Map<number, number>();
  const queues = [...byPartition].map(([partition, own]) => ({partition, batches: batchesOf(own)}));
  for (;;) {
    const next = queues.flatMap(({partition, batches}) => {
      const {value} = batches.next();
      return value ? [{topic, partition, ...value}] : [];
    });
    if (next.length === 0) return ends;
    await sendTogether(client, next, ends);
  }
}

type Counted = Outgoing & {count: number};

/** One batch of each partition, those of one leader in one request. Adds their ends. */
async function sendTogether(
  client: KafkaClient,
  batches: readonly Counted[],
  ends: Map<number, number>,
): Promise<void> {
  const byLeader = Map.groupBy(
    batches,
    ({topic, partition}) => client.partition(topic, partition)?.leader ?? -1,
  );
  const requests = [...byLeader].flatMap(([leader, own]) =>
    Array.from({length: Math.ceil(own.length / batchesMax)}, (_, n) => ({
      leader,
      own: own.slice(n * batchesMax, (n + 1) * batchesMax),
    })),
  );
  await Promise.all(
    requests.map(async ({leader, own}) => {
      await client.rested(leader, produceLane);
      const answers = leader < 0 ? [] : await produce(client, leader, own, replicasMs).catch(onlyUnavailable);
      await Promise.all(
        own.map(async (batch) => {
          const answer = answers.find(({partition}) => partition === batch.partition);
          // What was not taken is tried again by itself, and says why it fails.
          const base = answer?.code === 0 ? answer.baseOffset : await send(client, batch);
          ends.set(batch.partition, base + batch.count);
        }),
      );
    }),
  );
}

function onlyUnavailable(error: unknown): [] {
  if (error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE') return [];
  throw error;
}

async function partitionsOf(client: KafkaClient, topic: string): Promise<number> {
  const found = (await client.refreshMetadata()).topics.get(topic)?.length;
  if (found) return found;
  throw new PlatformError('KAFKA_UNAVAILABLE', `there is no topic ${topic} yet`);
}

/** @returns offset of the first record */
async function send(client: KafkaClient, batch: Outgoing): Promise<number> {
  const {topic, partition} = batch;
  for (let attempt = 0; ; attempt++) {
    try {
      const leader = client.partition(topic, partition)?.leader ?? -1;
      await client.rested(leader, produceLane);
      const [answer] = leader < 0 ? [] : await produce(client, leader, [batch], replicasMs);
      if (answer?.code === 0) return answer.baseOffset;
      const code = answer?.code ?? 5;
      if (isMoved(code)) await client.refreshMetadata();
      const error = kafkaError(
        code,
        `writing to ${topic} partition ${partition}`,
        undefined,
        answer?.message,
      );
      if (!isTransient(code) || attempt >= retries.count) throw error;
    } catch (error) {
      const passes = error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE';
      if (!passes || attempt >= retries.count) throw error;
      await client.refreshMetadata().catch(() => {});
    }
    const ms = retries.firstMs * 2 ** attempt;
    await new Promise((resolve) => setTimeout(resolve, ms * (0.5 + Math.random() / 2)));
  }
}

function* batchesOf(records: readonly KeyedRecord[]): Generator<{bytes: Uint8Array; count: number}> {
  let from = 0;
  let size = 0;
  for (let at = 0; at < records.length; at++) {
    const {key, value} = records[at]!;
    const room = key.length + value.length + 24;
    if (at > from && size + room > batchBytesMax) {
      yield {bytes: batchOf(records.slice(from, at)), count: at - from};
      from = at;
      size = 0;
    }
    size += room;
  }
  if (from < records.length) yield {bytes: batchOf(records.slice(from)), count: records.length - from};
}

/** A record batch (format 2) of no particular producer; see batch-write.ts for its layout. */
function batchOf(records: readonly KeyedRecord[]): Uint8Array {
  const size = records.reduce((sum, {key, value}) => sum + key.length + value.length + 24, batchHeaderBytes);
  const bytes = Buffer.alloc(size);
  let at = batchHeaderBytes;
  records.forEach(({key, value}, delta) => {
    const body = 3 + varintLength(delta) + varintLength(key.length) + key.length;
    at = writeVarint(body + varintLength(value.length) + value.length, bytes, at);
    at += 2; // attributes and the difference of times are 0
    at = writeVarint(delta, bytes, at);
    at = writeVarint(key.length, bytes, at);
    bytes.set(key, at);
    at = writeVarint(value.length, bytes, at + key.length);
    bytes.set(value, at);
    at += value.length;
    bytes[at++] = 0; // no headers
  });
  const batch = bytes.subarray(0, at);
  writeBatchHeader(batch, {codec: 0, count: records.length, timeMs: Date.now()});
  setProducer({bytes: batch}, {id: -1, epoch: -1, sequence: -1});
  return batch;
}
