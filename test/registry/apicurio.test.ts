/** Our client against Apicurio, over TLS: the suite of every registry, and what is Apicurio's own. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync, rmSync, writeFileSync} from 'node:fs';
import {request} from 'node:https';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {type Registry, startRegistry} from '../../src/cluster/apicurio.ts';
import {startKafka} from '../../src/cluster/kafka.ts';
import type {PlatformError} from '../../src/errors.ts';
import {openRegistry, type RegistrySource} from '../../src/schema/registry-open.ts';
import type {AvroRecord} from '../../src/schema/types.ts';
import {skipWithout} from '../cluster/needs.ts';
import {conformance} from '../conformance/registry.ts';
import {python, pythonSkip} from '../schema/python.ts';
import {makeRoot} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {scratchDir} from '../support/scratch.ts';

const needs = skipWithout('java', 'mvn');
const scratch = scratchDir('apicurio');
const ca = join(scratch, 'ca.pem');
let server: Registry;

before(async () => {
  if (needs.skip) return;
  server = await startRegistry({tls: true});
  writeFileSync(ca, server.certificates!.ca);
});
after(async () => {
  await server?.stop();
  rmSync(scratch, {recursive: true});
});

const sourceOf = (dir: string): RegistrySource => ({
  dir,
  server: {urls: ['https://127.0.0.1:1', server.url], tls: {ca}, timeoutMs: 10_000, patienceMs: 0},
});

conformance(
  'Apicurio',
  async () => {
    const dir = scratchDir('registry-cache');
    const open = () => openRegistry(sourceOf(dir));
    const registry = await open();
    return {
      registry,
      reopen: open,
      async close() {
        registry.close();
        rmSync(dir, {recursive: true});
      },
    };
  },
  needs,
);

/** As another client does. */
const post = (path: string, body: object): Promise<{id: number}> =>
  new Promise((resolve, reject) => {
    const call = request(`${server.url}${path}`, {
      method: 'POST',
      ca: server.certificates!.ca,
      headers: {'content-type': 'application/vnd.schemaregistry.v1+json'},
    });
    call.on('error', reject);
    call.on('response', async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve(JSON.parse(text) as {id: number});
    });
    call.end(JSON.stringify(body));
  });

test('a schema comes with the types that it references in place', needs, async () => {
  const money = {type: 'record', name: 'Money', namespace: 'acme', fields: [{name: 'cents', type: 'long'}]};
  await post('/subjects/money/versions', {schema: JSON.stringify(money)});
  const price = {
    type: 'record',
    name: 'Price',
    namespace: 'acme',
    fields: [
      {name: 'net', type: 'acme.Money'},
      {name: 'old', type: ['null', 'Money'], default: null},
    ],
  };
  const {id} = await post('/subjects/price/versions', {
    schema: JSON.stringify(price),
    references: [{name: 'acme.Money', subject: 'money', version: 1}],
  });
  const registry = await openRegistry(sourceOf(join(scratch, 'references')));
  const found = (await registry.byId(id))!;
  assert.deepEqual([found.subject, found.version], ['price', 1]);
  const [net, old] = (found.schema as AvroRecord).fields;
  assert.deepEqual(net!.type, {type: 'record', name: 'Money', fields: [{name: 'cents', type: 'long'}]});
  assert.deepEqual(old!.type, ['null', 'Money']);
  const {id: other} = await post('/subjects/proto/versions', {
    schemaType: 'PROTOBUF',
    schema: 'syntax = "proto3"; message A { string a = 1; }',
  });
  assert.equal(await registry.byId(other), undefined);
  registry.close();
});

test(
  'a rule of the registry that is stricter than the configuration is told in its words',
  needs,
  async () => {
    const registry = await openRegistry(sourceOf(join(scratch, 'rule')));
    const record = (name: string): AvroRecord => ({
      type: 'record',
      name: 'r',
      fields: [{name, type: 'string'}],
    });
    await registry.register('stricter', record('a'));
    await assert.rejects(registry.register('stricter', record('b'), 'none'), (error: PlatformError) => {
      assert.equal(error.code, 'SCHEMA_INCOMPATIBLE');
      assert.match(error.message, /the registry refuses the schema of stricter: .*[Ii]ncompatible/);
      return true;
    });
    registry.close();
  },
);

test(
  'processes that start at once register the same new schemas: each is told the one id',
  needs,
  async () => {
    const clients = await Promise.all(
      [0, 1, 2, 3].map((n) => openRegistry(sourceOf(join(scratch, `at-once-${n}`)))),
    );
    for (let round = 0; round < 8; round++) {
      const fields = [{name: `f${round}`, type: 'long' as const}];
      const schema: AvroRecord = {type: 'record', name: 'r', fields};
      const made = await Promise.all(
        clients.map((each) => each.register(`at-once-${round}`, schema, 'full', {enforce: true})),
      );
      assert.equal(new Set(made.map(({id}) => id)).size, 1);
    }
    for (const each of clients) each.close();
  },
);

test(
  'a platform starts with it, without it after it was killed, and takes the ids that it gave',
  needs,
  async () => {
    const root = makeRoot({
      'config/platform.yaml': `platform: p
sinks: {rows: {backend: file}}
registry: {backend: confluent, confluent: {url: "${server.url}", tls: {ca: ${ca}}, timeout: 5s, patience: 500ms}}
defaults: {aggregates: rows, raw: none}
`,
      'config/domains/shop.yaml': 'event_types: [{name: order, metrics: [{name: amount, type: long}]}]\n',
    });
    const {running} = await startIn(root);
    await running.drain();
    const registry = await openRegistry(sourceOf(join(scratch, 'look')));
    const latest = await registry.latest('shop.order-value');
    assert.equal(latest?.version, 1);
    await server.kill();
    const again = await startIn(root);
    assert.equal(again.running.status().registry?.state, 'down');
    await server.restart();
    while (again.running.status().registry?.pending !== 0)
      await new Promise((resolve) => setTimeout(resolve, 100));
    await again.running.drain();
    assert.deepEqual(await registry.latest('shop.order-value'), latest);
    registry.close();
  },
);

test('Confluent’s client for Python reads our events from Kafka; what it writes by a newer and an older schema, while the broker is killed, is counted once; what it writes twice, once by dedup', {
  skip: needs.skip || pythonSkip,
}, async () => {
  const kafka = await startKafka();
  const [broker] = kafka.brokers;
  const root = makeRoot({
    'config/platform.yaml': `platform: p
sinks: {rows: {backend: file}}
log: {backend: kafka, kafka: {brokers: ["${broker}"], topics: {partitions: 2, replication: 1}}}
registry: {backend: confluent, confluent: {url: "${server.url}", tls: {ca: ${ca}}}}
defaults: {aggregates: rows, raw: none}
`,
    'config/domains/fair.yaml': `event_types: [{name: order, dimensions: [country], metrics: [{name: quantity, type: long}]}]
aggregations:
  - {name: sales, from: order, window: {type: calendar, unit: day}, group_by: [country], measures: {n: count(), sold: sum(quantity)}}
  - {name: once, from: order, window: {type: calendar, unit: day}, group_by: [country], dedup: 10m, measures: {n: count(), sold: sum(quantity)}}
`,
  });
  const {running} = await startIn(root);
  const counted = () =>
    running.status().queries.map(({counts}) => {
      const sum = (field: 'aggregated' | 'duplicate' | 'dead') =>
        counts.reduce((total, line) => total + line[field], 0);
      return {aggregated: sum('aggregated'), duplicate: sum('duplicate'), dead: sum('dead')};
    });
  const read = () => counted().map(({aggregated, duplicate, dead}) => aggregated + duplicate + dead);
  try {
    const access = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const sent = await fetch(`${running.url}/v1/events/fair/order`, {
      method: 'POST',
      headers: {authorization: `Bearer ${access}`, 'content-type': 'application/json'},
      body: JSON.stringify({event_id: 'ours', timestamp: 1_700_000_000_500, country: 'FR', quantity: 7}),
    });
    assert.ok(sent.ok, await sent.text());
    const script = join(import.meta.dirname, 'serialisers.py');
    const team = spawn(python, [script, broker!, server.url, ca, 'fair.order', '500', '20'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let stdout = '';
    const isHalf = new Promise<void>((resolve) => {
      team.stdout.on('data', (data: Buffer) => {
        stdout += data;
        if (stdout.includes('half\n')) resolve();
      });
    });
    const ended = once(team, 'close');
    await Promise.race([isHalf, ended]);
    await kafka.kill(0);
    team.stdin.end('\n');
    // It goes on sending to a broker that is not there.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await kafka.restart(0);
    assert.deepEqual(await ended, [0, null], stdout);
    const ours = {event_id: 'ours', timestamp: 1_700_000_000.5, country: 'FR', quantity: 7};
    assert.deepEqual(JSON.parse(stdout.replace('half\n', '')), ours);
    for (const endMs = performance.now() + 60_000; Math.min(...read()) < 523; )
      await new Promise((resolve) =>
        setTimeout(resolve, performance.now() < endMs ? 50 : assert.fail(JSON.stringify(counted()))),
      );
    assert.deepEqual(counted(), [
      {aggregated: 521, duplicate: 0, dead: 2},
      {aggregated: 501, duplicate: 20, dead: 2},
    ]);
  } finally {
    await running.drain();
    await kafka.stop();
  }
  const rows = (query: string) => {
    const text = readFileSync(join(root, `.millrace/files/fair/${query}__r1.jsonl`), 'utf8');
    const last = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .map(({country, n, sold}) => [country, [n, sold]]);
    return Object.fromEntries(last);
  };
  assert.deepEqual(rows('sales'), {FR: [1, 7], DE: [260, 62_750 + 110], null: [260, 62_500 + 100]});
  assert.deepEqual(rows('once'), {FR: [1, 7], DE: [250, 62_750], null: [250, 62_500]});
});
