/** Headers of letters: what their values say, for programs that do not read those; and records that are read as before. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {deadLetterEncoder} from '../../../src/ingest/deadletters.ts';
import {batchAt} from '../../../src/log/kafka/batch-header.ts';
import {addBatch, recordBytes} from '../../../src/log/kafka/batch-read.ts';
import {type Compression, encodeBatch, setProducer} from '../../../src/log/kafka/batch-write.ts';
import {headerBytesMax, letterBytesMax, provenanceOf} from '../../../src/log/kafka/provenance.ts';
import {recordAt} from '../../../src/log/kafka/record.ts';
import {framesOf} from '../../../src/log/records.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import {appendOf} from '../../../src/platform/side.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import {type DeadLetter, type LateEvent, lateSchema, lateValues} from '../../../src/schema/side.ts';

const timeMs = Date.UTC(2026, 0, 20, 12, 0, 0, 7);
const letter: DeadLetter = {
  id: 'l-1',
  timeMs,
  domain: 'shop',
  eventType: 'sale',
  stage: 'validate',
  query: null,
  code: 'TYPE',
  message: 'amount is no number',
  source: 'sales',
  position: {file: 'data/é 1.csv', row: 70_000},
  eventId: 'a',
  schemaId: null,
  original: Buffer.from('a,b,c'),
};
const late: LateEvent = {
  id: 'l-2',
  timeMs,
  domain: 'shop',
  query: 'per_day',
  topic: 'shop.sale',
  partition: 3,
  offset: 2 ** 40,
  watermarkMs: timeMs - 1,
  missed: [0, 3_600_000],
  original: Uint8Array.of(0, 0, 0, 0, 1, 2),
};
const dead = deadLetterEncoder(7);
const marks: [string, string][] = [
  ['millrace.outbox', 'o'],
  ['millrace.offset', '12'],
];

type Read = {headers: Record<string, string>[]; values: Buffer[]; batches: RecordBatch[]; count: number};

/** Ships records to a topic, and reads them as others do and as we do. */
function shipped(
  topic: string,
  bytes: Uint8Array,
  {compression = 'none' as Compression, bytesMax = 2 ** 22} = {},
): Read {
  const head = {headers: marks, timeMs, compression, headersOf: provenanceOf(topic)};
  const encoded = encodeBatch([{bytes, at: 0}], head, bytesMax);
  setProducer(encoded, {id: 1, epoch: 0, sequence: 0});
  assert.ok(encoded.count === 1 || encoded.bytes.length <= bytesMax);
  const batch = batchAt(encoded.bytes, new DataView(encoded.bytes.buffer, encoded.bytes.byteOffset), 0)!;
  const records = recordBytes(encoded.bytes, batch);
  const headers: Record<string, string>[] = [];
  const values: Buffer[] = [];
  for (let at = records.from; at < records.to; ) {
    const record = recordAt(records.bytes, at, records.to)!;
    const names = record.headers.map(({name}) => name);
    assert.equal(new Set(names).size, names.length);
    headers.push(Object.fromEntries(record.headers.map(({name, value}) => [name, String(value)])));
    values.push(Buffer.from(record.value!));
    at = record.end;
  }
  const batches: RecordBatch[] = [];
  addBatch({topic, partition: 0, batches}, encoded.bytes, batch, records);
  return {headers, values, batches, count: encoded.count};
}

test('a dead letter says in headers what its fields say, a late event what it is; the first of a batch has the marks before', () => {
  const at: Partial<DeadLetter> = {
    stage: 'decode',
    query: 'shop.per_day',
    position: {topic: 'shop.sale', partition: 1, offset: 5},
    eventId: null,
  };
  const {headers} = shipped('dlq.shop', dead([letter, {...letter, ...at}]));
  const common = {
    'millrace.id': 'l-1',
    'millrace.time': '2026-01-20T12:00:00.007Z',
    'millrace.domain': 'shop',
    'millrace.event_type': 'sale',
    'millrace.code': 'TYPE',
    'millrace.source': 'sales',
  };
  assert.deepEqual(headers, [
    {
      ...Object.fromEntries(marks),
      ...common,
      'millrace.stage': 'validate',
      'millrace.position.file': 'data/é 1.csv',
      'millrace.position.row': '70000',
      'millrace.event_id': 'a',
    },
    {
      ...common,
      'millrace.stage': 'decode',
      'millrace.query': 'shop.per_day',
      'millrace.position.topic': 'shop.sale',
      'millrace.position.partition': '1',
      'millrace.position.offset': '5',
    },
  ]);
  const topic = 'late.shop.per_day';
  const {bytes} = appendOf(topic, lateSchema, {[topic]: 8}, [{id: late.id, values: lateValues(late)}]);
  assert.deepEqual(shipped(topic, bytes).headers, [
    {
      ...Object.fromEntries(marks),
      ...common,
      'millrace.id': 'l-2',
      'millrace.stage': 'late',
      'millrace.code': 'LATE',
      'millrace.query': 'shop.per_day',
      'millrace.source': 'shop.sale',
      'millrace.position.topic': 'shop.sale',
      'millrace.position.partition': '3',
      'millrace.position.offset': '1099511627776',
      'millrace.watermark': '2026-01-20T12:00:00.006Z',
    },
  ]);
});

test('records with headers come back as they were, whatever the compression, their number and the limit of a batch', () => {
  const letters = Array.from({length: 500}, (_, i) => ({
    ...letter,
    id: `l-${i}`,
    source: 'é'.repeat(i % 140),
    original: Buffer.alloc(i * 3, i),
  }));
  const bytes = dead(letters);
  const frames = [...framesOf(bytes)].map((frame) => Buffer.from(frame));
  for (const compression of ['none', 'gzip', 'lz4', 'zstd'] as const)
    for (const bytesMax of [100, 20_000, 2 ** 22]) {
      const {headers, values, batches, count} = shipped('dlq.shop', bytes, {compression, bytesMax});
      assert.deepEqual(values, frames.slice(0, count));
      assert.equal(batches.length, 1);
      assert.deepEqual(
        [...framesOf(batches[0]!.bytes)].map((frame) => Buffer.from(frame)),
        values,
      );
      for (const [i, each] of headers.entries()) assert.equal(each['millrace.id'], `l-${i}`);
    }
});

test('a long value is cut between characters, and all headers together take less than 4 KiB', () => {
  const long = `x${'é'.repeat(5_000)}`;
  const [first] = shipped(
    'dlq.shop',
    dead([
      {
        ...letter,
        ...{id: long, domain: long, eventType: long, stage: long, query: long, code: long},
        ...{source: long, position: {request: long, index: 2 ** 53}, eventId: long},
      },
    ]),
  ).headers;
  assert.equal(first!['millrace.source'], `x${'é'.repeat(126)}...`);
  for (const value of Object.values(first!)) assert.ok(Buffer.byteLength(value) <= headerBytesMax);
  const size = Object.entries(first!).reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')) + 4, 0);
  assert.ok(size > 2_000 && size < 4_096, String(size));
  for (const length of [63, 64, headerBytesMax, headerBytesMax + 1]) {
    const [{'millrace.source': source} = {}] = shipped(
      'dlq.shop',
      dead([{...letter, source: 'y'.repeat(length)}]),
    ).headers;
    assert.equal(
      source,
      length > headerBytesMax ? `${'y'.repeat(headerBytesMax - 3)}...` : 'y'.repeat(length),
    );
  }
});

test('events have no headers of their own, nor has what is no letter, or one so large that they might be too much', () => {
  assert.equal(provenanceOf('shop.sale'), undefined);
  assert.equal(provenanceOf('replay.shop'), undefined);
  const odd = [Uint8Array.of(1), Uint8Array.of(0, 0, 0, 0, 7), Uint8Array.of(0, 0, 0, 0, 7, 200, 1, 65)];
  const large = dead([{...letter, original: Buffer.alloc(letterBytesMax)}]);
  for (const topic of ['dlq.shop', 'late.shop.per_day']) {
    const {headers, values} = shipped(topic, packRecords(odd));
    assert.deepEqual(headers, [Object.fromEntries(marks), {}, {}]);
    assert.deepEqual(
      values,
      odd.map((frame) => Buffer.from(frame)),
    );
    assert.deepEqual(shipped(topic, large).headers, [Object.fromEntries(marks)]);
  }
});
