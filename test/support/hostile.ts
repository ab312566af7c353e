/** Servers that answer what no server should. */
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import {type AddressInfo, createServer as createTcpServer, type Socket} from 'node:net';
import type {TestContext} from 'node:test';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTP server with these answers. @returns its address */
export async function serve(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response.on('error', () => {});
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server with its own idea of what is said on a connection. @returns its port */
export async function serveTcp(t: TestContext, answer: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server = createTcpServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    answer(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Always this body, with status 200. */
export const says =
  (body: unknown): Answer =>
  (_, response) => {
    response
      .writeHead(200, {'content-type': 'application/json'})
      .end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** Bytes as fast as they are taken, without an end. */
export const endless: Answer = (_, response) => {
  response.writeHead(200);
  const chunk = 'x'.repeat(64 * 1024);
  const go = () => {
    while (!response.destroyed && response.write(chunk));
    response.once('drain', go);
  };
  go();
};

/** A byte now and then, without an end. */
export const dripping: Answer = (_, response) => {
  response.writeHead(200);
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(timer));
};

export const silent: Answer = () => {};

export const html: Answer = (_, response) => {
  response.writeHead(200, {'content-type': 'text/html'}).end('<html>Sign in</html>');
};
