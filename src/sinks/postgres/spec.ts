import {defineSink} from '../types.ts';

const path = (doc: string) => ({type: 'path', doc}) as const;

/** A PostgreSQL server. */
export const postgres = defineSink({
  name: 'postgres',
  summary: 'A PostgreSQL server, version 15 or newer.',
  fields: {
    url: {
      type: 'string',
      url: ['postgres', 'postgresql'],
      required: true,
      examples: ['postgres://app@localhost:5432/acme'],
      doc: 'User, host, port and database; no password.',
    },
    password: {type: 'string', secret: true, doc: 'Password of the user.'},
    tls: {
      type: 'object',
      doc: 'Encryption and the proof of who the server is; without this section the connection is not encrypted.',
      fields: {
        mode: {
          type: 'enum',
          values: ['off', 'require', 'verify-ca', 'verify-full'],
          doc: 'How much is proven: nothing beside encryption, the authority that signed, or its name as well. Default: `verify-full` where something else stands in `tls`, else `off`.',
        },
        ca: path('Certificate of the authority that signs the server’s; default: those that Node trusts.'),
        cert: path('Own certificate, for servers that want one.'),
        key: path('Key of the own certificate.'),
      },
    },
    pool: {type: 'integer', min: 1, max: 64, doc: 'Connections at most.', default: 4},
    connect_timeout: {
      type: 'duration',
      doc: 'How long a connection may take to be made.',
      default: '10s',
    },
    statement_timeout: {
      type: 'duration',
      doc: 'How long a statement may take; one that takes longer is tried again. Alterations of tables may take any time.',
      default: '1m',
    },
    raw: {
      type: 'object',
      doc: 'Tables of raw events.',
      fields: {
        partition_by: {
          type: 'enum',
          values: ['day', 'none'],
          doc: 'Whether a table has a partition for each day (UTC) on which events were appended to the log.',
          default: 'day',
        },
        retention: {
          type: 'oneOf',
          describe: 'a duration or `keep`',
          options: [
            {type: 'enum', values: ['keep'], doc: 'For ever.'},
            {type: 'duration', doc: 'By the time of appending, in whole days.'},
          ],
          doc: 'How long raw events are kept in the database: older partitions are dropped. Needs partition_by: day.',
          default: 'keep',
        },
      },
    },
  },
  capabilities: {isolation: 'worker', upsert: true, raw: true, query: true, views: true, durable: true},
  open: async (options, context) => (await import('./open.ts')).openPostgres(options, context),
});
