/** The request Fetch: what is asked of one broker, and its answer partition by partition. Records stay where they arrived. */
import {apis} from './api.ts';
import type {KafkaClient} from './client.ts';
import {kafkaError} from './codes.ts';
import type {AnswerMemory} from './memory.ts';
import {type WireReader, WireWriter} from './wire.ts';

export type FetchPlace = {
  topic: string;
  /** Where every place has one the broker is asked by it, if it speaks that: another topic of that name does not answer then. */
  topicId?: string | undefined;
  partition: number;
  offset: number;
  /** Epoch of the leader as we know it: another leader answers that it is another; -1: unknown. */
  leaderEpoch: number;
  /** Epoch under which the record before `offset` was written; the broker compares it with its own log; -1: unknown. */
  lastEpoch: number;
  bytesMax: number;
};

export type FetchAnswer = {
  topic: string;
  partition: number;
  /** 0: it was read. */
  code: number;
  /** After the last record that readers of committed records are shown. */
  stableOffset: number;
  startOffset: number;
  /** Transactions that were aborted in what was read, ascending by their first offset. */
  aborted: {producerId: bigint; firstOffset: number}[];
  /** Record batches; the last one may be cut. A view into the answer. */
  bytes: Uint8Array;
  /** The broker's log does not have the records before `offset` as they were read: up to here it has. */
  diverged?: {epoch: number; endOffset: number};
};

export type FetchOptions = {
  broker: number;
  lane: string;
  /** The broker may wait so long for a first byte, ms. */
  waitMs: number;
  bytesMax: number;
  /** Also records of transactions that are open or were aborted. */
  uncommitted?: boolean;
  memory?: AnswerMemory;
};

/** Isolation levels. */
const isolation = {uncommitted: 0, committed: 1};

/** @throws AnswerLost, KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_PROTOCOL */
export async function fetchRecords(
  client: KafkaClient,
  places: readonly FetchPlace[],
  {broker, lane, waitMs, bytesMax, uncommitted, memory}: FetchOptions,
): Promise<FetchAnswer[]> {
  const byTopic = [...Map.groupBy(places, ({topic, topicId}) => `${topic}/${topicId}`).values()];
  const byId =
    places.every(({topicId}) => topicId !== undefined) && (await client.speaks(broker, lane, apis.fetchById));
  const body = new WireWriter(64 + places.length * 64);
  body
    .int32(-1)
    .int32(waitMs)
    .int32(1)
    .int32(bytesMax)
    .int8(uncommitted ? isolation.uncommitted : isolation.committed)
    .int32(0)
    .int32(-1);
  body.compactArray(byTopic, (here) => {
    const [{topic, topicId}] = here as [FetchPlace];
    if (byId) body.raw(Buffer.from(topicId!, 'base64url'));
    else body.compactString(topic);
    body.compactArray(here, (place) => {
      body.int32(place.partition).int32(place.leaderEpoch).int64(place.offset).int32(place.lastEpoch);
      body.int64(-1).int32(place.bytesMax).noTags();
    });
    body.noTags();
  });
  body.compactArray([], () => {});
  body.compactString('').noTags();
  const names = new Map(places.map(({topic, topicId}) => [topicId, topic]));
  for (;;) {
    const reader = await client.request({
      to: broker,
      api: byId ? apis.fetchById : apis.fetch,
      body: body.bytes,
      lane,
      ...(memory ? {memory} : {}),
    });
    const topicOf = () =>
      byId
        ? (names.get(Buffer.from(reader.raw(16)).toString('base64url')) ?? '')
        : (reader.compactString() ?? '');
    const throttleMs = reader.int32();
    const answers = readAnswer(reader, broker, topicOf);
    if (answers.length > 0 || throttleMs <= 0) return answers;
    // Over a quota: it read nothing for us, and is asked again when it reads our requests.
    client.rest(broker, lane, throttleMs);
    await client.rested(broker, lane);
  }
}

function readAnswer(reader: WireReader, broker: number, topicOf: () => string): FetchAnswer[] {
  const code = reader.int16();
  if (code !== 0) throw kafkaError(code, `reading from broker ${broker}`);
  reader.int32();
  const answers: FetchAnswer[] = [];
  reader.compactArray(() => {
    const topic = topicOf();
    reader.compactArray(() => answers.push(readPartition(reader, topic)));
    reader.skipTags();
  });
  return answers;
}

function readPartition(reader: WireReader, topic: string): FetchAnswer {
  const partition = reader.int32();
  const code = reader.int16();
  reader.int64();
  const stableOffset = reader.long();
  const startOffset = reader.long();
  const aborted = reader.compactArray(() => {
    const transaction = {producerId: reader.int64(), firstOffset: reader.long()};
    reader.skipTags();
    return transaction;
  });
  reader.int32();
  const bytes = reader.raw(Math.max(0, reader.uvarint() - 1));
  const answer: FetchAnswer = {topic, partition, code, stableOffset, startOffset, aborted, bytes};
  for (let tags = reader.uvarint(); tags > 0; tags--) {
    const tag = reader.uvarint();
    const value = reader.raw(reader.uvarint());
    if (tag !== 0) continue;
    const view = new DataView(value.buffer, value.byteOffset, value.length);
    if (value.length >= 12)
      answer.diverged = {epoch: view.getInt32(0), endOffset: Number(view.getBigInt64(4))};
  }
  return answer;
}
