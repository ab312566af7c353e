import {timingSafeEqual} from 'node:crypto';
import {chmodSync, rmSync} from 'node:fs';
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {PlatformError, withoutSecrets} from '../errors.ts';
import {hasTwoHosts, hostOf, loopbackNames, urlAsked} from './server-address.ts';
import {type ConnectionLimits, limitConnections, serverOptions} from './server-limits.ts';

/** What a route gets and gives: JSON in, JSON out; an async iterable is sent as one JSON document a line. */
export type Route = (call: {
  params: URLSearchParams;
  body: Record<string, unknown>;
  signal: AbortSignal;
  /** Over the control socket, which the platform's owner alone may open. */
  isOwner: boolean;
}) => Promise<unknown>;

/** Everything under a path of its own, behind the same doors. */
export type Mount = {
  /** Reads the request and writes the answer itself. What it throws is answered as a route's failure would be. */
  answer(call: {
    request: IncomingMessage;
    response: ServerResponse;
    /** As it was sent, still percent-encoded, without the mount's prefix: "" or "/...". */
    path: string;
    params: URLSearchParams;
    signal: AbortSignal;
    /** Who sends: the token that it showed; "" over the control socket. Never print it. */
    sender: string;
  }): Promise<void>;
  /** How those who are not let in are answered where clients expect a body of their own. */
  refuse?(status: number, message: string): unknown;
};

export type Text = {contentType: string; text: string; status?: number};

export type ServerOptions = {
  /** Key: "GET /v1/status". Answered over TCP with the token, over the control socket to whoever may open it. */
  routes: Record<string, Route>;
  /** Key: a path without a slash at its end, such as "/registry". */
  mounts: Record<string, Mount>;
  /** Open on loopback: health and metrics. */
  open: Record<string, () => Promise<Text>>;
  token: string;
  /** What a request has to carry, in words (`accessText`). */
  access: string;
  limits: ConnectionLimits;
};

const bodyBytesMax = 1 << 20;

/**
 * Listens on `host:port`. @throws PlatformError PORT_BUSY when somebody else has it.
 */
export async function listenTcp(options: ServerOptions, host: string, port: number): Promise<Server> {
  const server = createServer(serverOptions, (request, response) => {
    void answer(options, request, response, tokenOf(request), (path) => refusal(options, request, path));
  });
  limitConnections(server, options.limits);
  await listen(server, {host, port}, (error) =>
    error.code === 'EADDRINUSE'
      ? new PlatformError('PORT_BUSY', `port ${port} on ${host} is taken by another process`, {
          hint: 'end it, or choose another: --port 4001, or server.port in platform.yaml',
          cause: error,
        })
      : new PlatformError('PORT_BUSY', `cannot listen on ${host}:${port}: ${error.message}`, {cause: error}),
  );
  return server;
}

/** Listens on the control socket, which only its owner may open. A stale one is replaced: the caller holds the lock. */
export async function listenControl(options: ServerOptions, path: string): Promise<Server> {
  rmSync(path, {force: true});
  const server = createServer((request, response) => {
    void answer(options, request, response, '', () => undefined);
  });
  server.requestTimeout = 0;
  await listen(
    server,
    {path},
    (error) =>
      new PlatformError('PORT_BUSY', `cannot open the control socket: ${error.message}`, {
        place: path,
        cause: error,
      }),
  );
  chmodSync(path, 0o600);
  return server;
}

function listen(
  server: Server,
  where: {host?: string; port?: number; path?: string},
  explain: (error: NodeJS.ErrnoException) => Error,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error)));
    server.listen(where, () => resolve());
  });
}

/** Why a request over TCP is refused, or undefined. Host and Origin are checked against rebinding and foreign pages. */
function refusal(
  options: ServerOptions,
  request: IncomingMessage,
  path: string,
): {status: number; message: string} | undefined {
  const host = hostOf(request.headers.host);
  if (!host || !loopbackNames.has(host) || hasTwoHosts(request))
    return {status: 403, message: 'this Host is not served'};
  const {origin} = request.headers;
  if (origin !== undefined && !loopbackNames.has(hostOf(origin.replace(/^https?:\/\//, '')) ?? ''))
    return {status: 403, message: 'requests from this Origin are not served'};
  if (Object.hasOwn(options.open, `${methodOf(request)} ${path}`)) return undefined;
  if (!sameToken(tokenOf(request), options.token))
    return {status: 401, message: `a token is needed: ${options.access}`};
  return undefined;
}

/** HEAD is asked as GET is; Node's server leaves the body away. See RFC 9110, 9.3.2. */
const methodOf = ({method}: IncomingMessage) => (method === 'HEAD' ? 'GET' : method);

function tokenOf({headers}: IncomingMessage): string {
  const [scheme, value = ''] = (headers.authorization ?? '').split(' ', 2);
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme?.toLowerCase() === 'basic')
    return Buffer.from(value, 'base64').toString().split(':').slice(1).join(':');
  return '';
}

function sameToken(given: string, expected: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(expected);
  return b.length > 0 && a.length === b.length && timingSafeEqual(a, b);
}

async function answer(
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  sender: string,
  refuse: (path: string) => {status: number; message: string} | undefined,
): Promise<void> {
  try {
    const url = urlAsked(request.url ?? '/');
    if (!url)
      return sendJson(response, 400, {error: {code: 'NOT_FOUND', message: 'the path cannot be read'}});
    const key = `${methodOf(request)} ${url.pathname}`;
    const refused = refuse(url.pathname);
    if (refused) return sendJson(response, refused.status, refusalBody(options, url.pathname, refused));
    const open = Object.hasOwn(options.open, key) ? options.open[key] : undefined;
    if (open) {
      const {status = 200, contentType, text} = await open();
      response.writeHead(status, {'content-type': contentType, ...securityHeaders}).end(text);
      return;
    }
    const mounted = mountOf(options.mounts, url.pathname);
    if (mounted) {
      const {mount, path} = mounted;
      return await mount.answer({
        request,
        response,
        path,
        sender,
        params: url.searchParams,
        // Made when it is asked for: most requests end before anybody would.
        get signal() {
          return goneSignal(response);
        },
      });
    }
    const route = Object.hasOwn(options.routes, key) ? options.routes[key] : undefined;
    if (!route)
      return sendJson(response, 404, {error: {code: 'NOT_FOUND', message: `nothing is served at ${key}`}});
    const body = request.method === 'POST' ? await readBody(request) : {};
    const result = await route({
      params: url.searchParams,
      body,
      signal: goneSignal(response),
      isOwner: sender === '',
    });
    if (isAsyncIterable(result)) await sendLines(response, result);
    else sendJson(response, 200, result ?? {});
  } catch (error) {
    if (response.headersSent) return void response.destroy();
    const status = !(error instanceof PlatformError) ? 500 : error.retry ? 503 : 422;
    sendJson(response, status, {error: failureOf(error)});
  }
}

/** Aborted when the sender is gone before its answer was sent. */
function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  const look = () => {
    if (!response.writableFinished) gone.abort(senderGone);
  };
  if (response.closed) look();
  else response.once('close', look);
  return gone.signal;
}

/** Made once: an error for every request that ends would cost more than the request. */
const senderGone = new Error('the sender of the request is gone');

function refusalBody(
  {mounts}: ServerOptions,
  pathname: string,
  {status, message}: {status: number; message: string},
): unknown {
  return mountOf(mounts, pathname)?.mount.refuse?.(status, message) ?? {error: {code: 'ACCESS', message}};
}

function mountOf(
  mounts: ServerOptions['mounts'],
  pathname: string,
): {mount: Mount; path: string} | undefined {
  for (const [prefix, mount] of Object.entries(mounts))
    if (pathname === prefix || pathname.startsWith(`${prefix}/`))
      return {mount, path: pathname.slice(prefix.length)};
  return undefined;
}

/** Headers of every answer. */
export const securityHeaders = {'x-content-type-options': 'nosniff', 'cache-control': 'no-store'};

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = toJson(value);
  response.writeHead(status, {'content-type': 'application/json', ...securityHeaders}).end(`${text}\n`);
}

/** int64 beyond 2^53 as strings. */
const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? item.toString() : item));

/** Resolves when more can be written, or nobody reads any more. Both listeners go: one would stay for every pause of a slow reader. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      response.off('drain', end).off('close', end);
      resolve();
    };
    response.on('drain', end).on('close', end);
  });
}

/** A failure before the first line has a status of its own; a later one is the last line. */
async function sendLines(response: ServerResponse, lines: AsyncIterable<unknown>): Promise<void> {
  const iterator = lines[Symbol.asyncIterator]();
  let next = await iterator.next();
  response.writeHead(200, {'content-type': 'application/x-ndjson', ...securityHeaders});
  try {
    while (!next.done && !response.destroyed) {
      if (!response.write(`${toJson(next.value)}\n`)) await drained(response);
      next = await iterator.next();
    }
  } catch (error) {
    response.write(`${toJson({error: failureOf(error)})}\n`);
  }
  await iterator.return?.();
  response.end();
}

/** What the asker is told; a bug's details go to the platform's own log only. */
export function failureOf(error: unknown): Record<string, unknown> {
  if (error instanceof PlatformError) {
    const {code, message, hint, place, exitCode} = error;
    return {code, message, hint, place, exitCode};
  }
  process.stderr.write(`${withoutSecrets(String(error instanceof Error ? error.stack : error))}\n`);
  return {code: 'INTERNAL', message: 'a bug in millrace; see the log of the platform'};
}

const isAsyncIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Left early, the request must live on: its answer goes out on the same connection.
  for await (const chunk of request.iterator({destroyOnReturn: false}) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax)
      throw new PlatformError('REQUEST_INVALID', `the body has more than ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {}
  throw new PlatformError('REQUEST_INVALID', 'the body is not a JSON object');
}

/** Address of a server, with the port that it has, which for port 0 is any free one. */
export function urlOf(host: string, server: Server): string {
  const {port} = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Ends a server and its connections. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
