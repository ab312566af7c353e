/** Stands between an HTTP client and its server, and does what networks do. */
import {createServer, type IncomingMessage, request, type ServerResponse} from 'node:http';
import type {AddressInfo, Socket} from 'node:net';

export type ProxyMode =
  | 'pass'
  /** The server does the work; its answer never arrives, the connection is closed. */
  | 'swallow'
  /** The server sees half of a request's body, then the connection closes. */
  | 'cut'
  /** Every request waits before it goes on. */
  | {delayMs: number};

export type HttpProxy = {
  url: string;
  /** What happens to requests that begin from now on; `which` picks by URL, others pass. */
  become(mode: ProxyMode, which?: (url: string) => boolean): void;
  /** Requests to which something was done. */
  disturbed(): number;
  close(): Promise<void>;
};

const bodyOf = async (message: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

/** @param target `http://host:port` */
export async function httpProxy(target: string): Promise<HttpProxy> {
  let mode: ProxyMode = 'pass';
  let concerns: (url: string) => boolean = () => true;
  let disturbed = 0;
  const {hostname, port} = new URL(target);
  const forward = (incoming: IncomingMessage, body: Buffer) =>
    new Promise<{status: number; headers: IncomingMessage['headers']; bytes: Buffer}>((resolve, reject) => {
      const headers = {...incoming.headers, 'content-length': String(body.length)};
      delete headers['transfer-encoding'];
      const {method, url} = incoming;
      request({hostname, port, method: method!, path: url!, headers, agent: false}, (answer) => {
        bodyOf(answer).then(
          (bytes) => resolve({status: answer.statusCode!, headers: answer.headers, bytes}),
          reject,
        );
      })
        .on('error', reject)
        .end(body);
    });
  /** Announces the whole body and sends half. */
  const sendHalf = (incoming: IncomingMessage, body: Buffer) =>
    new Promise<void>((resolve) => {
      const headers = {...incoming.headers, 'content-length': String(body.length)};
      delete headers['transfer-encoding'];
      const {method, url} = incoming;
      const half = request({hostname, port, method: method!, path: url!, headers, agent: false});
      half.on('error', () => resolve());
      half.write(body.subarray(0, body.length >> 1), () =>
        setTimeout(() => {
          half.destroy();
          resolve();
        }, 20),
      );
    });
  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    const now = concerns(incoming.url ?? '') ? mode : 'pass';
    const body = await bodyOf(incoming);
    if (now !== 'pass') disturbed += 1;
    if (now === 'cut') {
      await sendHalf(incoming, body);
      return void response.destroy();
    }
    if (typeof now === 'object') await new Promise((resolve) => setTimeout(resolve, now.delayMs));
    const {status, headers, bytes} = await forward(incoming, body);
    if (now === 'swallow') return void response.destroy();
    response.writeHead(status, headers).end(bytes);
  };
  const sockets = new Set<Socket>();
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(() => response.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    become(next, which = () => true) {
      mode = next;
      concerns = which;
    },
    disturbed: () => disturbed,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
