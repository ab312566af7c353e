/** The requests of a producer: record batches to the leader of their partitions, and an id for the producer. */
import {PlatformError} from '../../errors.ts';
import {apis} from './api.ts';
import type {KafkaClient} from './client.ts';
import {kafkaError, nameOfCode} from './codes.ts';
import {WireWriter} from './wire.ts';

/** A batch as it goes out. */
export type Outgoing = {topic: string; partition: number; bytes: Uint8Array};

/** What the leader says of one batch. */
export type ProduceAnswer = {
  topic: string;
  partition: number;
  /** 0: every replica in sync has it. */
  code: number;
  /** Offset of its first record; -1 when it is not known. */
  baseOffset: number;
  /** First offset that the partition still has; -1 when it is not known. */
  logStart: number;
  message: string | null;
};

/** Requests that wait long must not hold up others of the same broker: the producer has a connection of its own. */
export const produceLane = 'produce';
/** The answer may come that much later than the time that the leader waits for its followers, ms. */
const answerMs = 5_000;

/**
 * Sends batches, one at most of each partition, to the broker that leads them all (acks=all).
 * @param timeoutMs how long the leader waits for the replicas @param may whether they may still go out, asked when they would
 * @throws AnswerLost, and what `KafkaClient.request` throws
 */
export async function produce(
  client: KafkaClient,
  broker: number,
  batches: readonly Outgoing[],
  timeoutMs: number,
  may?: () => boolean,
): Promise<ProduceAnswer[]> {
  const body: Uint8Array[] = [];
  let head = new WireWriter(128).string(null).int16(-1).int32(timeoutMs);
  const byTopic = Map.groupBy(batches, ({topic}) => topic);
  head.int32(byTopic.size);
  for (const [topic, partitions] of byTopic) {
    head.string(topic).int32(partitions.length);
    for (const {partition, bytes} of partitions) {
      head.int32(partition).int32(bytes.length);
      body.push(head.bytes, bytes);
      head = new WireWriter(64);
    }
  }
  const reader = await client.request({
    to: broker,
    api: apis.produce,
    body,
    lane: produceLane,
    timeoutMs: timeoutMs + answerMs,
    ...(may && {may}),
  });
  const answers = reader
    .array(() => {
      const topic = reader.string();
      return reader.array(() => {
        const partition = reader.int32();
        const code = reader.int16();
        const baseOffset = reader.long();
        reader.int64();
        const logStart = reader.long();
        const problems = reader.array(() => {
          reader.int32();
          return reader.nullableString();
        });
        const message = reader.nullableString() ?? problems.find((text) => text !== null) ?? null;
        return {topic, partition, code, baseOffset, logStart, message};
      });
    })
    .flat();
  client.rest(broker, produceLane, reader.int32());
  return answers;
}

/** A new producer id; its epoch is 0. Throws KAFKA_ACCESS, KAFKA_UNAVAILABLE and what `KafkaClient.request` throws. */
export async function initProducer(client: KafkaClient): Promise<number> {
  const body = new WireWriter().string(null).int32(60_000).bytes;
  const reader = await client.request({to: 'any', api: apis.initProducerId, body});
  reader.int32();
  const code = reader.int16();
  if (code !== 0) throw kafkaError(code, 'asking for the id of a producer');
  return reader.long();
}

/** Codes of answers that mean more than that something failed. */
export const produceCodes = {
  outOfOrder: 45,
  /** The broker takes nothing of this producer any more: a later epoch of it writes. */
  fenced: [47, 90] as readonly number[],
  /** Too large, or it holds a record that is: a part of it may be taken. */
  refused: [10, 18, 87] as readonly number[],
  /** Whether the batch arrived cannot be said from the answer. */
  unknown: [45, 46, 59] as readonly number[],
};

/** Why the broker did not take a batch. */
export function answerError({code, message, topic, partition}: ProduceAnswer): PlatformError {
  const place = `${topic}/${partition}`;
  if (produceCodes.fenced.includes(code)) return fencedError(topic, partition, nameOfCode(code));
  return kafkaError(code, `writing ${topic} partition ${partition}`, place, message);
}

/** LOG_FENCED: somebody else ships the same outbox. */
export const fencedError = (topic: string, partition: number, why: string): PlatformError =>
  new PlatformError(
    'LOG_FENCED',
    `${topic} partition ${partition}: another process ships the same outbox (${why})`,
    {
      hint: 'run one process for one directory, and do not copy log.kafka.spool.dir while it runs',
      place: `${topic}/${partition}`,
    },
  );

export const missingAnswer = (topic: string, partition: number): PlatformError =>
  new PlatformError('KAFKA_PROTOCOL', `the answer says nothing of ${topic} partition ${partition}`);
