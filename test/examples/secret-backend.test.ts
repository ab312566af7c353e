/** The example of a secret backend: sealed by its own program, read by the platform, with the configuration of its README. */
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {loadPlatform} from '../../src/model/load.ts';
import {directory, sinkSpecs} from '../config/directory.ts';

const example = (name: string) =>
  fileURLToPath(new URL(`../../examples/secret-backend/${name}`, import.meta.url));
const passphrase = 'correct horse battery staple';
const canary = 'CANARY-that-is-sealed';

const seal = (file: string, name: string, value: string, phrase = passphrase): string =>
  execFileSync(process.execPath, [example('seal.ts'), file, name], {
    input: `${value}\n`,
    env: {...process.env, SEALED_PASSPHRASE: phrase},
    encoding: 'utf8',
    stdio: 'pipe',
  });

/** The platform of the README, with the plugin where it is here. */
function platform(t: TestContext): string {
  const readme = readFileSync(example('README.md'), 'utf8');
  const yaml = /```yaml\n([\s\S]*?)```/.exec(readme)![1]!;
  return directory(t, {
    'config/domains/a.yaml': 'event_types: []',
    'config/platform.yaml': yaml.replace('../examples/secret-backend/backend.ts', example('backend.ts')),
  });
}

test('what its program seals the platform reads, with the passphrase alone', async (t) => {
  const root = platform(t);
  const file = join(root, 'secrets.sealed');
  assert.equal(seal(file, 'other', 'x'), `${file} has other\n`);
  assert.equal(seal(file, 'clickhouse_password', canary), `${file} has clickhouse_password, other\n`);
  assert.doesNotMatch(readFileSync(file, 'latin1'), /CANARY|clickhouse/);
  const from = (SEALED_PASSPHRASE?: string) =>
    loadPlatform({from: root, sinkSpecs, variables: SEALED_PASSPHRASE ? {SEALED_PASSPHRASE} : {}});
  const loaded = await from(passphrase);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.equal(loaded.platform.server.token!.reveal(), canary);

  const messages = async (phrase?: string) => {
    const refused = await from(phrase);
    assert.ok(!refused.ok);
    return refused.diagnostics.map(({message, hint}) => `${message} ${hint ?? ''}`).join('\n');
  };
  assert.match(await messages('another'), /does not open: the passphrase is another one/);
  assert.match(await messages(), /set SEALED_PASSPHRASE/);
  seal(file, 'clickhouse_password', '');
  assert.match(await messages(passphrase), /there is no secret "clickhouse_password" .*has other/);
});

test('a file that was altered does not open, nor is anything written over it', (t) => {
  const root = directory(t, {});
  const file = join(root, 'secrets.sealed');
  seal(file, 'a', canary);
  const sealed = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  const text = sealed.sealed!;
  const altered = JSON.stringify({...sealed, sealed: `${text[0] === 'A' ? 'B' : 'A'}${text.slice(1)}`});
  writeFileSync(file, altered);
  assert.throws(() => seal(file, 'b', 'x'), /does not open/);
  assert.equal(readFileSync(file, 'utf8'), altered);
});
