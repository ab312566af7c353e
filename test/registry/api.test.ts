/** The REST API as Confluent's registry answers: each test is a story of requests, with what each must get. */
import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import {scratchDir} from '../support/scratch.ts';
import {ask, type RegistryServer, startRegistry} from './server.ts';

async function started(t: TestContext, dir?: string): Promise<RegistryServer> {
  const server = await startRegistry(dir);
  t.after(async () => {
    await server.close();
    rmSync(dirname(server.dir), {recursive: true, force: true});
  });
  return server;
}

type Fields = object[];
const id = {name: 'id', type: 'long'};
const note = {name: 'note', type: ['null', 'string'], default: null};
const total = {name: 'total', type: 'double'};
const text = (fields: Fields, name = 'order', more: object = {}) =>
  JSON.stringify({type: 'record', name, ...more, fields});
const schema = (fields: Fields, more: object = {}) => ({schema: text(fields), ...more});

/** A record of so many fields, three parts each. */
const wide = (count: number) =>
  schema(Array.from({length: count}, (_, index) => ({name: `f${index}`, type: 'int'})));

/** [method and path, body, status, what the answer must have; a number is its error code]. */
type Step = [request: string, body: unknown, status: number, expected?: unknown];

/** Objects need only the expected keys; everything else must be equal. */
function check(actual: unknown, expected: unknown, shown: string): void {
  if (typeof expected === 'number' && typeof actual === 'object' && actual !== null && 'error_code' in actual)
    assert.equal(actual.error_code, expected, shown);
  else if (typeof expected === 'object' && expected !== null && !Array.isArray(expected))
    assert.partialDeepStrictEqual(actual, expected, shown);
  else assert.deepEqual(actual, expected, shown);
}

async function play(server: RegistryServer, steps: Step[]): Promise<void> {
  for (const [request, body, status, expected] of steps) {
    const [method = '', path = ''] = request.split(' ');
    const answer = await ask(server, method, path, body);
    const shown = `${request} ${JSON.stringify(body)}: ${answer.status} ${answer.text}`;
    assert.equal(answer.status, status, shown);
    if (expected !== undefined) check(answer.body, expected, shown);
    if (status >= 400) {
      const {error_code: code, message} = answer.body as {error_code: number; message: string};
      assert.ok(Number.isInteger(code) && message.length > 0, shown);
    }
  }
}

test('registered, found by id, version and content', async (t) => {
  const server = await started(t);
  const canonical = text([id]);
  await play(server, [
    ['GET /', undefined, 200, {}],
    ['GET /subjects', undefined, 200, []],
    ['GET /schemas/types', undefined, 200, ['AVRO']],
    [
      'POST /subjects/a/versions',
      {schema: `  ${canonical.replaceAll(',', ' , ')}`},
      200,
      {id: 1, version: 1},
    ],
    ['POST /subjects/a/versions', schema([id]), 200, {id: 1, version: 1}],
    ['POST /subjects/b/versions', schema([id], {schemaType: 'AVRO'}), 200, {id: 1, version: 1}],
    ['POST /subjects/a/versions', schema([id, note]), 200, {id: 2, version: 2}],
    ['GET /subjects', undefined, 200, ['a', 'b']],
    ['GET /subjects?subjectPrefix=b', undefined, 200, ['b']],
    ['GET /subjects?subjectPrefix=:*:b', undefined, 200, ['b']],
    ['GET /subjects?offset=1&limit=1', undefined, 200, ['b']],
    ['GET /subjects?offset=9', undefined, 200, []],
    ['GET /subjects?limit=0', undefined, 200, ['a', 'b']],
    ['GET /subjects/a/versions', undefined, 200, [1, 2]],
    ['GET /subjects/a/versions?offset=1', undefined, 200, [2]],
    ['GET /subjects/none/versions', undefined, 404, 40401],
    ['GET /subjects/a/versions/1', undefined, 200, {subject: 'a', version: 1, id: 1, schema: canonical}],
    ['GET /subjects/a/versions/latest', undefined, 200, {version: 2}],
    ['GET /subjects/a/versions/-1', undefined, 200, {version: 2}],
    ['GET /subjects/a/versions/1/schema', undefined, 200, JSON.parse(canonical)],
    ['GET /subjects/a/versions/3', undefined, 404, 40402],
    ['GET /subjects/none/versions/1', undefined, 404, 40401],
    ...['0', '-2', 'first', '2147483648', '1.5'].map(
      (version): Step => [`GET /subjects/a/versions/${version}`, undefined, 422, 42202],
    ),
    ['POST /subjects/a', schema([id]), 200, {subject: 'a', version: 1, id: 1}],
    ['POST /subjects/a', schema([total]), 404, 40403],
    ['POST /subjects/none', schema([id]), 404, 40401],
    ['POST /subjects/a', {schema: '{"type":"nothing"}'}, 422, 42201],
    ['GET /schemas/ids/1', undefined, 200, {schema: canonical}],
    ['GET /schemas/ids/1?subject=b', undefined, 200, {subject: 'b', version: 1}],
    ['GET /schemas/ids/1?fetchMaxId=true', undefined, 200, {maxId: 2}],
    ['GET /schemas/ids/1/schema', undefined, 200, JSON.parse(canonical)],
    ['GET /schemas/ids/1/subjects', undefined, 200, ['a', 'b']],
    [
      'GET /schemas/ids/1/versions',
      undefined,
      200,
      [
        {subject: 'a', version: 1},
        {subject: 'b', version: 1},
      ],
    ],
    ['GET /schemas/ids/1/versions?subject=b', undefined, 200, [{subject: 'b', version: 1}]],
    ['GET /schemas/ids/99', undefined, 404, 40403],
    ['GET /schemas/ids/99/schema', undefined, 404, 40403],
    ['GET /schemas/ids/99/subjects', undefined, 404, 40403],
    ['GET /schemas/ids/99/versions', undefined, 404, 40403],
    ['GET /schemas/ids/one', undefined, 404, 404],
    ['GET /v1/metadata/id', undefined, 200, {id: ''}],
    ['GET /v1/metadata/version', undefined, 200, {}],
    ['GET /contexts', undefined, 200, ['.']],
  ]);
  const all = (await ask(server, 'GET', '/schemas')).body as {subject: string; version: number}[];
  assert.deepEqual(
    all.map(({subject, version}) => `${subject} ${version}`),
    ['a 1', 'a 2', 'b 1'],
  );
  const latest = (await ask(server, 'GET', '/schemas?latestOnly=true&limit=1')).body as {version: number}[];
  assert.deepEqual(
    latest.map(({version}) => version),
    [2],
  );
  const {guid} = (await ask(server, 'GET', '/schemas/ids/1')).body as {guid: string};
  await play(server, [
    [`GET /schemas/guids/${guid}`, undefined, 200, {schema: canonical}],
    [`GET /schemas/guids/${guid}/ids`, undefined, 200, [{context: '.', id: 1}]],
    ['GET /schemas/guids/nothing', undefined, 404, 40403],
  ]);
});

test('what is no schema is refused, with what is wrong', async (t) => {
  const server = await started(t);
  const bad = [
    {schema: 'nonsense'},
    {schema: ''},
    {},
    {schema: '{"type":"record","name":"r","fields":[{"name":"x","type":"int","default":"a"}]}'},
    {schema: '{"type":"object"}', schemaType: 'JSON'},
    {schema: 'syntax = "proto3";', schemaType: 'PROTOBUF'},
    {schema: '"int"', schemaType: 'nothing'},
    {schema: '"int"', references: [{name: 'x', subject: 'none', version: 1}]},
    {schema: '"int"', references: [{name: 'x'}]},
    {schema: `${'['.repeat(100_000)}${']'.repeat(100_000)}`},
    {schema: `${'{"type":"array","items":'.repeat(5_000)}"int"${'}'.repeat(5_000)}`},
  ];
  await play(
    server,
    bad.flatMap((body): Step[] => [
      ['POST /subjects/s/versions', body, 422, 42201],
      ['POST /compatibility/subjects/s/versions', body, 422, 42201],
    ]),
  );
  await play(server, [
    ['GET /subjects', undefined, 200, []],
    ['POST /compatibility/subjects/s/versions?verbose=true', {schema: '5'}, 200, {is_compatible: false}],
    [
      'POST /subjects/s/versions',
      {schema: JSON.stringify({type: 'int', doc: 'x'.repeat(1 << 20)})},
      422,
      42209,
    ],
    ['POST /subjects/wide/versions', wide(16_000), 200, {version: 1}],
    ['POST /subjects/wide/versions', wide(17_000), 422, 42209],
    ['POST /compatibility/subjects/wide/versions', wide(17_000), 422, 42209],
  ]);
});

test('compatibility by level, of a version, of all, with reasons', async (t) => {
  const server = await started(t);
  const test = '/compatibility/subjects/s/versions';
  await play(server, [
    [`POST ${test}`, schema([id]), 200, {is_compatible: true}],
    [`POST ${test}/latest`, schema([id]), 200, {is_compatible: true}],
    [`POST ${test}/1`, schema([id]), 404, 40402],
    [`POST ${test}/0`, schema([id]), 422, 42202],
    ['POST /subjects/s/versions', schema([id]), 200, {version: 1}],
    ['POST /subjects/s/versions', schema([id, total]), 409, 409],
    [`POST ${test}/latest`, schema([id, total]), 200, {is_compatible: false}],
    [`POST ${test}/1?verbose=true`, schema([id, note]), 200, {is_compatible: true, messages: []}],
  ]);
  const verbose = await ask(server, 'POST', `${test}/latest?verbose=true`, schema([id, total]));
  assert.deepEqual((verbose.body as {messages: string[]}).messages, [
    "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'total' at path '/fields/1' in the new schema has no default value and is missing in the old schema', additionalInfo:'total'}",
    '{oldSchemaVersion: 1}',
    `{oldSchema: '${text([id])}'}`,
    "{validateFields: 'false', compatibility: 'BACKWARD'}",
  ]);
  const allowed = {
    NONE: [true, true, true],
    BACKWARD: [true, false, true],
    BACKWARD_TRANSITIVE: [true, false, true],
    FORWARD: [true, true, false],
    FORWARD_TRANSITIVE: [true, true, false],
    FULL: [true, false, false],
    FULL_TRANSITIVE: [true, false, false],
  };
  for (const [level, verdicts] of Object.entries(allowed)) {
    await play(server, [
      ['PUT /config/s', {compatibility: level.toLowerCase()}, 200, {compatibility: level}],
    ]);
    await play(
      server,
      [schema([id, note]), schema([id, total]), schema([])].map(
        (body, index): Step => [`POST ${test}`, body, 200, {is_compatible: verdicts[index]}],
      ),
    );
  }
  // A level that is transitive looks further back than the newest version.
  await play(server, [
    ['PUT /config/s', {compatibility: 'BACKWARD'}, 200],
    ['POST /subjects/s/versions', schema([]), 200],
    ['POST /subjects/s/versions', schema([{name: 'id', type: 'string', default: ''}]), 200],
    ['PUT /config/s', {compatibility: 'BACKWARD_TRANSITIVE'}, 200],
    [`POST ${test}`, schema([{name: 'id', type: 'string', default: 'x'}]), 200, {is_compatible: false}],
    [`POST ${test}/2`, schema([{name: 'id', type: 'string', default: 'x'}]), 200, {is_compatible: true}],
    [
      'POST /subjects/s/versions?force=true',
      schema([{name: 'id', type: 'string', default: 'x'}]),
      200,
      {version: 4},
    ],
  ]);
});

test('settings: global, of a subject, taken away', async (t) => {
  const server = await started(t);
  await play(server, [
    ['GET /config', undefined, 200, {compatibilityLevel: 'BACKWARD'}],
    ['GET /config/s', undefined, 404, 40408],
    ['GET /config/s?defaultToGlobal=true', undefined, 200, {compatibilityLevel: 'BACKWARD'}],
    ['PUT /config', {compatibility: 'NONE', normalize: true}, 200, {compatibility: 'NONE', normalize: true}],
    ['GET /config/s?defaultToGlobal=true', undefined, 200, {compatibilityLevel: 'NONE', normalize: true}],
    ['PUT /config/s', {compatibility: 'FULL'}, 200, {compatibility: 'FULL'}],
    ['GET /config/s?defaultToGlobal=true', undefined, 200, {compatibilityLevel: 'FULL', normalize: true}],
    ['PUT /config/s', {compatibility: 'SIDEWAYS'}, 422, 42203],
    ['PUT /config', {compatibility: 'SIDEWAYS'}, 422, 42203],
    ['PUT /config/s', {compatibilityPolicy: 'LENIENT'}, 422, 422],
    ['PUT /config/s', {aliasForDeks: 'x'}, 422, 422],
    ['PUT /config/__GLOBAL', {compatibility: 'FULL'}, 422, 42208],
    ['DELETE /config/s', undefined, 200, {compatibilityLevel: 'FULL'}],
    ['DELETE /config/s', undefined, 404, 40401],
    ['DELETE /config', undefined, 200, {compatibilityLevel: 'NONE'}],
    ['GET /config', undefined, 200, {compatibilityLevel: 'BACKWARD'}],
    // An alias stands for its subject.
    ['POST /subjects/long-name/versions', schema([id]), 200],
    ['PUT /config/short', {alias: 'long-name'}, 200, {alias: 'long-name'}],
    ['GET /subjects/short/versions/latest', undefined, 200, {subject: 'long-name'}],
    // Versions are compared inside their group.
    ['PUT /config/g', {compatibilityGroup: 'major'}, 200],
    ['POST /subjects/g/versions', schema([id], {metadata: {properties: {major: '1'}}}), 200],
    ['POST /subjects/g/versions', schema([total], {metadata: {properties: {major: '1'}}}), 409, 409],
    ['POST /subjects/g/versions', schema([total], {metadata: {properties: {major: '2'}}}), 200, {version: 2}],
    ['GET /subjects/g/metadata?key=major&value=1', undefined, 200, {version: 1}],
    ['GET /subjects/g/metadata?key=major&value=3', undefined, 404, 40403],
    // Metadata of the version before holds until a new one is given.
    ['POST /subjects/g/versions', schema([total, note]), 200, {metadata: {properties: {major: '2'}}}],
    ['POST /subjects/g/versions', schema([id], {ruleSet: {domainRules: [{name: 'r'}]}}), 422, 42210],
  ]);
});

test('modes: read-only refuses, import takes ids and versions', async (t) => {
  const server = await started(t);
  const imported = (number: number, version: number, fields: Fields) => schema(fields, {id: number, version});
  await play(server, [
    ['GET /mode', undefined, 200, {mode: 'READWRITE'}],
    ['GET /mode/s', undefined, 404, 40409],
    ['GET /mode/s?defaultToGlobal=true', undefined, 200, {mode: 'READWRITE'}],
    ['PUT /mode/s', {mode: 'SIDEWAYS'}, 422, 42204],
    ['PUT /mode', {}, 422, 42204],
    ['POST /subjects/s/versions', schema([id], {id: 7}), 422, 42205],
    ['PUT /mode/s', {mode: 'readonly'}, 200],
    ['POST /subjects/s/versions', schema([id]), 422, 42205],
    ['PUT /config/s', {compatibility: 'NONE'}, 422, 42205],
    ['POST /subjects/other/versions', schema([id]), 200, {id: 1}],
    ['DELETE /mode/s', undefined, 200, {mode: 'READONLY'}],
    ['DELETE /mode/s', undefined, 404, 40401],
    ['PUT /mode', {mode: 'IMPORT'}, 422, 42205],
    ['PUT /mode/s', {mode: 'IMPORT'}, 200, {mode: 'IMPORT'}],
    ['POST /subjects/s/versions', schema([id]), 422, 42205],
    ['POST /subjects/s/versions', imported(100, 5, [total]), 200, {id: 100, version: 5}],
    ['POST /subjects/s/versions', imported(100, 5, [total]), 200, {id: 100, version: 5}],
    ['POST /subjects/s/versions', imported(100, 6, [note]), 422, 42205],
    ['POST /subjects/s/versions', imported(101, 5, [note]), 422, 42205],
    ['POST /subjects/s/versions', imported(50, 2, [note]), 200, {id: 50, version: 2}],
    ['GET /subjects/s/versions', undefined, 200, [2, 5]],
    ['PUT /mode/s', {mode: 'READWRITE'}, 200],
    ['PUT /config/s', {compatibility: 'NONE'}, 200],
    ['POST /subjects/s/versions', schema([id, total]), 200, {id: 101, version: 6}],
    ['PUT /mode/s', {mode: 'IMPORT'}, 422, 42205],
    ['PUT /mode/s?force=true', {mode: 'IMPORT'}, 200],
    ['PUT /mode', {mode: 'READONLY_OVERRIDE'}, 200],
    ['POST /subjects/s/versions', imported(102, 7, [id]), 422, 42205],
    ['DELETE /subjects/s', undefined, 422, 42205],
    ['DELETE /mode?recursive=true', undefined, 200, {mode: 'READONLY_OVERRIDE'}],
    ['GET /mode/s', undefined, 404, 40409],
  ]);
});

test('deleted softly, then for good', async (t) => {
  const server = await started(t);
  await play(server, [
    ['POST /subjects/s/versions', schema([id]), 200, {id: 1}],
    ['POST /subjects/s/versions', schema([id, note]), 200, {id: 2}],
    ['DELETE /subjects/s/versions/1?permanent=true', undefined, 404, 40407],
    ['DELETE /subjects/s/versions/1', undefined, 200, 1],
    ['DELETE /subjects/s/versions/1', undefined, 404, 40406],
    ['DELETE /subjects/s/versions/9', undefined, 404, 40402],
    ['DELETE /subjects/none/versions/1', undefined, 404, 40401],
    ['DELETE /subjects/s/versions/x', undefined, 422, 42202],
    ['GET /subjects/s/versions', undefined, 200, [2]],
    ['GET /subjects/s/versions?deleted=true', undefined, 200, [1, 2]],
    ['GET /subjects/s/versions?deletedOnly=true', undefined, 200, [1]],
    ['GET /subjects/s/versions?deletedAsNegative=true', undefined, 200, [-1, 2]],
    ['GET /subjects/s/versions/1', undefined, 404, 40402],
    ['GET /subjects/s/versions/1?deleted=true', undefined, 200, {version: 1, deleted: true}],
    ['GET /schemas/ids/1', undefined, 200],
    ['GET /schemas/ids/1/versions', undefined, 200, []],
    ['GET /schemas/ids/1/versions?deleted=true', undefined, 200, [{subject: 's', version: 1}]],
    ['POST /subjects/s', schema([id]), 404, 40403],
    ['POST /subjects/s?deleted=true', schema([id]), 200, {version: 1}],
    // Registered again, a deleted schema keeps its id and gets a new version.
    ['POST /subjects/s/versions', schema([id]), 200, {id: 1, version: 3}],
    ['GET /subjects/s/versions?deleted=true', undefined, 200, [2, 3]],
    ['DELETE /subjects/s?permanent=true', undefined, 404, 40405],
    ['DELETE /subjects/s', undefined, 200, [2, 3]],
    ['DELETE /subjects/s', undefined, 404, 40404],
    ['DELETE /subjects/none', undefined, 404, 40401],
    ['GET /subjects', undefined, 200, []],
    ['GET /subjects?deleted=true', undefined, 200, ['s']],
    ['GET /subjects?deletedOnly=true', undefined, 200, ['s']],
    ['GET /subjects/s/versions', undefined, 404, 40401],
    ['DELETE /subjects/s/versions/2?permanent=true', undefined, 200, 2],
    ['DELETE /subjects/s?permanent=true', undefined, 200, [3]],
    ['DELETE /subjects/s?permanent=true', undefined, 404, 40401],
    ['GET /schemas/ids/1', undefined, 404, 40403],
    ['POST /subjects/s/versions', schema([id]), 200, {id: 3, version: 1}],
  ]);
});

test('references: resolved, counted, protected', async (t) => {
  const server = await started(t);
  const line = text([{name: 'sku', type: 'string'}], 'line', {namespace: 'shop'});
  const cart = (version: number) => ({
    schema: text([{name: 'lines', type: {type: 'array', items: 'shop.line'}}], 'cart'),
    references: [{name: 'shop.line', subject: 'line', version}],
  });
  await play(server, [
    ['POST /subjects/cart/versions', cart(1), 422, 42201],
    ['POST /subjects/line/versions', {schema: line}, 200, {id: 1}],
    ['POST /subjects/cart/versions', cart(-1), 200, {id: 2, references: cart(1).references}],
    ['POST /subjects/cart/versions', cart(1), 200, {id: 2, version: 1}],
    ['GET /subjects/line/versions/1/referencedby', undefined, 200, [2]],
    ['GET /subjects/cart/versions/1/referencedby', undefined, 200, []],
    ['GET /subjects/line/versions/2/referencedby', undefined, 404, 40402],
    ['DELETE /subjects/line/versions/1', undefined, 422, 42206],
    ['DELETE /subjects/line', undefined, 422, 42206],
    // What a reference brings in is compared, too.
    ['PUT /config/line', {compatibility: 'NONE'}, 200],
    ['POST /subjects/line/versions', {schema: line.replace('"string"', '"long"')}, 200, {version: 2}],
    ['POST /subjects/cart/versions', cart(2), 409, 409],
    ['POST /compatibility/subjects/cart/versions/latest', cart(2), 200, {is_compatible: false}],
  ]);
  const resolved = await ask(server, 'GET', '/subjects/cart/versions/1/schema?format=resolved');
  const whole = text([{name: 'lines', type: {type: 'array', items: JSON.parse(line)}}], 'cart');
  assert.deepEqual(resolved.body, JSON.parse(whole));
  await play(server, [
    // Sent with the referenced type in it, it is the same schema.
    ['POST /subjects/cart', {schema: whole}, 200, {id: 2}],
    ['POST /subjects/cart/versions', {schema: whole}, 200, {id: 2, version: 1}],
    ['DELETE /subjects/cart', undefined, 200, [1]],
    ['GET /subjects/line/versions/1/referencedby', undefined, 200, []],
    ['GET /subjects/line/versions/1/referencedby?deleted=true', undefined, 200, [2]],
    ['DELETE /subjects/line', undefined, 200, [1, 2]],
    ['DELETE /subjects/line?permanent=true', undefined, 422, 42206],
    ['DELETE /subjects/cart?permanent=true', undefined, 200, [1]],
    ['DELETE /subjects/line?permanent=true', undefined, 200, [1, 2]],
  ]);
});

test('normalised, schemas that differ in nothing of meaning are one', async (t) => {
  const server = await started(t);
  const one = {
    type: 'record',
    name: 'r',
    namespace: 'n',
    fields: [{name: 'x', type: {type: 'int', b: 1, a: 2}, order: 'ascending'}],
  };
  const other = {
    type: 'record',
    name: 'n.r',
    doc: '',
    fields: [{name: 'x', type: {type: 'int', a: 2, b: 1}}],
  };
  await play(server, [
    ['POST /subjects/s/versions', {schema: JSON.stringify(one)}, 200, {id: 1}],
    ['POST /subjects/s/versions', {schema: JSON.stringify(other)}, 200, {id: 2}],
    ['POST /subjects/s?normalize=true', {schema: JSON.stringify(other)}, 200, {id: 1}],
    ['POST /subjects/s/versions?normalize=true', {schema: JSON.stringify(other)}, 200, {id: 1, version: 1}],
    // The order of attributes never makes another schema.
    ['POST /subjects/t/versions', {schema: '{"type":"int","b":1,"a":2}'}, 200, {id: 3}],
    ['POST /subjects/t/versions', {schema: '{"a":2,"b":1,"type":"int"}'}, 200, {id: 3, version: 1}],
    ['GET /schemas/ids/3/schema', undefined, 200, {type: 'int', b: 1, a: 2}],
  ]);
});

test('any text can name a subject', async (t) => {
  const server = await started(t);
  for (const name of [
    'a/b',
    'a b',
    'ü€😀',
    'a?b#c',
    'a%2Fb',
    "it's",
    'a+b',
    '..a',
    'constructor',
    '__proto__',
  ]) {
    const path = encodeURIComponent(name);
    await play(server, [
      [`POST /subjects/${path}/versions`, schema([id]), 200, {id: 1, version: 1}],
      [`GET /subjects/${path}/versions/1`, undefined, 200, {subject: name}],
      [`PUT /config/${path}`, {compatibility: 'FULL'}, 200],
      [`DELETE /subjects/${path}`, undefined, 200, [1]],
    ]);
  }
  await play(server, [
    ['POST /subjects/a%00b/versions', schema([id]), 422, 42208],
    ['POST /subjects/%3A.other%3As/versions', schema([id]), 422, 42208],
    ['POST /subjects/%3A.%3Aplain/versions', schema([id]), 200],
    ['GET /subjects', undefined, 200, ['plain']],
  ]);
});

test('odd requests get a status that says so, never one of ours', async (t) => {
  const server = await started(t);
  await play(server, [
    ['GET /nothing', undefined, 404, 404],
    ['GET /subjects//versions', undefined, 404, 404],
    ['GET /subjects/', undefined, 200, []],
    ['GET /subjects/%zz/versions', undefined, 400, 400],
    ['GET /subjects/%ff/versions', undefined, 400, 400],
    ['PATCH /config', {}, 405, 405],
    ['POST /subjects/s/versions', undefined, 422, 422],
    ['POST /subjects/s/versions', 'null', 422, 422],
    ['POST /subjects/s/versions', '{', 400, 400],
    ['POST /subjects/s/versions', '[]', 400, 400],
    ['POST /subjects/s/versions', {schema: {}}, 400, 400],
    ['POST /subjects/s/versions', {schema: '"int"', version: 1.5}, 400, 400],
    ['POST /subjects/s/versions', {schema: '"int"', id: 2 ** 31}, 400, 400],
    ['POST /subjects/s/versions', {schema: '"int"', references: {}}, 400, 400],
    ['POST /subjects/s/versions', {schema: '"int"', metadata: []}, 400, 400],
    ['POST /subjects/s/versions', {schema: '"int"', schemaTagsToAdd: [{}]}, 422, 422],
    [
      'POST /subjects/s/versions',
      `{"schema":"\\"int\\"","ruleSet":{"domainRules":[{"name":"r","mode":"READ","type":"t","params":${'['.repeat(50_000)}${']'.repeat(50_000)}}]}}`,
      400,
      400,
    ],
    ['POST /subjects/s/versions', {schema: '{"type":"int","doc":"\\ud800"}'}, 200],
    ['POST /subjects/s/versions', {schema: '"int"', propagateSchemaTags: true}, 422, 422],
    ['GET /schemas?lifecycle=STRONG', undefined, 400, 400],
    ['POST /', {a: 'b'}, 200, {}],
    ['POST /', {a: {}}, 400, 400],
    ['GET /subjects?offset=x', undefined, 404, 404],
    ['GET /subjects?deleted=perhaps', undefined, 400, 400],
    ['GET /subjects?offset=-1', undefined, 200],
    ['POST /subjects/s/versions', ' '.repeat((16 << 20) + 1), 413, 413],
  ]);
  const patch = await ask(server, 'PATCH', '/config');
  assert.equal(patch.headers.get('allow'), 'GET,PUT,DELETE');
  const media = async (accept: string, type = 'application/json') => {
    const answer = await ask(
      server,
      'POST',
      '/subjects/s/versions',
      {schema: '"int"'},
      {accept, 'content-type': type},
    );
    return [answer.status, answer.headers.get('content-type')];
  };
  const own = 'application/vnd.schemaregistry.v1+json';
  assert.deepEqual(await media('*/*'), [200, own]);
  assert.deepEqual(await media('application/json'), [200, 'application/json']);
  assert.deepEqual(await media(`${own}, application/vnd.schemaregistry+json, application/json`), [200, own]);
  assert.deepEqual(await media('application/json;q=0.5, application/vnd.schemaregistry+json'), [
    200,
    'application/vnd.schemaregistry+json',
  ]);
  assert.deepEqual(await media('text/html'), [406, own]);
  assert.deepEqual(await media('*/*', 'text/plain'), [415, own]);
  assert.ok(server.told.some(({name, event}) => name === 'RegistryAnswered' && event.status === 415));
  const refused = await ask(server, 'GET', '/subjects', undefined, {authorization: 'Bearer wrong'});
  assert.equal(refused.status, 401);
  assert.equal((refused.body as {error_code: number}).error_code, 401);
});

test('what the platform writes with stays readable by id, and follows the rule of its configuration', async (t) => {
  const dir = join(scratchDir('registry'), 'log');
  const record = (fields: {name: string; type: string | string[]; default?: null}[]) =>
    ({type: 'record', name: 'order', fields}) as const;
  const platform = openEmbeddedRegistry(dir);
  const {id: own} = await platform.register(
    'shop.order-value',
    {...record([{name: 'id', type: 'long'}]), fields: [{name: 'id', type: 'long'}]},
    'full',
  );
  const server = await started(t, dir);
  await play(server, [
    ['GET /config/shop.order-value', undefined, 200, {compatibilityLevel: 'FULL'}],
    ['POST /subjects/shop.order-value/versions', schema([]), 409, 409],
    ['POST /subjects/shop.order-value/versions', schema([id, note]), 200, {version: 2}],
    ['DELETE /subjects/shop.order-value', undefined, 200, [1, 2]],
    ['DELETE /subjects/shop.order-value/versions/1?permanent=true', undefined, 422, 42205],
    ['DELETE /subjects/shop.order-value?permanent=true', undefined, 422, 42205],
    // What a client added can go.
    ['DELETE /subjects/shop.order-value/versions/2?permanent=true', undefined, 200, 2],
    [`GET /schemas/ids/${own}`, undefined, 200],
  ]);
  assert.equal((await platform.byId(own))?.id, own);
  assert.deepEqual(
    (await platform.own()).map((each) => each.id),
    [own],
  );
  assert.deepEqual(await platform.subjects(), []);
  const again = await platform.register(
    'shop.order-value',
    {type: 'record', name: 'order', fields: [{name: 'id', type: 'long'}]},
    'backward',
  );
  assert.equal(again.id, own);
  await play(server, [['GET /config/shop.order-value', undefined, 200, {compatibilityLevel: 'BACKWARD'}]]);
  platform.close();
});
