/** Record batches as they are written: what the reader's walk makes of them is what went in. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {batchAt} from '../../../src/log/kafka/batch-header.ts';
import {addBatch, checkCrc} from '../../../src/log/kafka/batch-read.ts';
import {
  type Compression,
  encodeBatch,
  encodeEmpty,
  nextSequence,
  setProducer,
} from '../../../src/log/kafka/batch-write.ts';
import {fenceHeader, markHeader, outboxHeader, recordAt} from '../../../src/log/kafka/record.ts';
import {framesOf} from '../../../src/log/records.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import {packRecords} from '../../../src/schema/frame.ts';

const head = (compression: Compression = 'none', headers: [string, string][] = [['h', 'v']]) => ({
  headers,
  timeMs: 1_700_000_000_000,
  compression,
});
const producer = {id: 2 ** 40 + 7, epoch: 32_000, sequence: 2 ** 31 - 1};

function read(bytes: Uint8Array): RecordBatch[] {
  const copy = Uint8Array.from(bytes);
  const batch = batchAt(copy, new DataView(copy.buffer), 0);
  assert.ok(batch && batch.end === copy.length);
  checkCrc(copy, batch);
  const batches: RecordBatch[] = [];
  addBatch({topic: 't', partition: 0, batches}, copy, batch);
  return batches;
}

const sizes = fc.oneof(
  {weight: 6, arbitrary: fc.nat(200)},
  fc.constantFrom(1, 63, 64, 65, 127, 128, 8_180, 8_191, 8_192, 16_384),
  fc.nat(70_000),
);
const frames = fc.array(
  sizes.map((size) => Uint8Array.from({length: size + 1}, (_, i) => (i * 31 + size) & 255)),
  {minLength: 1, maxLength: 60},
);

test('records of any sizes, over several batches of ours, come back as they were, whatever the limit and the compression', () => {
  fc.assert(
    fc.property(
      frames,
      fc.array(fc.nat(59), {maxLength: 4}),
      fc.constantFrom(200, 1_000, 20_000, 524_288),
      fc.integer({min: 1, max: 70}),
      fc.constantFrom<Compression>('none', 'gzip', 'lz4', 'zstd'),
      (all, cuts, bytesMax, countMax, compression) => {
        const places = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
        const packed = places.slice(1).map((to, i) => packRecords(all.slice(places[i], to)));
        const found: Uint8Array[] = [];
        let waiting = packed.filter((bytes) => bytes.length > 0).map((bytes) => ({bytes, at: 0}));
        while (waiting.length > 0) {
          const encoded = encodeBatch(waiting, head(compression), bytesMax, countMax);
          setProducer(encoded, producer);
          const [batch, ...others] = read(encoded.bytes);
          assert.ok(batch && others.length === 0 && batch.count === encoded.count);
          assert.ok(encoded.count === 1 || encoded.bytes.length <= bytesMax);
          assert.ok(encoded.count <= countMax);
          found.push(...framesOf(batch.bytes));
          waiting = waiting.slice(encoded.sources);
          if (waiting[0] && encoded.end < waiting[0].bytes.length && encoded.end > waiting[0].at)
            waiting[0] = {...waiting[0], at: encoded.end};
        }
        assert.deepEqual(
          found.map((each) => Buffer.from(each)),
          all.map((each) => Buffer.from(each)),
        );
      },
    ),
    {numRuns: 300},
  );
});

test('the header of a batch says what Kafka wants to know, and the checksum covers it', () => {
  const encoded = encodeBatch(
    [{bytes: packRecords([Uint8Array.of(1), Uint8Array.of(2, 3)]), at: 0}],
    head(),
    1_000,
  );
  setProducer(encoded, producer);
  const {bytes} = encoded;
  assert.equal(bytes.readBigInt64BE(43), BigInt(producer.id));
  assert.equal(bytes.readInt16BE(51), producer.epoch);
  assert.equal(bytes.readInt32BE(53), producer.sequence);
  assert.equal(bytes.readInt32BE(23), 1);
  assert.equal(bytes.readInt32BE(57), 2);
  assert.equal(bytes.readInt32BE(8), bytes.length - 12);
  // Twice: a batch that is sent again by a later epoch is the same but for that.
  setProducer(encoded, {...producer, epoch: 5, sequence: 0});
  assert.equal(read(bytes)[0]?.count, 2);
  bytes[bytes.length - 2]! ^= 1;
  assert.throws(() => read(bytes), /checksum/);
});

test('headers belong to the first record alone', () => {
  const {bytes} = encodeBatch(
    [{bytes: packRecords([Uint8Array.of(1), Uint8Array.of(2)]), at: 0}],
    head(),
    1_000,
  );
  const first = recordAt(bytes, 61, bytes.length);
  assert.deepEqual(
    first?.headers.map(({name, value}) => [name, String(value)]),
    [['h', 'v']],
  );
  const second = recordAt(bytes, first!.end, bytes.length);
  assert.deepEqual([second?.headers, second?.offsetDelta, second?.end], [[], 1, bytes.length]);
});

test('an end mark is a mark to the reader, and a fence only takes an offset', () => {
  const headers: [string, string][] = [
    [outboxHeader, 'an outbox'],
    [markHeader, '1700000000001'],
  ];
  const mark = encodeEmpty(head('zstd', headers));
  setProducer(mark, producer);
  const [marked] = read(mark.bytes);
  assert.deepEqual([marked?.kind, marked?.markTimeMs, marked?.count], ['mark', 1_700_000_000_001, 1]);
  const fence = encodeEmpty(head('none', [[fenceHeader, '3']]));
  setProducer(fence, producer);
  const [gap] = read(fence.bytes);
  assert.deepEqual([gap?.kind, gap?.count], ['gap', 1]);
});

test('sequence numbers begin again after 2^31 - 1', () => {
  assert.equal(nextSequence(5, 3), 8);
  assert.equal(nextSequence(2 ** 31 - 1, 1), 0);
  assert.equal(nextSequence(2 ** 31 - 2, 5), 3);
});
