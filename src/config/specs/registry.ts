import {tlsSpec} from '../tls.ts';
import type {BackendSpecs} from './platform.ts';

/** Where schemas can be registered. */
export const registryBackends: BackendSpecs = {
  embedded: {summary: 'The registry in this process, beside the log.', fields: {}},
  confluent: {
    summary:
      "A server with the REST API of Confluent's Schema Registry: that one, Apicurio, Karapace, Redpanda.",
    fields: {
      url: {
        type: 'list',
        orOne: true,
        required: true,
        of: {
          type: 'string',
          url: ['http', 'https'],
          doc: 'An address, without credentials.',
          examples: ['http://localhost:8081'],
        },
        doc: 'Its address, or several: the next is asked when one does not answer. With its path, where it has one, such as /apis/ccompat/v7.',
      },
      username: {type: 'string', doc: 'Of basic authentication.'},
      password: {type: 'string', secret: true, doc: 'Of basic authentication: a secret.'},
      token: {type: 'string', secret: true, doc: 'Sent as a bearer token instead: a secret.'},
      tls: tlsSpec,
      timeout: {type: 'duration', doc: 'How long one request may take.', default: '5s'},
      patience: {
        type: 'duration',
        doc: 'How long a start waits for a registry that does not answer, where it needs one.',
        default: '10s',
      },
      cache: {
        type: 'dir',
        doc: 'Directory of what was learned from it: with that a platform starts and goes on without the registry.',
        default: '.millrace/registry-cache',
      },
      unknown_schema: {
        type: 'enum',
        values: ['wait', 'dead_letter'],
        doc: 'What becomes of records that name an id which is not known yet while the registry does not answer: their partition waits, or they become dead letters in the end.',
        default: 'wait',
      },
      unknown_schema_after: {
        type: 'duration',
        doc: 'With `unknown_schema: dead_letter`: after so long.',
        default: '5m',
      },
    },
  },
};
