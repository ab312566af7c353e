import type {FieldSpec} from '../fields.ts';
import {engineBackends} from './engine.ts';
import {kafkaLogSpec} from './kafka.ts';
import {registryBackends} from './registry.ts';

/** What of a sink or secret backend the configuration needs to know: its options. */
export type BackendSpecs = Record<string, {summary?: string; fields: Record<string, FieldSpec>}>;

const unavailable = (doc: string): FieldSpec => ({type: 'any', doc, unavailable: true});

/** `backend:` and under each backend's own name its options. */
function backendFields(
  doc: string,
  backends: BackendSpecs,
  later: readonly string[],
  initial?: string,
): Record<string, FieldSpec> {
  const missing = later.filter((name) => !Object.hasOwn(backends, name));
  const fields: Record<string, FieldSpec> = {
    backend: {
      type: 'enum',
      values: Object.keys(backends),
      later: missing,
      doc,
      ...(initial === undefined ? {required: true} : {default: initial}),
    },
  };
  for (const [name, {summary, fields: options}] of Object.entries(backends))
    fields[name] = {type: 'object', doc: summary ?? `Options of ${name}.`, fields: options};
  for (const name of missing) fields[name] = unavailable(`Options of ${name}, for a later version.`);
  return fields;
}

const late: FieldSpec = {
  type: 'enum',
  values: ['correct', 'topic', 'drop'],
  doc: 'What happens to an event that comes after its window closed: the row is corrected, the event is kept aside, or it is counted and dropped.',
  default: 'correct',
};
const emit: FieldSpec = {
  type: 'enum',
  values: ['change', 'close'],
  doc: 'Whether rows are written while their window is open or once it has closed.',
  default: 'change',
};

/** Options that stand in `defaults` and in an aggregation alike. */
export const lateness: Record<string, FieldSpec> = {
  watermark: {
    type: 'duration',
    doc: 'How far events may be out of order before a window closes.',
    default: '10m',
  },
  late,
  correct_for: {
    type: 'duration',
    doc: 'How far the watermark may be past the end of a window for late events to correct it still; later ones are kept aside.',
    default: '1d',
  },
  dedup: {
    type: 'oneOf',
    describe: 'a duration like 10m, or off',
    options: [
      {type: 'enum', values: ['off'], doc: 'Every record counts.'},
      {type: 'duration', doc: 'How long an id is known, in event time.'},
    ],
    doc: "For topics that other programs write to: a record counts once when its id was seen in its partition with an event time that is not so far behind the partition's newest one. What comes in through Millrace is counted once without it.",
    default: 'off',
  },
  idle: {
    type: 'duration',
    doc: 'A partition that was read to its end and is silent for so long no longer holds windows open.',
    default: '30s',
  },
  emit,
  on_trimmed: {
    type: 'enum',
    values: ['stop', 'archive'],
    doc: 'What happens when retention has deleted events that the query had not read: it stops, or a new revision of it is filled from the raw events that the domain keeps and from the log, by itself, as by `backfill --from archive`.',
    default: 'stop',
  },
};

export const limits: FieldSpec = {
  type: 'object',
  doc: 'A query that passes one of these stops with an error; the others run on.',
  fields: {
    groups: {type: 'count', doc: 'Groups of a query in memory.', default: '5M'},
    memory: {type: 'bytes', doc: 'Memory of a query.', default: '512MiB'},
    state_disk: {type: 'bytes', doc: 'State of a query on disk.', default: '10GiB'},
  },
};

/** `defaults:` of the platform, which a domain may override for itself. */
export const defaultsSpec: FieldSpec & {type: 'object'} = {
  type: 'object',
  doc: 'What holds where a domain or an aggregation says nothing.',
  fields: {
    ...lateness,
    future_max: {
      type: 'duration',
      doc: 'An event whose time is further ahead of the time at which it is appended becomes a dead letter; so does a record that another program appended to Kafka, when a query reads it.',
      default: '1h',
    },
    compatibility: {
      type: 'enum',
      values: [
        'none',
        'backward',
        'backward_transitive',
        'forward',
        'forward_transitive',
        'full',
        'full_transitive',
      ],
      doc: 'Which earlier versions a changed schema must go together with, by the rules of the Avro specification.',
      default: 'backward',
    },
    aggregates: {type: 'identifier', doc: 'The sink for rows of queries.', default: 'analytics'},
    raw: {type: 'identifier', doc: 'The sink for raw events; `none` for nowhere.', default: 'records'},
    dead_letters: {
      type: 'object',
      doc: 'When bad events stop their source, and how long they are kept.',
      fields: {
        budget: {
          type: 'share',
          doc: 'A source stops when more than this share of its events is bad.',
          default: '5%',
        },
        after: {type: 'count', doc: 'The share counts from this many events on.', default: 1000},
        retention: {type: 'duration', doc: 'How long dead letters are kept.', default: '30d'},
      },
    },
    limits,
  },
};

const logBackends: BackendSpecs = {
  embedded: {
    summary: 'The durable log in this directory.',
    fields: {
      dir: {type: 'dir', doc: 'Directory of the log.', default: '.millrace/log'},
      retention: {
        type: 'oneOf',
        describe: 'a duration or `keep`',
        options: [
          {type: 'enum', values: ['keep'], doc: 'For ever.'},
          {type: 'duration', doc: 'By the time of appending.'},
        ],
        doc: 'How long events are kept.',
        default: 'keep',
      },
      size_max: {
        type: 'bytes',
        doc: 'At this size nothing more is accepted until old events are trimmed.',
        default: '20GiB',
      },
      partitions: {
        type: 'integer',
        min: 1,
        max: 1024,
        doc: 'Partitions of a new topic; one that exists keeps its number.',
        default: 4,
      },
    },
  },
  kafka: kafkaLogSpec,
};

/** Keys of `platform.yaml` and of `environments/*.yaml`; `sinks` and `secrets` are the backends that exist. */
export function platformSpec(sinks: BackendSpecs, secrets: BackendSpecs): FieldSpec & {type: 'object'} {
  return {
    type: 'object',
    doc: 'The platform: what its domains run on.',
    fields: {
      platform: {
        type: 'string',
        pattern: /^[A-Za-z0-9][A-Za-z0-9_. -]{0,62}$/,
        doc: 'Name of the platform; default: the directory.',
        examples: ['acme'],
      },
      secrets: {
        type: 'object',
        doc: 'Where ${secret:name} comes from.',
        fields: backendFields('Where secrets are kept.', secrets, [], 'env'),
      },
      log: {
        type: 'object',
        doc: 'Where events are kept.',
        fields: backendFields('Which log.', logBackends, [], 'embedded'),
      },
      registry: {
        type: 'object',
        doc: 'Where schemas are kept.',
        fields: backendFields('Which schema registry.', registryBackends, [], 'embedded'),
      },
      engine: {
        type: 'object',
        doc: 'What aggregates.',
        fields: backendFields('Which engine.', engineBackends, ['spark'], 'embedded'),
      },
      sinks: {
        type: 'map',
        keys: 'identifier',
        doc: 'Where rows and raw events go, by name. analytics (chdb) and records (pglite) exist without being named.',
        of: {type: 'object', doc: 'A sink.', fields: backendFields('Which kind of sink.', sinks, [])},
      },
      defaults: defaultsSpec,
      pii: {
        type: 'object',
        doc: 'Protection of personal data; needed as soon as an attribute has `pii:`.',
        example: 'pii: {key: "${secret:pii_key}"}',
        fields: {
          key: {
            type: 'string',
            secret: true,
            required: true,
            doc: 'Key of hashes and of what is encrypted, 32 characters or more: a secret. Another key cannot read what was written with this one.',
          },
        },
      },
      server: {
        type: 'object',
        doc: 'The HTTP server.',
        fields: {
          host: {
            type: 'string',
            pattern: /^[A-Za-z0-9.:_-]+$/,
            doc: 'Address to listen on.',
            default: '127.0.0.1',
          },
          port: {
            type: 'integer',
            min: 0,
            max: 65535,
            doc: 'Port to listen on; 0: any that is free.',
            default: 4000,
          },
          token: {
            type: 'string',
            secret: true,
            doc: 'Token that requests must show; default: a new one for every run.',
          },
          connections: {
            type: 'integer',
            min: 10,
            max: 1_000_000,
            doc: 'Connections that are open at once; for one more the one that has been silent longest is closed. Never more than the process may have files.',
            default: 10_000,
          },
          request_timeout: {
            type: 'duration',
            doc: 'How long a request may take to arrive whole.',
            default: '30s',
          },
          rate: {
            type: 'object',
            doc: 'Events that a token may bring over HTTP; beyond it requests are answered 429 with Retry-After. Without it as many as come.',
            example: 'rate: {events: 5000/s, burst: 20000}',
            fields: {
              events: {type: 'rate', required: true, doc: 'Events per second, on average.'},
              burst: {
                type: 'count',
                doc: 'Events that may come at once; default: those of a second. A request is let in while anything of it is left, and what it brings is counted then.',
              },
            },
          },
          events: {
            type: 'object',
            doc: 'Limits of POST /v1/events.',
            fields: {
              body: {type: 'bytes', doc: 'A body as it is sent.', default: '16MiB'},
              inflated: {type: 'bytes', doc: 'A body that was unpacked.', default: '64MiB'},
              records: {
                type: 'integer',
                min: 1,
                max: 1_000_000,
                doc: 'Events of a request.',
                default: 10_000,
              },
              in_flight: {
                type: 'bytes',
                doc: 'Bodies that are arriving, unpacked or waiting for the log, all together; beyond it requests are answered 429.',
                default: '128MiB',
              },
            },
          },
        },
      },
      plugins: {
        type: 'list',
        of: {type: 'path', doc: 'A module.'},
        doc: 'Modules of yours that add sinks or secret backends.',
        default: [],
      },
    },
  };
}
