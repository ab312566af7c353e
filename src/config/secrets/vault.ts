import {tlsSpec} from '../tls.ts';
import {defineSecretBackend} from './types.ts';

const segments = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;

/** Secrets from the key/value engine of HashiCorp Vault or OpenBao: keys of one path, or of others by `path#key`. */
export const vault = defineSecretBackend({
  name: 'vault',
  summary:
    'Reads keys of a path of the KV engine of Vault or OpenBao; ${secret:other/path#key} names another path.',
  fields: {
    url: {
      type: 'string',
      url: ['http', 'https'],
      doc: 'Address of Vault, without credentials.',
      required: true,
      examples: ['https://vault.example.com:8200'],
    },
    mount: {type: 'string', pattern: segments, doc: 'Where the KV engine is mounted.', default: 'secret'},
    path: {
      type: 'string',
      pattern: segments,
      doc: 'The path whose keys are the secrets.',
      default: 'millrace',
    },
    kv: {type: 'integer', min: 1, max: 2, doc: 'Version of the KV engine.', default: 2},
    namespace: {
      type: 'string',
      pattern: /^[^\s]+$/,
      doc: 'Namespace of Vault, for everything that is asked.',
    },
    auth: {
      type: 'enum',
      values: ['token', 'approle'],
      doc: 'How Vault is entered: with a token that is given, or with a role.',
      default: 'token',
    },
    token: {
      type: 'object',
      doc: 'With `auth: token`. Without a file: VAULT_TOKEN, then ~/.vault-token.',
      fields: {
        file: {
          type: 'dir',
          doc: 'File that holds the token, relative to the root; read again when the token ends.',
        },
      },
    },
    approle: {
      type: 'object',
      doc: 'With `auth: approle`.',
      fields: {
        mount: {type: 'string', pattern: segments, doc: 'Where the method is mounted.', default: 'approle'},
        role_id: {type: 'string', doc: 'Id of the role; default: VAULT_ROLE_ID.'},
        role_id_file: {type: 'dir', doc: 'File that holds the id of the role, relative to the root.'},
        secret_id_file: {
          type: 'dir',
          doc: 'File that holds the secret id, relative to the root; default: VAULT_SECRET_ID.',
        },
      },
    },
    tls: tlsSpec,
    timeout: {type: 'duration', doc: 'How long one request may take.', default: '5s'},
    patience: {
      type: 'duration',
      doc: 'How long a Vault that does not answer is waited for at the start.',
      default: '10s',
    },
  },
  // The client is loaded by those who have a Vault alone.
  open: async (options, context) => (await import('./vault-open.ts')).openVault(options, context),
});
