/** What answers in the place of ClickHouse and is none: no row counts as written, and nothing waits for ever. */
import assert from 'node:assert/strict';
import type {IncomingMessage, ServerResponse} from 'node:http';
import {type TestContext, test} from 'node:test';
import {gzipSync, zstdCompressSync} from 'node:zlib';
import {PlatformError} from '../../src/errors.ts';
import {createAgent} from '../../src/sinks/clickhouse/agent.ts';
import {openSink} from '../../src/sinks/host.ts';
import {type Answer, dripping, endless, html, serve, silent} from '../support/hostile.ts';
import {scratchDir} from '../support/scratch.ts';

const canary = 'canary-of-clickhouse';

async function open(t: TestContext, answer: Answer, request_timeout = 60_000) {
  const url = await serve(t, answer);
  const options = {url, username: 'u', password: canary, request_timeout};
  const sink = await openSink({
    name: 'analytics',
    choice: {backend: 'clickhouse', options},
    root: scratchDir('clickhouse-hostile'),
  });
  t.after(() => sink.close());
  return sink;
}

/** A server that says what a ClickHouse says, until it is given rows, or something else. */
const untilRows =
  (answer: Answer, what = 'INSERT'): Answer =>
  async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = decodeURIComponent(request.url ?? '') + Buffer.concat(chunks).toString('latin1');
    if (text.includes(what)) return answer(request, response);
    response
      .writeHead(200, {'x-clickhouse-summary': '{}'})
      .end(text.includes('version()') ? '{"version":"25.8.1"}\n' : '');
  };

const asClickHouse =
  (answer: Answer): Answer =>
  (request: IncomingMessage, response: ServerResponse) => {
    response.setHeader('x-clickhouse-summary', '{}');
    answer(request, response);
  };

async function failure(work: Promise<unknown>): Promise<PlatformError> {
  const error = await work.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof PlatformError, String((error as Error).stack));
  assert.doesNotMatch(`${error.message} ${error.hint}`, new RegExp(canary));
  assert.doesNotMatch(error.message, /Cannot read|is not a function/);
  assert.ok(error.message.length < 1_000);
  return error;
}

const marks = [{table: 'shop.q__r1', epoch: 1}];
const odd: [string, Answer, RegExp][] = [
  ['a page', html, /is no ClickHouse/],
  ['an empty answer', (_, response) => response.end(), /is no ClickHouse/],
  ['a page under its name', asClickHouse(html), /HTTP status 200/],
  ['a redirect', (_, response) => response.writeHead(307, {location: 'http://other.example/'}).end(), /307/],
  ['a proxy that asks for a login', (_, response) => response.writeHead(401).end('x'.repeat(1e6)), /401/],
  ['an answer without an end', asClickHouse(endless), /HTTP status 200/],
  [
    'a bomb',
    asClickHouse((_, response) =>
      response.writeHead(200, {'content-encoding': 'gzip'}).end(gzipSync(Buffer.alloc(10 * 2 ** 20))),
    ),
    /comes as gzip, unasked/,
  ],
];
for (const [name, answer, said] of odd)
  test(`rows are not written when ${name} says 200 or anything else`, async (t) => {
    const sink = await open(t, untilRows(answer));
    const error = await failure(sink.mark(marks));
    assert.equal(error.code, 'SINK_UNAVAILABLE');
    assert.match(error.message, said);
  });

test('a start at something else says what answers, and so does a query', async (t) => {
  for (const answer of [html, endless]) {
    const sink = await open(t, answer);
    assert.match((await failure(sink.mark(marks))).hint ?? '', /see what url of the sink names/);
    assert.equal((await failure(sink.query!('select 1'))).code, 'SINK_UNAVAILABLE');
  }
});

test('an answer that breaks off among its rows says why, as far as the server did', async (t) => {
  const head = '["n"]\n["UInt8"]\n[1]\n';
  const why =
    'Code: 241. DB::Exception: Memory limit (for query) exceeded: would use 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)';
  for (const [tail, said] of [
    [`${why}\n`, /^Memory limit \(for query\) exceeded/],
    [`[2]${why}\n`, /^Memory limit \(for query\) exceeded/],
    [`{"exception": "${why}"}\n`, /^Memory limit \(for query\) exceeded/],
    ['[2', /cannot be read/],
    ['2\n', /cannot be read/],
  ] as const) {
    const answer = asClickHouse((_, response) => response.end(head + tail));
    const sink = await open(t, untilRows(answer, 'numbers(3)'));
    const error = await failure(sink.query!('SELECT n FROM numbers(3)'));
    assert.equal(error.code, 'SINK_QUERY');
    assert.match(error.message, said);
  }
});

test('nothing is asked for somebody who is gone, and a server hears that nobody waits any more', async (t) => {
  const gone = new AbortController();
  const {promise: isClosed, resolve: closed} = Promise.withResolvers<void>();
  const url = await serve(
    t,
    untilRows((request) => {
      request.socket.once('close', () => closed());
      gone.abort();
    }, 'numbers(3)'),
  );
  // Whoever waited for that would wait longer than a test may take.
  const choice = {
    backend: 'clickhouse',
    options: {url, username: 'u', password: canary, request_timeout: 600_000},
  };
  const options = {name: 'analytics', choice, root: scratchDir('clickhouse-hostile'), gone: gone.signal};
  const sink = await openSink(options);
  t.after(() => sink.close());
  await failure(sink.query!('SELECT n FROM numbers(3)'));
  await isClosed;
  assert.equal((await failure(openSink(options))).code, 'SINK_LOST');
});

test('a version that is none is refused', async (t) => {
  for (const version of ['null', '5', '"x"', '{"a": []}']) {
    const sink = await open(
      t,
      asClickHouse((_, response) => response.end(`{"version":${version}}\n`)),
    );
    assert.equal((await failure(sink.mark(marks))).code, 'SINK_REFUSED');
  }
});

test('one that is silent, or answers a byte now and then, is waited for in bounds', async (t) => {
  for (const answer of [silent, asClickHouse(dripping)]) {
    const sink = await open(t, answer, 300);
    assert.equal((await failure(sink.mark(marks))).code, 'SINK_UNAVAILABLE');
    const late = await open(t, untilRows(answer), 300);
    assert.equal((await failure(late.mark(marks))).code, 'SINK_UNAVAILABLE');
  }
});

test('a packed answer is unpacked up to a limit', async (t) => {
  const bytesMax = 2 ** 20;
  const {createClient, ClickHouseLogLevel} = await import('@clickhouse/client');
  for (const [codec, pack] of [['gzip', gzipSync] as const, ['zstd', zstdCompressSync] as const]) {
    const answer = (bytes: number): Answer =>
      asClickHouse((_, response) =>
        response.writeHead(200, {'content-encoding': codec}).end(pack(Buffer.alloc(bytes, 'x'))),
      );
    const text = async (bytes: number) => {
      const url = await serve(t, answer(bytes));
      const client = createClient({
        url,
        http_agent: createAgent(url, {}, {totalMs: 60_000, bytesMax, isPacked: true}),
        compression: {response: {codec}},
        log: {level: ClickHouseLogLevel.OFF},
      });
      t.after(() => client.close());
      return (await client.query({query: 'SELECT 1', format: 'TabSeparated'})).text();
    };
    assert.equal((await text(bytesMax)).length, bytesMax);
    await assert.rejects(text(50 * bytesMax), /unpacks to more than 1048576 bytes/);
  }
});
