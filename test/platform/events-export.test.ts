/** What is made of the event types for senders works: the OpenAPI document, curl lines, the example client. */
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {promisify} from 'node:util';
import {Validator} from '@seriousme/openapi-schema-validator';
import {Client, SendError} from '../../examples/client/client.ts';
import {cli} from '../support/cli.ts';
import {type EventsWorld, eventsWorld, shopYaml} from './events-world.ts';

const run = promisify(execFile);
const client = join(import.meta.dirname, '../../examples/client');

let world: EventsWorld;
before(async () => {
  world = await eventsWorld(
    `${shopYaml.replace('text]', "{name: text, doc: \"it's 'quoted' $(touch hacked) `x`\"}]")}  - name: visit
    attributes: [{name: page, required: true}, {name: kind, type: enum, symbols: [a, b], required: true}]
    metrics: [{name: seconds, type: double}, {name: clicks, type: int}]
    derive: {rate: clicks / seconds}
    checks: {slow: rate <= 0.5, some: 'clicks > 1 and clicks < 90', b: kind = 'b'}
`,
  );
});
after(() => world.end());

test('curl lines work when they are pasted, whatever the checks', async () => {
  const {stdout, code} = await cli(world.root, 'export', 'curl');
  assert.equal(code, 0);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 3);
  for (const line of lines) {
    const answer = await run('sh', ['-c', line], {cwd: world.root});
    assert.equal(JSON.parse(answer.stdout).appended, 1, `${line}\n${answer.stdout}`);
  }
  const one = await cli(world.root, 'export', 'curl', 'shop.visit', '--json');
  assert.deepEqual(
    JSON.parse(one.stdout).map((each: {event_type: string}) => each.event_type),
    ['shop.visit'],
  );
  assert.match((await cli(world.root, 'export', 'curl', 'vist')).stderr, /NAME_UNKNOWN/);
});

type Document = {
  openapi: string;
  servers: {url: string}[];
  paths: Record<
    string,
    {
      post: {
        responses: object;
        requestBody: {content: Record<string, {examples: Record<string, {value: unknown}>}>};
      };
    }
  >;
  components: {
    schemas: Record<string, {required?: string[]; properties: Record<string, Record<string, unknown>>}>;
    responses: object;
  };
};

test('the OpenAPI document is one, by the official schema, and says what the platform does', async () => {
  const {stdout} = await cli(world.root, 'export', 'openapi');
  const document = JSON.parse(stdout) as Document;
  const validator = new Validator();
  assert.deepEqual(await validator.validate(JSON.parse(stdout)), {valid: true});
  assert.equal(validator.version, '3.1');
  assert.equal(document.servers[0]!.url, world.running.url);
  assert.deepEqual(Object.keys(document.paths), [
    '/v1/events/shop/purchase',
    '/v1/events/shop/note',
    '/v1/events/shop/visit',
  ]);
  const purchase = document.components.schemas['shop.purchase']!;
  assert.deepEqual(purchase.required, ['amount']);
  assert.deepEqual(purchase.properties.size!.enum, ['s', 'm', 'l', null]);
  assert.deepEqual(purchase.properties.gift!.type, ['boolean', 'null']);
  assert.deepEqual(document.components.schemas['shop.visit']!.required, [
    'page',
    'kind',
    'seconds',
    'clicks',
  ]);
  for (const [path, {post}] of Object.entries(document.paths)) {
    assert.deepEqual(
      Object.keys(post.responses),
      '200 400 401 403 404 405 408 413 415 422 429 503'.split(' '),
    );
    for (const {value} of Object.values(post.requestBody.content['application/json']!.examples)) {
      const {status, text} = await world.post(path.replace('/v1/events/', ''), JSON.stringify(value));
      assert.equal(status, 200, text);
    }
  }
});

test('the example client: batches, verdicts, refusals', async () => {
  const {stdout} = await run(process.execPath, [
    join(client, 'purchases.ts'),
    world.running.url,
    world.token,
  ]);
  // The shop of this test has no order_id, category: fields that an event type does not have are passed over.
  assert.deepEqual(JSON.parse(stdout), {appended: 1000});
  const own = new Client<{'shop.purchase': {event_id?: string; amount: number}}>({
    url: world.running.url,
    token: world.token,
    batchMax: 10,
  });
  const [good, bad, twice] = await Promise.all(
    [1, -1, 1].map((amount) => own.send('shop.purchase', {event_id: `c${amount}`, amount})),
  );
  assert.deepEqual(
    [good!.status, bad!.status, bad!.code, twice!.status],
    ['appended', 'rejected', 'CHECK:amount_is_positive', 'duplicate'],
  );
  const stranger = new Client<{'shop.purchase': object}>({url: world.running.url, token: 'wrong'});
  await assert.rejects(
    stranger.send('shop.purchase', {}),
    (error: unknown) => error instanceof SendError && error.status === 401,
  );
});
