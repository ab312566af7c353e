/** A platform whose schema registry is a server: with it, without it, and with records of other programs. */
import assert from 'node:assert/strict';
import {cpSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import avsc from 'avsc';
import {PlatformError} from '../../src/errors.ts';
import type {RunningPlatform} from '../../src/platform/runtime.ts';
import {packRecords} from '../../src/schema/frame.ts';
import {ask as askOnce, type RegistryServer, startRegistry, token} from '../registry/server.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';
import {type Started, startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

let server: RegistryServer;
let port: number;

before(async () => {
  server = await startRegistry();
  port = Number(new URL(server.url).port);
});
after(() => server.close());

/** Node's fetch may still hold a connection to the server that was there before. */
const ask = (...args: Parameters<typeof askOnce>) => askOnce(...args).catch(() => askOnce(...args));

const stopServer = () => server.close();
/** The same registry again, at the same address. */
const startServer = async () => {
  server = await startRegistry(server.dir, port);
};

const filesOf = (more = ''): Record<string, string> => ({
  '.env': `registry_token=${token}\n`,
  'config/platform.yaml': `platform: p
sinks: {rows: {backend: file}}
log: {embedded: {partitions: 2}}
engine: {embedded: {workers: 1}}
registry:
  backend: confluent
  confluent: {url: "http://127.0.0.1:${port}/registry", token: "\${secret:registry_token}", timeout: 2s, patience: 300ms${more}}
defaults: {aggregates: rows, raw: none}
`,
  'config/domains/shop.yaml': `defaults: {compatibility: full}
event_types: [{name: order, attributes: [user_id], metrics: [{name: amount, type: long}]}, {name: view, attributes: [page]}]
aggregations:
  - {name: orders, from: order, window: {type: tumbling, size: 1m}, measures: {n: count(), total: sum(amount)}}
  - {name: views, from: view, window: {type: tumbling, size: 1m}, measures: {n: count()}}
`,
});

/** Registered by another program: fields in its own order, one more, a number that is promoted. */
const foreign = {
  type: 'record',
  name: 'order',
  namespace: 'shop',
  fields: [
    {name: 'amount', type: 'int'},
    {name: 'event_id', type: 'string'},
    {name: 'timestamp', type: {type: 'long', logicalType: 'timestamp-millis'}},
    {name: 'user_id', type: ['null', 'string'], default: null},
    {name: 'channel', type: 'string', default: 'web'},
  ],
} as const;

async function registerForeign(channel: string): Promise<number> {
  const fields = foreign.fields.map((field) =>
    field.name === 'channel' ? {...field, default: channel} : field,
  );
  const answer = await ask(server, 'POST', '/subjects/foreign/versions', {
    schema: JSON.stringify({...foreign, fields}),
  });
  assert.equal(answer.status, 200, answer.text);
  return (answer.body as {id: number}).id;
}

function frameOf(id: number, amount: number): Uint8Array<ArrayBuffer> {
  const values = {amount, event_id: `e${id}.${amount}`, timestamp: Date.now(), user_id: 'u', channel: 'app'};
  const header = Buffer.alloc(5);
  header.writeUInt32BE(id, 1);
  return new Uint8Array(
    Buffer.concat([header, avsc.Type.forSchema(foreign as unknown as avsc.Schema).toBuffer(values)]),
  );
}

/** As a producer of another language would, past our own ingestion. */
const appendForeign = ({ingest}: RunningPlatform, partition: number, frames: Uint8Array[]) =>
  ingest.append({
    appends: [{topic: 'shop.order', partition, count: frames.length, bytes: packRecords(frames)}],
  });

const accessTo = ({dirs}: RunningPlatform): string =>
  `Bearer ${readFileSync(join(dirs.state, '..', 'token'), 'utf8').trim()}`;

const post = (
  running: RunningPlatform,
  eventType: string,
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
) =>
  fetch(`${running.url}/v1/events/shop/${eventType}`, {
    method: 'POST',
    headers: {authorization: accessTo(running), 'content-type': type},
    body,
  });

async function send(running: RunningPlatform, eventType: string, events: object[]): Promise<void> {
  const response = await post(running, eventType, 'application/json', JSON.stringify(events));
  assert.ok(response.ok, await response.text());
}

const countsOf = (running: RunningPlatform, query: string) => {
  const lines = running.status().queries.find((each) => each.query === query)?.counts ?? [];
  const sum = (field: 'aggregated' | 'dead') => lines.reduce((total, line) => total + line[field], 0);
  return {aggregated: sum('aggregated'), dead: sum('dead')};
};

const logged = ({told}: Started): string[] =>
  told.flatMap(({name, event}) => (name === 'Log' ? [`${event.level}: ${event.message}`] : []));

test('schemas are registered at the server, with the rule of the configuration; the platform serves none itself', async () => {
  const {running} = await startIn(makeRoot(filesOf()));
  try {
    const subjects = (await ask(server, 'GET', '/subjects')).body as string[];
    assert.ok(
      ['shop.order-value', 'shop.view-value', 'dlq.shop-value'].every((each) => subjects.includes(each)),
    );
    const level = await ask(server, 'GET', '/config/shop.order-value');
    assert.deepEqual(level.body, {compatibilityLevel: 'FULL'});
    assert.equal((await ask(server, 'GET', '/config/dlq.shop-value')).status, 404);
    const own = await fetch(`${running.url}/registry/subjects`, {
      headers: {authorization: accessTo(running)},
    });
    assert.equal(own.status, 404);
    assert.match(await own.text(), /are registered at http:\/\/127/);
    await send(running, 'order', [{amount: 5}, {amount: 6}]);
    await until(() => countsOf(running, 'shop.orders').aggregated === 2, 'the events');
    assert.deepEqual(
      {...running.status().registry, place: ''},
      {place: '', state: 'running', pending: 0, wanted: 0},
    );
  } finally {
    await running.drain();
  }
});

test('commands ask the server', async () => {
  const root = makeRoot(filesOf());
  await (await startIn(root)).running.drain();
  const list = await cli(root, 'schema', 'list', '--json');
  assert.equal(list.code, 0, list.stderr);
  const listed = JSON.parse(list.stdout) as {subject: string; version: number}[];
  assert.ok(listed.some(({subject, version}) => subject === 'shop.order-value' && version === 1));
  const show = await cli(root, 'schema', 'show', 'shop.order');
  assert.equal((JSON.parse(show.stdout) as {name: string}).name, 'order');
  assert.equal((await cli(root, 'schema', 'check')).code, 0);
  writeFiles(root, {
    'config/domains/shop.yaml': `defaults: {compatibility: full}
event_types: [{name: order, attributes: [user_id], metrics: [{name: amount, type: long}, {name: tax, type: long}]}]
`,
  });
  const check = await cli(root, 'schema', 'check');
  assert.equal(check.code, 3, check.stderr);
  assert.match(check.stdout, /READER_FIELD_MISSING_DEFAULT_VALUE at order\.tax/);
  const plan = await cli(root, 'plan');
  assert.match(plan.stdout + plan.stderr, /tax/);
  assert.notEqual(plan.code, 4);
  const doctor = await cli(root, 'doctor');
  assert.match(doctor.stdout, /registry.*subjects/);
  await stopServer();
  try {
    for (const argv of [['schema', 'list'], ['plan']]) {
      const failed = await cli(root, ...argv);
      assert.equal(failed.code, 4, failed.stdout);
      assert.match(failed.stderr, /REGISTRY_UNAVAILABLE/);
      assert.doesNotMatch(failed.stderr + failed.stdout, new RegExp(token));
    }
    assert.match((await cli(root, 'doctor')).stdout, /registry.*does not answer/);
  } finally {
    await startServer();
  }
});

test('down at start: without memory a start fails and says what to do; with it the platform runs, and registers later', async () => {
  const root = makeRoot(filesOf());
  await (await startIn(root)).running.drain();
  const changed = makeRoot({
    ...filesOf(),
    'config/domains/shop.yaml': 'event_types: [{name: other}]\n',
  });
  cpSync(join(root, '.millrace'), join(changed, '.millrace'), {recursive: true});
  await stopServer();
  try {
    for (const [cold, what] of [
      [makeRoot(filesOf()), /shop\.order-value was never registered from here/],
      [changed, /shop\.other-value was never registered from here/],
    ] as const)
      await assert.rejects(startIn(cold), (error: PlatformError) => {
        assert.equal(error.code, 'REGISTRY_UNAVAILABLE');
        assert.equal(error.exitCode, 4);
        assert.match(error.message, what);
        assert.match(error.message, /nothing listens there/);
        assert.ok(error.hint);
        return true;
      });
    const started = await startIn(root);
    const {running} = started;
    try {
      assert.ok(
        logged(started).some((line) =>
          /warn: schema registry .*8 subjects could not be registered/.test(line),
        ),
        logged(started).join('\n'),
      );
      const {registry} = running.status();
      assert.deepEqual([registry?.state, registry?.pending], ['down', 8]);
      await send(running, 'order', [{amount: 5}]);
      await until(() => countsOf(running, 'shop.orders').aggregated === 1, 'the event');
      await startServer();
      await until(() => running.status().registry?.pending === 0, 'the registry');
      assert.equal(running.status().registry?.state, 'running');
      assert.ok(logged(started).some((line) => /info: schema registry .* answers again/.test(line)));
    } finally {
      await running.drain();
    }
  } finally {
    await startServer().catch(() => {});
  }
});

test('down at an unseen id: its partition waits, visibly, the others go on; nothing is lost once it is back', async () => {
  const started = await startIn(makeRoot(filesOf()));
  const {running} = started;
  const id = await registerForeign('one');
  await stopServer();
  try {
    await appendForeign(running, 0, [frameOf(id, 1), frameOf(id, 2)]);
    await send(running, 'view', [{page: 'a'}, {page: 'b'}]);
    await until(
      () => running.status().queries.some(({held}) => held?.[0]?.message !== undefined),
      'the hold',
    );
    const query = running.status().queries.find((each) => each.query === 'shop.orders')!;
    const [held] = query.held!;
    assert.deepEqual([held!.topic, held!.partition, held!.schemaId], ['shop.order', 0, id]);
    assert.match(held!.message!, /does not answer/);
    await until(() => countsOf(running, 'shop.views').aggregated === 2, 'the views');
    // Who sends us such a record over HTTP is asked to come again.
    const refused = await post(running, 'order', 'application/avro', frameOf(id, 8));
    assert.equal(refused.status, 503, await refused.text());
    assert.ok(refused.headers.get('retry-after'));
    const text = await running.metrics.render();
    assert.match(text, /^millrace_query_held_partitions\{query="shop.orders"\} 1$/m);
    assert.match(text, /^millrace_registry_available 0$/m);
    assert.match(text, /^millrace_schemas_asked_total\{outcome="failed"\} [1-9]/m);
    assert.equal(countsOf(running, 'shop.orders').aggregated, 0);

    await startServer();
    await until(() => countsOf(running, 'shop.orders').aggregated === 2, 'the orders');
    assert.equal(countsOf(running, 'shop.orders').dead, 0);
    await until(
      () => running.status().queries.every((each) => each.held === undefined),
      'the end of the hold',
    );
    assert.match(await running.metrics.render(), /^millrace_registry_available 1$/m);

    // Down later: what is known goes on.
    await stopServer();
    await appendForeign(running, 1, [frameOf(id, 3)]);
    await send(running, 'order', [{amount: 9}]);
    await until(() => countsOf(running, 'shop.orders').aggregated === 4, 'more orders');
    // A schema that was never met is learned from the registry, over HTTP, too.
    await startServer();
    const newer = await registerForeign('http');
    const taken = await post(running, 'order', 'application/avro', frameOf(newer, 11));
    assert.equal(taken.status, 200, await taken.text());
    await until(() => countsOf(running, 'shop.orders').aggregated === 5, 'its order');
  } finally {
    await running.drain();
    await startServer().catch(() => {});
  }
});

test('where the configuration says so, records of an unseen id become dead letters when the registry stays away', async () => {
  const files = filesOf(', unknown_schema: dead_letter, unknown_schema_after: 1s');
  const {running} = await startIn(makeRoot(files));
  const id = await registerForeign('two');
  await stopServer();
  try {
    await appendForeign(running, 0, [frameOf(id, 1)]);
    await until(() => countsOf(running, 'shop.orders').dead === 1, 'the dead letter');
  } finally {
    await startServer();
    await running.drain();
  }
});

test('an id that nobody registered is a dead letter; once it is registered a replay counts it', async () => {
  const root = makeRoot(filesOf());
  const {running} = await startIn(root);
  try {
    // Ids are given one after another.
    const next = (await registerForeign('before')) + 1;
    await appendForeign(running, 0, [frameOf(next, 1), frameOf(123_456, 1), Buffer.from('{"amount": 1}')]);
    await until(() => countsOf(running, 'shop.orders').dead === 3, 'the dead letters');
    assert.match(await running.metrics.render(), /^millrace_schemas_asked_total\{outcome="unknown"\} 2$/m);
    const list = await cli(root, 'dlq', 'list', '--json');
    type Shown = {id: string; code: string; hint: string | null; schema_id: number; original: string};
    const all = JSON.parse(list.stdout) as Shown[];
    // JSON has no schema id, and a replay does not help: the letter says what does.
    const json = all.find(({code}) => code === 'DECODE');
    const shown = await cli(root, 'dlq', 'show', 'shop', json?.id ?? '');
    assert.match(
      shown.stdout,
      /hint +have its producer write Avro in Confluent's wire format .*v1\/events\/shop\/order/,
    );
    const letters = all.filter(({code}) => code !== 'DECODE');
    assert.ok(letters.every(({hint}) => hint?.includes('dlq replay shop --code UNKNOWN_SCHEMA')));
    assert.deepEqual(
      letters.map(({code, schema_id}) => `${schema_id} ${code}`).toSorted(),
      [next, 123_456].map((id) => `${id} UNKNOWN_SCHEMA`).toSorted(),
    );
    assert.ok(letters.every(({original}) => Buffer.from(original, 'base64').length > 10));

    assert.equal(await registerForeign('after'), next);
    const replayed = await cli(root, 'dlq', 'replay', '--all', '--json');
    assert.match(replayed.stdout, /counted/, replayed.stderr + replayed.stdout);
    await until(() => countsOf(running, 'shop.orders').aggregated === 1, 'the order');
    assert.equal(countsOf(running, 'shop.orders').dead, 2);
    const where = await cli(root, 'dlq', 'list', '--where', 'amount = 1', '--json');
    assert.equal(where.code, 0, where.stderr);
    const tap = await cli(root, 'tap', 'shop.order', '--from', 'start', '--limit', '3', '--json');
    assert.match(tap.stdout, /"amount": ?1/, tap.stderr);
    assert.match(tap.stdout, /"unread": ?"the record is JSON, and no frame of Avro"/);
    // Whoever looks for an event passes over what is none.
    const trace = await cli(root, 'explain', 'event', 'none');
    assert.doesNotMatch(trace.stderr, /has a bug/);
  } finally {
    await running.drain();
  }
});

test('another registry at the same address is noticed before anything is registered in it', async () => {
  const root = makeRoot(filesOf());
  await (await startIn(root)).running.drain();
  const before = server;
  await stopServer();
  server = await startRegistry(undefined, port);
  try {
    await ask(server, 'POST', '/subjects/s/versions', {schema: '"string"'});
    await assert.rejects(startIn(root), (error: PlatformError) => {
      assert.ok(error instanceof PlatformError);
      assert.equal(error.code, 'REGISTRY_OTHER');
      return true;
    });
    assert.deepEqual((await ask(server, 'GET', '/subjects')).body, ['s']);
  } finally {
    await stopServer();
    server = before;
    await startServer();
  }
});
