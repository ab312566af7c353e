import type {FieldSpec} from '../fields.ts';
import type {BackendSpecs} from './platform.ts';

const bucketOptions: FieldSpec = {
  type: 'object',
  doc: 'How the bucket of `checkpoints: s3://...` is reached.',
  fields: {
    endpoint: {
      type: 'string',
      pattern: /^https?:\/\/[^\s@?#]+$/,
      doc: 'Address of the service; default: that of AWS in the region.',
      examples: ['https://s3.eu-central-1.amazonaws.com', 'http://localhost:9000'],
    },
    region: {
      type: 'string',
      pattern: /^[A-Za-z0-9-]{1,64}$/,
      doc: 'Region that requests are signed for.',
      default: 'us-east-1',
    },
    access_key: {type: 'string', secret: true, doc: 'Id of the key.'},
    secret_key: {type: 'string', secret: true, doc: 'The key itself.'},
    path_style: {
      type: 'boolean',
      doc: 'The bucket stands in the path of a request instead of in the name of the host.',
      default: true,
    },
    ca: {
      type: 'path',
      doc: 'Certificate (PEM) of the authority of the endpoint, where the system does not know it.',
    },
  },
};

/** Engines, by name, with their options. */
export const engineBackends: BackendSpecs = {
  embedded: {
    summary: 'The engine in this process.',
    fields: {
      workers: {
        type: 'oneOf',
        describe: 'a whole number from 1 to 64 or `auto`',
        options: [
          {type: 'enum', values: ['auto'], doc: 'As many as there are cores to spare.'},
          {type: 'integer', min: 1, max: 64, doc: 'Threads.'},
        ],
        doc: 'Threads that aggregate.',
        default: 'auto',
      },
      checkpoint_interval: {type: 'duration', doc: 'Time between two checkpoints.', default: '1s'},
      checkpoints: {
        type: 'oneOf',
        describe: 'a directory or s3://bucket/prefix',
        options: [
          {
            type: 'string',
            pattern: /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[A-Za-z0-9!_.*'()/-]*)?$/,
            doc: 'A bucket and what the names of the objects begin with: every machine that can reach it can take over.',
          },
          {type: 'dir', doc: 'On this machine.'},
        ],
        doc: 'Where checkpoints are kept: a directory, or s3://bucket/prefix in anything that speaks the protocol of S3.',
        default: '.millrace/state',
      },
      s3: bucketOptions,
      lease: {
        type: 'duration',
        doc: 'How long the hold on the checkpoints lasts without a renewal: a standby takes over so long after the holder has ended. At least 1s.',
        default: '10s',
      },
      flush: {
        type: 'duration',
        doc: 'Rows that changed leave at most this often; less often when a sink is slower or many records wait to be read.',
        default: '25ms',
      },
    },
  },
};
