/**
 * One connection to one broker: requests go out in order, answers are matched by their correlation id.
 *
 *   request := length:int32 key:int16 version:int16 correlation:int32 client:nullable string [tags] body
 *   answer  := length:int32 correlation:int32 [tags] body
 *
 * (https://kafka.apache.org/protocol#protocol_messages). An answer is read by the socket straight into memory of its own, which
 * it keeps: views into it stay valid.
 */
import {connect as connectTcp, isIP, type Socket} from 'node:net';
import {connect as connectTls} from 'node:tls';
import {PlatformError} from '../../errors.ts';
import {Answers} from './answers.ts';
import {apis, type KafkaApi} from './api.ts';
import {kafkaError} from './codes.ts';
import {type Progress, tlsFailure, wayOut} from './connection-errors.ts';
import type {AnswerMemory} from './memory.ts';
import {authenticate, saslName} from './sasl.ts';
import type {KafkaSettings} from './settings.ts';
import {WireReader, WireWriter} from './wire.ts';

/** Of a session that SASL limits, the share after which we authenticate again. */
const sessionShare = 0.8;

/** Durations, ms. */
export type ConnectionTimes = {connectMs: number; requestMs: number};
export type Address = {host: string; port: number};

export type RequestOptions = {
  timeoutMs?: number;
  /** Where a large answer gets its memory; whoever asks gives it back. Default: memory of its own. */
  memory?: AnswerMemory;
  /** Asked when nothing is left to wait for: whether it may go out still. */
  may?: () => boolean;
};

/** The request went out and no answer came: whether the broker carried it out is unknown. */
export class AnswerLost extends PlatformError {}

type Pending = {
  api: KafkaApi;
  resolve(reader: WireReader): void;
  reject(error: unknown): void;
  timer: NodeJS.Timeout;
  memory: AnswerMemory | undefined;
};

export class Connection {
  readonly address: Address;
  readonly #settings: KafkaSettings;
  readonly #times: ConnectionTimes;
  #socket!: Socket;
  #correlation = 0;
  readonly #pending = new Map<number, Pending>();
  readonly #answers: Answers;
  /** Set once: why nothing can be asked any more. */
  #ended: PlatformError | undefined;
  #versions = new Map<number, {min: number; max: number}>();
  readonly #progress: Progress = {isConnected: false, isSecure: false, hasVersions: false, wasServed: false};
  #reauthenticateAt = Number.POSITIVE_INFINITY;
  #authenticating: Promise<void> | undefined;

  private constructor(address: Address, settings: KafkaSettings, times: ConnectionTimes) {
    this.address = address;
    this.#settings = settings;
    this.#times = times;
    this.#answers = new Answers(this.#name, {
      memory: (length) => {
        // A broker answers the requests of a connection in turn.
        const [next] = this.#pending.values();
        return next?.memory?.take(length) ?? Buffer.allocUnsafeSlow(length);
      },
      answer: (bytes) => this.#answered(bytes),
    });
  }

  /** Connects, asks for the versions and authenticates. Throws KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_PROTOCOL. */
  static async open(address: Address, settings: KafkaSettings, times: ConnectionTimes): Promise<Connection> {
    const connection = new Connection(address, settings, times);
    try {
      await connection.#connect();
      await connection.#negotiate();
      if (settings.security.sasl) await connection.#authenticate();
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** Whether the broker knows the request in that version. */
  speaks({key, version}: KafkaApi): boolean {
    const known = this.#versions.get(key);
    return known !== undefined && version >= known.min && version <= known.max;
  }

  /** Requests that wait for an answer. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /**
   * Sends a request; `body` in pieces is not copied and must not change until the answer is there.
   * @throws AnswerLost, KAFKA_UNAVAILABLE when it did not go out, KAFKA_PROTOCOL when the broker is too old for it
   */
  async request(
    api: KafkaApi,
    body: Uint8Array | Uint8Array[],
    options: RequestOptions = {},
  ): Promise<WireReader> {
    if (this.#authenticating || performance.now() > this.#reauthenticateAt) await this.#again();
    if (!this.speaks(api)) {
      const known = this.#versions.get(api.key);
      throw new PlatformError(
        'KAFKA_PROTOCOL',
        `${this.#name}: the broker does not speak ${api.name} version ${api.version}${known ? `, only ${known.min} to ${known.max}` : ''}`,
        {hint: 'Kafka 2.7 or later is needed'},
      );
    }
    if (options.may?.() === false)
      throw new PlatformError('KAFKA_UNAVAILABLE', `${this.#name}: ${api.name} may not be sent any more`);
    return this.#send(api, body, options);
  }

  /** The broker does not look at what it was asked before so much time is over. */
  giveTime(ms: number): void {
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.timer = this.#limit(pending.api, ms + this.#times.requestMs);
    }
  }

  /** What is under way is lost. */
  close(): void {
    this.#end(new PlatformError('KAFKA_UNAVAILABLE', `${this.#name}: the connection was closed`));
  }

  get #name(): string {
    return `broker ${this.address.host}:${this.address.port}`;
  }

  #connect(): Promise<void> {
    const {host, port} = this.address;
    const {protocol, tls} = this.#settings.security;
    const isTls = protocol === 'ssl' || protocol === 'sasl_ssl';
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#end(this.#lost(`no connection within ${this.#times.connectMs} ms`)),
        this.#times.connectMs,
      );
      const socket = isTls
        ? connectTls({host, port, ...tls, ...(isIP(host) ? {} : {servername: host})})
        : connectTcp({
            host,
            port,
            onread: {
              buffer: () => this.#answers.room(),
              callback: (size, bytes) => this.#received(size, bytes),
            },
          });
      this.#socket = socket;
      socket.setNoDelay(true);
      socket.once('connect', () => {
        this.#progress.isConnected = true;
      });
      socket.setKeepAlive(true, 30_000);
      socket.on('error', (error) => this.#end(this.#failed(error)));
      socket.on('close', () => {
        clearTimeout(timer);
        this.#end(this.#lost('the connection ended'));
        reject(this.#ended);
      });
      if (isTls) socket.on('data', (chunk: Buffer) => this.#received(chunk.length, chunk));
      socket.once(isTls ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer);
        this.#progress.isSecure = isTls;
        resolve();
      });
    });
  }

  #failed(error: Error & {code?: string}): PlatformError {
    return tlsFailure(this.#name, error) ?? this.#lost(error.code ?? error.message, error);
  }

  #lost(why: string, cause?: unknown): PlatformError {
    return new PlatformError('KAFKA_UNAVAILABLE', `${this.#name}: ${why}`, {
      hint: wayOut(this.#settings.security.protocol, this.#progress),
      ...(cause === undefined ? {} : {cause}),
    });
  }

  async #negotiate(): Promise<void> {
    const reader = await this.#send(apis.apiVersions, new Uint8Array(0), {timeoutMs: this.#times.connectMs});
    const code = reader.int16();
    if (code !== 0) throw kafkaError(code, `asking ${this.#name} for its versions`);
    const found = reader.array(() => ({key: reader.int16(), min: reader.int16(), max: reader.int16()}));
    this.#progress.hasVersions = true;
    this.#versions = new Map(found.map(({key, min, max}) => [key, {min, max}]));
  }

  async #authenticate(): Promise<void> {
    const {sasl} = this.#settings.security;
    if (!sasl) return;
    const name = saslName(sasl.mechanism);
    const handshake = await this.#send(apis.saslHandshake, new WireWriter().string(name).bytes);
    const code = handshake.int16();
    const offered = handshake.array(() => handshake.string());
    if (code !== 0)
      throw kafkaError(
        code,
        `${this.#name}, SASL ${name}`,
        undefined,
        offered.length > 0 ? `it offers ${offered.join(', ')}` : null,
      );
    let lifetimeMs = 0;
    await authenticate(sasl, async (bytes) => {
      const body = new WireWriter().bytesOf(bytes).bytes;
      const reader = await this.#send(apis.saslAuthenticate, body);
      const failure = reader.int16();
      const message = reader.nullableString();
      if (failure !== 0)
        throw kafkaError(failure, `${this.#name}, user ${sasl.username}`, undefined, message);
      const answer = reader.bytesOf();
      lifetimeMs = reader.long();
      return answer;
    });
    this.#reauthenticateAt =
      lifetimeMs > 0 ? performance.now() + lifetimeMs * sessionShare : Number.POSITIVE_INFINITY;
  }

  /** Authenticates again once everything that is under way was answered; requests wait for it (KIP-368). */
  #again(): Promise<void> {
    this.#authenticating ??= (async () => {
      while (this.#pending.size > 0 && this.isOpen) await new Promise((resolve) => setTimeout(resolve, 5));
      await this.#authenticate();
    })().finally(() => {
      this.#authenticating = undefined;
    });
    return this.#authenticating;
  }

  #send(api: KafkaApi, body: Uint8Array | Uint8Array[], options: RequestOptions = {}): Promise<WireReader> {
    if (this.#ended) return Promise.reject(this.#ended);
    const parts = body instanceof Uint8Array ? [body] : body;
    this.#correlation = (this.#correlation + 1) & 0x7fffffff;
    const correlation = this.#correlation;
    const header = new WireWriter(64).int32(0).int16(api.key).int16(api.version).int32(correlation);
    header.string(this.#settings.clientId);
    if (api.flexible) header.noTags();
    const {bytes} = header;
    let length = bytes.length - 4;
    for (const part of parts) length += part.length;
    new DataView(bytes.buffer, bytes.byteOffset).setInt32(0, length);
    return new Promise((resolve, reject) => {
      const timer = this.#limit(api, options.timeoutMs ?? this.#times.requestMs);
      this.#pending.set(correlation, {api, resolve, reject, timer, memory: options.memory});
      this.#socket.cork();
      this.#socket.write(bytes);
      for (const part of parts) this.#socket.write(part);
      this.#socket.uncork();
    });
  }

  #limit({name}: KafkaApi, ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#end(this.#lost(`no answer to ${name} within ${ms} ms`)), ms);
  }

  #received(size: number, bytes: Uint8Array): boolean {
    try {
      this.#answers.received(size, bytes);
    } catch (error) {
      this.#end(error instanceof PlatformError ? error : this.#lost(String(error), error));
    }
    return this.isOpen;
  }

  #answered(bytes: Uint8Array): void {
    const reader = new WireReader(bytes);
    const correlation = reader.int32();
    // A broker answers in turn: an answer that overtakes another would lie in the memory of that one's.
    const [[next, pending] = []] = this.#pending;
    if (!pending || next !== correlation)
      throw new PlatformError('KAFKA_PROTOCOL', `${this.#name}: an answer that nobody asked for`, {
        hint: 'see what stands between this machine and the broker',
      });
    // Before it is taken from those that wait: where this fails, it fails with them.
    if (pending.api.flexible) reader.skipTags();
    this.#pending.delete(correlation);
    clearTimeout(pending.timer);
    if (pending.api !== apis.apiVersions) this.#progress.wasServed = true;
    pending.resolve(reader);
  }

  #end(error: PlatformError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#socket?.destroy();
    for (const {timer, reject, api} of this.#pending.values()) {
      clearTimeout(timer);
      const {code, hint} = error;
      reject(
        code === 'KAFKA_UNAVAILABLE'
          ? new AnswerLost(code, `${error.message}; ${api.name} was not answered`, {
              ...(hint === undefined ? {} : {hint}),
              cause: error,
            })
          : error,
      );
    }
    this.#pending.clear();
  }
}
