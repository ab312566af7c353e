/** The suite of secret backends for those that need no server, the example of a plugin among them. Vault's is in vault.test.ts. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after} from 'node:test';
import {secrets as plugin} from '../../examples/secret-backend/backend.ts';
import {writeSealed} from '../../examples/secret-backend/sealed.ts';
import {env} from '../../src/config/secrets/env.ts';
import {file} from '../../src/config/secrets/file.ts';
import {conformance} from '../conformance/secrets.ts';

const scratch = mkdtempSync(join(tmpdir(), 'millrace-secrets-'));
after(() => rmSync(scratch, {recursive: true}));
const fresh = (): string => mkdtempSync(join(scratch, 'root-'));

conformance('env, variables', (secrets) => {
  const root = fresh();
  return env.open({file: join(root, '.env')}, {root, env: secrets});
});

conformance('file', (secrets) => {
  const root = fresh();
  for (const [name, value] of Object.entries(secrets)) writeFileSync(join(root, name), value);
  return file.open({dir: root}, {root, env: {}});
});

conformance('the example of a plugin', (secrets) => {
  const root = fresh();
  const path = join(root, 'secrets.sealed');
  writeSealed(path, 'a passphrase', secrets);
  return plugin[0]!.open({file: path}, {root, env: {SEALED_PASSPHRASE: 'a passphrase'}});
});
