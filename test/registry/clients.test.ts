/** Clients of other makers against the registry: Confluent's for Python, another for Python, one for JavaScript. */
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {existsSync, readdirSync, rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {promisify} from 'node:util';
import {COMPATIBILITY, SchemaRegistry, SchemaType} from '@kafkajs/confluent-schema-registry';
import {python} from '../schema/python.ts';
import {startRegistry, token} from './server.ts';

const installed =
  existsSync(join(dirname(python), 'schema-registry-client')) || hasPackage('confluent_kafka');
const skip =
  installed || process.env.CI === 'true'
    ? false
    : 'needs confluent-kafka and python-schema-registry-client in .cache/venv: .ci/run installs them';

function hasPackage(name: string): boolean {
  const lib = join(dirname(dirname(python)), 'lib');
  return (
    existsSync(lib) && readdirSync(lib).some((each) => existsSync(join(lib, each, 'site-packages', name)))
  );
}

async function started(t: TestContext) {
  const server = await startRegistry();
  t.after(async () => {
    await server.close();
    rmSync(dirname(server.dir), {recursive: true, force: true});
  });
  return server;
}

test('confluent-kafka and python-schema-registry-client register, look up, encode, decode and delete', {
  skip,
}, async (t) => {
  const {url} = await started(t);
  const {stdout} = await promisify(execFile)(python, [join(import.meta.dirname, 'clients.py'), url, token]);
  assert.deepEqual(stdout.trim().split('\n'), ['confluent-kafka: ok', 'python-schema-registry-client: ok']);
});

test('the KafkaJS client registers, encodes and decodes', async (t) => {
  const {url} = await started(t);
  const client = new SchemaRegistry({
    host: url,
    auth: {username: 'any', password: token},
    retry: {retries: 0},
  });
  const schema = (fields: object[]) => ({
    type: SchemaType.AVRO as SchemaType.AVRO,
    schema: JSON.stringify({type: 'record', name: 'order', namespace: 'shop', fields}),
  });
  const id = {name: 'id', type: 'long'};
  const note = {name: 'note', type: ['null', 'string'], default: null};
  const subject = 'js/orders-value';
  const first = await client.register(schema([id]), {subject, compatibility: COMPATIBILITY.BACKWARD});
  const second = await client.register(schema([id, note]), {subject});
  assert.notEqual(second.id, first.id);
  assert.equal(await client.getLatestSchemaId(subject), second.id);
  assert.equal(await client.getRegistryId(subject, 1), first.id);
  assert.equal(await client.getRegistryIdBySchema(subject, schema([id])), first.id);
  const encoded = await client.encode(second.id, {id: 5, note: 'x'});
  // A client that has seen nothing yet asks for the schema by the id in the bytes.
  const other = new SchemaRegistry({host: url, auth: {username: 'any', password: token}});
  assert.deepEqual({...(await other.decode(encoded))}, {id: 5, note: 'x'});
  await assert.rejects(client.register(schema([{name: 'id', type: 'string'}]), {subject}), /incompatible/i);

  await client.register(
    {
      type: SchemaType.AVRO,
      schema: JSON.stringify({
        type: 'record',
        name: 'line',
        namespace: 'shop',
        fields: [{name: 'sku', type: 'string'}],
      }),
    },
    {subject: 'js-line'},
  );
  const cart = await client.register(
    {
      type: SchemaType.AVRO,
      schema: JSON.stringify({
        type: 'record',
        name: 'cart',
        namespace: 'shop',
        fields: [{name: 'lines', type: {type: 'array', items: 'shop.line'}}],
      }),
      references: [{name: 'shop.line', subject: 'js-line', version: 1}],
    },
    {subject: 'js-cart'},
  );
  const bytes = await client.encode(cart.id, {lines: [{sku: 'a'}]});
  assert.equal(JSON.stringify(await other.decode(bytes)), '{"lines":[{"sku":"a"}]}');
});
