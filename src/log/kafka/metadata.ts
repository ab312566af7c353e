/**
 * The request Metadata: brokers, topics, who leads what. Brokers from Kafka 2.8 on also say the id of a topic, by which one that was
 * deleted and made anew is another; older ones are asked without.
 */
import {PlatformError} from '../../errors.ts';
import {apis} from './api.ts';
import {isMoved} from './codes.ts';
import type {Address} from './connection.ts';
import {type WireReader, WireWriter} from './wire.ts';

/** As of the last look. */
export type KafkaMetadata = {
  /** Of the cluster; empty before the first look. */
  clusterId: string;
  brokers: ReadonlyMap<number, Address>;
  controller: number;
  topics: ReadonlyMap<string, readonly KafkaPartition[]>;
  /** By name, as Kafka's tools write them (base64url of 16 bytes); a topic of a cluster that gives none is missing. */
  topicIds: ReadonlyMap<string, string>;
};
/** `leader` -1: nobody just now. */
export type KafkaPartition = {leader: number; leaderEpoch: number; replicas: number; inSync: number};

/** Before the first look. */
export const noMetadata: KafkaMetadata = {
  clusterId: '',
  brokers: new Map(),
  controller: -1,
  topics: new Map(),
  topicIds: new Map(),
};

const portMax = 65_535;
/** Node refuses others before it asks anybody. */
const hostPattern = /^[^\s\p{Cc}]+$/u;

const odd = (topic: string, what: string): PlatformError =>
  new PlatformError('KAFKA_PROTOCOL', `the brokers say that topic ${topic} has ${what}`, {
    hint: 'check that log.kafka.brokers names brokers of Kafka',
  });

/** What a cluster without ids says in their place. */
const noId = Buffer.alloc(16).toString('base64url');

/** Asks for all topics. @param withIds in the version that tells their ids */
export function metadataRequest(withIds: boolean): Uint8Array {
  if (!withIds) return new WireWriter().array(null, () => {}).boolean(false).bytes;
  // All topics (null); nothing is created, no rights are asked for.
  return new WireWriter().uvarint(0).boolean(false).boolean(false).boolean(false).noTags().bytes;
}

/** The version of the request with ids, and the one without. */
export const metadataApi = (withIds: boolean) => (withIds ? apis.metadataWithIds : apis.metadata);

/** @throws KAFKA_PROTOCOL */
export function readMetadata(reader: WireReader, withIds: boolean): KafkaMetadata {
  const text = () => (withIds ? reader.compactString() : reader.nullableString()) ?? '';
  const list = <T>(read: () => T): T[] => (withIds ? reader.compactArray(read) : reader.array(read));
  const endOfItem = () => {
    if (withIds) reader.skipTags();
  };
  reader.int32();
  const brokers = new Map<number, Address>();
  list(() => {
    const [id, address] = [reader.int32(), {host: text(), port: reader.int32()}];
    text();
    endOfItem();
    // Nobody can connect to another: it is not there.
    if (hostPattern.test(address.host) && address.port > 0 && address.port <= portMax)
      brokers.set(id, address);
  });
  const clusterId = text();
  const controller = reader.int32();
  const topics = new Map<string, KafkaPartition[]>();
  const topicIds = new Map<string, string>();
  list(() => {
    const code = reader.int16();
    const name = text();
    const id = withIds ? Buffer.from(reader.raw(16)).toString('base64url') : noId;
    const isInternal = reader.boolean();
    const partitions: KafkaPartition[] = [];
    const {length} = list(() => {
      const failure = reader.int16();
      const index = reader.int32();
      const leader = reader.int32();
      const leaderEpoch = reader.int32();
      const [replicas, inSync] = [list(() => reader.int32()).length, list(() => reader.int32()).length];
      list(() => reader.int32());
      endOfItem();
      // Before the place is taken: a number of a billion would be a list of so many.
      if (index < 0 || index >= reader.bytes.length) throw odd(name, `a partition ${index}`);
      partitions[index] = {leader: isMoved(failure) ? -1 : leader, leaderEpoch, replicas, inSync};
    });
    if (withIds) reader.int32();
    endOfItem();
    if (partitions.length !== length) throw odd(name, `other partitions than 0 to ${length - 1}`);
    if (code !== 0 || isInternal) return;
    topics.set(name, partitions);
    if (id !== noId) topicIds.set(name, id);
  });
  return {clusterId, brokers, controller, topics, topicIds};
}
