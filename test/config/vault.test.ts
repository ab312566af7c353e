/** Secrets from Vault, against OpenBao: what is read, what is told when it cannot be, and access that is kept alive. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, type TestContext, test} from 'node:test';
import {startVault, type Vault} from '../../src/cluster/openbao.ts';
import {SecretKeeper} from '../../src/config/secrets/keeper.ts';
import type {Secret} from '../../src/config/secrets/secret.ts';
import type {SecretBackend, SecretContext} from '../../src/config/secrets/types.ts';
import {vault} from '../../src/config/secrets/vault.ts';
import {loadPlatform} from '../../src/model/load.ts';
import {skipWithout} from '../cluster/needs.ts';
import {conformance} from '../conformance/secrets.ts';
import {directory, sinkSpecs} from './directory.ts';

const canary = 'CANARY-of-the-vault';
const needs = skipWithout('python3');
let server: Vault;
const scratch = mkdtempSync(join(tmpdir(), 'millrace-vault-'));

before(async () => {
  if (needs.skip) return;
  server = await startVault({tls: true});
  await server.ask('POST', 'secret/data/millrace', {data: {password: canary, port: 5432, deep: {a: 1}}});
  await server.ask('POST', 'secret/data/teams/data', {data: {password: 'of another path'}});
  await server.ask('PUT', 'sys/policies/acl/reader', {
    policy: 'path "secret/data/millrace" {capabilities = ["read"]}',
  });
  await server.ask('POST', 'sys/auth/approle', {type: 'approle'});
  writeFileSync(join(scratch, 'ca.pem'), server.certificates!.ca);
});
after(async () => {
  await server?.stop();
  rmSync(scratch, {recursive: true});
});

type Options = Record<string, unknown>;
const optionsOf = (more: Options): Options => ({
  url: server.url,
  mount: 'secret',
  path: 'millrace',
  kv: 2,
  auth: 'token',
  token: {},
  approle: {mount: 'approle'},
  tls: {ca: join(scratch, 'ca.pem')},
  timeout: 2_000,
  patience: 300,
  ...more,
});

async function open(
  t: TestContext,
  more: Options = {},
  env: SecretContext['env'] = {VAULT_TOKEN: server.token},
  keep?: SecretContext['keep'],
): Promise<SecretBackend> {
  const backend = await vault.open(optionsOf(more), {root: scratch, env, ...(keep ? {keep} : {})});
  t.after(() => backend.close!());
  return backend;
}

/** What it says when it cannot; never a value. */
async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('it succeeded'),
    (error: Error) => error,
  );
  assert.doesNotMatch(error.message, new RegExp(canary));
  return error.message;
}

async function tokenFor(body: object): Promise<string> {
  const {auth} = await server.ask('POST', 'auth/token/create', body);
  return (auth as {client_token: string}).client_token;
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test(
  'keys of the path and of other paths are read; a name that is not there comes with those that are',
  needs,
  async (t) => {
    const backend = await open(t);
    assert.equal(await backend.read('password'), canary);
    assert.equal(await backend.read('port'), '5432');
    assert.equal(await backend.read('teams/data#password'), 'of another path');
    assert.equal(await backend.read('nope'), undefined);
    assert.equal(await backend.hint!('nope'), 'secret/millrace in Vault has deep, password, port');
    assert.equal(await backend.read('nowhere#x'), undefined);
    assert.match((await backend.hint!('nowhere#x'))!, /nothing at secret\/nowhere/);
    assert.match(await failure(backend.read('deep')), /the key deep of secret\/millrace is no text/);
    await server.ask('POST', 'sys/mounts/old', {type: 'kv', options: {version: '1'}});
    await server.ask('POST', 'old/millrace', {password: 'version 1'});
    assert.equal(await (await open(t, {mount: 'old', kv: 1})).read('password'), 'version 1');
    assert.match(await failure((await open(t, {kv: 1})).read('password')), /set secrets\.vault\.kv to 2/);
  },
);

conformance(
  'vault',
  async (secrets) => {
    await server.ask('POST', 'secret/data/suite', {data: secrets});
    return vault.open(optionsOf({path: 'suite'}), {root: scratch, env: {VAULT_TOKEN: server.token}});
  },
  needs,
);

test(
  'a configuration reads its secrets from there, with their places when they are missing',
  needs,
  async (t) => {
    const root = directory(t, {
      'config/domains/a.yaml': 'event_types: []',
      'config/platform.yaml': `secrets: {backend: vault, vault: {url: "${server.url}", tls: {ca: ${join(scratch, 'ca.pem')}}, patience: 300ms}}
sinks:
  r: {backend: remote, remote: {url: "http://x", password: "\${secret:password} \${secret:teams/data#password}"}}
`,
    });
    const from = (token: string, more = {}) =>
      loadPlatform({from: root, sinkSpecs, variables: {VAULT_TOKEN: token}, ...more});
    const loaded = await from(server.token);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.equal((loaded.platform.sinks.r!.options.password as Secret).reveal(), `${canary} of another path`);

    const limited = await tokenFor({policies: ['reader']});
    const refused = await from(limited);
    assert.ok(!refused.ok);
    assert.deepEqual(
      refused.diagnostics.map(({code, line, message}) => `${line} ${code} ${message}`),
      [
        '3 SECRET_UNREADABLE the secret "teams/data#password" cannot be read: Vault forbids to read secret/data/teams/data: the policy needs: path "secret/data/teams/data" { capabilities = ["read"] }',
      ],
    );
    const wrong = await from('s.wrong-token');
    assert.ok(!wrong.ok);
    assert.match(
      wrong.diagnostics[0]!.message,
      /Vault does not know the token of VAULT_TOKEN, or it has expired/,
    );
    assert.doesNotMatch(JSON.stringify(wrong.diagnostics), /s\.wrong-token/);
  },
);

test('what is wrong is told, and how to mend it', needs, async (t) => {
  assert.match(await failure(open(t, {}, {HOME: scratch})), /set VAULT_TOKEN/);
  assert.match(await failure((await open(t, {mount: 'nope'})).read('a')), /no engine at nope/);
  assert.match(await failure(open(t, {tls: {}})), /name (that|it) in tls\.ca/);
  assert.match(await failure(open(t, {url: server.url.replace('https', 'http')})), /Vault/);
  assert.match(await failure(open(t, {url: 'https://127.0.0.1:1'})), /nothing listens there/);
  assert.match(
    await failure(open(t, {tls: {ca: join(scratch, 'none.pem')}})),
    /none\.pem cannot be read: there is no such file/,
  );
  assert.match(await failure(open(t, {token: {file: join(scratch, 'none')}})), /token\.file/);
  assert.match(await failure(open(t, {auth: 'approle'})), /approle\.role_id/);
  assert.match(
    await failure(
      open(t, {auth: 'approle', approle: {mount: 'approle', role_id: 'x'}}, {VAULT_SECRET_ID: canary}),
    ),
    /invalid role or secret ID/,
  );
});

test('a namespace is a Vault of its own', needs, async (t) => {
  await server.ask('POST', 'sys/namespaces/team', {});
  assert.match(await failure((await open(t, {namespace: 'team'})).read('password')), /no engine at secret/);
  await server.ask('POST', 'team/sys/mounts/secret', {type: 'kv', options: {version: '2'}});
  await wait(300);
  await server.ask('POST', 'team/secret/data/millrace', {data: {password: 'of the team'}});
  assert.equal(await (await open(t, {namespace: 'team'})).read('password'), 'of the team');
  assert.match(await failure(open(t, {namespace: 'none'})), /namespace not found/);
});

test('access is kept alive while a platform runs', {...needs, concurrency: 2}, async (t) => {
  await Promise.all([
    t.test(
      'while a platform runs a token is renewed; at its last end that is told, and a new one in the file is taken',
      async (t) => {
        const file = join(scratch, 'token');
        const short = await tokenFor({policies: ['reader'], ttl: '2s', explicit_max_ttl: '5s'});
        writeFileSync(file, `${short}\n`);
        const told: string[] = [];
        const backend = await open(t, {token: {file}}, {}, {tell: (message) => told.push(message)});
        await wait(3_500);
        assert.equal(await backend.read('password'), canary, 'renewed beyond its first two seconds');
        assert.deepEqual(told, []);
        await wait(3_000);
        assert.match(told[0]!, /cannot be renewed.*put a new one in its place/);
        assert.doesNotMatch(told.join(), new RegExp(short));
        writeFileSync(file, `${await tokenFor({policies: ['reader'], ttl: '1h'})}\n`);
        assert.equal(await backend.read('password'), canary, 'by the new token');
      },
    ),
    t.test('with AppRole a new token is taken when the old one can live no longer', async (t) => {
      await server.ask('POST', 'auth/approle/role/millrace', {
        token_policies: 'reader',
        token_ttl: '1s',
        token_max_ttl: '2s',
      });
      const {role_id} = await server.ask('GET', 'auth/approle/role/millrace/role-id');
      const {secret_id} = await server.ask('POST', 'auth/approle/role/millrace/secret-id');
      const told: string[] = [];
      const approle = {mount: 'approle', role_id, secret_id_file: join(scratch, 'secret-id')};
      writeFileSync(approle.secret_id_file, `${secret_id}\n`);
      const backend = await open(t, {auth: 'approle', approle}, {}, {tell: (message) => told.push(message)});
      assert.equal(await backend.read('password'), canary);
      await wait(3_500);
      assert.equal(await backend.read('password'), canary);
      assert.deepEqual(told, []);
    }),
  ]);
});

test('the keeper holds one backend open for later configurations and ends it', async () => {
  let opened = 0;
  let closed = 0;
  const keeper = new SecretKeeper(() => {});
  const spec = {
    ...vault,
    async open() {
      opened++;
      return {read: async () => 'x', close: async () => void closed++};
    },
  };
  const context = {root: scratch, env: {}};
  const first = await keeper.open(spec, {url: 'a'}, context);
  assert.equal(await keeper.open(spec, {url: 'a'}, context), first);
  assert.notEqual(await keeper.open(spec, {url: 'b'}, context), first);
  assert.deepEqual([opened, closed], [2, 1]);
  await keeper.close();
  await keeper.close();
  assert.equal(closed, 2);
});

test('a sealed Vault says so; one that comes up while it is waited for will do', needs, async (t) => {
  await server.ask('PUT', 'sys/seal');
  assert.match(await failure(open(t)), /Vault is sealed: unseal it/);
  await server.kill();
  const waiting = open(t, {patience: 15_000});
  await server.restart();
  assert.equal(await (await waiting).read('password'), canary);
});
