import type {FieldSpec} from '../fields.ts';

const file = (doc: string): FieldSpec => ({type: 'path', doc});

const host = /\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?/.source;
/** 1 to 65535. */
const port = /[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]/.source;
const brokerPattern = new RegExp(`^(?:${host}):(?:${port})$`);

const security: FieldSpec = {
  type: 'object',
  doc: 'How the brokers are spoken to, and who we are.',
  fields: {
    protocol: {
      type: 'enum',
      values: ['plaintext', 'ssl', 'sasl_plaintext', 'sasl_ssl'],
      doc: 'As the listener of the brokers is configured; `ssl` is TLS.',
      default: 'plaintext',
    },
    mechanism: {
      type: 'enum',
      values: ['plain', 'scram-sha-256', 'scram-sha-512'],
      doc: 'How the password is shown, with `sasl_plaintext` and `sasl_ssl`.',
    },
    username: {type: 'string', doc: 'With SASL.', examples: ['millrace']},
    password: {type: 'string', secret: true, doc: 'With SASL: a secret.'},
    tls: {
      type: 'object',
      doc: 'With `ssl` and `sasl_ssl`: how the brokers prove who they are, and we do. PEM files.',
      fields: {
        ca: file('Certificate of the authority that signs the brokers’; default: those that Node trusts.'),
        cert: file('Own certificate, for brokers that want one.'),
        key: file('Key of the own certificate.'),
      },
    },
  },
};

const topics: FieldSpec = {
  type: 'object',
  doc: 'Topics that are made; one that exists stays as it is, and what differs is told.',
  fields: {
    partitions: {
      type: 'integer',
      min: 1,
      max: 1024,
      doc: 'Partitions of a new topic of events.',
      default: 4,
    },
    replication: {
      type: 'oneOf',
      describe: 'a whole number from 1 to 9 or `auto`',
      options: [
        {type: 'enum', values: ['auto'], doc: 'As many as there are brokers, at most three.'},
        {type: 'integer', min: 1, max: 9, doc: 'Brokers.'},
      ],
      doc: 'Brokers that keep each partition. With three, a write is acknowledged when two have it.',
      default: 'auto',
    },
    retention: {
      type: 'oneOf',
      describe: 'a duration or `keep`',
      options: [
        {type: 'enum', values: ['keep'], doc: 'For ever: the disks of the brokers have to be large enough.'},
        {type: 'duration', doc: 'By the time of appending.'},
      ],
      doc: 'How long the brokers keep events. A query can be rebuilt from what they keep.',
      default: '7d',
    },
  },
};

/** Properties of Kafka's own clients that are understood, with their names; no other passes. */
const properties: FieldSpec = {
  type: 'object',
  doc: 'Settings of the client, by the names that they have in Kafka’s own.',
  fields: {
    'request.timeout.ms': {
      type: 'integer',
      min: 1_000,
      max: 600_000,
      doc: 'A broker that does not answer for so long is taken for lost.',
      default: 30_000,
    },
    'socket.connection.setup.timeout.ms': {
      type: 'integer',
      min: 100,
      max: 120_000,
      doc: 'How long connecting may take.',
      default: 5_000,
    },
    'metadata.max.age.ms': {
      type: 'integer',
      min: 1_000,
      max: 3_600_000,
      doc: 'How often it is looked which topics and partitions there are.',
      default: 30_000,
    },
    'fetch.max.wait.ms': {
      type: 'integer',
      min: 10,
      max: 10_000,
      doc: 'How long a broker holds a request when nothing is appended.',
      default: 500,
    },
    'max.partition.fetch.bytes': {
      type: 'integer',
      min: 65_536,
      max: 67_108_864,
      doc: 'What a request asks for of one partition, at most.',
      default: 2_097_152,
    },
  },
};

/** `log.kafka:` */
export const kafkaLogSpec: {summary: string; fields: Record<string, FieldSpec>} = {
  summary: 'Topics of a Kafka cluster, or of what speaks its protocol.',
  fields: {
    brokers: {
      type: 'list',
      of: {
        type: 'string',
        pattern: brokerPattern,
        doc: 'An address, `host:port`; of IPv6 `[::1]:9092`.',
        examples: ['kafka-1:9092'],
      },
      orOne: true,
      required: true,
      doc: 'Brokers that are asked for the others, tried in turn.',
    },
    client_id: {
      type: 'string',
      pattern: /^[A-Za-z0-9._-]{1,100}$/,
      doc: 'What the brokers know us as, and the beginning of our groups’ names; default: the name of the platform.',
    },
    security,
    topics,
    properties,
    compression: {
      type: 'enum',
      values: ['none', 'gzip', 'lz4', 'zstd'],
      doc: 'How batches that are written are packed. zstd is the smallest and the fastest here; the others are for readers that do not know it.',
      default: 'zstd',
    },
    spool: {
      type: 'object',
      doc: 'The outbox: what this process appends is durable there before it is in Kafka, and stays while the brokers are away.',
      fields: {
        dir: {type: 'dir', doc: 'Directory of the outbox.', default: '.millrace/outbox'},
        size_max: {
          type: 'bytes',
          doc: 'At half of this size senders are slowed down, at all of it nothing more is accepted until the brokers are back.',
          default: '2GiB',
        },
        after: {
          type: 'duration',
          doc: 'An append waits so long for the brokers; then it is acknowledged as durable in the outbox, which ships it later.',
          default: '2s',
        },
      },
    },
  },
};
