/** A schema registry that answers wrongly: nothing of it is used, and it is told in time, as an error of the operator's. */
import assert from 'node:assert/strict';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {PlatformError} from '../../src/errors.ts';
import type {SchemaRegistry} from '../../src/schema/registry.ts';
import {openRegistryClient} from '../../src/schema/registry-client.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import {type Answer, dripping, endless, html, says, serve, silent} from '../support/hostile.ts';

const own: AvroSchema = {type: 'record', name: 'a', fields: [{name: 'x', type: 'long'}]};
const text = JSON.stringify(own);

type Opened = {registry: SchemaRegistry; dir: string};
async function open(t: TestContext, answer: Answer, timeoutMs = 60_000): Promise<Opened> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-hostile-'));
  const url = await serve(t, answer);
  const login = {username: 'u', password: 'canary-of-registry'};
  const registry = await openRegistryClient({urls: [url], ...login, timeoutMs, patienceMs: 0}, dir);
  t.after(() => {
    registry.close();
    rmSync(dir, {recursive: true});
  });
  return {registry, dir};
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    (found) => `found ${JSON.stringify(found)}`,
    (error: unknown) => {
      assert.ok(error instanceof PlatformError, String((error as Error).stack));
      assert.ok(error.hint);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /canary-of-registry/);
      return error.code;
    },
  );

/** As a registry answers, but for one thing. */
const almost =
  (schema: unknown, more: object = {}): Answer =>
  ({url = ''}, response) =>
    says(url.endsWith('/versions') ? [{subject: 's', version: 1}] : {id: 1, version: 1, schema, ...more})(
      undefined as never,
      response,
    );

const odd: [string, Answer][] = [
  ['HTML', html],
  ['nothing', says('')],
  ['null', says('null')],
  ['a text', says('"x"')],
  ['a list of null', says([null])],
  ['an endless list', says(Array.from({length: 100_000}, (_, number) => number))],
  ['a deep one', says('['.repeat(1_000_000) + ']'.repeat(1_000_000))],
  ['ids that are texts', says({id: 'x', version: 'y', schema: 1})],
  ['a negative id', says({id: -1, version: 1, schema: 1})],
  ['an id beyond 32 bits', says({id: 2 ** 40, version: 1, schema: 1})],
  ['a broken id', says({id: 1.5, version: 1, schema: 1})],
  ['an endless one', endless],
  ['a redirect to nowhere', (_, response) => response.writeHead(302, {location: 'http://['}).end()],
];
for (const [name, answer] of odd)
  test(`an answer that is none, ${name}: refused, and nothing is kept of it`, async (t) => {
    const {registry, dir} = await open(t, answer);
    assert.deepEqual(
      [await codeOf(registry.byId(7)), await codeOf(registry.register('s', own))],
      ['REGISTRY_REFUSED', 'REGISTRY_REFUSED'],
    );
    assert.deepEqual(readdirSync(dir), []);
  });

for (const [name, answer] of [
  ['silent', silent],
  ['dripping', dripping],
] as const)
  test(`one that is ${name} is waited for as long as is configured`, async (t) => {
    const {registry} = await open(t, answer, 400);
    assert.equal(await codeOf(registry.byId(7)), 'REGISTRY_UNAVAILABLE');
  });

const fields = Array.from({length: 60_000}, (_, index) => ({name: `field_number_${index}`, type: 'long'}));
const unusable: [string, unknown, object?][] = [
  ['no JSON', 'no json'],
  ['null', 'null'],
  ['a name that nobody defines', '"whatever"'],
  ['a record without fields', '{"type": "record", "name": "a"}'],
  [
    '100,000 arrays in each other',
    `${'{"type":"array","items":'.repeat(100_000)}"int"${'}'.repeat(100_000)}`,
  ],
  ['300,000 lists in each other', `${'['.repeat(300_000)}"int"${']'.repeat(300_000)}`],
  ['several MB', JSON.stringify({type: 'record', name: 'a', fields})],
  ['one that references itself', text, {references: [{name: 'a', subject: 'a', version: 1}]}],
];
for (const [name, schema, more] of unusable)
  test(`a schema that cannot be used, ${name}: its records are dead letters, the platform lives`, async (t) => {
    const {registry, dir} = await open(t, almost(schema, more));
    assert.equal(await codeOf(registry.byId(7)), 'SCHEMA_UNSUPPORTED');
    assert.deepEqual(readdirSync(dir), []);
  });

test('a chain of references without an end is followed for a while', async (t) => {
  let count = 0;
  const answer: Answer = (request, response) => {
    const references = [{name: `n${count}`, subject: `s${count++}`, version: 1}];
    almost(text, {references})(request, response);
  };
  const {registry} = await open(t, answer);
  assert.equal(await codeOf(registry.byId(7)), 'SCHEMA_UNSUPPORTED');
  assert.ok(count < 2_000);
});

test('one id for everything is another registry', async (t) => {
  const {registry} = await open(t, (request, response) => {
    const {method, url = ''} = request;
    says(method === 'GET' && url.endsWith('/versions') ? [] : {id: 1, version: 1, schema: text})(
      request,
      response,
    );
  });
  assert.equal((await registry.register('s', own)).id, 1);
  const other: AvroSchema = {...own, fields: [{name: 'y', type: 'string'}]};
  assert.equal(await codeOf(registry.register('t', other)), 'REGISTRY_OTHER');
});
