/** Creates topics, and compares those that exist with what was wanted. */
import {PlatformError} from '../../errors.ts';
import {apis} from './api.ts';
import type {KafkaClient} from './client.ts';
import {isTransient, kafkaError} from './codes.ts';
import type {KafkaSettings} from './settings.ts';
import {type WireReader, WireWriter} from './wire.ts';

export type WantedTopic = {
  name: string;
  partitions: number;
  /** 0: as many as there are brokers, at most three. */
  replication: number;
  /** With three replicas `min.insync.replicas` is 2 unless it stands here: a write then survives the loss of a broker. https://kafka.apache.org/documentation/#topicconfigs */
  configs: Readonly<Record<string, string>>;
};

/** A topic that exists and is not as it was wanted. */
export type TopicDifference = {
  topic: string;
  /** Of what: a configuration's name, or `replicas`. */
  what: string;
  is: string;
  wanted: string;
  /** The command that makes it so; undefined where there is no simple one. */
  command?: string;
};

const createMs = 30_000;
const replicasMost = 3;
const alreadyExists = 36;
const topicResource = 2;
const unknownTopic = 3;

/** Topics of records that are kept for a time. */
export function keptConfigs(
  {topics}: KafkaSettings,
  retentionMs = topics.retentionMs,
): Record<string, string> {
  return {
    'cleanup.policy': 'delete',
    'message.timestamp.type': 'LogAppendTime',
    'retention.ms': String(retentionMs ?? -1),
  };
}

const sizeConfig = 'max.message.bytes';

/**
 * Topics of letters and of events to be counted after all: each holds a whole record and what is said of it, and brokers take no more
 * than 1 MiB by default, which is what the record may have already.
 */
export const letterConfigs = (
  settings: KafkaSettings,
  retentionMs?: number | null,
): Record<string, string> => ({
  ...keptConfigs(settings, retentionMs),
  [sizeConfig]: String(2 * 2 ** 20),
});

/** Topics of which the last record of every key is kept. */
export const compactedConfigs: Readonly<Record<string, string>> = {
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0.2',
};

/**
 * Creates the topics that do not exist, and waits until they can be used. One that exists with fewer or more partitions is as
 * good. @returns how those that exist differ
 * @throws KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_REFUSED (policy, more replicas than brokers)
 */
export async function ensureTopics(
  client: KafkaClient,
  topicsWanted: readonly WantedTopic[],
): Promise<TopicDifference[]> {
  const {topics, brokers} = await client.refreshMetadata();
  const wanted = topicsWanted.map((topic) => {
    const replication = topic.replication || Math.min(replicasMost, brokers.size);
    const configs = {'min.insync.replicas': String(replication >= replicasMost ? 2 : 1), ...topic.configs};
    return {...topic, replication, configs};
  });
  const missing = wanted.filter(({name}) => !topics.has(name));
  if (missing.length > 0) {
    await create(client, missing);
    await untilLed(
      client,
      missing.map(({name}) => name),
    );
  }
  return compare(
    client,
    wanted.filter(({name}) => topics.has(name)),
  );
}

async function create(client: KafkaClient, missing: readonly WantedTopic[]): Promise<void> {
  const body = new WireWriter();
  body.array(missing, ({name, partitions, replication, configs}) => {
    body
      .string(name)
      .int32(partitions)
      .int16(replication)
      .array([], () => {});
    body.array(Object.entries(configs), ([key, value]) => body.string(key).string(value));
  });
  body.int32(createMs).boolean(false);
  const reader = await client.request({to: 'controller', api: apis.createTopics, body: body.bytes});
  reader.int32();
  reader.array(() => {
    const name = reader.string();
    const code = reader.int16();
    const detail = reader.nullableString();
    if (code !== 0 && code !== alreadyExists)
      throw kafkaError(code, `creating topic ${name}`, undefined, detail);
  });
}

/** Waits until every partition of the topics has a leader. */
async function untilLed(client: KafkaClient, names: readonly string[]): Promise<void> {
  const untilMs = performance.now() + createMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 500)) {
    const {topics} = await client.refreshMetadata();
    const waiting = names.filter((name) => {
      const partitions = topics.get(name);
      return !partitions?.length || partitions.some(({leader}) => leader < 0);
    });
    if (waiting.length === 0) return;
    if (performance.now() > untilMs)
      throw new PlatformError('KAFKA_UNAVAILABLE', `topic ${waiting[0]} has no leader`, {
        hint: 'look at the brokers: was one of them lost?',
      });
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Deletes topics, and waits until they are gone; one that does not exist is as good. Throws KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_REFUSED */
export async function deleteTopics(client: KafkaClient, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  await client.refreshMetadata();
  const body = new WireWriter();
  body.array(names, (name) => body.string(name)).int32(createMs);
  const reader = await client.request({to: 'controller', api: apis.deleteTopics, body: body.bytes});
  reader.int32();
  reader.array(() => {
    const name = reader.string();
    const code = reader.int16();
    if (code !== 0 && code !== unknownTopic) throw kafkaError(code, `deleting topic ${name}`);
  });
  const untilMs = performance.now() + createMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 500)) {
    const {topics} = await client.refreshMetadata();
    const left = names.find((name) => topics.has(name));
    if (left === undefined) return;
    if (performance.now() > untilMs)
      throw new PlatformError('KAFKA_UNAVAILABLE', `topic ${left} was deleted and is still there`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

async function compare(client: KafkaClient, wanted: readonly WantedTopic[]): Promise<TopicDifference[]> {
  if (wanted.length === 0) return [];
  const found: TopicDifference[] = [];
  const byName = new Map(wanted.map((topic) => [topic.name, topic]));
  const body = new WireWriter();
  body.array(wanted, ({name, configs}) => {
    body
      .int8(topicResource)
      .string(name)
      .array(Object.keys(configs), (key) => body.string(key));
  });
  body.boolean(false);
  const reader = await client.request({to: 'any', api: apis.describeConfigs, body: body.bytes});
  reader.int32();
  reader.array(() => {
    const {name, values} = readConfigs(reader);
    for (const [key, value] of Object.entries(byName.get(name)?.configs ?? {})) {
      const is = values.get(key);
      // Who may not describe configurations sees none: nothing can be said of them.
      if (is === undefined || is === value) continue;
      if (key === sizeConfig && Number(is) > Number(value)) continue;
      const command = `kafka-configs.sh --bootstrap-server ${client.settings.brokers[0]} --alter --entity-type topics --entity-name ${name} --add-config ${key}=${value}`;
      found.push({topic: name, what: key, is, wanted: value, command});
    }
  });
  for (const {name, replication} of wanted) {
    const fewest = Math.min(...(client.metadata.topics.get(name) ?? []).map(({replicas}) => replicas));
    if (fewest < replication)
      found.push({topic: name, what: 'replicas', is: String(fewest), wanted: String(replication)});
  }
  return found;
}

function readConfigs(reader: WireReader): {name: string; values: Map<string, string>} {
  const code = reader.int16();
  const detail = reader.nullableString();
  reader.int8();
  const name = reader.string();
  const values = new Map<string, string>();
  reader.array(() => {
    const key = reader.string();
    const value = reader.nullableString();
    reader.boolean();
    reader.int8();
    reader.boolean();
    reader.array(() => {
      reader.string();
      reader.nullableString();
      reader.int8();
    });
    if (value !== null) values.set(key, value);
  });
  if (code !== 0 && isTransient(code))
    throw kafkaError(code, `reading the configuration of topic ${name}`, undefined, detail);
  return {name, values};
}
