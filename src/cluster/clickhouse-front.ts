/**
 * ClickHouse's HTTP protocol in front of chDB, in a process of its own: what tests and `millrace up` use where no ClickHouse server can
 * be had. Arguments: one JSON text, `FrontOptions`. It says `{port}` to its parent when it serves, and ends with it.
 * https://clickhouse.com/docs/interfaces/http
 */
import {timingSafeEqual} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import {createServer as createSecureServer} from 'node:https';
import type {AddressInfo} from 'node:net';
import {brotliCompressSync, gzipSync, zstdCompressSync} from 'node:zlib';
import {readBody} from './clickhouse-body.ts';
import {type Answer, createSessions, FrontError, type Sessions} from './clickhouse-sessions.ts';

export type FrontOptions = {
  /** Directory of the database. */
  dir: string;
  host: string;
  /** 0: any that is free. */
  port: number;
  /** Who may ask: user -> password. */
  users: Record<string, string>;
  /** Files of a certificate and its key: HTTPS. */
  tls?: {
    cert: string;
    key: string /** Who asks must show a certificate of this authority. */;
    clientCa?: string;
  };
};

/** HTTP statuses of ClickHouse's error codes, as its HTTPHandler gives them; all others 500. */
const statuses: [status: number, codes: number[]][] = [
  [
    400,
    [6, 26, 27, 38, 41, 42, 43, 47, 53, 62, 69, 70, 72, 130, 131, 158, 321, 407, 441, 536, 675, 676, 677],
  ],
  [401, [194]],
  [403, [192, 193, 497, 516]],
  [404, [46, 50, 56, 60, 63, 73, 81, 115]],
  [408, [159]],
  [413, [1000]],
  [501, [48]],
  [503, [202, 209, 210, 252]],
];
const statusOf = (code: number): number => statuses.find(([, codes]) => codes.includes(code))?.[0] ?? 500;

/** Parameters of a URL that are no settings. */
const ownParameters = new Set(
  'query database user password quota_key query_id session_id session_timeout session_check default_format role compress decompress buffer_size wait_end_of_query enable_http_compression http_zlib_compression_level send_progress_in_http_headers http_headers_progress_interval_ms stacktrace client_protocol_version'.split(
    ' ',
  ),
);

const isEqual = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

/** @throws FrontError 516 */
function authenticate({headers}: IncomingMessage, url: URL, users: FrontOptions['users']): void {
  const basic = /^Basic (.+)$/.exec(headers.authorization ?? '')?.[1];
  const [basicUser, ...basicPassword] = basic ? Buffer.from(basic, 'base64').toString().split(':') : [];
  const user = String(headers['x-clickhouse-user'] ?? basicUser ?? url.searchParams.get('user') ?? 'default');
  const password = String(
    headers['x-clickhouse-key'] ??
      (basic ? basicPassword.join(':') : (url.searchParams.get('password') ?? '')),
  );
  const wanted = Object.hasOwn(users, user) ? users[user]! : undefined;
  if (wanted === undefined || !isEqual(wanted, password))
    throw new FrontError(
      516,
      `${user}: Authentication failed: password is incorrect, or there is no user with such name.`,
      'AUTHENTICATION_FAILED',
    );
}

const compressors: Record<string, (bytes: Uint8Array) => Buffer> = {
  gzip: (bytes) => gzipSync(bytes, {level: 1}),
  zstd: zstdCompressSync,
  br: brotliCompressSync,
};

function send(request: IncomingMessage, response: ServerResponse, url: URL, answer: Answer): void {
  const wanted = String(request.headers['accept-encoding'] ?? '').split(/\s*,\s*/);
  const encoding =
    url.searchParams.get('enable_http_compression') === '1'
      ? wanted.find((each) => Object.hasOwn(compressors, each))
      : undefined;
  const bytes = encoding ? compressors[encoding]!(answer.bytes) : answer.bytes;
  response.writeHead(200, {
    'Content-Type':
      answer.format === 'TabSeparated'
        ? 'text/tab-separated-values; charset=UTF-8'
        : 'application/octet-stream',
    'X-ClickHouse-Format': answer.format,
    'X-ClickHouse-Timezone': 'UTC',
    'X-ClickHouse-Server-Display-Name': 'chdb',
    'X-ClickHouse-Query-Id': url.searchParams.get('query_id') ?? '',
    'X-ClickHouse-Summary': JSON.stringify({
      read_rows: String(answer.rowsRead),
      read_bytes: '0',
      written_rows: String(answer.rowsWritten),
      written_bytes: '0',
      result_rows: String(answer.rowsRead),
      elapsed_ns: String(Math.round(answer.seconds * 1e9)),
    }),
    ...(encoding ? {'Content-Encoding': encoding} : {}),
    'Content-Length': bytes.length,
  });
  response.end(bytes);
}

function refuse(response: ServerResponse, error: unknown): void {
  const {code, message, type} =
    error instanceof FrontError ? error : new FrontError(1002, (error as Error).message, 'UNKNOWN_EXCEPTION');
  response.writeHead(statusOf(code), {
    'Content-Type': 'text/plain; charset=UTF-8',
    'X-ClickHouse-Exception-Code': String(code),
    // What of a body was not read is not read: the connection cannot be used again.
    ...(response.req.complete ? {} : {Connection: 'close'}),
  });
  response.end(`Code: ${code}. DB::Exception: ${message} (${type}) (version 26.7.2.1 (official build))\n`);
}

/** Pages of others can send statements to this machine, and nobody is asked for a password here: no page is answered. */
const isOfPage = ({headers}: IncomingMessage): boolean =>
  headers.origin !== undefined ||
  headers['sec-fetch-site'] !== undefined ||
  !/^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i.test(headers.host ?? '');

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: FrontOptions,
  sessions: Sessions,
): Promise<void> {
  const url = URL.parse(request.url ?? '/', 'http://front');
  if (!url || isOfPage(request)) {
    response.writeHead(403, {'Content-Type': 'text/plain; charset=UTF-8', Connection: 'close'});
    response.end('a request of a page in a browser, or without a path that can be read\n');
    return;
  }
  if (url.pathname === '/ping' || (request.method === 'GET' && !url.searchParams.has('query'))) {
    response.writeHead(200, {'Content-Type': 'text/html; charset=UTF-8'}).end('Ok.\n');
    return;
  }
  try {
    authenticate(request, url, options.users);
    const {query, parameters, data} = await readBody(request, url.searchParams);
    const settings = [...url.searchParams].filter(
      ([name]) => !ownParameters.has(name) && !name.startsWith('param_'),
    );
    // A GET only reads.
    if (request.method === 'GET') settings.push(['readonly', '2']);
    const result = await sessions.run({
      query,
      data,
      parameters,
      settings,
      database:
        url.searchParams.get('database') ?? String(request.headers['x-clickhouse-database'] ?? 'default'),
      format:
        url.searchParams.get('default_format') ??
        String(request.headers['x-clickhouse-format'] ?? 'TabSeparated'),
    });
    if (!response.destroyed) send(request, response, url, result);
  } catch (error) {
    if (!response.destroyed) refuse(response, error);
  }
}

const options = JSON.parse(process.argv[2]!) as FrontOptions;
const sessions = createSessions(options.dir);
const handler = (request: IncomingMessage, response: ServerResponse) =>
  void answer(request, response, options, sessions);
const {tls} = options;
const server = tls
  ? createSecureServer(
      {
        cert: readFileSync(tls.cert),
        key: readFileSync(tls.key),
        ...(tls.clientCa === undefined
          ? {}
          : {ca: readFileSync(tls.clientCa), requestCert: true, rejectUnauthorized: true}),
      },
      handler,
    )
  : createServer(handler);
server.keepAliveTimeout = 10_000;
server.listen(options.port, options.host, () =>
  process.send?.({port: (server.address() as AddressInfo).port}),
);
// At once: `exit` would wait for a statement that is under way.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('SIGTERM', () => process.kill(process.pid, 'SIGKILL'));
