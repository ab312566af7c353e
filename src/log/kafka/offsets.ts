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
 * @returns those others, without what does not exist as far as is known
 * @throws KAFKA_ACCESS, KAFKA_REFUSED; KAFKA_UNAVAILABLE when no leader answered
 */
export async function listOffsets(
  client: KafkaClient,
  partitions: readonly Partition[],
  kind: OffsetKind,
  found: (place: Partition, offset: number) => void,
): Promise<Partition[]> {
  const byLeader = new Map<number, Partition[]>();
  const untold = new Set(partitions);
  const tell = (place: Partition, offset: number) => {
    untold.delete(place);
    found(place, offset);
  };
  let isStale = false;
  for (const place of partitions) {
    const leader = client.partition(place.topic, place.partition)?.leader ?? -1;
    if (leader < 0) isStale = true;
    else byLeader.set(leader, [...(byLeader.get(leader) ?? []), place]);
  }
  const asked = [...byLeader].flatMap(([leader, places]) =>
    Array.from({length: Math.ceil(places.length / requestMax)}, (_, index) =>
      askLeader(client, leader, places.slice(index * requestMax, (index + 1) * requestMax), kind, tell),
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
  return [...untold].filter(({topic, partition}) => client.partition(topic, partition) !== undefined);
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
  let hasMoved = false;
  const asked = new Map(places.map((place) => [`${place.topic}/${place.partition}`, place]));
  for (const {topic, partition, code, offset} of await askOffsets(
    client,
    leader,
    places,
    kind,
    'committed',
  )) {
    const place = asked.get(`${topic}/${partition}`);
    if (!place) continue;
    if (code === 0) found(place, offset);
    else if (!isTransient(code)) throw kafkaError(code, `asking for the ${kind} of ${topic}/${partition}`);
    else if (isMoved(code)) hasMoved = true;
  }
  return hasMoved;
}

/** First or next offset of partitions of which the broker is the leader. @param records `all`: also those of open transactions */
export async function askOffsets(
  client: KafkaClient,
  broker: number,
  places: readonly Partition[],
  kind: OffsetKind,
  records: 'committed' | 'all',
): Promise<(Partition & {code: number; offset: number})[]> {
  const body = new WireWriter().int32(-1).int8(records === 'committed' ? 1 : 0);
  const byTopic = [...Map.groupBy(places, ({topic}) => topic)];
  body.array(byTopic, ([topic, items]) =>
    body.string(topic).array(items, ({partition}) =>
      body
        .int32(partition)
        .int32(-1)
        .int64(kind === 'start' ? -2 : -1),
    ),
  );
  const reader = await client.request({to: broker, api: apis.listOffsets, body: body.bytes});
  reader.int32();
  return reader
    .array(() => {
      const topic = reader.string();
      return reader.array(() => {
        const partition = reader.int32();
        const code = reader.int16();
        reader.int64();
        const offset = reader.long();
        reader.int32();
        return {topic, partition, code, offset};
      });
    })
    .flat();
}
