/**
 * The embedded log against plain files with fdatasync: `node bench/log.bench.ts [MB]`. Every variant appends the same ready-made
 * batches of 90-byte events to 4 partitions; they take turns, three rounds, medians. The peer only writes and syncs one file a
 * partition: no index, no checksum, no dedup, no transaction over partitions. It is the limit, not an equal.
 */
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync} from 'node:fs';
import {cpus, tmpdir} from 'node:os';
import {join} from 'node:path';
import {openLogReader, openLogWriter} from '../src/log/embedded.ts';
import {packRecords} from '../src/schema/frame.ts';

const eventBytes = 90;
const partitions = [0, 1, 2, 3];
const totalBytes = Number(process.argv[2] ?? 100) * 1e6;
const rounds = 3;

type Outcome = {eventsPerSecond: number; p50Ms: number; p99Ms: number; maxMs: number};

function batchOfBytes(batchBytes: number) {
  const count = Math.floor(batchBytes / (eventBytes + 4));
  let state = 42;
  const frame = () =>
    Uint8Array.from({length: eventBytes}, () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16);
  return {count, bytes: packRecords(Array.from({length: count}, frame))};
}

function outcome(events: number, seconds: number, commitsMs: number[]): Outcome {
  const sorted = commitsMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return {eventsPerSecond: events / seconds, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1)};
}

/** Appends one batch to each of `perCommit` partitions per commit; then reads everything back. */
async function embedded(batchBytes: number, perCommit: number, commits: number) {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const writer = openLogWriter(dir);
  writer.ensureTopic('bench', partitions.length);
  const batch = batchOfBytes(batchBytes);
  const commitsMs: number[] = [];
  const begin = performance.now();
  for (let i = 0; i < commits; i++) {
    const started = performance.now();
    const appends = partitions
      .slice(0, perCommit)
      .map((_, p) => ({topic: 'bench', partition: (i + p) % 4, ...batch}));
    await writer.append({appends});
    commitsMs.push(performance.now() - started);
  }
  const events = commits * perCommit * batch.count;
  const append = outcome(events, (performance.now() - begin) / 1000, commitsMs);
  const reader = openLogReader(dir);
  const readBegin = performance.now();
  let read = 0;
  for (const partition of partitions)
    for (let at = 0; ; ) {
      const batches = await reader.read('bench', partition, at, 1 << 20);
      if (batches.length === 0) break;
      for (const {count} of batches) read += count;
      at = batches.at(-1)!.baseOffset + batches.at(-1)!.count;
    }
  const readPerSecond = read / ((performance.now() - readBegin) / 1000);
  assert.equal(read, events);
  reader.close();
  await writer.close();
  rmSync(dir, {recursive: true});
  return {append, readPerSecond};
}

function files(batchBytes: number, perCommit: number, commits: number): Outcome {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const descriptors = partitions.map((partition) => openSync(join(dir, `${partition}`), 'a'));
  const {bytes, count} = batchOfBytes(batchBytes);
  const commitsMs: number[] = [];
  const begin = performance.now();
  for (let i = 0; i < commits; i++) {
    const started = performance.now();
    const touched = descriptors.slice(0, perCommit).map((_, p) => descriptors[(i + p) % 4]!);
    for (const descriptor of touched) writeSync(descriptor, bytes);
    for (const descriptor of touched) fdatasyncSync(descriptor);
    commitsMs.push(performance.now() - started);
  }
  const result = outcome(commits * perCommit * count, (performance.now() - begin) / 1000, commitsMs);
  for (const descriptor of descriptors) closeSync(descriptor);
  rmSync(dir, {recursive: true});
  return result;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const million = (perSecond: number) => `${(perSecond / 1e6).toFixed(2)} M/s`;
const show = (name: string, of: Outcome[]) =>
  console.log(
    `  ${name.padEnd(10)} ${million(median(of.map(({eventsPerSecond}) => eventsPerSecond)))} appended; commit p50 ` +
      `${median(of.map(({p50Ms}) => p50Ms)).toFixed(2)} ms, p99 ${median(of.map(({p99Ms}) => p99Ms)).toFixed(2)} ms, ` +
      `max ${Math.max(...of.map(({maxMs}) => maxMs)).toFixed(1)} ms`,
  );

const revision = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {encoding: 'utf8'}).trim();
console.log(
  `${cpus().length} x ${cpus()[0]?.model}, node ${process.version}, revision ${revision}, ${eventBytes} B events`,
);
for (const [batchBytes, perCommit] of [
  [64 * 1024, 4],
  [256 * 1024, 4],
  [64 * 1024, 1],
  [2 * 1024, 1],
] as const) {
  const commits = Math.min(1_000, Math.ceil(totalBytes / batchBytes / perCommit));
  const ours: Outcome[] = [];
  const theirs: Outcome[] = [];
  const reads: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const {append, readPerSecond} = await embedded(batchBytes, perCommit, commits);
    ours.push(append);
    reads.push(readPerSecond);
    theirs.push(files(batchBytes, perCommit, commits));
  }
  console.log(`${commits} commits of ${perCommit} batch(es) of ${batchBytes / 1024} KiB`);
  show('embedded', ours);
  console.log(`  ${''.padEnd(10)} ${million(median(reads))} read back, checksums compared`);
  show('files', theirs);
}
