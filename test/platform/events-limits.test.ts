/** What happens to events when there is too much of something: connections, bytes, a full log, the end of the platform. */
import assert from 'node:assert/strict';
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {connect, type Socket} from 'node:net';
import {join} from 'node:path';
import {test} from 'node:test';
import {PlatformError} from '../../src/errors.ts';
import type {IncomingResult} from '../../src/ingest/incoming-types.ts';
import {createEvents} from '../../src/platform/events.ts';
import {listenTcp, urlOf} from '../../src/platform/server.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {loadDomain} from '../support/platform.ts';
import {type EventsWorld, eventsWorld, shopYaml} from './events-world.ts';

async function idle(port: number, count: number, text = ''): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'events-load.ts'), String(port), String(count), text],
    {stdio: ['pipe', 'pipe', 'ignore']},
  );
  await once(child.stdout!, 'data');
  return child;
}

async function served(world: EventsWorld): Promise<void> {
  const startMs = performance.now();
  assert.equal((await fetch(`${world.running.url}/livez`)).status, 200);
  assert.equal((await world.post('shop/note', '{"text":"a"}')).status, 200);
  assert.ok(performance.now() - startMs < 20_000, 'in time');
}

/** Open files that a process may have; the sockets of both sides are spread over two processes. */
const filesMax = Number(
  /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1],
);

test('10,000 idle connections stop neither health nor events, also beyond the limit', {
  skip: filesMax < 12_000 ? `only ${filesMax} open files are allowed` : false,
}, async () => {
  const world = await eventsWorld(shopYaml, ', connections: 9000');
  const children = [await idle(world.port, 5000)];
  try {
    children.push(await idle(world.port, 5000));
    await served(world);
  } finally {
    for (const child of children) child.kill();
    await world.end();
  }
});

test('senders that begin a request and go on slowly are closed before others are refused', async () => {
  const world = await eventsWorld(shopYaml, ', connections: 40');
  const child = await idle(
    world.port,
    200,
    `POST /v1/events/shop/note HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${world.token}\r\nContent-Length: 1000\r\n\r\n{`,
  );
  try {
    await served(world);
  } finally {
    child.kill();
    await world.end();
  }
});

/** A server whose ingest thread answers when the test says so. */
async function held(limits: {inFlightBytesMax?: number} = {}) {
  const domain = await loadDomain(shopYaml);
  const answers: {resolve(result: IncomingResult): void; reject(error: unknown): void}[] = [];
  const events = createEvents(
    {
      domains: [domain],
      server: {
        host: '127.0.0.1',
        port: 0,
        connectionsMax: 100,
        requestTimeoutMs: 30_000,
        events: {
          bodyBytesMax: 1000,
          inflatedBytesMax: 1000,
          recordsMax: 100,
          inFlightBytesMax: 3000,
          ...limits,
        },
      },
    },
    {records: () => new Promise((resolve, reject) => answers.push({resolve, reject}))},
    noTelemetry,
  );
  const server = await listenTcp(
    {
      routes: {},
      open: {},
      mounts: {'/v1/events': events.mount},
      access: '',
      token: 't',
      limits: {connectionsMax: 100, requestTimeoutMs: 30_000},
    },
    '127.0.0.1',
    0,
  );
  const url = urlOf('127.0.0.1', server);
  const send = (body = '{"text":"a"}') =>
    fetch(`${url}/v1/events/shop/note`, {
      method: 'POST',
      headers: {authorization: 'Bearer t', 'content-type': 'application/json'},
      body,
    });
  const waiting = async (count: number) => {
    while (answers.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const end = () => {
    server.close();
    server.closeAllConnections();
  };
  return {events, answers, server, url, send, waiting, end};
}

const appended: IncomingResult = {kind: 'done', statuses: new Uint8Array(1), ids: ['x'], problems: []};

test('more bytes under way than the limit: 429 with Retry-After, and room again when they are answered', async () => {
  const {answers, send, waiting, end, events} = await held();
  try {
    const body = `{"text":"${'x'.repeat(980)}"}`;
    const first = [send(body), send(body), send(body)];
    await waiting(3);
    assert.equal(events.inFlight().bytes, 3 * body.length);
    const refused = await send(body);
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.equal(((await refused.json()) as {error: {code: string}}).error.code, 'EVENTS_BUSY');
    for (const {resolve} of answers.splice(0)) resolve(appended);
    for (const answer of first) assert.equal((await answer).status, 200);
    assert.deepEqual(events.inFlight(), {bytes: 0, requests: 0});
    const again = send(body);
    await waiting(1);
    answers[0]!.resolve(appended);
    assert.equal((await again).status, 200);
  } finally {
    end();
  }
});

test('a log that is full, a disk that is full, a thread that ended: 503 with Retry-After', async () => {
  const {answers, send, waiting, end} = await held();
  try {
    for (const code of ['LOG_FULL', 'LOG_DISK_FULL', 'LOG_IO', 'INGEST_LOST'] as const) {
      const sent = send();
      await waiting(1);
      answers.pop()!.reject(new PlatformError(code, 'no'));
      const answer = await sent;
      assert.deepEqual(
        [answer.status, ((await answer.json()) as {error: {code: string}}).error.code],
        [503, code],
      );
      assert.ok(Number(answer.headers.get('retry-after')) > 0);
    }
  } finally {
    end();
  }
});

test('a drain answers what was accepted, and refuses what is new or not whole with 503', async () => {
  const {answers, send, waiting, end, events, url} = await held();
  try {
    const accepted = send();
    await waiting(1);
    const slow: Socket = connect(Number(new URL(url).port), '127.0.0.1');
    slow.write(
      'POST /v1/events/shop/note HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nContent-Length: 100\r\n\r\n{"text":',
    );
    while (events.inFlight().requests < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    let drained = false;
    const draining = events.drain().then(() => {
      drained = true;
    });
    const [told] = (await once(slow, 'data')) as [Buffer];
    assert.match(told.toString(), /^HTTP\/1\.1 503 [\s\S]*retry-after: 5[\s\S]*DRAINING/i);
    slow.destroy();
    const late = await send();
    assert.deepEqual([late.status, late.headers.get('retry-after')], [503, '5']);
    assert.equal(drained, false);
    answers[0]!.resolve(appended);
    assert.equal((await accepted).status, 200);
    await draining;
  } finally {
    end();
  }
});

test('a platform that ends while events come answers each or closes, and what it acknowledged is in the log', async () => {
  const world = await eventsWorld();
  let acknowledged = 0;
  let stopping = false;
  const refusals = new Set<number>();
  const senders = Array.from({length: 8}, async () => {
    for (;;) {
      try {
        const {status, json} = await world.post('shop/note', '{"text":"a"}\n{"text":"b"}\n', {
          'content-type': 'application/x-ndjson',
        });
        if (status !== 200) {
          refusals.add(status);
          return;
        }
        acknowledged += json.appended;
      } catch (error) {
        assert.ok(stopping, String(error));
        return;
      }
    }
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  stopping = true;
  await world.running.drain();
  await Promise.all(senders);
  assert.ok(acknowledged > 0);
  assert.deepEqual(
    [...refusals].filter((status) => status !== 503),
    [],
  );
  assert.equal(world.books('note')[1], acknowledged);
});

test('a log at its size limit takes nothing and says so', async () => {
  const world = await eventsWorld(shopYaml, '}\nlog: {embedded: {size_max: 1MiB}');
  try {
    const text = 'x'.repeat(100_000);
    let status = 200;
    let taken = 0;
    for (let i = 0; i < 20 && status === 200; i++) {
      const answer = await world.post('shop/note', JSON.stringify({text}));
      ({status} = answer);
      if (status === 200) taken++;
      else {
        assert.equal(answer.json.error.code, 'LOG_FULL');
        assert.equal(answer.headers['retry-after'], '10');
      }
    }
    assert.equal(status, 503);
    assert.equal(world.books('note')[1], taken);
    const told = await (await fetch(`${world.running.url}/metrics`)).text();
    const counted = [...told.matchAll(/^events_produced_total\{.*status="(\w+)"\} (\d+)$/gm)];
    assert.deepEqual(counted.map(([, status, events]) => `${status} ${events}`).sort(), [
      `appended ${taken}`,
      'duplicate 0',
      'refused 1',
      'rejected 0',
    ]);
    assert.equal((await fetch(`${world.running.url}/livez`)).status, 200);
  } finally {
    await world.end();
  }
});
