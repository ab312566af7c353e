/** Where partitions begin and end: the request ListOffsets, one to each leader. */
import {apis} from './api.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, isTransient, kafkaError} from './codes.ts';
import {WireWriter} from './wire.ts';

export type Partition = {topic: string; partition: number};

/** `end`: after the last record that a reader of committed records is shown. */
export type OffsetKind = 'start' | 'end';

/** Offsets of so many partitions are asked for in one request at most. */
const requestMax = 2_000;

/**
 * Tells `found` the offsets of the partitions whose leaders answered; of the others nothing, they are asked again another time.
 * @throws KAFKA_ACCESS, KAFKA_REFUSED; KAFKA_UNAVAILABLE when no leader answered
 */
export async function listOffsets(
  client: KafkaClient,
  partitions: readonly Partition[],
  kind: OffsetKind,
  found: (place: Partition, offset: number) => void,
): Promise<void> {
  const byLeader = new Map<number, Partition[]>();
  let isStale = false;
  for (const place of partitions) {
    const leader = client.partition(place.topic, place.partition)?.leader ?? -1;
    if (leader < 0) isStale = true;
    else byLeader.set(leader, [...(byLeader.get(leader) ?? []), place]);
  }
  const asked = [...byLeader].flatMap(([leader, places]) =>
    Array.from({length: Math.ceil(places.length / requestMax)}, (_, index) =>
      askLeader(client, leader, places.slice(index * requestMax, (index + 1) * requestMax), kind, found),
    ),
  );
  const answers = await Promise.allSettled(asked);
  for (const answer of answers)
    if (answer.status === 'rejected') {
      isStale = true;
      const error: unknown = answer.reason;
      if (isFinal(error) || answers.every(({status}) => status === 'rejected')) throw error;
    } else if (answer.value) isStale = true;
  if (isStale) await client.refreshMetadata();
}

const isFinal = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code !== 'KAFKA_UNAVAILABLE';

/** @returns whether somebody else leads some of them */
async function askLeader(
  client: KafkaClient,
  leader: number,
  places: readonly Partition[],
  kind: OffsetKind,
  found: (place: Partition, offset: number) => void,
): Promise<boolean> {
  const byTopic = new Map<string, number[]>();
  for (const {topic, partition} of places) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition]);
  const body = new WireWriter().int32(-1).int8(1);
  body.array([...byTopic], ([topic, indexes]) =>
    body.string(topic).array(indexes, (index) =>
      body
        .int32(index)
        .int32(-1)
        .int64(kind === 'start' ? -2 : -1),
    ),
  );
  const reader = await client.request({to: leader, api: apis.listOffsets, body: body.bytes});
  let hasMoved = false;
  reader.int32();
  reader.array(() => {
    const topic = reader.string();
    reader.array(() => {
      const partition = reader.int32();
      const code = reader.int16();
      reader.int64();
      const offset = reader.long();
      reader.int32();
      if (code === 0) found({topic, partition}, offset);
      else if (!isTransient(code)) throw kafkaError(code, `asking for the ${kind} of ${topic}/${partition}`);
      else if (isMoved(code)) hasMoved = true;
    });
  });
  return hasMoved;
}
