/**
 * What a record costs between the broker's answer and the decoder: node bench/kafka-batches.bench.ts [rounds]
 *
 * Batches of purchases of about 94 bytes in memory, of several sizes. The checksum by tables alone and as it is made; packed batches as the reader
 * takes them, alone (one a take) and together, with a copy of the answer. In turn; medians of CPU time, nanoseconds for each record, one thread.
 */
import assert from 'node:assert/strict';
import {gzipSync, zstdCompressSync} from 'node:zlib';
import {encodeBatch, setProducer} from '../src/log/kafka/batch-write.ts';
import {chunkOf, takeFrom} from '../src/log/kafka/chunk.ts';
import {crc32c, crc32cByTables} from '../src/log/kafka/crc32c.ts';
import type {RecordBatch} from '../src/log/types.ts';
import {cpuInTurns, roundsAndLoad} from './turns.ts';

const rounds = Number(process.argv[2] ?? 30);
const recordsMax = 20_000;
const packers = {gzip: gzipSync, zstd: zstdCompressSync};
const codecOf = {gzip: 1, zstd: 4};

let state = 1;
const below = (n: number) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};
const text = () =>
  `${below(2 ** 31).toString(16)}-0000-7000-8000-${below(2 ** 31).toString(16)} u_${below(1e6)} p_${below(5614)} category_${below(12)} C${below(30)} mobile ${below(1e5)}`.padEnd(
    94,
  );

function framesOf(records: number): Buffer {
  const parts: Buffer[] = [];
  for (let index = 0; index < records; index++) {
    const value = Buffer.from(text());
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    parts.push(length, value);
  }
  return Buffer.concat(parts);
}

/** Batches of so many records each, one after the other. */
function answerOf(records: number, pack: keyof typeof packers): Buffer {
  const all: Buffer[] = [];
  for (let base = 0; base + records <= recordsMax; base += records) {
    const options = {timeMs: 0, compression: 'none', headers: []} as const;
    const made = encodeBatch(
      [{bytes: framesOf(records), at: 0}],
      {...options, headers: []},
      2 ** 24,
      2 ** 24,
    );
    setProducer(made, {id: -1, epoch: -1, sequence: -1});
    const plain = Buffer.from(made.bytes);
    const body = packers[pack](plain.subarray(61));
    const bytes = Buffer.concat([plain.subarray(0, 61), body]);
    bytes.writeBigInt64BE(BigInt(base), 0);
    bytes.writeInt32BE(bytes.length - 12, 8);
    bytes.writeInt16BE(codecOf[pack], 21);
    bytes.writeUInt32BE(crc32c(bytes, 21), 17);
    all.push(bytes);
  }
  return Buffer.concat(all);
}

/** @returns records */
function take(answer: Buffer, bytesMax: number): number {
  const bytes = Buffer.from(answer);
  const stableOffset = recordsMax;
  const found = {topic: 't', partition: 0, code: 0, stableOffset, startOffset: 0, aborted: [], bytes};
  const chunk = chunkOf(found, 0)!;
  let records = 0;
  for (let offset = 0; chunk.left > 0; ) {
    const batches: RecordBatch[] = [];
    offset = takeFrom(chunk, {topic: 't', partition: 0, batches}, offset, bytesMax);
    for (const {count} of batches) records += count;
  }
  return records;
}

console.log(roundsAndLoad(rounds));
const message = Buffer.from(Array.from({length: 2 ** 20}, () => below(256)));
for (const size of [512, 1024, 4096, 16_384, 262_144, 2 ** 20]) {
  const sum = (way: (from: number) => number) => {
    let all = 0;
    for (let repeated = 0; repeated < 8; repeated++)
      for (let from = 0; from + size <= message.length; from += size) all = (all ^ way(from)) >>> 0;
    return all;
  };
  const tables = () => sum((from) => crc32cByTables(message, from, from + size, 0));
  const quick = () => sum((from) => crc32c(message, from, from + size));
  assert.equal(quick(), tables());
  const units = (message.length * 8) / 120;
  console.log(
    `checksum, ${size} bytes: tables ${cpuInTurns([tables, quick], {rounds, units})} ns for 120 bytes`,
  );
}
for (const pack of ['gzip', 'zstd'] as const)
  for (const records of [20, 60, 170, 2_000]) {
    const answer = answerOf(records, pack);
    const units = take(answer, 2 ** 20);
    assert.equal(units, take(answer, 1));
    const figure = cpuInTurns([() => take(answer, 1), () => take(answer, 2 ** 20)], {rounds, units});
    console.log(`${pack}, batches of ${records} records: alone ${figure} ns a record`);
  }
