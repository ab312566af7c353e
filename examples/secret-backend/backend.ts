// plugins: [../examples/secret-backend/backend.ts]
// secrets: {backend: sealed, sealed: {file: secrets.sealed}}
import {readFileSync} from 'node:fs';
import type {SecretBackendSpec} from '../../src/config/secrets/types.ts';
import {openSealed} from './sealed.ts';

const sealed: SecretBackendSpec = {
  name: 'sealed',
  summary: 'Reads a file of secrets that is sealed with a passphrase, from SEALED_PASSPHRASE or a file.',
  fields: {
    file: {type: 'dir', doc: 'The sealed file, relative to the root.', default: 'secrets.sealed'},
    passphrase_file: {
      type: 'dir',
      doc: 'A file with the passphrase, relative to the root; default: the variable SEALED_PASSPHRASE.',
    },
  },
  // Called once for a start; what it throws is shown beside the places that name secrets.
  async open({file, passphrase_file}, {env}) {
    const passphrase = passphrase_file
      ? readFileSync(String(passphrase_file), 'utf8').trim()
      : env.SEALED_PASSPHRASE;
    if (!passphrase) throw new Error('set SEALED_PASSPHRASE, or secrets.sealed.passphrase_file');
    const secrets = openSealed(String(file), passphrase);
    if (!secrets) throw new Error(`there is no ${file}: examples/secret-backend/seal.ts makes it`);
    return {
      // Undefined: there is no such secret.
      read: async (name) => (Object.hasOwn(secrets, name) ? secrets[name] : undefined),
      // Names help to find a mistake in writing; values stay here.
      hint: async () => `${file} has ${Object.keys(secrets).sort().join(', ') || 'none'}`,
    };
  },
};

export const secrets = [sealed];
