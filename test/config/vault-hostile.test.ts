/** What answers in the place of Vault and is none, or gives leases that nobody can live with. */
import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import type {SecretContext} from '../../src/config/secrets/types.ts';
import {vault} from '../../src/config/secrets/vault.ts';
import {type Answer, dripping, endless, html, says, serve, silent} from '../support/hostile.ts';

const canary = 'canary-of-the-token';
const env = {VAULT_TOKEN: canary, VAULT_ROLE_ID: 'role', VAULT_SECRET_ID: canary};

async function open(
  t: TestContext,
  answer: Answer,
  auth: 'token' | 'approle',
  keep?: SecretContext['keep'],
  timeout = 60_000,
) {
  const url = await serve(t, answer);
  const options = {
    url,
    mount: 'secret',
    path: 'millrace',
    kv: 2,
    auth,
    token: {},
    approle: {mount: 'approle'},
  };
  const backend = await vault.open(
    {...options, timeout, patience: 0},
    {root: '/', env, ...(keep ? {keep} : {})},
  );
  t.after(() => backend.close!());
  return backend;
}

async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('it succeeded'),
    (error: Error) => error,
  );
  assert.doesNotMatch(error.message, new RegExp(canary));
  return error.message;
}

const odd: [string, Answer, RegExp][] = [
  ['HTML', html, /is no Vault: see secrets\.vault\.url/],
  ['a list', says([null]), /is no Vault/],
  [
    'values of other types',
    says({data: 'x', auth: {client_token: 5}, errors: 5, warnings: {}}),
    /is no Vault/,
  ],
  ['no token', says({data: null, auth: {client_token: ''}}), /is no Vault/],
  ['something deep', says('['.repeat(1_000_000) + ']'.repeat(1_000_000)), /is no Vault/],
  ['no end', endless, /has more than \d+ bytes/],
  ['a byte now and then', dripping, /did not answer within 400 ms/],
  ['nothing', silent, /did not answer within 400 ms/],
  [
    'a failure that is no list',
    (_, response) => response.writeHead(400).end('{"errors": {"a": 1}}'),
    /Vault refuses .*: 400$/,
  ],
];
for (const [name, answer, said] of odd)
  test(`${name} in the place of Vault`, async (t) => {
    const timeout = answer === dripping || answer === silent ? 400 : undefined;
    assert.match(await failure(open(t, answer, 'token', undefined, timeout)), said);
    assert.match(await failure(open(t, answer, 'approle', undefined, timeout)), said);
  });

test('secrets that are no object, or whose path is said to be missing in an odd way', async (t) => {
  const answers =
    (body: unknown, status = 200): Answer =>
    (request, response) => {
      if (request.url?.includes('lookup-self')) return says({data: {ttl: 0}})(request, response);
      response.writeHead(status).end(JSON.stringify(body));
    };
  for (const data of ['abc', ['a'], 5])
    assert.match(await failure((await open(t, answers({data: {data}}), 'token')).read('0')), /no KV engine/);
  assert.equal(
    await (await open(t, answers({errors: null, warnings: 5}, 404), 'token')).read('a'),
    undefined,
  );
});

for (const [name, lease] of [
  ['no time', 0.000_001],
  ['a time that is none', 'soon'],
  ['a negative time', -5],
] as const)
  test(`a lease of ${name} is no reason to ask all the time`, async (t) => {
    let asked = 0;
    const auth = {client_token: 't-of-hostile', lease_duration: lease, renewable: true};
    const answer: Answer = (request, response) => says({auth, data: {}, asked: asked++})(request, response);
    const startMs = performance.now();
    await open(t, answer, 'approle', {tell() {}} as unknown as SecretContext['keep']);
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.ok(asked <= 1 + (performance.now() - startMs) / 500, `${asked} times`);
  });
