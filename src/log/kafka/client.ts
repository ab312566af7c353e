/**
 * A client of a Kafka cluster: connections by broker and purpose, metadata, and requests to whoever leads. It tries nothing
 * again by itself, except to reach some broker at all: who asks knows what an unknown outcome means to him.
 */
import {PlatformError} from '../../errors.ts';
import {apis, type KafkaApi} from './api.ts';
import {isMoved, kafkaError} from './codes.ts';
import {type Address, Connection, type ConnectionTimes} from './connection.ts';
import type {AnswerMemory} from './memory.ts';
import {clientDefaults, type KafkaSettings} from './settings.ts';
import {type WireReader, WireWriter} from './wire.ts';

/** As of the last look. */
export type KafkaMetadata = {
  /** Of the cluster; empty before the first look. */
  clusterId: string;
  brokers: ReadonlyMap<number, Address>;
  controller: number;
  topics: ReadonlyMap<string, readonly KafkaPartition[]>;
};
/** `leader` -1: nobody just now. */
export type KafkaPartition = {leader: number; leaderEpoch: number; replicas: number; inSync: number};

export type KafkaRequest = {
  /** Number of a broker; `any`: whoever can be reached; `controller`: who creates topics. */
  to: number | 'any' | 'controller';
  api: KafkaApi;
  /** In pieces it is not copied, and must not change until the answer is there. */
  body: Uint8Array | Uint8Array[];
  /** A broker answers the requests of one connection in turn: what may wait long gets a connection of its own, by this name. */
  lane?: string;
  timeoutMs?: number;
  /** Where a large answer gets its memory; whoever asks gives it back. Default: memory of its own. */
  memory?: AnswerMemory;
};

/** Pauses before a broker that could not be reached is tried again, ms. */
const pause = {first: 50, last: 1_000};

type Line = {
  connection: Connection | undefined;
  opening: Promise<Connection> | undefined;
  failures: number;
  notBefore: number;
};

export class KafkaClient {
  readonly settings: KafkaSettings;
  readonly #times: ConnectionTimes;
  readonly #lines = new Map<string, Line>();
  readonly #coordinators = new Map<string, number>();
  #metadata: KafkaMetadata = {
    clusterId: '',
    brokers: new Map(),
    controller: -1,
    topics: new Map(),
  };
  #refreshing: Promise<KafkaMetadata> | undefined;
  #isClosed = false;

  constructor(settings: KafkaSettings, times: Partial<ConnectionTimes> = {}) {
    this.settings = settings;
    this.#times = {...clientDefaults, ...settings.client, ...times};
  }

  get metadata(): KafkaMetadata {
    return this.#metadata;
  }

  /** Asks some broker for all topics; who asks while one is under way gets its answer. Throws KAFKA_UNAVAILABLE, KAFKA_ACCESS. */
  refreshMetadata(): Promise<KafkaMetadata> {
    this.#refreshing ??= this.#askMetadata().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** The partition as of the last look; undefined when it is not known. */
  partition(topic: string, partition: number): KafkaPartition | undefined {
    return this.#metadata.topics.get(topic)?.[partition];
  }

  /**
   * Sends a request. @returns the body of the answer
   * @throws AnswerLost when whether it was carried out is unknown; KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_PROTOCOL: it was not
   */
  async request({to, api, body, lane = 'control', timeoutMs, memory}: KafkaRequest): Promise<WireReader> {
    let connection: Connection;
    if (to === 'any') connection = await this.#anyone();
    else {
      const broker = to === 'controller' ? this.#metadata.controller : to;
      const address = this.#metadata.brokers.get(broker);
      if (!address)
        throw new PlatformError('KAFKA_UNAVAILABLE', `broker ${broker} is not in the cluster just now`);
      connection = await this.#line(`${broker}/${lane}`, address);
    }
    return connection.request(api, body, timeoutMs, memory);
  }

  /** Number of the broker that keeps the offsets and members of a group; asked for once, and again after `forgetCoordinator`. */
  async coordinatorOf(group: string): Promise<number> {
    const known = this.#coordinators.get(group);
    if (known !== undefined && this.#metadata.brokers.has(known)) return known;
    const body = new WireWriter().string(group).int8(0).bytes;
    const reader = await this.request({to: 'any', api: apis.findCoordinator, body});
    reader.int32();
    const code = reader.int16();
    const detail = reader.nullableString();
    if (code !== 0)
      throw kafkaError(code, `looking for the coordinator of group ${group}`, undefined, detail);
    const broker = reader.int32();
    if (!this.#metadata.brokers.has(broker)) await this.refreshMetadata();
    this.#coordinators.set(group, broker);
    return broker;
  }

  forgetCoordinator(group: string): void {
    this.#coordinators.delete(group);
  }

  close(): void {
    this.#isClosed = true;
    for (const {connection, opening} of this.#lines.values()) {
      connection?.close();
      opening?.then(
        (late) => late.close(),
        () => {},
      );
    }
    this.#lines.clear();
  }

  async #askMetadata(): Promise<KafkaMetadata> {
    const body = new WireWriter().array(null, () => {}).boolean(false).bytes;
    const reader = await this.request({to: 'any', api: apis.metadata, body});
    this.#metadata = readMetadata(reader);
    // A broker that moved to another address is not asked at the old one.
    for (const [key, {connection}] of this.#lines) {
      const address = this.#metadata.brokers.get(Number(key.split('/')[0]));
      if (connection && address && !isSame(connection.address, address)) connection.close();
    }
    return this.#metadata;
  }

  /** A connection to some broker: an open one, else the first that can be reached. */
  async #anyone(): Promise<Connection> {
    const control = [...this.#lines].filter(([key]) => key.endsWith('/control'));
    for (const [, {connection}] of control) if (connection?.isOpen) return connection;
    const places = new Map<string, Address>();
    for (const [id, address] of this.#metadata.brokers) places.set(`${id}/control`, address);
    for (const text of this.settings.brokers) places.set(`${text}/control`, addressOf(text));
    let failure: unknown;
    for (const [key, address] of places) {
      try {
        return await this.#line(key, address);
      } catch (error) {
        failure = error;
        if (error instanceof PlatformError && error.code !== 'KAFKA_UNAVAILABLE') break;
      }
    }
    throw failure;
  }

  async #line(key: string, address: Address): Promise<Connection> {
    if (this.#isClosed) throw new PlatformError('KAFKA_UNAVAILABLE', 'the client was closed');
    let line = this.#lines.get(key);
    if (!line)
      this.#lines.set(key, (line = {connection: undefined, opening: undefined, failures: 0, notBefore: 0}));
    if (line.connection?.isOpen) return line.connection;
    line.opening ??= this.#open(line, address);
    return line.opening;
  }

  async #open(line: Line, address: Address): Promise<Connection> {
    try {
      const waitMs = line.notBefore - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const connection = await Connection.open(address, this.settings, this.#times);
      line.failures = 0;
      line.connection = connection;
      return connection;
    } catch (error) {
      const ms = Math.min(pause.first * 2 ** line.failures++, pause.last);
      line.notBefore = performance.now() + ms * (0.5 + Math.random() / 2);
      throw error;
    } finally {
      line.opening = undefined;
    }
  }
}

const isSame = (a: Address, b: Address) => a.host === b.host && a.port === b.port;

/** `host:port`, `[::1]:port`; without a port 9092. */
export function addressOf(text: string): Address {
  const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text.trim());
  const port = Number(found?.[3] ?? 9092);
  if (!found || port > 65535)
    throw new PlatformError('KAFKA_UNAVAILABLE', `${text} is no address of a broker`, {
      hint: 'write host:port in log.kafka.brokers',
    });
  return {host: found[1] ?? found[2]!, port};
}

function readMetadata(reader: WireReader): KafkaMetadata {
  reader.int32();
  const brokers = new Map<number, Address>();
  reader.array(() => {
    brokers.set(reader.int32(), {host: reader.string(), port: reader.int32()});
    reader.nullableString();
  });
  const clusterId = reader.string();
  const controller = reader.int32();
  const topics = new Map<string, KafkaPartition[]>();
  reader.array(() => {
    const code = reader.int16();
    const name = reader.string();
    const isInternal = reader.boolean();
    const partitions: KafkaPartition[] = [];
    reader.array(() => {
      const failure = reader.int16();
      const index = reader.int32();
      const leader = reader.int32();
      const leaderEpoch = reader.int32();
      const replicas = reader.array(() => reader.int32()).length;
      const inSync = reader.array(() => reader.int32()).length;
      reader.array(() => reader.int32());
      partitions[index] = {leader: isMoved(failure) ? -1 : leader, leaderEpoch, replicas, inSync};
    });
    if (code === 0 && !isInternal) topics.set(name, partitions);
  });
  return {clusterId, brokers, controller, topics};
}
