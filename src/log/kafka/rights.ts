/**
 * What our user may do, as the brokers tell it to the user itself: the bit sets of operations in the answers to Metadata and
 * DescribeGroups (KIP-430), and a creation of topics that is only tried (`validateOnly`). Nothing is made, and no right to look at access
 * rules is needed. Brokers without access control tell all operations.
 */
import {PlatformError} from '../../errors.ts';
import {apis} from './api.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, isTransient, kafkaError} from './codes.ts';
import {type WireReader, WireWriter} from './wire.ts';

/** Operations by their number in Kafka's bit sets (org.apache.kafka.common.acl.AclOperation), those that we have use for. */
const numbers = {
  Read: 3,
  Write: 4,
  Create: 5,
  Delete: 6,
  Describe: 8,
  DescribeConfigs: 10,
  IdempotentWrite: 12,
} as const;
/** As Kafka's own tools name it. */
export type Operation = keyof typeof numbers;

/** Undefined: the brokers do not tell it. */
export type Allowed = ReadonlySet<Operation> | undefined;

/** What brokers say in place of a bit set that they do not tell. */
const untold = -(2 ** 31);
const topicDenied = 29;
const groupDenied = 30;
const clusterDenied = 31;
const none: ReadonlySet<Operation> = new Set();

const operationsOf = (bits: number): Allowed =>
  bits === untold
    ? undefined
    : new Set((Object.keys(numbers) as Operation[]).filter((name) => bits & (1 << numbers[name])));

/** @param topics by name, also such as do not exist. @returns `cluster` undefined also for who may not describe it @throws KAFKA_* */
export async function askTopicRights(
  client: KafkaClient,
  topics: readonly string[],
): Promise<{topics: Map<string, Allowed>; cluster: Allowed}> {
  const body = new WireWriter();
  body.array(topics, (name) => body.string(name));
  // Nothing is created; the operations on the cluster, those on the topics.
  body.boolean(false).boolean(true).boolean(true);
  const reader = await client.request({to: 'any', api: apis.metadataWithRights, body: body.bytes});
  reader.int32();
  reader.array(() => {
    reader.int32();
    reader.string();
    reader.int32();
    reader.nullableString();
  });
  reader.nullableString();
  reader.int32();
  const found = new Map<string, Allowed>();
  reader.array(() => {
    const code = reader.int16();
    const name = reader.string();
    reader.boolean();
    reader.array(() => passPartition(reader));
    const allowed = operationsOf(reader.int32());
    found.set(name, code === topicDenied ? (allowed ?? none) : allowed);
  });
  const cluster = operationsOf(reader.int32());
  return {topics: found, cluster: cluster?.size === 0 ? undefined : cluster};
}

function passPartition(reader: WireReader): void {
  reader.int16();
  for (let number = 0; number < 3; number++) reader.int32();
  for (let list = 0; list < 3; list++) reader.array(() => reader.int32());
}

/** Those of the topics that our user may not describe: to it they do not exist, whether they do or not. @throws KAFKA_* */
export async function hiddenTopics(client: KafkaClient, topics: readonly string[]): Promise<Set<string>> {
  if (topics.length === 0) return new Set();
  const rights = await askTopicRights(client, topics);
  return new Set(topics.filter((topic) => rights.topics.get(topic)?.has('Describe') === false));
}

/** What is said of topics that nothing is known of. */
export const saidOfHidden = (topics: readonly string[]): string =>
  `the user of log.kafka.security may not describe ${topics.length === 1 ? 'topic' : 'topics'} ${topics.join(', ')}`;

/** Those of the topics that do not exist and may not be created, be it by a right on the topic or on the cluster. @throws KAFKA_* */
export async function uncreatable(client: KafkaClient, topics: readonly string[]): Promise<Set<string>> {
  const denied = new Set<string>();
  if (topics.length === 0) return denied;
  const body = new WireWriter();
  // As many partitions and replicas as the brokers make of themselves: what is asked is whether we may.
  body.array(topics, (name) => {
    body.string(name).int32(-1).int16(-1);
    for (let list = 0; list < 2; list++) body.array([], () => {});
  });
  body.int32(tryMs).boolean(true);
  const reader = await client.request({to: 'controller', api: apis.createTopics, body: body.bytes});
  reader.int32();
  reader.array(() => {
    const name = reader.string();
    const code = reader.int16();
    const detail = reader.nullableString();
    if (code === topicDenied || code === clusterDenied) denied.add(name);
    else if (isTransient(code)) throw kafkaError(code, `trying to create topic ${name}`, undefined, detail);
  });
  return denied;
}

const tryMs = 5_000;
/** A cluster makes the topic of groups when it is asked for the first one: so long it is asked again. */
const patienceMs = 8_000;
const pauseMs = 100;
const askedAtOnce = 8;

/** @param groups also such as do not exist @throws KAFKA_*, KAFKA_UNAVAILABLE when the brokers do not tell it in 8 s */
export async function askGroupRights(
  client: KafkaClient,
  groups: readonly string[],
): Promise<Map<string, Allowed>> {
  const found = new Map<string, Allowed>();
  const untilMs = performance.now() + patienceMs;
  for (;;) {
    const left = groups.filter((group) => !found.has(group));
    if (left.length === 0) return found;
    try {
      await askOnce(client, left, found);
    } catch (error) {
      const isPassing = error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE';
      if (!isPassing || performance.now() > untilMs) throw error;
      for (const group of left) client.forgetCoordinator(group);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** Tells `found` of those that are answered for. @throws KAFKA_UNAVAILABLE when others are not */
async function askOnce(
  client: KafkaClient,
  groups: readonly string[],
  found: Map<string, Allowed>,
): Promise<void> {
  const byBroker = new Map<number, string[]>();
  let next = 0;
  const look = async () => {
    while (next < groups.length) {
      const group = groups[next++]!;
      try {
        const broker = await client.coordinatorOf(group);
        byBroker.set(broker, [...(byBroker.get(broker) ?? []), group]);
      } catch (error) {
        if (!(error instanceof PlatformError) || error.code !== 'KAFKA_ACCESS') throw error;
        found.set(group, none);
      }
    }
  };
  await Promise.all(Array.from({length: askedAtOnce}, look));
  for (const [broker, own] of byBroker) await askBroker(client, broker, own, found);
}

async function askBroker(
  client: KafkaClient,
  broker: number,
  groups: readonly string[],
  found: Map<string, Allowed>,
): Promise<void> {
  const body = new WireWriter();
  body.array(groups, (name) => body.string(name)).boolean(true);
  const reader = await client.request({to: broker, api: apis.describeGroupsWithRights, body: body.bytes});
  let failure: PlatformError | undefined;
  reader.int32();
  reader.array(() => {
    const code = reader.int16();
    const group = reader.string();
    for (let text = 0; text < 3; text++) reader.string();
    reader.array(() => {
      for (let text = 0; text < 3; text++) reader.string();
      for (let part = 0; part < 2; part++) reader.bytesOf();
    });
    const allowed = operationsOf(reader.int32());
    if (code === groupDenied) found.set(group, none);
    else if (code === 0) found.set(group, allowed);
    else {
      if (isMoved(code)) client.forgetCoordinator(group);
      failure ??= kafkaError(code, `asking for the rights on group ${group}`);
    }
  });
  if (failure) throw failure;
}

/** Whether the brokers want the right IdempotentWrite on the cluster of who writes: those before 3.0 do. @throws KAFKA_* */
export async function wantsIdempotentWrite(client: KafkaClient): Promise<boolean> {
  const [broker] = client.metadata.brokers.keys();
  return broker !== undefined && !(await client.speaks(broker, 'control', listOffsetsOf30));
}

/** A version that came with Kafka 3.0; it is not asked, only looked for. */
const listOffsetsOf30 = {name: 'ListOffsets', key: 2, version: 7};
