/** What answers in the place of a broker and is none, listeners that expect another protocol, and batches that are bombs. */
import assert from 'node:assert/strict';
import type {Socket} from 'node:net';
import {type TestContext, test} from 'node:test';
import {gzipSync, zstdCompressSync} from 'node:zlib';
import {PlatformError} from '../../../src/errors.ts';
import {tellBrokersAway} from '../../../src/log/brokers-away.ts';
import {batchAt} from '../../../src/log/kafka/batch-header.ts';
import {addBatch} from '../../../src/log/kafka/batch-read.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {inflate} from '../../../src/log/kafka/codecs.ts';
import {CodecFailure} from '../../../src/log/kafka/growing.ts';
import {KafkaReader} from '../../../src/log/kafka/reader.ts';
import type {KafkaSecurity} from '../../../src/log/kafka/settings.ts';
import {WireWriter} from '../../../src/log/kafka/wire.ts';
import {openLog} from '../../../src/log/open.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import {serveTcp} from '../../support/hostile.ts';

const keys = {metadata: 3, sasl: 17, versions: 18};

/** An answer with its length in front of it, or with another. */
const framed = (correlation: number, body: Uint8Array, length = body.length + 4): Uint8Array =>
  new WireWriter().int32(length).int32(correlation).raw(body).bytes.slice();

/** Every request in versions from 0 on. */
const versionsTo = (max: number) => {
  const writer = new WireWriter().int16(0);
  return writer.array([...Array(40).keys()], (key) => writer.int16(key).int16(0).int16(max)).bytes.slice();
};
const versions = versionsTo(7);

type Reply = (socket: Socket, correlation: number) => void;

/** Answers by the key of the request; ApiVersions as a broker does, unless told otherwise. */
const broker =
  (replies: Record<number, Reply>) =>
  (socket: Socket): void => {
    let rest = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 12 && rest.length >= 4 + rest.readInt32BE(0)) {
        const [key, correlation] = [rest.readInt16BE(4), rest.readInt32BE(8)];
        rest = rest.subarray(4 + rest.readInt32BE(0));
        const reply = replies[key] ?? (key === keys.versions ? says(versions) : undefined);
        reply?.(socket, correlation);
      }
    });
  };
const says =
  (body: Uint8Array): Reply =>
  (socket, correlation) =>
    socket.write(framed(correlation, body));

/** Metadata, version 7: a broker, and a topic with these partitions. */
function metadata({
  host = '127.0.0.1',
  port = 9092,
  partitions = [0],
}: {
  host?: string;
  port?: number;
  partitions?: number[];
}): Uint8Array {
  const writer = new WireWriter().int32(0);
  writer.array([1], () => writer.int32(1).string(host).int32(port).string(null));
  writer.string('c').int32(1);
  writer.array(['t'], (name) => {
    writer.int16(0).string(name).boolean(false);
    writer.array(partitions, (index) => {
      writer.int16(0).int32(index).int32(1).int32(0);
      for (let list = 0; list < 3; list++) writer.array([], () => {});
    });
  });
  return writer.bytes.slice();
}

const plain: KafkaSecurity = {protocol: 'plaintext'};
const sasl: KafkaSecurity = {
  protocol: 'sasl_plaintext',
  sasl: {mechanism: 'plain', username: 'u', password: 'canary-of-kafka'},
};

async function failure(
  t: TestContext,
  answer: (socket: Socket) => void,
  {security = plain, waitMs = 60_000}: {security?: KafkaSecurity; waitMs?: number} = {},
): Promise<PlatformError> {
  const port = await serveTcp(t, answer);
  const topics = {partitions: 1, replication: 1, retentionMs: null};
  const client = new KafkaClient(
    {brokers: [`127.0.0.1:${port}`], clientId: 'c', security, topics},
    {connectMs: waitMs, requestMs: waitMs},
  );
  t.after(() => client.close());
  const error = await client.refreshMetadata().then(
    (found) => assert.fail(`it succeeded: ${[...found.topics.keys()]}`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof PlatformError, String((error as Error).stack));
  assert.doesNotMatch(`${error.message} ${error.hint}`, /canary-of-kafka/);
  return error;
}

const int32 = (value: number) => new WireWriter().int32(value).bytes.slice();
const none: [string, (socket: Socket) => void][] = [
  ['a negative length', (socket) => socket.write(int32(-5))],
  ['HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
  [
    'a correlation id of nobody',
    broker({[keys.versions]: (socket, id) => socket.write(framed(id + 7, versions))}),
  ],
  ['two billion items', broker({[keys.versions]: says(Buffer.concat([Buffer.alloc(2), int32(0x7fffffff)]))})],
  ['an answer that is cut', broker({[keys.metadata]: says(int32(0))})],
  [
    'an answer whose header does not end',
    broker({[keys.versions]: says(versionsTo(12)), [keys.metadata]: says(Buffer.of(255, 255, 255, 255, 15))}),
  ],
  [
    'a partition with the number of a billion',
    broker({[keys.metadata]: says(metadata({partitions: [1e9]}))}),
  ],
  ['a negative partition', broker({[keys.metadata]: says(metadata({partitions: [-1]}))})],
  ['partitions twice', broker({[keys.metadata]: says(metadata({partitions: [0, 0]}))})],
];
for (const [name, answer] of none)
  test(`${name} is no answer of a broker`, async (t) => {
    const error = await failure(t, answer);
    assert.equal(error.code, 'KAFKA_PROTOCOL');
    assert.ok(error.hint);
  });

for (const address of [{port: 70_000}, {host: '127.0\0.1'}, {host: ''}])
  test(`a broker at ${JSON.stringify(address)}, where nobody can be, is not there`, async (t) => {
    const port = await serveTcp(t, broker({[keys.metadata]: says(metadata(address))}));
    const topics = {partitions: 1, replication: 1, retentionMs: null};
    const client = new KafkaClient({brokers: [`127.0.0.1:${port}`], clientId: 'c', security: plain, topics});
    t.after(() => client.close());
    assert.equal((await client.refreshMetadata()).brokers.size, 0);
  });

test('a reader that is closed ends what it asks at once, of a broker that says nothing and of one that is not there', async (t) => {
  const silent = await serveTcp(t, () => {});
  for (const port of [silent, 1]) {
    const topics = {partitions: 1, replication: 1, retentionMs: null};
    const settings = {brokers: [`127.0.0.1:${port}`], clientId: 'c', security: plain, topics};
    const client = new KafkaClient(settings, {connectMs: 600_000, requestMs: 600_000});
    // Whoever waited for that would wait longer than a test may take.
    const reader = new KafkaReader(client, () => undefined, {patienceMs: 600_000});
    const asked = assert.rejects(reader.refresh(), {message: 'the reader was closed'});
    await new Promise((resolve) => setTimeout(resolve, 100));
    reader.close();
    await asked;
    await assert.rejects(reader.refresh(), {code: 'KAFKA_UNAVAILABLE'});
  }
});

const ends: Reply = (socket) => socket.end();
const other: [string, (socket: Socket) => void, KafkaSecurity, RegExp][] = [
  [
    'wants SASL, and none is configured',
    broker({[keys.metadata]: ends}),
    plain,
    /wants SASL: .* is sasl_plaintext,/,
  ],
  ['has no SASL and closes', broker({[keys.sasl]: ends}), sasl, /has no SASL: .* is plaintext,/],
  [
    'has no SASL and says so',
    broker({[keys.sasl]: says(new WireWriter().int16(34).int32(0).bytes.slice())}),
    sasl,
    /has no SASL: set log\.kafka\.security\.protocol to plaintext/,
  ],
  [
    'offers another mechanism',
    broker({
      [keys.sasl]: says(new WireWriter().int16(33).int32(1).string('SCRAM-SHA-512').bytes.slice()),
    }),
    sasl,
    /mechanism/,
  ],
  [
    'has no TLS and closes',
    (socket) => socket.once('data', () => socket.end()),
    {protocol: 'ssl'},
    /has no TLS: .* is plaintext,/,
  ],
  [
    'has no TLS and talks',
    (socket) => socket.write('this is no TLS'),
    {protocol: 'ssl'},
    /does not speak TLS/,
  ],
  [
    'has TLS, and none is configured',
    (socket) => socket.end(Buffer.of(0x15, 3, 3, 0, 2, 2, 40)),
    plain,
    /to ssl or sasl_ssl/,
  ],
];
for (const [name, answer, security, hint] of other)
  test(`a listener that ${name}: the hint names it`, async (t) => {
    assert.match((await failure(t, answer, {security})).hint ?? '', hint);
  });

test('a broker that is silent is given up in time, whatever it is asked', async (t) => {
  assert.equal((await failure(t, () => {}, {waitMs: 300})).code, 'KAFKA_UNAVAILABLE');
  const handshake = await failure(t, broker({}), {waitMs: 300, security: sasl});
  assert.match(handshake.hint ?? '', /has no SASL/);
  const announced = await failure(t, (socket) => socket.write(int32(200 << 20)), {waitMs: 300});
  assert.equal(announced.code, 'KAFKA_UNAVAILABLE');
});

test('brokers that do not answer are told of while they are waited for, with the key that names them', async (t) => {
  const at = `127.0.0.1:${await serveTcp(t, (socket) => socket.destroy())}`;
  const told: string[] = [];
  tellBrokersAway((text) => told.push(text));
  t.after(() => tellBrokersAway(undefined));
  const kafka = {
    brokers: [at],
    clientId: 'test',
    security: plain,
    topics: {partitions: 1, replication: 1, retentionMs: null},
  };
  // Longer than it is silent, whatever one attempt takes.
  await assert.rejects(openLog({dir: '/nowhere', kafka}, {patienceMs: 4_500}), {code: 'KAFKA_UNAVAILABLE'});
  assert.deepEqual(told, [`Kafka does not answer yet at ${at} (log.kafka.brokers): it is tried further`]);
});

/** An element of snappy that copies 64 bytes from one byte before. */
const snappyCopy = Buffer.of((63 << 2) | 2, 1, 0);
const bombs: [string, number, Uint8Array][] = [
  ['gzip', 1, gzipSync(Buffer.alloc(50 << 20))],
  ['snappy', 2, Buffer.concat([Buffer.of(0x80, 0x80, 0x80, 0x19, 0, 0), ...Array(800_000).fill(snappyCopy)])],
  // A match of four megabytes: one block says it in 16 KB.
  [
    'lz4',
    3,
    Buffer.concat(
      [[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0], [...int32(16_400).toReversed()], [0x1f, 0, 1, 0]]
        .map((part) => Buffer.from(part))
        .concat(Buffer.alloc(16_396, 255)),
    ),
  ],
  ['zstd', 4, zstdCompressSync(Buffer.alloc(50 << 20))],
];
for (const [name, codec, packed] of bombs)
  test(`a bomb of ${name} is not unpacked`, () => {
    assert.ok(packed.length < 3 << 20);
    assert.throws(() => inflate(codec, packed, 1 << 20), CodecFailure);
  });

test('a million tombstones of a packed batch are one batch, not a million', () => {
  const count = 1_000_000;
  const records: Buffer[] = [];
  for (let delta = 0; delta < count; delta++) {
    const digits: number[] = [];
    let rest = delta * 2;
    for (; rest > 127; rest = Math.floor(rest / 128)) digits.push((rest & 127) | 128);
    const body = [0, 0, ...digits, rest, 1, 1, 0];
    records.push(Buffer.from([body.length * 2, ...body]));
  }
  const packed = zstdCompressSync(Buffer.concat(records));
  const writer = new WireWriter()
    .int64(0)
    .int32(49 + packed.length)
    .int32(0)
    .int8(2)
    .uint32(0)
    .int16(4);
  writer
    .int32(count - 1)
    .int64(5)
    .int64(5)
    .int64(-1)
    .int16(-1)
    .int32(-1)
    .int32(count)
    .raw(packed);
  const bytes = writer.bytes.slice();
  const batch = batchAt(bytes, new DataView(bytes.buffer), 0)!;
  const batches: RecordBatch[] = [];
  addBatch({topic: 't', partition: 0, batches}, bytes, batch);
  assert.deepEqual(
    batches.map(({kind, baseOffset, count, bytes}) => ({kind, baseOffset, count, size: bytes.length})),
    [{kind: 'data', baseOffset: 0, count, size: 4 * count}],
  );
});
