/** Who may ask a running platform over HTTP, and what it answers to odd requests. */
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {request} from 'node:http';
import {connect} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {loadPlatform} from '../../src/model/load.ts';
import type {Platform} from '../../src/model/types.ts';
import {metricSpecs} from '../../src/observe/catalogue.ts';
import {accessText} from '../../src/platform/places.ts';
import {type RunningPlatform, startPlatform} from '../../src/platform/runtime.ts';
import {closeServer, listenControl} from '../../src/platform/server.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {makeShop} from '../support/cli.ts';

let running: RunningPlatform;
let token = '';
let port = 0;

before(async () => {
  const root = await makeShop();
  const loaded = await loadPlatform({
    from: root,
    variables: {},
    sinkSpecs: sinks as Record<string, SinkSpec>,
  });
  assert.ok(loaded.ok);
  running = await startPlatform(loaded.platform as Platform, {fast: true});
  token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
  port = Number(new URL(running.url).port);
  await running.idle(new AbortController().signal);
});
after(() => running.drain());

test('who shows no token is told where it stands: in a file of the process asked, or in the configuration', () => {
  const root = '/anywhere/shop';
  const server = {};
  const text = (file: string) => `Authorization: Bearer <${file}>`;
  assert.equal(accessText({root, server}), text('the text of .millrace/token'));
  const roles = ['ingest', 'sinks'] as const;
  assert.equal(accessText({root, roles, server}), text('the text of .millrace/ingest+sinks/token'));
  const console = accessText({root, roles: ['console'], server});
  assert.equal(console, text('the text of .millrace/console/token'));
  assert.equal(accessText({root, server: {token: {}}}), text('server.token of the configuration'));
});

type Asked = {status: number; text: string; headers: Record<string, unknown>};

/** A request as it is given: no client in between that mends its path or its headers. */
function ask(
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: {method?: string; headers?: Record<string, string>; body?: string} = {},
): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const call = request({port, host: '127.0.0.1', path, method, headers}, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response
        .on('error', reject)
        .on('end', () => resolve({status: response.statusCode!, text, headers: response.headers}));
    });
    call.on('error', reject);
    call.end(body);
  });
}
const bearer = () => ({authorization: `Bearer ${token}`});

describe('access', () => {
  const routes: [method: string, path: string][] = [
    ['GET', '/v1/ping'],
    ['GET', '/v1/status'],
    ['GET', '/v1/ledger'],
    ['POST', '/v1/query'],
    ['POST', '/v1/resume'],
    ['POST', '/v1/ingest'],
    ['POST', '/v1/rebuild'],
    ['GET', '/registry/subjects'],
  ];
  for (const [method, path] of routes)
    test(`${method} ${path} wants the token`, async () => {
      const wrong = [
        {},
        {authorization: `Bearer ${token}x`},
        {authorization: `Bearer ${token.slice(1)}`},
        {authorization: 'Bearer '},
        {authorization: token},
        {authorization: `Basic ${Buffer.from(`user:${token}x`).toString('base64')}`},
        {authorization: `Basic ${Buffer.from(token).toString('base64')}`},
        {cookie: `token=${token}`},
      ];
      for (const headers of wrong) {
        const {status, text} = await ask(path, {method, headers: headers as Record<string, string>});
        assert.equal(status, 401, JSON.stringify(headers));
        const body = JSON.parse(text);
        assert.equal(
          path.startsWith('/registry') ? body.error_code : body.error.code,
          path.startsWith('/registry') ? 401 : 'ACCESS',
        );
      }
      const unnamed = await ask(`${path}?token=${token}`, {method});
      assert.equal(unnamed.status, 401);
      assert.match(unnamed.text, /Authorization: Bearer <the text of \.millrace\/token>/);
    });

  test('the token opens as Bearer and as the password of Basic', async () => {
    assert.equal((await ask('/v1/ping', {headers: bearer()})).status, 200);
    const basic = `Basic ${Buffer.from(`anyone:${token}`).toString('base64')}`;
    const {status, text} = await ask('/v1/ping', {headers: {authorization: basic}});
    assert.equal(status, 200);
    assert.deepEqual(JSON.parse(text), {name: 'shop', pid: process.pid});
  });

  test('health and metrics are open', async () => {
    for (const path of ['/livez', '/readyz', '/metrics']) assert.equal((await ask(path)).status, 200, path);
    assert.equal((await ask('/livez')).text, 'ok\n');
    assert.match(
      (await ask('/')).text,
      /^millrace shop\n\nGET \/\nGET \/livez\nGET \/readyz\nGET \/metrics\n/,
    );
    assert.equal((await ask('/livez', {method: 'POST'})).status, 401);
  });

  test('HEAD is answered as GET, without the body', async () => {
    for (const path of ['/', '/livez', '/readyz', '/metrics', '/v1/ping', '/registry/subjects', '/v1/none'])
      for (const headers of [{}, bearer()]) {
        const get = await ask(path, {headers});
        const head = await ask(path, {method: 'HEAD', headers});
        assert.deepEqual({...head, headers: {}}, {status: get.status, text: '', headers: {}}, path);
        assert.equal(head.headers['content-type'], get.headers['content-type'], path);
      }
    assert.equal((await ask('/v1/query', {method: 'HEAD', headers: bearer()})).status, 404);
  });

  for (const host of ['evil.example', 'evil.example:4000', '127.0.0.1.evil.example', 'localhost.', '0.0.0.0'])
    test(`Host ${JSON.stringify(host)} is refused, with or without the token`, async () => {
      assert.equal((await ask('/livez', {headers: {host}})).status, 403);
      assert.equal((await ask('/v1/ping', {headers: {host, ...bearer()}})).status, 403);
    });

  for (const host of ['localhost', 'LOCALHOST:4000', '127.0.0.1:1', '[::1]:4000'])
    test(`Host ${host} is served`, async () => {
      assert.equal((await ask('/livez', {headers: {host}})).status, 200);
    });

  for (const origin of [
    'https://evil.example',
    'null',
    'http://localhost.evil.example',
    'file://',
    'http://localhost@evil.example',
  ])
    test(`a page of ${origin} is refused even with the token`, async () => {
      assert.equal((await ask('/v1/ping', {headers: {origin, ...bearer()}})).status, 403);
      assert.equal((await ask('/metrics', {headers: {origin}})).status, 403);
    });

  test('no answer lets a foreign page read it', async () => {
    const {headers} = await ask('/v1/status', {headers: {origin: 'http://localhost:4000', ...bearer()}});
    assert.equal(headers['access-control-allow-origin'], undefined);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['cache-control'], 'no-store');
  });
});

describe('odd requests', () => {
  for (const path of [
    '/v1/status/',
    '//v1/status',
    '/v1%2Fstatus',
    '/V1/status',
    '/v1/../v1/status/..',
    '/metrics/../v1/status',
    '/livez%00',
    '/__proto__',
    '/constructor',
  ])
    test(`${path} opens nothing without the token`, async () => {
      const {status} = await ask(path);
      assert.ok(status === 401 || status === 400 || status === 403, String(status));
    });

  for (const path of [
    '//registry/v1/ping',
    '/registry/../v1/ping',
    '/registry/%2E%2e/v1/ping',
    '/v1/./ping',
    '/v1/ping#/livez',
    'http://evil.example/v1/ping',
    'file:///v1/ping',
  ])
    test(`${path} is refused with the token, too: a proxy may have judged it as another path`, async () => {
      assert.equal((await ask(path, {headers: bearer()})).status, 400);
    });

  test('the address of a request to a proxy is served when it is ours', async () => {
    assert.equal((await ask(`http://localhost:${port}/v1/ping?a=//b/../c`, {headers: bearer()})).status, 200);
  });

  test('a request that names two hosts is refused', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () =>
        socket.write(
          'GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
        ),
      );
      let text = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      socket.on('error', reject).on('close', () => resolve(text));
    });
    assert.match(answer, /^HTTP\/1\.1 403 /);
  });

  test('a path that cannot be read is a client error, not a crash', async () => {
    for (const path of ['//', '//[', 'http://[', '/%', '/%zz'])
      assert.ok((await ask(path, {headers: bearer()})).status < 500, path);
  });

  test('a body of more than a mebibyte, of no JSON, of no object', async () => {
    const post = (body: string) => ask('/v1/query', {method: 'POST', headers: bearer(), body});
    const big = await post(`{"sql": "${'x'.repeat(1 << 20)}"}`);
    assert.equal(big.status, 422);
    assert.match(big.text, /the body has more than 1048576 bytes/);
    for (const body of ['', '{', '[]', '3', 'null', '"x"', '{"sql": 3}', '{"sink": "rows"}']) {
      const {status, text} = await post(body);
      assert.equal(status, 422, body);
      assert.equal(JSON.parse(text).error.code, 'REQUEST_INVALID');
    }
    assert.equal((await ask('/livez')).status, 200);
  });

  test('a file that does not lie where the input has its own is not read over HTTP', async () => {
    const {root} = running.platform;
    writeFileSync(join(root, '.env'), 'PASSWORD=canary-of-env\n');
    symlinkSync(join(root, '.env'), join(root, 'data/link.csv'));
    writeFileSync(join(root, 'data/more.csv'), 'canary-of-more\n');
    const ingest = async (path: string) => {
      const body = JSON.stringify({domain: 'shop', input: 'purchases', path});
      const {text} = await ask('/v1/ingest', {method: 'POST', headers: bearer(), body});
      assert.doesNotMatch(text, /canary-of-env|SHELL=|root:/);
      return JSON.parse(text.trim().split('\n').at(-1)!).error.code;
    };
    const hidden = [join(root, '.env'), join(root, 'data/../.env'), join(root, 'data/link.csv')];
    for (const path of ['/proc/self/environ', '/etc/passwd', root, join(root, 'data/no.csv'), ...hidden])
      assert.equal(await ingest(path), 'REQUEST_INVALID', path);
    assert.equal(await ingest(join(root, 'data/more.csv')), 'INPUT_COLUMNS');
  });

  test('names that the configuration does not have', async () => {
    const post = (path: string, body: object) =>
      ask(path, {method: 'POST', headers: bearer(), body: JSON.stringify(body)});
    for (const [path, body] of [
      ['/v1/query', {sink: '__proto__', sql: 'select 1'}],
      ['/v1/query', {sink: 'rows', sql: 'select 1'}],
      ['/v1/resume', {name: 'nothing'}],
      ['/v1/ingest', {domain: 'shop', input: 'constructor', path: '/etc/passwd'}],
    ] as const) {
      const {status, text} = await post(path, body);
      assert.equal(status, 422, text);
      assert.equal(JSON.parse(text).error.code, 'NAME_UNKNOWN');
    }
    assert.match((await post('/v1/rebuild', {query: 'no.such'})).text, /NAME_UNKNOWN/);
  });
});

describe('metrics', () => {
  test('the names of the contract and all of the catalogue are there, with what happened', async () => {
    const {text} = await ask('/metrics');
    for (const name of Object.keys(metricSpecs)) assert.ok(text.includes(`# TYPE ${name} `), name);
    for (const name of text.matchAll(/^# TYPE (\S+)/gm))
      assert.ok(Object.hasOwn(metricSpecs, name[1]!), `${name[1]} is not in the catalogue`);
    const value = (line: string) => {
      const found = text.split('\n').find((each) => each.startsWith(`${line} `));
      assert.ok(found, line);
      return Number(found.slice(line.length));
    };
    const produced = (status: string) =>
      value(`events_produced_total{domain="shop",event_type="purchase",status="${status}"}`);
    assert.deepEqual(['appended', 'duplicate', 'rejected'].map(produced), [499, 0, 1]);
    assert.ok(value('produce_latency_seconds_count{domain="shop",event_type="purchase"}') >= 1);
    for (const query of ['shop.orders_per_day', 'shop.revenue_per_hour']) {
      assert.equal(value(`millrace_events_read{query="${query}"}`), 499);
      assert.equal(value(`millrace_events_aggregated{query="${query}"}`), 499);
      assert.equal(value(`millrace_lag_events{query="${query}"}`), 0);
      assert.equal(value(`millrace_query_running{query="${query}"}`), 1);
    }
    const written = running.outputs
      .deliveries()
      .map(({sink, table, written: rows}) => [sink, table, rows] as const);
    assert.equal(written.length, 2);
    for (const [sink, table, rows] of written) {
      assert.ok(rows > 0);
      assert.equal(value(`millrace_sink_rows_total{sink="${sink}",table="${table}"}`), rows);
      assert.equal(value(`millrace_sink_pending_rows{sink="${sink}",table="${table}"}`), 0);
    }
  });

  test('no metric has a value that is no number', async () => {
    const {text} = await ask('/metrics');
    for (const line of text.split('\n'))
      if (line && !line.startsWith('#'))
        assert.match(line, /^[a-z_]+(\{[^}]*\})? (-?[\d.]+(e[+-]?\d+)?|\+Inf)$/);
  });
});

test('what is said wrongly of a change is refused, since the default could do more than was meant', async () => {
  for (const [path, body] of [
    ['/v1/prune', {keep: '5'}],
    ['/v1/prune', {keep: -1}],
    ['/v1/prune', {keep: 1.5}],
    ['/v1/apply', {yes: 'no'}],
    ['/v1/apply', {lagMaxMs: 'soon'}],
    ['/v1/rollback', {queries: 5}],
    ['/v1/rollback', {queries: [5]}],
  ] as const) {
    const {status, text} = await ask(path, {method: 'POST', headers: bearer(), body: JSON.stringify(body)});
    assert.deepEqual([status, JSON.parse(text).error.code], [422, 'REQUEST_INVALID'], JSON.stringify(body));
  }
});

test('lines for a slow reader come whole, and no pause of his leaves a listener behind', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-lines-'));
  const socketPath = join(dir, 'socket');
  const line = {text: 'x'.repeat(100_000)};
  const lines = 40;
  async function* told() {
    for (let index = 0; index < lines; index++) yield line;
  }
  const limits = {connectionsMax: 10, requestTimeoutMs: 60_000};
  const routes = {'GET /lines': async () => told()};
  const server = await listenControl(
    {routes, mounts: {}, open: {}, token: '', access: '', limits},
    socketPath,
  );
  const warnings: string[] = [];
  const onWarning = ({message}: Error) => void warnings.push(message);
  process.on('warning', onWarning);
  t.after(async () => {
    process.off('warning', onWarning);
    await closeServer(server);
    rmSync(dir, {recursive: true});
  });
  const bytes = await new Promise<number>((resolve, reject) => {
    const call = request({socketPath, path: '/lines'}, async (response) => {
      let read = 0;
      for await (const chunk of response) {
        read += (chunk as Buffer).length;
        await new Promise((go) => setImmediate(go));
      }
      resolve(read);
    });
    call.on('error', reject).end();
  });
  assert.equal(bytes, lines * (JSON.stringify(line).length + 1));
  assert.deepEqual(warnings, []);
});
