/** Record batches as a broker could send them: whole, with holes, torn, and with any bit wrong. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {gzipSync, zstdCompressSync} from 'node:zlib';
import {BatchFailure, batchAt} from '../../../src/log/kafka/batch-header.ts';
import {addBatch, checkCrc, inflatedBytesMax} from '../../../src/log/kafka/batch-read.ts';
import {chunkOf, takeFrom} from '../../../src/log/kafka/chunk.ts';
import {inflate} from '../../../src/log/kafka/codecs.ts';
import {crc32c} from '../../../src/log/kafka/crc32c.ts';
import type {FetchAnswer} from '../../../src/log/kafka/fetch.ts';
import {CodecFailure} from '../../../src/log/kafka/growing.ts';
import {fenceHeader, markHeader, offsetHeader, outboxHeader} from '../../../src/log/kafka/record.ts';
import {Stream} from '../../../src/log/kafka/stream.ts';
import {framesOf} from '../../../src/log/records.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import {describeNoFrame, isFrame} from '../../../src/schema/frame.ts';
import {random} from '../../support/random.ts';

type Given = {delta: number; value: string | null; key?: string; headers?: [string, string][]};

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value) * 2n;
  if (rest < 0n) rest = -rest - 1n;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

const field = (text: string | null) =>
  text === null ? varint(-1) : [...varint(Buffer.byteLength(text)), ...Buffer.from(text)];

function recordOf({delta, value, key, headers = []}: Given): number[] {
  const pairs = headers.flatMap(([name, text]) => [...field(name), ...field(text)]);
  const body = [0, ...varint(delta * 3), ...varint(delta), ...field(key ?? null), ...field(value)];
  body.push(...varint(headers.length), ...pairs);
  return [...varint(body.length), ...body];
}

/** Literals alone, as any snappy or lz4 decoder has to take them. */
function snappyOf(bytes: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest = Math.floor(rest / 128)) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest < 128) break;
  }
  return Buffer.concat([Buffer.from(length), Buffer.from([62 << 2, ...size24(bytes.length - 1)]), bytes]);
}

const size24 = (size: number) => [size & 255, (size >> 8) & 255, size >> 16];

function lz4Of(bytes: Uint8Array): Uint8Array {
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0]);
  const size = Buffer.alloc(4);
  // Not packed: the highest bit.
  size.writeUInt32LE((bytes.length | 0x80000000) >>> 0);
  return Buffer.concat([head, size, bytes, Buffer.alloc(4)]);
}

const codecs: ((bytes: Uint8Array) => Uint8Array)[] = [
  (bytes) => bytes,
  (bytes) => gzipSync(bytes),
  snappyOf,
  lz4Of,
  (bytes) => zstdCompressSync(bytes),
];

function batchOf(
  given: Given[],
  {base = 100, last = given.at(-1)?.delta ?? 0, codec = 0, timeMs = 7_000} = {},
): Buffer {
  const records = codecs[codec]!(Buffer.from(given.flatMap(recordOf)));
  const bytes = Buffer.alloc(61 + records.length);
  bytes.writeBigInt64BE(BigInt(base), 0);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes[16] = 2;
  bytes.writeInt16BE(codec, 21);
  bytes.writeInt32BE(last, 23);
  bytes.writeBigInt64BE(BigInt(timeMs), 35);
  bytes.writeBigInt64BE(-1n, 43);
  bytes.writeInt32BE(given.length, 57);
  bytes.set(records, 61);
  return seal(bytes);
}

function seal(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return bytes;
}

function readBatch(bytes: Buffer): RecordBatch[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const batch = batchAt(bytes, view, 0);
  if (!batch) throw new BatchFailure('it is torn');
  checkCrc(bytes, batch);
  const batches: RecordBatch[] = [];
  addBatch({topic: 't', partition: 0, batches}, bytes, batch);
  return batches;
}

const shown = (batches: RecordBatch[]) =>
  batches.map(({kind, baseOffset, count, bytes, markTimeMs}) => [
    kind,
    baseOffset,
    count,
    kind === 'mark' ? markTimeMs : [...framesOf(bytes)].map((frame) => Buffer.from(frame).toString()).join(),
  ]);

for (const [codec, name] of ['none', 'gzip', 'snappy', 'lz4', 'zstd'].entries())
  test(`values of a batch become records of ours: ${name}`, () => {
    const given = Array.from({length: 200}, (_, delta) => ({
      delta,
      value: `value ${delta} ${'x'.repeat(delta % 90)}`,
      ...(delta % 3 === 0 ? {key: 'k'.repeat(delta)} : {}),
      ...(delta % 7 === 0 ? {headers: [['a', 'b']] as [string, string][]} : {}),
    }));
    const [batch, ...more] = readBatch(batchOf(given, {codec}));
    assert.deepEqual(more, []);
    assert.equal(batch!.appendTimeMs, 7_000);
    assert.deepEqual(shown([batch!]), [['data', 100, 200, given.map(({value}) => value).join()]]);
  });

test('a batch that unpacks to more than is allowed is one record that says so; what is around it is read', () => {
  const bomb = batchOf(
    [0, 1, 2, 3, 4].map((delta) => ({delta, value: ''})),
    {base: 101},
  );
  const packed = zstdCompressSync(Buffer.alloc(inflatedBytesMax + 1));
  const large = Buffer.concat([bomb.subarray(0, 61), packed]);
  large.writeInt32BE(large.length - 12, 8);
  large.writeInt16BE(4, 21);
  seal(large);
  const bytes = Buffer.concat([
    batchOf([{delta: 0, value: 'before'}], {base: 100}),
    large,
    batchOf([{delta: 0, value: 'behind'}], {base: 106}),
  ]);
  const chunk = chunkOf({bytes, aborted: []} as unknown as FetchAnswer, 100)!;
  const batches: RecordBatch[] = [];
  assert.equal(takeFrom(chunk, {topic: 't', partition: 0, batches}, 100, 1 << 30), 107);
  const [before, note, gap, behind] = batches;
  assert.deepEqual(shown([before!, behind!]), [
    ['data', 100, 1, 'before'],
    ['data', 106, 1, 'behind'],
  ]);
  assert.deepEqual([note!.baseOffset, note!.count, note!.isUnchecked], [101, 1, true]);
  assert.deepEqual([gap!.kind, gap!.baseOffset, gap!.count], ['gap', 102, 4]);
  const [frame] = [...framesOf(note!.bytes)];
  assert.equal(isFrame(frame!, 0, frame!.length), false);
  assert.equal(
    describeNoFrame(frame!, 0, frame!.length),
    'offsets 101 to 105 are one batch of 5 records, which unpacks to more than 256 MiB: none of them was read, and Kafka has them',
  );
  // A checksum that differs still stops the reader: another replica may have it right.
  large[large.length - 1]! ^= 1;
  assert.throws(() => readBatch(large), BatchFailure);
});

test('copies that overlap themselves are unpacked, and copies from nowhere are refused: snappy, lz4', () => {
  const inflated = (codec: number, bytes: number[]) =>
    Buffer.from(inflate(codec, Buffer.from(bytes), 1_000)).toString();
  const abcd = [...Buffer.from('abcd')];
  // Four literals, then eight bytes from four before; at the end five literals, as lz4 wants them.
  assert.equal(inflated(2, [12, 3 << 2, ...abcd, (4 << 2) | 1, 4]), 'abcdabcdabcd');
  const block = [0x44, ...abcd, 4, 0, 0x50, ...Buffer.from('efghi')];
  const frame = (inner: number[]) => [
    0x04,
    0x22,
    0x4d,
    0x18,
    0x60,
    0x40,
    0,
    inner.length,
    0,
    0,
    0,
    ...inner,
    0,
    0,
    0,
    0,
  ];
  assert.equal(inflated(3, frame(block)), 'abcdabcdabcdefghi');
  assert.throws(() => inflated(2, [12, 3 << 2, ...abcd, (4 << 2) | 1, 5]), CodecFailure);
  assert.throws(() => inflated(3, frame(block.with(5, 9))), CodecFailure);
  // More than is allowed.
  assert.throws(() => inflate(1, gzipSync(Buffer.alloc(5_000)), 1_000), CodecFailure);
  assert.throws(() => inflate(4, zstdCompressSync(Buffer.alloc(5_000)), 1_000), CodecFailure);
  assert.throws(() => inflate(2, snappyOf(Buffer.alloc(5_000)), 1_000), CodecFailure);
  assert.throws(() => inflate(3, lz4Of(Buffer.alloc(5_000)), 1_000), CodecFailure);
});

test('a batch of megabytes is read as a small one: texts of any length, keys, headers, holes', () => {
  const chance = random(7);
  const lengths = [0, 1, 15, 16, 17, 63, 64, 130, 9_000, 20_000, 32_760, 32_764, 32_765, 70_000];
  for (const codec of [0, 4]) {
    const given: Given[] = [];
    const wanted: string[] = [];
    for (let delta = 0; given.length < 5_000; delta += chance.int(500) === 0 ? 3 : 1) {
      const length = chance.int(40) === 0 ? lengths[chance.int(lengths.length)]! : chance.int(200);
      const value = length === 0 ? '' : `${delta} `.padEnd(length, 'abcdefghij');
      const isNull = chance.int(300) === 0;
      const key = chance.int(9) === 0 ? {key: 'k'.repeat(chance.int(300))} : {};
      const headers = chance.int(9) === 0 ? {headers: [['h', 'v']] as [string, string][]} : {};
      given.push({delta, value: isNull ? null : value, ...key, ...headers});
      wanted.push(`${100 + delta} ${isNull ? '' : value}`);
    }
    const bytes = batchOf(given, {codec});
    assert.ok(codec > 0 || bytes.length > 2 ** 21, `${bytes.length} bytes`);
    const found: string[] = [];
    let next = 100;
    for (const {kind, baseOffset, count, bytes: records} of readBatch(bytes)) {
      assert.equal(baseOffset, next);
      next += count;
      if (kind === 'gap') continue;
      const texts = [...framesOf(records)].map((frame) => Buffer.from(frame).toString());
      assert.equal(texts.length, count);
      for (const [index, text] of texts.entries()) found.push(`${baseOffset + index} ${text}`);
    }
    assert.deepEqual(found, wanted);
    assert.equal(next, 101 + given.at(-1)!.delta);
  }
});

test('holes, marks, fences, tombstones and empty values each have their offsets', () => {
  const batches = readBatch(
    batchOf(
      [
        {delta: 2, value: 'a'},
        {delta: 3, value: 'b'},
        {delta: 6, value: 'c'},
        {delta: 7, value: null, key: 'k'},
        {delta: 8, value: '', headers: [[outboxHeader, 'acme/1'], [offsetHeader, '7'], [markHeader, '1234']]}, // biome-ignore format: a row
        {delta: 9, value: null, headers: [[fenceHeader, '3']]},
        {delta: 10, value: ''},
        {delta: 11, value: 'd', headers: [[markHeader, '5']]},
      ],
      {last: 14},
    ),
  );
  assert.deepEqual(shown(batches), [
    ['gap', 100, 2, ''],
    ['data', 102, 2, 'a,b'],
    ['gap', 104, 2, ''],
    ['data', 106, 1, 'c'],
    ['data', 107, 1, ''],
    ['mark', 108, 1, 1234],
    ['gap', 109, 1, ''],
    ['data', 110, 1, ''],
    ['data', 111, 1, 'd'],
    ['gap', 112, 3, ''],
  ]);
});

test('an end mark is one that names its outbox and a time that is a date; any other is a record without a value', () => {
  const markBy = (...headers: [string, string][]) =>
    shown(readBatch(batchOf([{delta: 0, value: null, headers}])));
  const byOurs = (time: string) => markBy([outboxHeader, 'acme/1'], [offsetHeader, '7'], [markHeader, time]);
  assert.deepEqual(byOurs('8640000000000000'), [['mark', 100, 1, 8.64e15]]);
  const none = [['data', 100, 1, '']];
  for (const time of ['8640000000000001', '9007199254740991', '-8640000000000001', '1.5', 'x', 'Infinity'])
    assert.deepEqual(byOurs(time), none, time);
  assert.deepEqual(markBy([markHeader, '1234']), none);
  assert.deepEqual(markBy([markHeader, '1234'], [outboxHeader, 'acme/1']), none);
});

test('a batch without records is a gap; an older format, a wrong checksum and a torn end are told', () => {
  assert.deepEqual(shown(readBatch(batchOf([], {last: 4}))), [['gap', 100, 5, '']]);
  const old = batchOf([{delta: 0, value: 'a'}]);
  old[16] = 1;
  assert.throws(() => readBatch(old), /version 1; version 2/);
  const wrong = batchOf([{delta: 0, value: 'a'}]);
  wrong[62]! ^= 1;
  assert.throws(() => readBatch(wrong), /checksum/);
  const whole = batchOf([{delta: 0, value: 'a'}]);
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => readBatch(Buffer.from(whole.subarray(0, length))), BatchFailure);
});

test('what compaction left out between two batches is a gap, and the cut end of an answer is not looked at', () => {
  const first = batchOf([{delta: 0, value: 'a'}], {base: 10});
  const second = batchOf([{delta: 0, value: 'b'}], {base: 15});
  const bytes = Buffer.concat([first, second, second.subarray(0, 40)]);
  const chunk = chunkOf(
    {topic: 't', partition: 0, code: 0, stableOffset: 16, startOffset: 0, aborted: [], bytes},
    8,
  )!;
  const batches: RecordBatch[] = [];
  assert.equal(takeFrom(chunk, {topic: 't', partition: 0, batches}, 8, 1 << 20), 16);
  assert.deepEqual(shown(batches), [
    ['gap', 8, 2, ''],
    ['data', 10, 1, 'a'],
    ['gap', 11, 4, ''],
    ['data', 15, 1, 'b'],
  ]);
});

test('what was handed out last is not given again once what follows it was damaged: its memory is used for other records by then', () => {
  const good = batchOf([{delta: 0, value: 'a'}], {base: 0});
  const bad = batchOf([{delta: 0, value: 'b'}], {base: 1});
  bad[bad.length - 1]! ^= 1;
  const about = {topic: 't', partition: 0, code: 0, stableOffset: 2, startOffset: 0, aborted: []};
  const stream = new Stream('t', 0, 0);
  for (const [offset, bytes] of [good, bad].entries()) stream.add(chunkOf({...about, bytes}, offset)!);
  assert.deepEqual(shown(stream.take(1)), [['data', 0, 1, 'a']]);
  assert.equal(stream.again(0)?.length, 1);
  assert.throws(() => stream.take(1), BatchFailure);
  stream.restart();
  assert.equal(stream.again(0), undefined);
  assert.deepEqual([stream.head, stream.position, stream.hasRecords], [1, 1, false]);
});

test('kilobytes that unpack to hundreds of megabytes are handed out some at a time, and kept no longer than that', () => {
  const size = 12 << 20;
  const batches = Array.from({length: 8}, (_, index) => {
    const body = [Buffer.from([0, 0, 0, 1, ...varint(size)]), Buffer.alloc(size, 7), Buffer.of(0)];
    const records = Buffer.concat([Buffer.from(varint(Buffer.concat(body).length)), ...body]);
    const head = batchOf([{delta: 0, value: 'a'}], {base: index, codec: 4}).subarray(0, 61);
    const bytes = Buffer.concat([head, zstdCompressSync(records)]);
    bytes.writeInt32BE(bytes.length - 12, 8);
    return seal(bytes);
  });
  const bytes = Buffer.concat(batches);
  assert.ok(bytes.length < 100_000);
  const answer = {topic: 't', partition: 0, code: 0, stableOffset: 8, startOffset: 0, aborted: [], bytes};
  const stream = new Stream('t', 0, 0);
  stream.add(chunkOf(answer, 0)!);
  const taken: number[] = [];
  while (stream.hasRecords) {
    const from = stream.head;
    taken.push(stream.take(1 << 20).length);
    if (taken.length < 3) assert.equal(stream.again(from), undefined);
  }
  assert.deepEqual(taken, [3, 3, 2]);
  assert.equal(stream.again(6)?.length, 2);
});

for (const codec of [1, 4])
  test(`small packed batches are the same read together and alone, and what is wrong with one is told: ${codec}`, () => {
    const chance = random(codec);
    const parts: Buffer[] = [];
    const wanted: unknown[][] = [];
    let base = 100;
    const add = (bytes: Buffer, ...shownThere: unknown[][]) => {
      parts.push(bytes);
      wanted.push(...shownThere);
    };
    for (let index = 0; index < 60; index++) {
      const given = Array.from({length: 1 + chance.int(40)}, (_, delta) => ({
        delta,
        value: `${index} ${delta}`,
      }));
      const others = index % 11 === 5;
      const hole = index % 7 === 3 ? 2 : 0;
      const last = given.length - 1 + hole;
      add(batchOf(given, {base, last, codec: others ? 0 : codec}), [
        'data',
        base,
        given.length,
        given.map(({value}) => value).join(),
      ]);
      if (hole > 0) wanted.push(['gap', base + given.length, hole, '']);
      base += last + 1;
    }
    const read = (all: Buffer[], bytesMax: number) => {
      const bytes = Buffer.concat(all);
      const answer = {
        topic: 't',
        partition: 0,
        code: 0,
        stableOffset: base,
        startOffset: 0,
        aborted: [],
        bytes,
      };
      const chunk = chunkOf(answer, 100)!;
      const batches: RecordBatch[] = [];
      for (let offset = 100; chunk.left > 0; )
        offset = takeFrom(chunk, {topic: 't', partition: 0, batches}, offset, bytesMax);
      return shown(batches);
    };
    for (const bytesMax of [1, 700, 5_000, 1 << 20]) assert.deepEqual(read(parts, bytesMax), wanted);
    // A wrong checksum; records that are more, and fewer, than the batch says.
    const broken = (change: (bytes: Buffer) => void) => {
      const bytes = Buffer.from(parts[30]!);
      change(bytes);
      return parts.with(30, bytes);
    };
    const counted = (more: number) => (bytes: Buffer) => {
      bytes.writeInt32BE(bytes.readInt32BE(57) + more, 57);
      bytes.writeInt32BE(bytes.readInt32BE(23) + 1, 23);
      seal(bytes);
    };
    assert.throws(
      () =>
        read(
          broken((bytes) => bytes.writeUInt32BE(1, 17)),
          1 << 20,
        ),
      /checksum/,
    );
    assert.throws(() => read(broken(counted(1)), 1 << 20), BatchFailure);
    assert.throws(() => read(broken(counted(-1)), 1 << 20), BatchFailure);
    const torn = broken((bytes) => void seal(bytes.fill(7, bytes.length - 9)));
    assert.throws(() => read(torn, 1 << 20), BatchFailure);
  });

test('any bit may be wrong, with a checksum that is right: told as broken, or batches whose offsets follow each other', () => {
  const chance = random(11);
  const given: Given[] = Array.from({length: 30}, (_, delta) => ({
    delta: delta + (delta > 20 ? 3 : 0),
    value: delta === 12 ? null : `value ${delta} ${'yz'.repeat(delta * 3)}`,
    ...(delta % 4 === 0 ? {key: `key ${delta}`, headers: [['h', 'v']] as [string, string][]} : {}),
  }));
  let read = 0;
  let broken = 0;
  for (const codec of codecs.keys()) {
    const whole = batchOf(given, {codec, last: 40});
    for (let round = 0; round < 2_000; round++) {
      const bytes = Buffer.from(whole);
      for (let flips = 1 + chance.int(3); flips > 0; flips--) {
        const at = chance.int(bytes.length);
        bytes[at]! ^= 1 << chance.int(8);
      }
      seal(bytes);
      try {
        let offset: number | undefined;
        for (const batch of readBatch(bytes)) {
          assert.ok(batch.count > 0 && (offset === undefined || batch.baseOffset === offset));
          offset = batch.baseOffset + batch.count;
          if (batch.kind === 'data') assert.equal([...framesOf(batch.bytes)].length, batch.count);
        }
        read++;
      } catch (error) {
        if (!(error instanceof BatchFailure)) throw error;
        broken++;
      }
    }
  }
  assert.ok(read > 500 && broken > 500, `${read} read, ${broken} broken`);
});

test('a batch whose first record names an outbox is ours; all others are told as unchecked, each part of them', () => {
  const ours: Given = {delta: 0, value: 'a', headers: [[outboxHeader, 'acme/1'], [offsetHeader, '7']]}; // biome-ignore format: a row
  const rest: Given[] = Array.from({length: 70}, (_, delta) => ({
    delta: delta + 1,
    value: 'b'.repeat(delta + 1),
  }));
  const isUnchecked = (given: Given[], bits = 0) => {
    const bytes = batchOf(given);
    bytes.writeInt16BE(bits, 21);
    const batches = readBatch(seal(bytes));
    return batches.map((batch) => (batch.kind === 'data' ? batch.isUnchecked === true : batch.kind));
  };
  assert.deepEqual(isUnchecked([ours, ...rest]), [false]);
  assert.deepEqual(isUnchecked([ours, {delta: 2, value: 'c'}]), [false, 'gap', false]);
  assert.deepEqual(isUnchecked([{...ours, value: 'long '.repeat(2000)}]), [false]);
  // Of another program: no header, another one first, one that begins alike, none in the first record, a key.
  const other: Given = {delta: 0, value: 'a'};
  const mark: Given = {
    delta: 3,
    value: null,
    headers: [
      [outboxHeader, 'x'],
      [markHeader, '5'],
    ],
  };
  assert.deepEqual(isUnchecked([other, {delta: 2, value: 'c'}, mark]), [true, 'gap', true, 'mark']);
  for (const headers of [[['trace', '1'], [outboxHeader, 'x']], [[`${outboxHeader}s`, 'x']], [['millrace.outbo', 'xx']]]) // biome-ignore format: a list
    assert.deepEqual(isUnchecked([{...other, headers: headers as [string, string][]}]), [true]);
  assert.deepEqual(isUnchecked([other, {...ours, delta: 1}]), [true]);
  assert.deepEqual(isUnchecked([{...ours, key: 'k'}]), [true]);
  assert.deepEqual(isUnchecked([{delta: 0, value: null}]), [true]);
  // A transaction that copies records with their headers.
  assert.deepEqual(isUnchecked([ours], 16), [true]);
});
