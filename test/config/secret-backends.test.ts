/** The suite of secret backends for those that need no server, the example of a plugin among them. Vault's is in vault.test.ts. */
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {secrets as plugin} from '../../examples/secret-backend/backend.ts';
import {writeSealed} from '../../examples/secret-backend/sealed.ts';
import {env} from '../../src/config/secrets/env.ts';
import {file} from '../../src/config/secrets/file.ts';
import {readTls} from '../../src/config/tls.ts';
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

test('a pipe in the place of a file with secrets or certificates is refused, and not waited for', async () => {
  const root = fresh();
  const pipe = join(root, '.env');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(env.open({file: pipe}, {root, env: {}}), {
    message: `${pipe}: it is a pipe or a device and may never end`,
  });
  await assert.rejects(readTls({ca: pipe}), {
    message: `tls.ca: ${pipe} cannot be read: it is a pipe or a device and may never end`,
  });
});
