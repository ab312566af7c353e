/**
 * A client of a Kafka cluster: connections by broker and purpose, metadata, and requests to whoever leads. It tries nothing
 * again by itself, except to reach some broker at all: who asks knows what an unknown outcome means to him.
 */
import {PlatformError} from '../../errors.ts';
import {apis, type KafkaApi} from './api.ts';
import {kafkaError} from './codes.ts';
import {type Address, Connection, type ConnectionTimes, type RequestOptions} from './connection.ts';
import {
  type KafkaMetadata,
  type KafkaPartition,
  metadataApi,
  metadataRequest,
  noMetadata,
  readMetadata,
} from './metadata.ts';
import {clientDefaults, type KafkaSettings} from './settings.ts';
import {type WireReader, WireWriter} from './wire.ts';

export type KafkaRequest = RequestOptions & {
  /** Number of a broker; `any`: whoever can be reached; `controller`: who creates topics. */
  to: number | 'any' | 'controller';
  api: KafkaApi;
  /** In pieces it is not copied, and must not change until the answer is there. */
  body: Uint8Array | Uint8Array[];
  /** A broker answers the requests of one connection in turn: what may wait long gets a connection of its own, by this name. */
  lane?: string;
};

/** Pauses before a broker that could not be reached is tried again, ms. */
const pause = {first: 50, last: 1_000};

type Line = {
  connection: Connection | undefined;
  opening: Promise<Connection> | undefined;
  failures: number;
  notBefore: number;
  /** Until then the broker reads nothing of it. */
  rest?: {over: Promise<void>; end: () => void; untilMs: number} | undefined;
};

/** A broker that is over a quota is not left alone for longer at once, ms. */
const restMsMax = 30_000;

export class KafkaClient {
  readonly settings: KafkaSettings;
  readonly #times: ConnectionTimes;
  readonly #lines = new Map<string, Line>();
  readonly #coordinators = new Map<string, number>();
  #metadata: KafkaMetadata = noMetadata;
  /** Ids of topics that were seen, also of those that are gone. */
  readonly #topicIds = new Map<string, string>();
  /** Is told of a topic that was deleted and made anew since it was first seen here. */
  remade: (topic: string) => void = () => {};
  /** Is told of a broker that makes this client wait, since it is over a quota. */
  throttled: (broker: number, ms: number) => void = () => {};
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
  async request({to, api, body, lane = 'control', ...options}: KafkaRequest): Promise<WireReader> {
    const connection = await this.#connectionTo(to, lane);
    return connection.request(api, body, options);
  }

  /**
   * A broker has said that this client is over a quota: it answered, and reads nothing more of that connection for so long (KIP-219). What
   * is under way there may take as much longer.
   */
  rest(broker: number, lane: string, throttleMs: number): void {
    const line = this.#lines.get(`${broker}/${lane}`);
    if (!line || throttleMs <= 0) return;
    const ms = Math.min(throttleMs, restMsMax);
    line.connection?.giveTime(ms);
    const {promise: over, resolve} = Promise.withResolvers<void>();
    const end = () => {
      clearTimeout(timer);
      if (line.rest?.end === end) line.rest = undefined;
      resolve();
    };
    const timer = setTimeout(end, ms);
    const before = line.rest;
    line.rest = {over, end, untilMs: performance.now() + ms};
    before?.end();
    this.throttled(broker, ms);
  }

  /** How long the broker reads nothing of that connection yet, ms. */
  restMs(broker: number, lane: string): number {
    const {untilMs = 0} = this.#lines.get(`${broker}/${lane}`)?.rest ?? {};
    return Math.max(0, untilMs - performance.now());
  }

  /** Resolves when the broker reads of that connection, to all who wait in the order in which they asked. */
  async rested(broker: number, lane: string): Promise<void> {
    for (;;) {
      const rest = this.#lines.get(`${broker}/${lane}`)?.rest;
      if (!rest) return;
      await rest.over;
    }
  }

  /** Whether a broker speaks a version that not all do. Throws KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_PROTOCOL. */
  async speaks(broker: number, lane: string, api: KafkaApi): Promise<boolean> {
    return (await this.#connectionTo(broker, lane)).speaks(api);
  }

  async #connectionTo(to: KafkaRequest['to'], lane: string): Promise<Connection> {
    if (to === 'any') return this.#anyone();
    const broker = to === 'controller' ? this.#metadata.controller : to;
    const address = this.#metadata.brokers.get(broker);
    if (!address)
      throw new PlatformError('KAFKA_UNAVAILABLE', `broker ${broker} is not in the cluster just now`);
    return this.#line(`${broker}/${lane}`, address);
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

  /** What goes to the broker there next goes over a new connection; what is under way is lost. */
  renew(broker: number, lane: string): void {
    this.#lines.get(`${broker}/${lane}`)?.connection?.close();
  }

  forgetCoordinator(group: string): void {
    this.#coordinators.delete(group);
  }

  close(): void {
    this.#isClosed = true;
    for (const {connection, opening, rest} of this.#lines.values()) {
      rest?.end();
      connection?.close();
      opening?.then(
        (late) => late.close(),
        () => {},
      );
    }
    this.#lines.clear();
  }

  async #askMetadata(): Promise<KafkaMetadata> {
    const connection = await this.#anyone();
    const withIds = connection.speaks(apis.metadataWithIds);
    const reader = await connection.request(metadataApi(withIds), metadataRequest(withIds));
    this.#metadata = readMetadata(reader, withIds);
    for (const [topic, id] of this.#metadata.topicIds) {
      const known = this.#topicIds.get(topic);
      this.#topicIds.set(topic, id);
      if (known !== undefined && known !== id) this.remade(topic);
    }
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
