/** POST /v1/events: formats, encodings, verdicts, duplicates, limits. */
import assert from 'node:assert/strict';
import {randomBytes, randomUUID} from 'node:crypto';
import {after, before, describe, test} from 'node:test';
import {brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync} from 'node:zlib';
import avro from 'avsc';
import {domainNamespace} from '../../src/ingest/identity.ts';
import {openLogReader} from '../../src/log/embedded.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {walkRecords} from '../../src/schema/frame.ts';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import type {AvroRecord} from '../../src/schema/types.ts';
import {uuid5} from '../../src/schema/uuid5.ts';
import {type EventsWorld, eventsWorld} from './events-world.ts';

let world: EventsWorld;
before(async () => {
  world = await eventsWorld();
});
after(() => world.end());

const ndjson = {'content-type': 'application/x-ndjson'};

/** The purchases in the log, by event id. */
async function logged(topic = 'shop.purchase'): Promise<Map<string, Record<string, unknown>>> {
  const {schema} = await schemaOf(topic);
  const decode = compileDecoder(schema);
  const log = openLogReader(world.running.dirs.log);
  const found = new Map<string, Record<string, unknown>>();
  try {
    for (let partition = 0; partition < log.partitions(topic); partition++)
      for (let offset = 0; ; ) {
        const batches = await log.read(topic, partition, offset, 1 << 20);
        if (batches.length === 0) break;
        for (const batch of batches) {
          walkRecords(batch, (_, position, end) => {
            const values = decode(batch.bytes, position + 5, end);
            const event = Object.fromEntries(schema.fields.map(({name}, i) => [name, values[i]]));
            assert.ok(!found.has(String(event.event_id)), 'every id is in the log once');
            found.set(String(event.event_id), {...event, appendedMs: batch.appendTimeMs});
          });
          offset = batch.baseOffset + batch.count;
        }
      }
  } finally {
    log.close();
  }
  return found;
}

async function schemaOf(topic: string): Promise<{id: number; schema: AvroRecord}> {
  const registry = openEmbeddedRegistry(world.running.dirs.registry.dir, {readOnly: true});
  try {
    const {id, schema} = (await registry.latest(`${topic}-value`))!;
    return {id, schema: schema as AvroRecord};
  } finally {
    registry.close();
  }
}

describe('formats', () => {
  test('one event, with every type of field, is in the log as it was sent', async () => {
    const event = {
      event_id: 'a-1',
      timestamp: '2026-01-31T12:00:00.123+01:00',
      user_id: 'ü€😀\n',
      order: '0190B0A0-1111-7222-8333-444455556666',
      due: '2026-02-28',
      seen: 1_769_860_800_000,
      country: null,
      size: 'm',
      amount: '12.30',
      quantity: '9007199254740993',
      weight: -0.5e-3,
      floor: -2_147_483_648,
      gift: true,
      unknown: {a: [1, 2, {b: null}]},
    };
    const {status, json} = await world.post('shop/purchase', JSON.stringify(event, null, 2));
    assert.equal(status, 200);
    assert.deepEqual(
      {...json, request: ''},
      {
        request: '',
        received: 1,
        appended: 1,
        duplicate: 0,
        rejected: 0,
        records: [{index: 0, event_id: 'a-1', status: 'appended'}],
      },
    );
    const {appendedMs, ...stored} = (await logged()).get('a-1')!;
    assert.deepEqual(stored, {
      event_id: 'a-1',
      timestamp: Date.parse('2026-01-31T11:00:00.123Z'),
      user_id: 'ü€😀\n',
      order: '0190b0a0-1111-7222-8333-444455556666',
      due: 20_512,
      seen: 1_769_860_800_000,
      country: null,
      size: 'm',
      amount_cents: 1230,
      quantity: 9_007_199_254_740_993n,
      weight: -0.0005,
      floor: -2_147_483_648,
      gift: true,
    });
    assert.ok(Math.abs(Number(appendedMs) - Date.now()) < 60_000);
  });

  test('a number keeps every digit, as a number too', async () => {
    await world.post(
      'shop/purchase',
      '{"event_id":"a-2","amount":92233720368547758.07,"quantity":-9223372036854775808}',
    );
    const stored = (await logged()).get('a-2')!;
    assert.equal(stored.amount_cents, 9_223_372_036_854_775_807n);
    assert.equal(stored.quantity, -9_223_372_036_854_775_808n);
  });

  test('an array: each element has its verdict, good ones are taken beside bad ones', async () => {
    const {status, json} = await world.post(
      'shop/purchase',
      '[\n {"event_id":"b-0","amount":1},\n {"event_id":"b-1"},\n 7,\n {"event_id":"b-3","amount":0},\n {"event_id":"b-4","amount":1,"size":"xl"},\r\n {"event_id":"b-5","amount":2}\n]\n',
    );
    assert.equal(status, 200);
    assert.deepEqual(
      json.records.map(({event_id, status: fate, code}) => [event_id, fate, code]),
      [
        ['b-0', 'appended', undefined],
        ['b-1', 'rejected', 'REQUIRED'],
        [null, 'rejected', 'JSON_OBJECT'],
        ['b-3', 'rejected', 'CHECK:amount_is_positive'],
        ['b-4', 'rejected', 'ENUM'],
        ['b-5', 'appended', undefined],
      ],
    );
    const letters = (await world.letters()).filter(
      ({position}) => 'request' in position && position.request === json.request,
    );
    assert.deepEqual(
      letters.map(({code, source, position, eventId, original, stage}) => [
        code,
        source,
        'index' in position && position.index,
        eventId,
        Buffer.from(original).toString(),
        stage,
      ]),
      [
        ['REQUIRED', 'http', 1, 'b-1', '{"event_id":"b-1"}', 'validate'],
        ['JSON_OBJECT', 'http', 2, null, '7', 'parse'],
        ['CHECK:amount_is_positive', 'http', 3, 'b-3', '{"event_id":"b-3","amount":0}', 'check'],
        ['ENUM', 'http', 4, 'b-4', '{"event_id":"b-4","amount":1,"size":"xl"}', 'validate'],
      ],
    );
  });

  test('lines: blank ones are passed over, a broken one spoils no other', async () => {
    const {json} = await world.post(
      'shop/purchase',
      '\ufeff{"event_id":"c-0","amount":1}\n\n{"amount":\r\n{"event_id":"c-2","amount":3}',
      ndjson,
    );
    assert.deepEqual(
      json.records.map(({status, code}) => code ?? status),
      ['appended', 'JSON_SYNTAX', 'appended'],
    );
  });

  test('Avro: frames, one and many, and container files, each codec', async () => {
    const {id, schema} = await schemaOf('shop.purchase');
    const event = (eventId: string, cents: number) => ({
      event_id: eventId,
      timestamp: Date.now(),
      user_id: 'u',
      order: null,
      due: {int: 20_512},
      seen: null,
      country: {string: 'DE'},
      size: null,
      amount_cents: cents,
      quantity: null,
      weight: {double: -0},
      floor: null,
      gift: {boolean: false},
    });
    const wrapped = avro.Type.forSchema(schema as avro.Schema, {wrapUnions: true});
    const encode = (eventId: string, cents: number) =>
      wrapped.toBuffer({...event(eventId, cents), user_id: {string: 'u'}});
    const frame = (schemaId: number, body: Buffer) => {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(schemaId, 1);
      return Buffer.concat([head, body]);
    };
    const sized = (bytes: Buffer) => {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(bytes.length);
      return Buffer.concat([head, bytes]);
    };
    const one = await world.post('shop/purchase', frame(id, encode('d-0', 100)), {
      'content-type': 'application/avro',
    });
    assert.equal(one.status, 200, one.text);
    const many = await world.post(
      'shop/purchase',
      Buffer.concat([
        sized(frame(id, encode('d-1', 100))),
        sized(frame(id, encode('d-2', 0))),
        sized(frame(999_999, encode('d-3', 1))),
        sized(frame(id, Buffer.from('zz'))),
        sized(Buffer.from([1])),
        sized(frame(id, encode('d-6', 250))),
      ]),
      {'content-type': 'application/vnd.millrace.avro-frames'},
    );
    assert.deepEqual(
      many.json.records.map(({event_id, status, code}) => [event_id, code ?? status]),
      [
        ['d-1', 'appended'],
        ['d-2', 'CHECK:amount_is_positive'],
        [null, 'UNKNOWN_SCHEMA'],
        [null, 'AVRO'],
        [null, 'AVRO'],
        ['d-6', 'appended'],
      ],
    );
    for (const codec of ['null', 'deflate'] as const) {
      const encoder = new avro.streams.BlockEncoder(wrapped, {codec, writeHeader: true});
      const chunks: Buffer[] = [];
      encoder.on('data', (chunk: Buffer) => chunks.push(chunk));
      for (let i = 0; i < 100; i++) encoder.write({...event(`e-${codec}-${i}`, i), user_id: {string: 'u'}});
      encoder.end();
      await new Promise((resolve) => encoder.once('end', resolve));
      const file = Buffer.concat(chunks);
      const {status, json} = await world.post('shop/purchase', file, {'content-type': 'avro/binary'});
      assert.equal(status, 200, JSON.stringify(json).slice(0, 300));
      assert.deepEqual([json.received, json.appended, json.rejected], [100, 99, 1]);
      // A dead letter of a container can be sent again by itself, and is judged alike.
      const letter = (await world.letters()).find(({eventId}) => eventId === `e-${codec}-0`)!;
      const again = await world.post('shop/purchase', letter.original, {'content-type': 'avro/binary'});
      assert.deepEqual(
        again.json.records.map(({event_id, code}) => [event_id, code]),
        [[`e-${codec}-0`, 'CHECK:amount_is_positive']],
      );
      for (const cut of [3, 40, file.length - 1, file.length - 20]) {
        const broken = await world.post('shop/purchase', file.subarray(0, cut), {
          'content-type': 'avro/binary',
        });
        assert.equal(broken.status, 400, `${codec} cut at ${cut}: ${broken.text}`);
      }
    }
    const events = await logged();
    assert.equal(events.get('d-6')!.amount_cents, 250);
    assert.ok(Object.is(events.get('d-6')!.weight, -0));
    assert.equal(events.get('e-deflate-99')!.due, 20_512);
    assert.ok(events.has('d-0'));
  });

  test('encodings', async () => {
    const body = `{"event_id":"ID","amount":1}\n{"event_id":"ID-2","amount":1}\n`;
    const packed: [string, (data: Buffer) => Buffer][] = [
      ['gzip', gzipSync],
      ['x-gzip', gzipSync],
      ['GZIP', gzipSync],
      ['deflate', deflateSync],
      ['deflate', deflateRawSync],
      ['br', brotliCompressSync],
      ['zstd', zstdCompressSync],
      ['identity', (data) => data],
    ];
    for (const [index, [name, pack]] of packed.entries()) {
      const text = Buffer.from(body.replaceAll('ID', `f-${index}`));
      const {status, json} = await world.post('shop/purchase', pack(text), {
        ...ndjson,
        'content-encoding': name,
      });
      assert.equal(status, 200, `${name}: ${json.error?.message}`);
      assert.equal(json.appended, 2);
    }
    for (const name of ['gzip', 'deflate', 'br', 'zstd']) {
      const {status, json} = await world.post('shop/purchase', randomBytes(200), {'content-encoding': name});
      assert.deepEqual([status, json.error.code], [400, 'EVENTS_BODY'], name);
    }
    // A second stream behind the first must not be lost without a word.
    for (const [name, pack] of [
      ['deflate', deflateSync],
      ['deflate', deflateRawSync],
      ['br', brotliCompressSync],
    ] as const) {
      const one = pack(Buffer.from('{"amount":1}\n'));
      const {status, json} = await world.post('shop/purchase', Buffer.concat([one, one]), {
        ...ndjson,
        'content-encoding': name,
      });
      assert.deepEqual([status, json.error.code], [400, 'EVENTS_BODY'], name);
    }
    const cut = gzipSync('{"amount":1}').subarray(0, 20);
    assert.equal((await world.post('shop/purchase', cut, {'content-encoding': 'gzip'})).status, 400);
  });
});

describe('ids and times', () => {
  test('without an id one is made and told; without a time it is that of appending', async () => {
    const beforeMs = Date.now();
    const {json} = await world.post('shop/purchase', '[{"amount":1},{"amount":1}]');
    const [one, two] = json.records;
    assert.match(one!.event_id!, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.notEqual(one!.event_id, two!.event_id);
    const {timestamp} = (await logged()).get(one!.event_id!)!;
    assert.ok(Number(timestamp) >= beforeMs && Number(timestamp) <= Date.now());
  });

  test('an Idempotency-Key gives ids by place, so that the request sent again changes nothing', async () => {
    const key = randomUUID();
    const body = '{"amount":1}\n{"event_id":"own-1","amount":1}\n{"amount":-1}\n';
    const send = () => world.post('shop/purchase', body, {...ndjson, 'idempotency-key': key});
    const first = await send();
    const letters = (await world.letters()).length;
    const [receivedBefore, , duplicateBefore, rejectedBefore] = world.books('purchase');
    const again = await send();
    const [received, , duplicate, rejected] = world.books('purchase');
    assert.deepEqual(
      [received! - receivedBefore!, duplicate! - duplicateBefore!, rejected! - rejectedBefore!],
      [3, 3, 0],
      'what was rejected before is a duplicate now, too',
    );
    assert.equal(first.json.request, key);
    const ids = first.json.records.map(({event_id}) => event_id);
    assert.deepEqual(ids, [
      uuid5(domainNamespace('shop'), `http/purchase/${key}/0`),
      'own-1',
      uuid5(domainNamespace('shop'), `http/purchase/${key}/2`),
    ]);
    assert.deepEqual(
      again.json.records.map(({event_id, status}) => [event_id, status]),
      [
        [ids[0], 'duplicate'],
        ['own-1', 'duplicate'],
        [ids[2], 'rejected'],
      ],
    );
    assert.equal((await world.letters()).length, letters, 'and the same dead letter is not written twice');
  });

  test('one Idempotency-Key on two event types: each keeps its dead letter', async () => {
    const key = randomUUID();
    for (const type of ['purchase', 'note'])
      await world.post(`shop/${type}`, '{"amount":"nope","text":5,"timestamp":"never"}', {
        'idempotency-key': key,
      });
    const letters = (await world.letters()).filter(
      ({position}) => 'request' in position && position.request === key,
    );
    assert.deepEqual(letters.map(({eventType}) => eventType).sort(), ['note', 'purchase']);
  });

  test('the same id twice: in one request, in requests at once, later', async () => {
    const id = randomUUID();
    const event = `{"event_id":"${id}","user_id":"USER","amount":1}`;
    const twice = await world.post(
      'shop/purchase',
      `${event.replace('USER', 'a')}\n${event.replace('USER', 'b')}\n`,
      ndjson,
    );
    assert.deepEqual(
      twice.json.records.map(({status}) => status),
      ['appended', 'duplicate'],
    );
    const other = randomUUID();
    const answers = await Promise.all(
      Array.from({length: 20}, (_, i) =>
        world.post('shop/purchase', `{"event_id":"${other}","user_id":"${i}","amount":1}`),
      ),
    );
    assert.equal(answers.filter(({json}) => json.appended === 1).length, 1);
    assert.equal(answers.filter(({json}) => json.duplicate === 1).length, 19);
    assert.equal((await world.post('shop/purchase', event)).json.duplicate, 1);
    assert.equal((await world.post('shop/note', `{"event_id":"${id}"}`)).json.appended, 1, 'by topic');
  });

  test('ids and times that cannot be', async () => {
    const codes = async (body: string) => (await world.post('shop/purchase', body)).json.records[0]!.code;
    assert.equal(await codes('{"event_id":"","amount":1}'), 'EVENT_ID');
    assert.equal(await codes(`{"event_id":"${'x'.repeat(257)}","amount":1}`), 'EVENT_ID');
    assert.equal(await codes(`{"event_id":"${'x'.repeat(256)}","amount":1}`), undefined);
    assert.equal(await codes('{"event_id":{},"amount":1}'), 'TYPE');
    assert.equal(await codes('{"timestamp":"2026-01-31T12:00:00","amount":1}'), 'TYPE', 'no zone');
    assert.equal(await codes('{"timestamp":-1,"amount":1}'), 'TIMESTAMP_RANGE');
    assert.equal(await codes('{"timestamp":"9999-01-01T00:00:00Z","amount":1}'), 'TIMESTAMP_FUTURE');
    assert.equal(await codes(`{"timestamp":${Date.now() + 7_200_000},"amount":1}`), 'TIMESTAMP_FUTURE');
    assert.equal(await codes('{"timestamp":0,"amount":1}'), undefined);
  });
});

describe('answers', () => {
  test('every record rejected is 422, with verdicts; nothing to read is 400', async () => {
    const {status, json} = await world.post('shop/purchase', '[{"amount":"x"}]');
    assert.deepEqual([status, json.rejected, json.records[0]!.code], [422, 1, 'TYPE']);
    for (const body of [
      '',
      ' \n',
      '[]',
      '[ ]',
      '[{"amount":1}',
      '{"amount":1}}',
      '[{"amount":1},]',
      '{"amount":1} x',
    ]) {
      const answer = await world.post('shop/purchase', body);
      assert.deepEqual([answer.status, answer.json.error.code], [400, 'EVENTS_BODY'], body);
    }
  });

  test('a body that cannot be divided is one dead letter with its bytes', async () => {
    const body = `[{"amount":1},{"amount"${' '.repeat(100_000)}`;
    const [received, , , rejected] = world.books('purchase');
    await world.post('shop/purchase', body, {'idempotency-key': 'undivided'});
    const letter = (await world.letters()).at(-1)!;
    assert.deepEqual(letter.position, {request: 'undivided', index: 0});
    assert.equal(letter.code, 'JSON_SYNTAX');
    assert.equal(Buffer.from(letter.original).toString(), body.slice(0, 64 * 1024));
    const [receivedNow, , , rejectedNow] = world.books('purchase');
    assert.deepEqual([receivedNow! - received!, rejectedNow! - rejected!], [1, 1]);
  });

  test('return=minimal lists only what was not appended', async () => {
    const {json, headers} = await world.post('shop/purchase', '[{"amount":1},{"amount":"x"},{"amount":2}]', {
      prefer: 'return=minimal',
    });
    assert.equal(headers['preference-applied'], 'return=minimal');
    assert.deepEqual([json.appended, json.records.length, json.records[0]!.index], [2, 1, 1]);
  });

  test('paths, methods, types, encodings that are not there', async () => {
    const status = async (path: string, headers: Record<string, string> = {}) =>
      (await world.post(path, '{"amount":1}', headers)).status;
    for (const path of [
      'shop/purchas',
      'shop',
      'shop/',
      'shop/purchase/',
      'other/purchase',
      '__proto__/x',
      'shop/purchase%2f',
      'dlq/shop',
    ])
      assert.equal(await status(path), 404, path);
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/json; charset=utf-16',
      '',
    ])
      assert.equal(await status('shop/purchase', {'content-type': type}), 415, type);
    const form = {'content-type': 'application/x-www-form-urlencoded'};
    const {text: refusal} = await world.post('shop/purchase', '[]', form);
    assert.match(refusal, /curl sends this by default: add -H 'content-type: application\/json'/);
    assert.equal(await status('shop/purchase', {'content-type': 'Application/JSON; charset="UTF-8"'}), 200);
    for (const encoding of ['lzma', 'gzip, br', 'compress'])
      assert.equal(await status('shop/purchase', {'content-encoding': encoding}), 415, encoding);
    assert.equal(await status('shop/purchase', {'idempotency-key': 'x'.repeat(256)}), 400);
    const get = await fetch(`${world.running.url}/v1/events/shop/purchase`, {
      headers: {authorization: `Bearer ${world.token}`},
    });
    assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST']);
    assert.equal(await status('shop/purchase', {authorization: 'Bearer x'}), 401);
  });

  test('the ledger balances and has a line for what came over HTTP', () => {
    const {balanced, ingest} = world.running.ledger();
    assert.ok(balanced);
    assert.ok(ingest.some(({source, event_type: name}) => source === 'http' && name === 'purchase'));
  });
});
