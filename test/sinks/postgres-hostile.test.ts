/** What answers in the place of PostgreSQL and is none: told as that, in bounded time and memory; the thread of the sink lives. */
import assert from 'node:assert/strict';
import type {Socket} from 'node:net';
import {type TestContext, test} from 'node:test';
import pg from 'pg';
import {PlatformError} from '../../src/errors.ts';
import {openSink} from '../../src/sinks/host.ts';
import {guardIncoming} from '../../src/sinks/postgres/incoming.ts';
import {serveTcp} from '../support/hostile.ts';
import {scratchDir} from '../support/scratch.ts';

const canary = 'canary-of-postgres';

function message(kind: string, body: Uint8Array | number[] = [], length = body.length + 4): Buffer {
  const head = Buffer.alloc(5);
  head.write(kind, 0, 'latin1');
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, Buffer.from(body)]);
}
const text = (value: string) => Buffer.from(`${value}\0`);
const letIn = Buffer.concat([message('R', [0, 0, 0, 0]), message('Z', [73])]);
const done = Buffer.concat([message('C', text('SET')), message('Z', [73])]);
/** Answers in turn to what comes; the last one again and again. */
const inTurn =
  (...answers: Buffer[]) =>
  (socket: Socket) => {
    let turn = 0;
    socket.on('data', () => socket.write(answers[Math.min(turn++, answers.length - 1)]!));
  };

async function failure(t: TestContext, answer: (socket: Socket) => void): Promise<PlatformError> {
  const port = await serveTcp(t, answer);
  const url = `postgres://u@127.0.0.1:${port}/d`;
  const options = {
    url,
    password: canary,
    tls: {mode: 'off'},
    connect_timeout: 20_000,
    statement_timeout: 20_000,
  };
  const root = scratchDir('postgres-hostile');
  const sink = await openSink({name: 'records', choice: {backend: 'postgres', options}, root});
  t.after(() => sink.close());
  const error = await sink.marked('t').then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof PlatformError, String((error as Error).stack));
  assert.doesNotMatch(error.message, new RegExp(canary));
  return error;
}

const none = /^what answers there is no PostgreSQL: /;
const odd: [string, (socket: Socket) => void, RegExp][] = [
  ['HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), none],
  ['a failure whose text does not end', inTurn(message('E', Buffer.from('Mabc'))), none],
  ['a way to log in that is cut', inTurn(message('R', [0, 0])), none],
  ['one that nobody knows', inTurn(message('R', [0, 0, 0, 99])), none],
  ['columns that are cut', inTurn(letIn, done, message('T', [0, 5, 65, 0])), none],
  ['a value longer than its row', inTurn(letIn, done, message('D', [0, 5, 127, 255, 255, 255, 65])), none],
  ['a length of two gigabytes', inTurn(letIn, done, message('D', [0], 2 ** 31)), none],
  ['a length of nothing', inTurn(letIn, message('N', [], 0)), none],
  ['yes to everything', inTurn(letIn, done), /^an answer that cannot be read/],
];
for (const [name, answer, said] of odd)
  test(`${name} is no answer of PostgreSQL`, async (t) => {
    const error = await failure(t, answer);
    assert.equal(error.code, 'SINK_UNAVAILABLE');
    assert.match(error.message, said);
  });

test('a password is not shown to a far server without TLS, whatever that asks for', async (t) => {
  const seen: Buffer[] = [];
  const port = await serveTcp(t, (socket) => {
    socket.on('data', (chunk: Buffer) => seen.push(chunk));
    inTurn(message('R', [0, 0, 0, 3]))(socket);
  });
  const client = new pg.Client({host: '127.0.0.1', port, user: 'u', database: 'd', password: canary});
  client.on('error', () => {});
  guardIncoming(client, {host: 'db.example.com', isPlain: true, isOfReader: false});
  await assert.rejects(client.connect(), {code: 'SINK_REFUSED', hint: /turn TLS on/});
  assert.doesNotMatch(Buffer.concat(seen).toString(), new RegExp(canary));
});
