import {defineSink} from '../types.ts';

const path = (doc: string) => ({type: 'path', doc}) as const;
const count = (doc: string) => ({type: 'count', doc}) as const;

/** A ClickHouse server. */
export const clickhouse = defineSink({
  name: 'clickhouse',
  summary: 'A ClickHouse server, version 23.8 or newer, over HTTP or HTTPS.',
  fields: {
    url: {
      type: 'string',
      url: ['http', 'https'],
      required: true,
      examples: ['http://localhost:8123'],
      doc: 'Where the HTTP interface is, with a path when it is behind a proxy; no user, no password.',
    },
    database: {
      type: 'string',
      pattern: /^[A-Za-z_][A-Za-z0-9_]*$/,
      doc: 'What the connection opens; it must exist. Tables are in databases named as the domains.',
      default: 'default',
    },
    username: {type: 'string', doc: 'User of the database.', default: 'default'},
    password: {type: 'string', secret: true, doc: 'Password of the user; default: none.'},
    tls: {
      type: 'object',
      doc: 'For https: how the server proves who it is, and we do.',
      fields: {
        ca: path('Certificate of the authority that signs the server’s; default: those that Node trusts.'),
        cert: path('Own certificate, for servers that want one.'),
        key: path('Key of the own certificate.'),
        insecure: {
          type: 'boolean',
          doc: 'Takes any certificate: nothing is proven then, and whoever stands between can read and change everything.',
          default: false,
        },
      },
    },
    request_timeout: {
      type: 'duration',
      doc: 'How long an answer may take; a statement that takes longer is tried again. Alterations of tables may take an hour.',
      default: '30s',
    },
    compression: {
      type: 'enum',
      values: ['auto', 'none', 'gzip', 'zstd'],
      doc: 'Of requests and answers. auto: zstd, but none to this machine.',
      default: 'auto',
    },
    parts: {
      type: 'integer',
      min: 10,
      max: 100_000,
      doc: 'With more active parts than this in a partition of a table its inserts become rarer: each waits a second for every such number above.',
      default: 300,
    },
    cluster: {
      type: 'object',
      doc: 'Several servers that hold the same tables: they are made on all of them.',
      fields: {
        name: {
          type: 'string',
          pattern: /^[A-Za-z0-9_.{}-]+$/,
          required: true,
          doc: 'The cluster as system.clusters names it; it has one shard.',
        },
        replicated: {
          type: 'boolean',
          doc: 'Whether tables are Replicated, and an insert waits for most replicas (insert_quorum: auto).',
          default: true,
        },
      },
    },
    settings: {
      type: 'object',
      doc: 'Settings of ClickHouse for our statements; these and no others.',
      fields: {
        insert_quorum: {
          type: 'oneOf',
          describe: 'a whole number or `auto`',
          options: [
            {type: 'enum', values: ['auto'], doc: 'Most replicas.'},
            {type: 'integer', min: 0, max: 100, doc: 'Replicas.'},
          ],
          doc: 'Replicas that must have an insert before it counts; 0: the one that took it.',
        },
        insert_quorum_timeout: {type: 'duration', doc: 'How long an insert waits for them.'},
        distributed_ddl_task_timeout: {
          type: 'duration',
          doc: 'How long a statement on a cluster waits for all its servers.',
        },
        max_memory_usage: {type: 'bytes', doc: 'Memory of one statement.'},
        max_execution_time: {type: 'duration', doc: 'Time of one query of a user.'},
        max_rows_to_read: count('Rows that one query of a user may read.'),
        max_threads: {type: 'integer', min: 1, max: 1024, doc: 'Threads of one statement.'},
      },
    },
  },
  capabilities: {
    isolation: 'inline',
    upsert: true,
    raw: true,
    query: true,
    views: true,
    durable: true,
    // The next rows are encoded while the server works on these.
    writes: 2,
  },
  open: async (options, context) => (await import('./open.ts')).openClickHouse(options, context),
});
