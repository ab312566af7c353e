import {createHash, randomBytes} from 'node:crypto';
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {freePorts} from './ports.ts';

/** How clients can reach a broker besides plain text: SASL, TLS, both, or through a proxy. */
export type KafkaListener = 'plain' | 'sasl' | 'tls' | 'sasl-tls' | 'proxied';

/** What a cluster is made of; kept in its directory, so that it is the same after a stop. */
export type KafkaLayout = {
  clusterId: string;
  brokers: {
    /** From 1 on. */
    id: number;
    directoryId: string;
    controllerPort: number;
    ports: Partial<Record<KafkaListener, number>>;
  }[];
};

/** PEM files of the listeners with TLS. */
export type KafkaCertificates = {
  /** Certificate and key of the brokers in one file. */
  keyStore: string;
  ca: string;
};

const protocols = {
  plain: 'PLAINTEXT',
  sasl: 'SASL_PLAINTEXT',
  tls: 'SSL',
  'sasl-tls': 'SASL_SSL',
  proxied: 'PLAINTEXT',
} as const satisfies Record<KafkaListener, string>;

/** SASL mechanisms of the listeners that have SASL. */
const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'];

/** The layout that a directory holds, else a new one on free ports, which is written there. @param wanted ports of `plain`, by broker */
export async function kafkaLayout(
  dir: string,
  wanted: {brokers: number; listeners: KafkaListener[]; ports?: number[]},
): Promise<KafkaLayout> {
  const path = join(dir, 'cluster.json');
  const layout = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as KafkaLayout)
    : await newLayout(wanted);
  for (const [index, port] of (wanted.ports ?? []).entries()) {
    const broker = layout.brokers[index];
    if (broker) broker.ports.plain = port;
  }
  mkdirSync(dir, {recursive: true});
  writeFileSync(path, `${JSON.stringify(layout, null, 2)}\n`);
  return layout;
}

async function newLayout({
  brokers,
  listeners,
}: {
  brokers: number;
  listeners: KafkaListener[];
}): Promise<KafkaLayout> {
  const ports = await freePorts(brokers * (listeners.length + 1));
  return {
    clusterId: kafkaUuid(randomBytes(16)),
    brokers: Array.from({length: brokers}, (_, index) => ({
      id: index + 1,
      directoryId: kafkaUuid(randomBytes(16)),
      controllerPort: ports.pop()!,
      ports: Object.fromEntries(listeners.map((name) => [name, ports.pop()!])),
    })),
  };
}

/** 22 characters of base64url; Kafka makes none that begin with a dash, which commands would take for an option. */
const kafkaUuid = (bytes: Buffer): string => {
  const text = bytes.toString('base64url');
  return text.startsWith('-') ? `m${text.slice(1)}` : text;
};

/** What a broker is told, from the layout. */
export type BrokerSettings = {
  layout: KafkaLayout;
  index: number;
  dataDir: string;
  /** Name and password of those who may log in. */
  users: Record<string, string>;
  certificates: KafkaCertificates | undefined;
  /** Ports that clients of the `proxied` listener are sent to, by broker. */
  proxiedPorts: number[];
  /** These win. */
  properties: Record<string, string>;
};

/** The lines of a broker's `server.properties`. */
export function brokerProperties(settings: BrokerSettings): string {
  const {layout, index, properties} = settings;
  const replicas = Math.min(3, layout.brokers.length);
  const inSync = Math.max(1, replicas - 1);
  const all: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': layout.brokers[index]!.id,
    'controller.quorum.voters': layout.brokers
      .map(({id, controllerPort}) => `${id}@127.0.0.1:${controllerPort}`)
      .join(','),
    'log.dirs': settings.dataDir,
    ...listenerProperties(settings),
    // A name that is misspelt is an error, not a new topic.
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    // A laptop's cluster has few clients: fewer partitions of the topics that brokers keep for themselves are made sooner.
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'share.coordinator.state.topic.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'group.initial.rebalance.delay.ms': 0,
    // So long a broker that was killed is waited for, by its partitions and by itself when it starts again; Kafka's own is 9 s.
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    'num.network.threads': 2,
    'num.io.threads': 4,
    ...properties,
  };
  return `${Object.entries(all)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`;
}

function listenerProperties(settings: BrokerSettings): Record<string, string> {
  const {layout, index, certificates, users, proxiedPorts} = settings;
  const {controllerPort, ports} = layout.brokers[index]!;
  const named = (Object.keys(ports) as KafkaListener[]).map((listener) => ({
    listener,
    name: listener.replace('-', '_').toUpperCase(),
    port: ports[listener]!,
    told: listener === 'proxied' ? proxiedPorts[index]! : ports[listener]!,
  }));
  const all: Record<string, string> = {
    listeners: [
      ...named.map(({name, port}) => `${name}://127.0.0.1:${port}`),
      `CONTROLLER://127.0.0.1:${controllerPort}`,
    ].join(','),
    'advertised.listeners': named.map(({name, told}) => `${name}://127.0.0.1:${told}`).join(','),
    'listener.security.protocol.map': [
      ...named.map(({name, listener}) => `${name}:${protocols[listener]}`),
      'CONTROLLER:PLAINTEXT',
    ].join(','),
    'inter.broker.listener.name': 'PLAIN',
    'controller.listener.names': 'CONTROLLER',
  };
  for (const {listener, name} of named) {
    const prefix = `listener.name.${name.toLowerCase()}`;
    if (listener.startsWith('sasl')) Object.assign(all, saslProperties(prefix, users));
    if (listener.endsWith('tls') && certificates) Object.assign(all, tlsProperties(prefix, certificates));
  }
  return all;
}

function saslProperties(prefix: string, users: Record<string, string>): Record<string, string> {
  const known = Object.entries(users).map(([name, password]) => ` user_${name}="${password}"`);
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  return {
    [`${prefix}.sasl.enabled.mechanisms`]: mechanisms.join(','),
    [`${prefix}.plain.sasl.jaas.config`]: `org.apache.kafka.common.security.plain.PlainLoginModule required${known.join('')};`,
    [`${prefix}.scram-sha-256.sasl.jaas.config`]: scram,
    [`${prefix}.scram-sha-512.sasl.jaas.config`]: scram,
  };
}

const tlsProperties = (prefix: string, {keyStore, ca}: KafkaCertificates): Record<string, string> => ({
  [`${prefix}.ssl.keystore.type`]: 'PEM',
  [`${prefix}.ssl.keystore.location`]: keyStore,
  [`${prefix}.ssl.truststore.type`]: 'PEM',
  [`${prefix}.ssl.truststore.location`]: ca,
  // A client may show a certificate; one that does must have it from this authority.
  [`${prefix}.ssl.client.auth`]: 'requested',
});

/** What the format tool would write: a broker starts without a second Java before it. */
export const metaProperties = (layout: KafkaLayout, index: number): string =>
  [
    'version=1',
    `cluster.id=${layout.clusterId}`,
    `node.id=${layout.brokers[index]!.id}`,
    `directory.id=${layout.brokers[index]!.directoryId}`,
    '',
  ].join('\n');

/** How a broker writes its log: all to what takes its output. */
export const logProperties = `rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
`;

/** Changes whenever what a class archive was made from does. */
export const fingerprint = (...parts: string[]): string =>
  createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
