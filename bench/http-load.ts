/** Load over HTTP from a process of its own: plain sockets, prepared bodies, new event ids in every request. */
import {randomBytes} from 'node:crypto';
import {connect, type Socket} from 'node:net';
import {parseArgs} from 'node:util';

const {values} = parseArgs({
  options: {
    port: {type: 'string'},
    token: {type: 'string'},
    path: {type: 'string'},
    /** Events of a request. */
    batch: {type: 'string', default: '100'},
    connections: {type: 'string', default: '16'},
    seconds: {type: 'string', default: '5'},
    /** Requests per second, open loop; 0: each connection sends when it was answered. */
    rate: {type: 'string', default: '0'},
    /** `random`: version 4; `ordered`: version 7; `none`: the platform makes them. */
    ids: {type: 'string', default: 'random'},
    minimal: {type: 'boolean', default: false},
    /** Seconds at the beginning whose answers do not count. */
    warm: {type: 'string', default: '2'},
  },
});
const batch = Number(values.batch);
const rate = Number(values.rate);
const template = '00000000-0000-4000-8000-000000000000';
/** Places of the digits that change. */
const digits = [...template].flatMap((letter, at) => (letter === '0' && at !== 14 && at !== 19 ? [at] : []));

/** A request as bytes, with the places where event ids stand. */
function prepare(): {bytes: Buffer; ids: number[]} {
  const lines: string[] = [];
  for (let i = 0; i < batch; i++) {
    const id = values.ids === 'none' ? '' : `"event_id":"${template}",`;
    const user = randomBytes(3).readUIntBE(0, 3);
    lines.push(
      `{${id}"timestamp":${Date.now()},"user_id":"u_${user % 1_000_000}","product_id":"p_${user % 5614}","category":"${['toys', 'books', 'garden', 'sports'][user % 4]}","country":"${['US', 'DE', 'FR'][user % 3]}","device":"mobile","amount":${(user % 100_000) / 100}}`,
    );
  }
  const body = batch === 1 ? lines[0]! : `${lines.join('\n')}\n`;
  const head = `POST ${values.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${values.token}\r\nContent-Type: ${batch === 1 ? 'application/json' : 'application/x-ndjson'}\r\n${values.minimal ? 'Prefer: return=minimal\r\n' : ''}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  const bytes = Buffer.from(head + body);
  const ids: number[] = [];
  for (let at = bytes.indexOf(template); at >= 0; at = bytes.indexOf(template, at + 1)) ids.push(at);
  return {bytes, ids};
}

const hex = Buffer.from('0123456789abcdef');
let pool = Buffer.alloc(0);
let used = 0;
function randomByte(): number {
  if (used === pool.length) {
    pool = randomBytes(64 * 1024);
    used = 0;
  }
  return pool[used++]!;
}

/** Gives every event of a request an id that was never used. */
function renew({bytes, ids}: ReturnType<typeof prepare>): void {
  const time = Date.now().toString(16).padStart(12, '0');
  for (const start of ids) {
    for (const at of digits) bytes[start + at] = hex[randomByte() & 15]!;
    if (values.ids !== 'ordered') continue;
    bytes.write(`${time.slice(0, 8)}-${time.slice(8)}-7`, start, 'latin1');
  }
}

const answered: number[] = [];
let failed = 0;
let firstFailure = '';

type Connection = {socket: Socket; request: ReturnType<typeof prepare>; sentMs: number};
const free: Connection[] = [];
const waiting: number[] = [];
let stopping = false;
let acknowledged = 0;
let countedMs = 0;

function send(connection: Connection, sinceMs: number): void {
  connection.sentMs = sinceMs;
  renew(connection.request);
  connection.socket.write(connection.request.bytes);
}

function onAnswer(connection: Connection, text: string): void {
  if (text.startsWith('HTTP/1.1 200')) acknowledged += batch;
  else {
    failed++;
    firstFailure ||= text.slice(0, 400);
  }
  if (connection.sentMs >= countedMs) answered.push(performance.now() - connection.sentMs);
  if (rate === 0) {
    if (!stopping) send(connection, performance.now());
    return;
  }
  const next = waiting.shift();
  if (next === undefined) free.push(connection);
  else send(connection, next);
}

async function open(): Promise<Connection> {
  const socket = connect(Number(values.port), '127.0.0.1');
  socket.setNoDelay(true);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const connection: Connection = {socket, request: prepare(), sentMs: 0};
  let text = '';
  let total = -1;
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    if (total < 0) {
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      total = end + 4 + Number(/content-length: (\d+)/i.exec(text)![1]);
    }
    if (text.length < total) return;
    const whole = text;
    text = '';
    total = -1;
    onAnswer(connection, whole);
  });
  return connection;
}

const connections: Connection[] = [];
for (let i = 0; i < Number(values.connections); i++) connections.push(await open());
const startMs = performance.now();
countedMs = startMs + 1000 * Number(values.warm);
const endMs = countedMs + 1000 * Number(values.seconds);
if (rate === 0) for (const connection of connections) send(connection, startMs);
else {
  free.push(...connections);
  let due = startMs;
  // Requests are due at fixed times, whether or not earlier ones were answered.
  const tick = () => {
    const nowMs = performance.now();
    for (; due <= nowMs && due < endMs; due += 1000 / rate) {
      const connection = free.pop();
      if (connection) send(connection, due);
      else waiting.push(due);
    }
    // Asked for a millisecond the timer gives one to two: what was due meanwhile goes out together and counts from when it was due.
    if (due < endMs) setTimeout(tick, 1);
  };
  tick();
}
await new Promise((resolve) => setTimeout(resolve, endMs - performance.now()));
const inTime = answered.length;
const seconds = (performance.now() - countedMs) / 1000;
stopping = true;
// What is under way is answered before it counts.
await new Promise((resolve) => setTimeout(resolve, 1500));
for (const {socket} of connections) socket.destroy();
answered.sort((a, b) => a - b);
const quantile = (share: number) =>
  answered[Math.min(answered.length - 1, Math.floor(answered.length * share))]!;
process.stdout.write(
  `${JSON.stringify({
    requests: answered.length,
    events: acknowledged,
    eventsPerSecond: Math.round((inTime * batch) / seconds),
    failed,
    firstFailure,
    unanswered: waiting.length,
    p50Ms: quantile(0.5),
    p90Ms: quantile(0.9),
    p99Ms: quantile(0.99),
    maxMs: answered.at(-1),
  })}\n`,
);
