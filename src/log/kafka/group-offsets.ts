/** Offsets of a consumer group, kept and asked for without being a member of it. */
import {PlatformError} from '../../errors.ts';
import {apis, type KafkaApi} from './api.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, isTransient, kafkaError} from './codes.ts';
import {type WireReader, WireWriter} from './wire.ts';

/** `metadata`: a text of ours beside the offset, up to 4 KiB. */
export type GroupOffset = {topic: string; partition: number; offset: number; metadata: string};

const attemptsMax = 5;
const pauseMs = 100;

/**
 * Keeps offsets for a group that has no members: others see them with Kafka's own tools.
 * @throws KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_REFUSED when the group has members after all
 */
export async function commitOffsets(
  client: KafkaClient,
  group: string,
  offsets: readonly GroupOffset[],
): Promise<void> {
  const body = new WireWriter().string(group).int32(-1).string('').string(null);
  body.array([...Map.groupBy(offsets, ({topic}) => topic)], ([topic, places]) =>
    body
      .string(topic)
      .array(places, ({partition, offset, metadata}) =>
        body.int32(partition).int64(offset).int32(-1).string(metadata),
      ),
  );
  await askCoordinator(client, group, apis.offsetCommit, body.bytes, (reader) => {
    reader.int32();
    const codes = reader.array(() => {
      reader.string();
      return reader.array(() => {
        reader.int32();
        return reader.int16();
      });
    });
    return codes.flat().find((code) => code !== 0) ?? 0;
  });
}

/** Offsets that a group has kept for partitions of a topic; those of partitions without one are left out. Throws as above. */
export function fetchOffsets(
  client: KafkaClient,
  group: string,
  topic: string,
  partitions: number,
): Promise<GroupOffset[]> {
  const body = new WireWriter().string(group);
  body.array([topic], (name) =>
    body.string(name).array(
      Array.from({length: partitions}, (_, partition) => partition),
      (partition) => body.int32(partition),
    ),
  );
  return askOffsets(client, group, body);
}

/** Everything that a group has kept, of the topics that we may describe. Throws as above. */
export const fetchAllOffsets = (client: KafkaClient, group: string): Promise<GroupOffset[]> =>
  askOffsets(
    client,
    group,
    new WireWriter().string(group).array(null, () => {}),
  );

async function askOffsets(client: KafkaClient, group: string, body: WireWriter): Promise<GroupOffset[]> {
  const found: GroupOffset[] = [];
  await askCoordinator(client, group, apis.offsetFetch, body.bytes, (reader) => {
    found.length = 0;
    reader.int32();
    let failed = 0;
    reader.array(() => {
      const name = reader.string();
      reader.array(() => {
        const partition = reader.int32();
        const offset = reader.long();
        reader.int32();
        const metadata = reader.nullableString() ?? '';
        failed ||= reader.int16();
        if (offset >= 0) found.push({topic: name, partition, offset, metadata});
      });
    });
    return reader.int16() || failed;
  });
  return found;
}

/**
 * Who holds the lease of a group, in that process's own words; undefined: nobody just now. Asks as somebody who looks on: it takes
 * the right to describe the group. Throws as above.
 */
export async function leaseHolder(client: KafkaClient, group: string): Promise<string | undefined> {
  let holder = '';
  const body = new WireWriter();
  body.array([group], (name) => body.string(name));
  await askCoordinator(client, group, apis.describeGroups, body.bytes, (reader) => {
    const codes = reader.array(() => {
      const code = reader.int16();
      for (let text = 0; text < 4; text++) reader.string();
      reader.array(() => {
        for (let text = 0; text < 3; text++) reader.string();
        reader.bytesOf();
        // Each member was told who leads.
        holder ||= Buffer.from(reader.bytesOf()).toString('utf8');
      });
      return code;
    });
    return codes[0] ?? 0;
  });
  return holder === '' ? undefined : holder;
}

async function askCoordinator(
  client: KafkaClient,
  group: string,
  api: KafkaApi,
  body: Uint8Array,
  codeOf: (reader: WireReader) => number,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    let failure: unknown;
    try {
      const to = await client.coordinatorOf(group);
      const code = codeOf(await client.request({to, api, body}));
      if (code === 0) return;
      if (isMoved(code)) client.forgetCoordinator(group);
      failure = kafkaError(code, `keeping the offsets of group ${group}`);
      if (!isTransient(code)) throw failure;
    } catch (error) {
      if (!(error instanceof PlatformError) || error.code !== 'KAFKA_UNAVAILABLE') throw error;
      client.forgetCoordinator(group);
      failure = error;
    }
    if (attempt >= attemptsMax) throw failure;
    await new Promise((resolve) => setTimeout(resolve, pauseMs * attempt));
  }
}
