import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type TestContext, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {PlatformError} from '../../src/errors.ts';
import type {Domain, Platform} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileResolvingDecoder} from '../../src/schema/decode.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {ensureSubjects, openEmbeddedRegistry} from '../../src/schema/registry.ts';
import type {AvroRecord} from '../../src/schema/types.ts';
import {random} from '../support/random.ts';
import {eventType, field, randomValue, valueTypes} from './random.ts';

const source = fileURLToPath(new URL('../../src/schema/registry.ts', import.meta.url));

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-registry-'));
  t.after(() => rmSync(dir, {recursive: true, force: true}));
  return dir;
}

const schema = (...names: string[]): AvroRecord => ({
  type: 'record',
  name: 'r',
  fields: names.map((name) => ({name, type: ['null', 'string'], default: null})),
});

test('ids are unique and stay over a restart; the same schema has one id in all subjects', async (t) => {
  const dir = directory(t);
  const registry = openEmbeddedRegistry(dir);
  const a = await registry.register('a-value', schema('x'));
  const again = await registry.register('a-value', schema('x'));
  const b = await registry.register('b-value', schema('x'));
  const a2 = await registry.register('a-value', schema('x', 'y'));
  assert.deepEqual([a.version, again.version, b.version, a2.version], [1, 1, 1, 2]);
  assert.deepEqual([again.id, b.id], [a.id, a.id]);
  assert.notEqual(a2.id, a.id);
  registry.close();

  const reopened = openEmbeddedRegistry(dir);
  t.after(() => reopened.close());
  assert.equal((await reopened.register('a-value', schema('x'))).id, a.id);
  assert.equal((await reopened.latest('a-value'))?.id, a2.id);
  assert.deepEqual(await reopened.byId(a2.id), a2);
  assert.deepEqual(await reopened.versions('a-value'), [a, a2]);
  assert.deepEqual(await reopened.subjects(), ['a-value', 'b-value']);
  assert.equal(await reopened.byId(999), undefined);
  assert.equal(await reopened.latest('none-value'), undefined);
});

test('an incompatible schema is refused with every reason and changes nothing', async (t) => {
  const registry = openEmbeddedRegistry(directory(t));
  t.after(() => registry.close());
  await registry.register('a-value', {type: 'record', name: 'r', fields: [{name: 'x', type: 'string'}]});
  const next: AvroRecord = {
    type: 'record',
    name: 'r',
    fields: [
      {name: 'x', type: 'long'},
      {name: 'y', type: 'long'},
    ],
  };
  await assert.rejects(registry.register('a-value', next), (error: unknown) => {
    assert.ok(error instanceof PlatformError);
    assert.equal(error.code, 'SCHEMA_INCOMPATIBLE');
    assert.match(error.message, /r\.x: TYPE_MISMATCH/);
    assert.match(error.message, /r\.y: READER_FIELD_MISSING_DEFAULT_VALUE/);
    return true;
  });
  assert.deepEqual(
    (await registry.check('a-value', next)).map(({code}) => code),
    ['TYPE_MISMATCH', 'READER_FIELD_MISSING_DEFAULT_VALUE'],
  );
  assert.equal((await registry.versions('a-value')).length, 1);
  assert.equal((await registry.register('a-value', next, 'none')).version, 2);
});

test('a transitive rule looks at all versions, the others at the last', async (t) => {
  const registry = openEmbeddedRegistry(directory(t));
  t.after(() => registry.close());
  const typed = (type: 'string' | 'long'): AvroRecord => ({
    type: 'record',
    name: 'r',
    fields: [{name: 'x', type, default: type === 'long' ? 0 : ''}],
  });
  await registry.register('a-value', typed('string'));
  await registry.register('a-value', {type: 'record', name: 'r', fields: []});
  assert.deepEqual(await registry.check('a-value', typed('long'), 'backward'), []);
  assert.equal((await registry.check('a-value', typed('long'), 'backward_transitive')).length, 1);
});

test('a reader in another thread sees what was registered since it was opened, and cannot write', async (t) => {
  const dir = directory(t);
  const registry = openEmbeddedRegistry(dir);
  t.after(() => registry.close());
  const code = `
    const {parentPort, workerData} = require('node:worker_threads');
    import(workerData.source).then(async ({openEmbeddedRegistry}) => {
      const registry = openEmbeddedRegistry(workerData.dir, {readOnly: true});
      parentPort.postMessage('open');
      parentPort.on('message', async (id) => {
        const write = await registry.register('z-value', 'long').then(() => 'written', (error) => error.code);
        parentPort.postMessage({found: await registry.byId(id), write});
        registry.close();
        parentPort.close();
      });
    });`;
  const worker = new Worker(code, {eval: true, workerData: {dir, source}});
  t.after(() => worker.terminate());
  const message = () =>
    new Promise<unknown>((resolve, reject) => worker.once('message', resolve).once('error', reject));
  assert.equal(await message(), 'open');
  const registered = await registry.register('a-value', schema('x'));
  const answer = message();
  worker.postMessage(registered.id);
  assert.deepEqual(await answer, {found: registered, write: 'REGISTRY_UNAVAILABLE'});
});

test('reading where no registry is says so', (t) => {
  assert.throws(() => openEmbeddedRegistry(directory(t), {readOnly: true}), {code: 'REGISTRY_MISSING'});
});

test('an acknowledged id survives kill -9', async (t) => {
  const dir = directory(t);
  const script = `
    import {writeSync} from 'node:fs';
    const {openEmbeddedRegistry} = await import(${JSON.stringify(source)});
    const registry = openEmbeddedRegistry(${JSON.stringify(dir)});
    for (let i = 0; ; i++) {
      const name = 'f' + i;
      const {id} = await registry.register(name + '-value', {type: 'record', name: 'r', fields: [{name, type: 'long'}]});
      writeSync(1, JSON.stringify({name, id}) + '\\n');
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8');
  for await (const chunk of child.stdout) {
    output += chunk;
    if (output.split('\n').length > 20) child.kill('SIGKILL');
  }
  const acknowledged = output
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as {name: string; id: number});
  const registry = openEmbeddedRegistry(dir);
  t.after(() => registry.close());
  assert.ok(acknowledged.length >= 20);
  for (const {name, id} of acknowledged) assert.equal((await registry.latest(`${name}-value`))?.id, id);
  const fresh = await registry.register('fresh-value', schema('fresh'));
  assert.ok(acknowledged.every(({id}) => id !== fresh.id));
});

test('a changed schema text and a damaged file are found, never used', async (t) => {
  const dir = directory(t);
  const registry = openEmbeddedRegistry(dir);
  const {id} = await registry.register('a-value', schema('x'));
  registry.close();
  const db = new DatabaseSync(join(dir, 'registry.db'));
  db.exec(`UPDATE documents SET text = replace(text, '"x"', '"y"')`);
  db.close();
  const reader = openEmbeddedRegistry(dir, {readOnly: true});
  await assert.rejects(reader.byId(id), {code: 'REGISTRY_CORRUPT'});
  reader.close();
  const file = join(dir, 'registry.db');
  writeFileSync(file, readFileSync(file).fill(0x41, 0, 64));
  assert.throws(() => openEmbeddedRegistry(dir), {code: 'REGISTRY_CORRUPT'});
});

test('every topic of a platform gets its subject, and a platform that starts again changes nothing', async (t) => {
  const registry = openEmbeddedRegistry(directory(t));
  t.after(() => registry.close());
  const domain = {
    name: 'shop',
    defaults: {compatibility: 'backward'},
    eventTypes: [eventType('purchase', [field('amount', 'money')]), eventType('view', [])],
    aggregations: [{name: 'revenue'}],
  } as unknown as Domain;
  const platform = {domains: [domain]} as Platform;
  const first = await ensureSubjects(registry, platform);
  assert.deepEqual(
    [...first.keys()],
    ['shop.purchase', 'shop.view', 'dlq.shop', 'replay.shop', 'late.shop.revenue', 'replay.shop.revenue'],
  );
  assert.deepEqual(await registry.subjects(), [
    'dlq.shop-value',
    'late.shop.revenue-value',
    'replay.shop-value',
    'replay.shop.revenue-value',
    'shop.purchase-value',
    'shop.view-value',
  ]);
  assert.deepEqual(await ensureSubjects(registry, platform), first);
  domain.eventTypes[0] = eventType('purchase', [field('amount', 'string')]);
  const changed = await ensureSubjects(registry, platform);
  assert.equal(
    changed.get('shop.purchase')?.version,
    2,
    'a removed column and an optional new one are compatible',
  );
  domain.eventTypes[0] = eventType('purchase', [field('amount', 'string', {required: true})]);
  await assert.rejects(ensureSubjects(registry, platform), {code: 'SCHEMA_INCOMPATIBLE'});
});

test('a field of any type is renamed with an alias, and its old data is read under the new name', async (t) => {
  const registry = openEmbeddedRegistry(directory(t));
  t.after(() => registry.close());
  for (const type of valueTypes)
    for (const required of [true, false]) {
      const subject = `${type}-${required}-value`;
      const old = avroSchema(eventType('e', [field('old', type, {required})]));
      const renamed = avroSchema(eventType('e', [field('new', type, {required, aliases: ['old']})]));
      await registry.register(subject, old);
      assert.equal((await registry.register(subject, renamed)).version, 2);
      const chance = random(1);
      const value = randomValue(field('old', type, {required: true}), chance);
      const encoder = compileEncoder(old, 1);
      const values = ['id', 1, value];
      const buffer = new Uint8Array(encoder.sizeMax(values));
      const end = encoder.encode(values, buffer, 0);
      assert.deepEqual(compileResolvingDecoder(old, renamed)(buffer, 5, end), values, subject);
    }
});

test('the file of the first release is taken over with its ids', async (t) => {
  const dir = directory(t);
  const text = JSON.stringify(schema('x'));
  const sum = createHash('sha256').update(text).digest('hex');
  const db = new DatabaseSync(join(dir, 'registry.db'));
  db.exec(`
    CREATE TABLE schemas (id INTEGER PRIMARY KEY AUTOINCREMENT, normal TEXT NOT NULL UNIQUE, text TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;
    CREATE TABLE versions (subject TEXT NOT NULL, version INTEGER NOT NULL, id INTEGER NOT NULL REFERENCES schemas, PRIMARY KEY (subject, version), UNIQUE (subject, id)) STRICT, WITHOUT ROWID;
    INSERT INTO schemas VALUES (7, 'n', '${text}', '${sum}'), (9, 'm', '"long"', 'damaged');
    INSERT INTO versions VALUES ('a-value', 1, 7), ('b-value', 3, 7), ('c-value', 1, 9);
  `);
  db.close();
  // Only the platform may bring it up to date.
  assert.throws(() => openEmbeddedRegistry(dir, {readOnly: true}), {code: 'REGISTRY_MISSING'});
  const registry = openEmbeddedRegistry(dir);
  t.after(() => registry.close());
  assert.deepEqual(await registry.byId(7), {id: 7, subject: 'a-value', version: 1, schema: schema('x')});
  assert.deepEqual(
    (await registry.versions('b-value')).map(({id, version}) => [id, version]),
    [[7, 3]],
  );
  await assert.rejects(registry.byId(9), {code: 'REGISTRY_CORRUPT'});
  assert.equal((await registry.register('b-value', schema('x'))).version, 3);
  assert.equal((await registry.register('b-value', schema('x', 'y'))).id, 10);
});

test('a file of a newer release is refused, not touched', (t) => {
  const dir = directory(t);
  const db = new DatabaseSync(join(dir, 'registry.db'));
  db.exec('PRAGMA user_version = 99');
  db.close();
  assert.throws(() => openEmbeddedRegistry(dir), {code: 'REGISTRY_UNAVAILABLE', message: /newer release/});
});
