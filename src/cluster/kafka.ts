import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {KafkaClient} from '../log/kafka/client.ts';
import type {Progress} from './cache.ts';
import {type Certificates, keptCertificates} from './certificates.ts';
import {fastJvm, type KafkaProgram, kafkaProgram, smallJvm} from './kafka-program.ts';
import {
  brokerProperties,
  type KafkaLayout,
  type KafkaListener,
  kafkaLayout,
  logProperties,
  metaProperties,
} from './kafka-properties.ts';
import {setScramUsers} from './kafka-users.ts';
import {
  awaitReady,
  isRunning,
  type ProcessIdentity,
  release,
  signalProcess,
  startProcess,
  stopProcess,
  tailOf,
} from './process.ts';
import {requireFree, type WantedPorts} from './single.ts';
import {removeAtEnd} from './watchdog.ts';

/** What kind of cluster is wanted. */
export type KafkaOptions = {
  /** Three keep every partition on all of them and accept a write that two have. Default 1. */
  brokers?: 1 | 3;
  /** Where everything is kept and found again; default: a temporary directory that `stop` removes. */
  dir?: string;
  /** Where the brokers listen in plain text; default: where they did, else on free ports. */
  wanted?: WantedPorts | undefined;
  /** Besides `plain`, which there always is. */
  listeners?: Exclude<KafkaListener, 'plain'>[];
  /** Who may log in on the listeners with SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512): name and password. */
  users?: Record<string, string>;
  /** With the listener `proxied`: the port that its clients are sent to, by broker. Something has to forward from there. */
  proxiedPorts?: number[];
  /** Further properties of the brokers; they win. */
  properties?: Record<string, string>;
  /** Memory of each broker's heap, as Java reads it; default `512m`. */
  heap?: string;
  /** Java as Kafka's own scripts start it: a broker that is faster after minutes, and starts with twice the CPU time. */
  optimised?: boolean;
  /** The brokers go on when this process ends; default: they end with it. */
  detached?: boolean;
  progress?: Progress;
};

/** A cluster that runs. */
export type Kafka = {
  /** `host:port` of each broker, plain text. */
  brokers: string[];
  /** `host:port` of each broker by listener. */
  listeners: Partial<Record<KafkaListener, string[]>>;
  /** With a listener that has TLS: what clients trust, and a certificate of a client. */
  certificates?: Certificates;
  /** Of each broker; of one that was killed the last it had. */
  readonly pids: number[];
  processes: ProcessIdentity[];
  /** Log file of each broker. */
  logs: string[];
  dir: string;
  /** Sends a signal to a broker, counted from 0; default SIGKILL, after which its process is gone. */
  kill(index: number, signal?: NodeJS.Signals): Promise<void>;
  /** Starts a broker again at the same address, after it has ended in good order if it still runs; waits until it serves. */
  restart(index: number): Promise<void>;
  /** Ends all brokers and, where the directory was a temporary one, removes it. */
  stop(): Promise<void>;
};

const startMsMax = 60_000;
const stopMsMax = 15_000;
const clashTriesMax = 3;

/**
 * Starts Kafka (KRaft) on free ports and waits until every broker serves.
 * @throws SERVER_MISSING, SERVER_FETCH, SERVER_FAILED
 */
export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const program = await kafkaProgram(options.progress ?? (() => {}));
  for (let tries = 1; ; tries++) {
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'millrace-kafka-'));
    if (!options.dir) removeAtEnd(dir);
    const cluster = new Cluster(dir, options, program);
    try {
      return await cluster.start();
    } catch (error) {
      const clash = cluster.logs.some((log) => /Address already in use/.test(tailOf(log)));
      await cluster.stop();
      // Somebody else took a port between our look and the broker's. A directory that is kept keeps its ports, too.
      if (!clash || options.dir || tries === clashTriesMax) throw error;
    }
  }
}

const portsOf = ({brokers}: KafkaLayout): number[] =>
  brokers.flatMap(({controllerPort, ports}) => [controllerPort, ...Object.values(ports)]);

class Cluster {
  readonly #dir: string;
  readonly #options: KafkaOptions;
  readonly #program: KafkaProgram;
  #layout!: KafkaLayout;
  #certificates: Certificates | undefined;
  readonly #processes: ProcessIdentity[] = [];

  constructor(dir: string, options: KafkaOptions, program: KafkaProgram) {
    this.#dir = dir;
    this.#options = options;
    this.#program = program;
    for (const text of Object.entries(options.users ?? {}).flat())
      assert.match(text, /^[\w.~-]+$/, 'names and passwords of local users go into a file as they are');
  }

  get logs(): string[] {
    return (this.#layout?.brokers ?? []).map(({id}) => join(this.#dir, `broker-${id}`, 'log'));
  }

  async start(): Promise<Kafka> {
    const {brokers, listeners = [], users = {}, wanted} = this.#options;
    this.#layout = await kafkaLayout(this.#dir, {
      brokers: brokers ?? 1,
      listeners: ['plain', ...listeners],
      ports: wanted?.ports ?? [],
    });
    const kept = this.#layout.brokers.length;
    if (brokers !== undefined && brokers !== kept)
      throw new PlatformError(
        'SERVER_FAILED',
        `the Kafka of this directory has ${kept} brokers, not ${brokers}`,
        {
          place: this.#dir,
          hint: 'remove what it kept first: npx millrace down kafka --wipe',
        },
      );
    if (this.#options.dir)
      await requireFree(portsOf(this.#layout), this.#dir, {
        wanted,
        otherwise: 'begin anew: npx millrace down kafka --wipe',
      });
    if (listeners.some((name) => name.endsWith('tls'))) this.#certificates = keptCertificates(this.#dir);
    const indexes = this.#layout.brokers.map((_, index) => index);
    await Promise.all(indexes.map((index) => this.#launch(index)));
    await Promise.all(indexes.map((index) => this.#ready(index)));
    if (Object.keys(users).length > 0)
      await this.#withClient(this.#address(0), (client) => setScramUsers(client, users));
    if (this.#options.detached) for (const each of this.#processes) release(each);
    return this.#handle(indexes);
  }

  #handle(indexes: number[]): Kafka {
    const processes = this.#processes;
    const names = Object.keys(this.#layout.brokers[0]!.ports) as KafkaListener[];
    const listeners = Object.fromEntries(
      names.map((name) => [name, indexes.map((index) => this.#address(index, name))]),
    ) as Kafka['listeners'];
    return {
      brokers: listeners.plain!,
      listeners,
      ...(this.#certificates ? {certificates: this.#certificates} : {}),
      get pids() {
        return processes.map(({pid}) => pid);
      },
      processes,
      logs: this.logs,
      dir: this.#dir,
      kill: (index, signal = 'SIGKILL') => this.#kill(index, signal),
      restart: async (index) => {
        await stopProcess(processes[index]!, {signal: 'SIGTERM', graceMs: stopMsMax});
        await this.#launch(index);
        await this.#ready(index);
      },
      stop: () => this.stop(),
    };
  }

  /** Brokers of a temporary directory have nothing to keep: they are killed, which is quick. */
  async stop(): Promise<void> {
    const signal = this.#options.dir ? 'SIGTERM' : 'SIGKILL';
    await Promise.all(this.#processes.map((each) => stopProcess(each, {signal, graceMs: stopMsMax})));
    if (!this.#options.dir) rmSync(this.#dir, {recursive: true, force: true});
  }

  async #kill(index: number, signal: NodeJS.Signals): Promise<void> {
    const server = this.#processes[index]!;
    if (signal === 'SIGKILL') await stopProcess(server, {signal, graceMs: stopMsMax});
    else signalProcess(server, signal);
  }

  #address(index: number, listener: KafkaListener = 'plain'): string {
    return `127.0.0.1:${this.#layout.brokers[index]!.ports[listener]}`;
  }

  async #launch(index: number): Promise<void> {
    const {heap = '512m', optimised = false, users = {}} = this.#options;
    const dir = join(this.#dir, `broker-${this.#layout.brokers[index]!.id}`);
    const dataDir = join(dir, 'data');
    mkdirSync(dataDir, {recursive: true});
    writeFileSync(join(dataDir, 'meta.properties'), metaProperties(this.#layout, index));
    writeFileSync(join(dir, 'log4j2.properties'), logProperties);
    const properties = brokerProperties({
      layout: this.#layout,
      index,
      dataDir,
      users,
      certificates: this.#certificates && {
        keyStore: join(this.#dir, 'server.pem'),
        ca: join(this.#dir, 'ca.crt'),
      },
      proxiedPorts: this.#options.proxiedPorts ?? [],
      properties: this.#options.properties ?? {},
    });
    // It may hold passwords.
    writeFileSync(join(dir, 'server.properties'), properties, {mode: 0o600});
    this.#processes[index] = await startProcess({
      title: this.#title(index),
      command: this.#program.java,
      args: [
        `-Xmx${heap}`,
        ...(optimised ? fastJvm(heap) : smallJvm),
        ...this.#program.args,
        `-Dlog4j2.configurationFile=${join(dir, 'log4j2.properties')}`,
        'kafka.Kafka',
        join(dir, 'server.properties'),
      ],
      log: this.logs[index]!,
    });
  }

  #title(index: number): string {
    return this.#layout.brokers.length === 1 ? 'Kafka' : `Kafka broker ${index + 1}`;
  }

  /** Until the broker answers and is seen by itself in the cluster with all that run. */
  async #ready(index: number): Promise<void> {
    const server = {title: this.#title(index), log: this.logs[index]!, processes: [this.#processes[index]!]};
    const running = this.#processes.filter(isRunning).length;
    await awaitReady(
      server,
      () =>
        this.#withClient(this.#address(index), async (client) => {
          const {brokers, clusterId} = await client.refreshMetadata();
          // A broker of another cluster that took the port meanwhile has the same number.
          const isOurs = clusterId === this.#layout.clusterId;
          return isOurs && brokers.has(this.#layout.brokers[index]!.id) && brokers.size >= running;
        }),
      startMsMax,
    );
  }

  async #withClient<T>(broker: string, use: (client: KafkaClient) => Promise<T>): Promise<T> {
    const client = new KafkaClient(
      {
        brokers: [broker],
        clientId: 'millrace-up',
        security: {protocol: 'plaintext'},
        topics: {partitions: 1, replication: 1, retentionMs: null},
      },
      {connectMs: 1_000, requestMs: 5_000},
    );
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }
}
