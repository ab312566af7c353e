/**
 * What headers cost when batches are made for Kafka: node bench/letter-headers.bench.ts [rounds] [revision before headers, as a directory]
 *
 * Dead letters of about 300 bytes with and without headers, and, where a checkout of a revision before them is given, events of 94 bytes
 * by both. Batches of 512 KiB, in turn; medians of CPU time, nanoseconds for each record, one thread.
 */
import assert from 'node:assert/strict';
import {join, resolve} from 'node:path';
import {deadLetterEncoder} from '../src/ingest/deadletters.ts';
import {type BatchHead, type Compression, encodeBatch} from '../src/log/kafka/batch-write.ts';
import {provenanceOf} from '../src/log/kafka/provenance.ts';
import {packRecords} from '../src/schema/frame.ts';
import {cpuInTurns, roundsAndLoad} from './turns.ts';

const rounds = Number(process.argv[2] ?? 30);
const before = process.argv[3];
const records = 20_000;
const bytesMax = 512 * 1024;

const letters = deadLetterEncoder(1)(
  Array.from({length: records}, (_, row) => ({
    id: `00000000-0000-5000-8000-${String(row).padStart(12, '0')}`,
    timeMs: 1_767_225_600_000 + Math.floor(row / 100),
    domain: 'shop',
    eventType: 'purchase',
    stage: 'validate',
    query: null,
    code: 'TYPE',
    message: 'amount is "much", which is no money',
    source: 'purchases/purchases.csv',
    position: {file: 'purchases.csv', row},
    eventId: `10000000-0000-5000-8000-${String(row).padStart(12, '0')}`,
    schemaId: null,
    original: Buffer.from(`2026-01-01T00:00:00Z,u_${row},p_5614,category_7,DE,mobile,much`),
  })),
);
const events = packRecords(Array.from({length: records}, (_, row) => Buffer.alloc(94, `${row} `)));

type Encode = typeof encodeBatch;

/** Makes all batches. @returns their bytes */
function shipAll(encode: Encode, bytes: Uint8Array, topic: string, compression: Compression): number {
  const head: BatchHead = {
    headers: [['millrace.outbox', 'bench']],
    timeMs: 0,
    compression,
    headersOf: provenanceOf(topic),
  };
  let size = 0;
  for (let at = 0; at < bytes.length; ) {
    const made = encode([{bytes, at}], head, bytesMax);
    at = made.end;
    size += made.bytes.length;
  }
  return size;
}

const measure = (ways: (() => number)[]) => cpuInTurns(ways, {rounds, units: records});

console.log(roundsAndLoad(rounds));
for (const compression of ['none', 'lz4', 'zstd'] as const) {
  const ways = ['dlq.shop', 'shop.purchase'].map(
    (topic) => () => shipAll(encodeBatch, letters, topic, compression),
  );
  const sizes = ways.map((way) => (way() / records).toFixed(0)).join(' against ');
  console.log(
    `letters, ${compression}: ${measure(ways)} ns, ${sizes} bytes a record, with against without headers`,
  );
}
if (before !== undefined) {
  const old: Encode = (await import(join(resolve(before), 'src/log/kafka/batch-write.ts'))).encodeBatch;
  const ways = [encodeBatch, old].map((encode) => () => shipAll(encode, events, 'shop.purchase', 'none'));
  assert.equal(ways[0]!(), ways[1]!());
  console.log(`events, none: ${measure(ways)} ns, now against before`);
}
