/** What a configuration says of the log. */
import type {Secret} from '../config/secrets/secret.ts';
import type {Reporter} from './reporter.ts';
import type {BackendChoice, Platform} from './types.ts';

/** Options of `log.kafka`, as written or filled in. Times in ms. */
export type KafkaOptions = {
  brokers: string[];
  client_id?: string;
  security: {
    protocol: 'plaintext' | 'ssl' | 'sasl_plaintext' | 'sasl_ssl';
    mechanism?: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    username?: string;
    password?: Secret;
    tls?: {ca?: string; cert?: string; key?: string};
  };
  topics: {partitions: number; replication: number | 'auto'; retention: number | 'keep'};
  properties: Record<string, number>;
  compression: 'none' | 'gzip' | 'lz4' | 'zstd';
  spool: {dir: string; size_max: number; after: number};
};

type Logged = {log: BackendChoice};

/** The options of a log in Kafka; undefined when it is elsewhere. */
export const kafkaOptionsOf = ({log}: Logged): KafkaOptions | undefined =>
  log.backend === 'kafka' ? (log.options as KafkaOptions) : undefined;

/** Directory of the embedded log, or of the outbox of a log in Kafka; relative to the platform's root. */
export const logDirOf = (platform: Logged): string =>
  kafkaOptionsOf(platform)?.spool.dir ?? String(platform.log.options.dir ?? '.millrace/log');

/** Partitions that a new topic of events gets. */
export const newPartitionsOf = (platform: Logged): number =>
  kafkaOptionsOf(platform)?.topics.partitions ?? Number(platform.log.options.partitions ?? 4);

/** Name of a platform as Kafka takes it in names of clients, groups and topics. */
export const kafkaNameOf = ({name}: Pick<Platform, 'name'>): string =>
  name.replaceAll(/[^A-Za-z0-9._-]+/g, '-');

/** Reports what does not go together in `log.kafka.security`. */
export function checkKafka(log: BackendChoice, reporter: Reporter): void {
  const options = kafkaOptionsOf({log});
  if (!options?.security) return;
  const {protocol, mechanism, username, password, tls} = options.security;
  // What cannot be read was told already.
  if (protocol === undefined) return;
  const path = ['log', 'kafka', 'security'];
  const isSasl = protocol.startsWith('sasl');
  const missing = Object.entries({mechanism, username, password}).filter(([, value]) => value === undefined);
  // A secret that cannot be found was reported already.
  const told = missing.filter(([key]) => !reporter.has([...path, key]));
  if (isSasl && told.length > 0)
    reporter.error(
      path,
      'KAFKA_SECURITY',
      `${protocol} needs ${told.map(([key]) => `\`${key}\``).join(', ')}`,
      {
        hint: 'for example {protocol: sasl_ssl, mechanism: scram-sha-512, username: millrace, password: "${secret:kafka_password}"}',
      },
    );
  if (!isSasl && missing.length < 3)
    reporter.error(path, 'KAFKA_SECURITY', `with ${protocol} nobody logs in: ${unused(missing)}`, {
      hint: protocol === 'ssl' ? 'use `protocol: sasl_ssl`' : 'use `protocol: sasl_plaintext` or `sasl_ssl`',
    });
  const hasTls = protocol === 'ssl' || protocol === 'sasl_ssl';
  if (!hasTls && tls && Object.values(tls).some((file) => file !== undefined))
    reporter.error(
      [...path, 'tls'],
      'KAFKA_SECURITY',
      `${protocol} is not encrypted, \`tls\` has no meaning`,
      {
        hint: protocol === 'plaintext' ? 'use `protocol: ssl`' : 'use `protocol: sasl_ssl`',
      },
    );
  if (tls && (tls.cert === undefined) !== (tls.key === undefined))
    reporter.error([...path, 'tls'], 'KAFKA_SECURITY', '`cert` and `key` go together', {
      hint: 'give both, or none',
    });
}

const unused = (missing: readonly [string, unknown][]): string => {
  const given = ['mechanism', 'username', 'password'].filter(
    (key) => !missing.some(([other]) => other === key),
  );
  return `${given.map((key) => `\`${key}\``).join(', ')} would not be used`;
};
