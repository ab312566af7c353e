/** The control socket of a platform that ends, or has ended, just now. */
import assert from 'node:assert/strict';
import {mkdirSync} from 'node:fs';
import {createServer as createHttpServer} from 'node:http';
import {createServer, type Server, type Socket} from 'node:net';
import {dirname} from 'node:path';
import {test} from 'node:test';
import {connectControl, connectTo} from '../../src/platform/control.ts';
import {placesOf} from '../../src/platform/places.ts';
import {makeRoot} from '../support/cli.ts';

async function listening(root: string, server: Server): Promise<AsyncDisposable> {
  const path = placesOf({root}).controlSocket;
  mkdirSync(dirname(path), {recursive: true});
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {[Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve()))};
}

test('a socket that drops every connection is no running platform', async () => {
  const root = makeRoot();
  await using _ = await listening(
    root,
    createServer((socket) => socket.destroy()),
  );
  assert.equal(await connectControl(root), undefined);
});

test('a platform that ends within an answer is said to have ended', async () => {
  const root = makeRoot();
  await using _ = await listening(
    root,
    createHttpServer((request, response) => {
      if (request.url === '/v1/ping') return void response.end('{}');
      response.writeHead(200, {'content-length': '1000'});
      response.write('{"line":1}\n', () => response.destroy());
    }),
  );
  const control = await connectControl(root);
  assert.ok(control);
  await assert.rejects(control.get('/v1/status'), {code: 'NOT_RUNNING'});
  const lines: unknown[] = [];
  const read = async () => {
    for await (const line of control.lines('/v1/ingest', {})) lines.push(line);
  };
  await assert.rejects(read(), {code: 'NOT_RUNNING'});
});

test('a platform that takes a connection and does not answer is named, and not waited for without end', async () => {
  const root = makeRoot();
  const held = new Set<Socket>();
  await using _ = await listening(
    root,
    createServer((socket) => held.add(socket)),
  );
  const {controlSocket} = placesOf({root});
  await assert.rejects(connectTo(controlSocket, 50), {code: 'PLATFORM_SILENT', place: controlSocket});
  for (const socket of held) socket.destroy();
});
