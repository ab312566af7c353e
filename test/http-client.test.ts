/** The client for servers' JSON APIs: limits, several addresses, new attempts, and where credentials never go. */
import assert from 'node:assert/strict';
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import {createServer as createSecureServer} from 'node:https';
import type {AddressInfo} from 'node:net';
import {type TestContext, test} from 'node:test';
import {makeCertificates} from '../src/cluster/certificates.ts';
import {createHttpClient, HttpFailure, type HttpOptions} from '../src/http-client.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(
  t: TestContext,
  answer: Answer,
): Promise<{url: string; server: Server; seen: IncomingMessage[]}> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    request.resume();
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, seen};
}

function client(t: TestContext, urls: string[], more: Partial<HttpOptions> = {}) {
  const made = createHttpClient({urls, timeoutMs: 500, bytesMax: 1_000, ...more});
  t.after(() => made.close());
  return made;
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify(body));
};
const get = {method: 'GET', path: '/a', headers: {authorization: 'Bearer of-mine'}} as const;
const failure = async (work: Promise<unknown>): Promise<HttpFailure> => {
  const error = await work.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof HttpFailure, String(error));
  assert.doesNotMatch(error.message, /of-mine/);
  return error;
};

test('a body is sent as JSON and its answer read; an answer that says no is an answer', async (t) => {
  const {url, seen} = await serve(t, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    json(response, request.method === 'POST' ? 200 : 404, {got: Buffer.concat(chunks).toString()});
  });
  const http = client(t, [`${url}/base/`]);
  const posted = await http.call({method: 'POST', path: '/a?b=1', body: {x: 'é'}});
  assert.deepEqual(posted, {status: 200, json: {got: '{"x":"é"}'}, url: `${url}/base/`});
  assert.equal(seen[0]!.url, '/base/a?b=1');
  assert.equal((await http.call(get)).status, 404);
});

test('a redirect is followed within its address, never to another, so that credentials stay', async (t) => {
  const other = await serve(t, (_, response) => json(response, 200, {}));
  const {url} = await serve(t, (request, response) => {
    if (request.url === '/b') return json(response, 200, {moved: true});
    response
      .writeHead(307, {location: request.url === '/a' ? '/b' : request.url === '/loop' ? '/loop' : other.url})
      .end();
  });
  const http = client(t, [url]);
  assert.deepEqual((await http.call(get)).json, {moved: true});
  const elsewhere = await failure(http.call({...get, path: '/elsewhere', patienceMs: 5_000}));
  assert.match(elsewhere.message, /sends on to another address/);
  assert.equal(elsewhere.retry, false);
  assert.match((await failure(http.call({...get, path: '/loop'}))).message, /more than 3 times/);
  assert.equal(other.seen.length, 0);
});

test('an answer that is too long, too late or cut is none', async (t) => {
  const {url} = await serve(t, (request, response) => {
    if (request.url === '/long') return json(response, 200, 'x'.repeat(2_000));
    if (request.url === '/cut') {
      response.writeHead(200, {'content-length': 100});
      response.write('{');
      setTimeout(() => response.destroy(), 20);
    }
    // The first byte comes in time, the last one never.
    if (request.url === '/slow') response.writeHead(200).write('{');
  });
  const http = client(t, [url]);
  assert.match((await failure(http.call({...get, path: '/long'}))).message, /more than 1000 bytes/);
  const cut = await failure(http.call({...get, path: '/cut'}));
  assert.ok(cut.retry, cut.message);
  assert.match((await failure(http.call({...get, path: '/slow'}))).message, /did not answer within 500 ms/);
});

test('addresses are asked in turn, and the one that answered first from then on', async (t) => {
  let isBusy = true;
  const first = await serve(t, (_, response) => json(response, isBusy ? 503 : 200, {}));
  const second = await serve(t, (_, response) => json(response, 200, {}));
  const http = client(t, ['http://127.0.0.1:1', first.url, second.url]);
  assert.equal((await http.call(get)).url, second.url);
  isBusy = false;
  assert.equal((await http.call(get)).url, second.url);
  assert.deepEqual([first.seen.length, second.seen.length], [1, 2]);
  const none = await failure(client(t, ['http://127.0.0.1:1']).call(get));
  assert.match(none.message, /nothing listens there/);
  assert.equal(none.retry, true);
});

test('what can pass is tried again for as long as patience lasts; the last answer is told', async (t) => {
  let calls = 0;
  const {url} = await serve(t, (_, response) => json(response, ++calls < 3 ? 503 : 200, {calls}));
  const http = client(t, [url]);
  assert.equal((await http.call(get)).status, 503);
  assert.deepEqual((await http.call({...get, patienceMs: 10_000})).json, {calls: 3});
  const abort = new AbortController();
  const waiting = client(t, ['http://127.0.0.1:1']).call({...get, patienceMs: 60_000, signal: abort.signal});
  setTimeout(() => abort.abort(new Error('enough')), 50);
  await assert.rejects(waiting);
});

test('over TLS an authority of one’s own is trusted where it is named, and a certificate is shown where it is asked for', async (t) => {
  const {ca, server: own, client: mine} = makeCertificates();
  const settings = {ca, cert: own.cert, key: own.key, requestCert: true, rejectUnauthorized: true};
  const server = createSecureServer(settings, (_, response) => json(response, 200, {secure: true}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const known = {ca, cert: mine.cert, key: mine.key};
  assert.deepEqual((await client(t, [url], {tls: known}).call(get)).json, {secure: true});
  const stranger = await failure(client(t, [url]).call(get));
  assert.match(stranger.message, /name (that|it) in tls\.ca/);
  assert.equal(stranger.retry, false);
  const nameless = await failure(client(t, [url], {tls: {ca}}).call(get));
  assert.match(nameless.message, /tls\.cert and tls\.key|the connection was cut/);
  const plain = await failure(client(t, [url.replace('https', 'http')]).call(get));
  assert.match(plain.message, /cannot be used/);
});

test('a connection that the server closed while it was kept is no failure', async (t) => {
  let calls = 0;
  const {url, server} = await serve(t, (request, response) => {
    calls++;
    json(response, 200, {calls});
    // Closed as soon as the answer is out, without a word in it.
    if (calls < 20) response.on('finish', () => setTimeout(() => request.socket.destroy(), calls % 3));
  });
  server.keepAliveTimeout = 60_000;
  const http = client(t, [url]);
  for (let call = 1; call <= 20; call++) {
    assert.deepEqual((await http.call(get)).json, {calls: call});
    await new Promise((resolve) => setTimeout(resolve, call % 4));
  }
});
