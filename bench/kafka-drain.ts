/**
 * Drains a topic once and says as JSON what it took:
 *
 *   node bench/kafka-drain.ts --brokers 127.0.0.1:9092 --topic shop.purchase [--mode engine|read|bare] [--reuse] [--workers 1] [--load EVENTS]
 *                             [--partitions 2] [--schema writer.avsc] [--schema-id 1]
 *                             [--sink none|topic|http://clickhouse:8123] [--dump rows.json] [--job shop|yahoo --table ads.csv]
 *
 * `engine`: the job (drain-jobs.ts) with checkpoints every second, rows taken and acknowledged; ends when everything that the topic held at the start is in rows and in a checkpoint. `read`: the reader
 * alone, checksums checked, with `--reuse` as the engine uses it. `bare`: answers are fetched and their records counted, one request after
 * the other, nothing checked. `--load` makes the topic first, with that many events of job A's shape. The answer is
 * {mode, events, seconds, cpuSeconds, rows, memoryMiB}: seconds from opening the log to the last row, CPU of this process.
 * `--sink`: rows count when they are durable there; `--dump` writes those that it holds in the end. `wholeSeconds`, `wholeCpuSeconds`: from the
 * start of the process. `reading`: of the events that were left when the engine said for the first time how far it is, which is after its
 * first read: without the start of threads, as programs count that take the time of their first event.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {batchAt, batchHeaderBytes} from '../src/log/kafka/batch-header.ts';
import {encodeBatch, setProducer} from '../src/log/kafka/batch-write.ts';
import {KafkaClient} from '../src/log/kafka/client.ts';
import {fetchRecords} from '../src/log/kafka/fetch.ts';
import {AnswerMemory} from '../src/log/kafka/memory.ts';
import {produce} from '../src/log/kafka/produce.ts';
import {openKafkaReader} from '../src/log/kafka/reader.ts';
import {skipVarint, varint} from '../src/log/kafka/record.ts';
import type {KafkaSettings} from '../src/log/kafka/settings.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../src/log/kafka/topics.ts';
import {queryTable} from '../src/model/tables.ts';
import {createEngine} from '../src/process/embedded/engine.ts';
import {buildPlan} from '../src/process/plan/build.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import {drainJob} from './drain-jobs.ts';
import {openDrainSink} from './drain-sink.ts';

const {values: given} = parseArgs({
  options: {
    brokers: {type: 'string', default: '127.0.0.1:9092'},
    topic: {type: 'string', default: 'shop.purchase'},
    mode: {type: 'string', default: 'engine'},
    workers: {type: 'string', default: '1'},
    load: {type: 'string'},
    reuse: {type: 'boolean', default: false},
    partitions: {type: 'string', default: '2'},
    schema: {type: 'string'},
    'schema-id': {type: 'string', default: '1'},
    sink: {type: 'string', default: 'none'},
    dump: {type: 'string'},
    job: {type: 'string', default: 'shop'},
    table: {type: 'string'},
  },
});
const {topic} = given;
const schemaId = Number(given['schema-id']);
const batchBytes = 256 * 1024;
const readBytes = 2 ** 20;
const settings: KafkaSettings = {
  brokers: given.brokers.split(','),
  clientId: 'bench',
  security: {protocol: 'plaintext'},
  topics: {partitions: Number(given.partitions), replication: 1, retentionMs: null},
};

const {domain, lookups} = await drainJob(given.job, given.table);
const [eventType] = domain.eventTypes;
const schema = given.schema ? JSON.parse(readFileSync(given.schema, 'utf8')) : avroSchema(eventType!);

const memoryMiB = () => Math.round(process.memoryUsage().rss / 2 ** 20);
const cpuSeconds = () => {
  const {user, system} = process.cpuUsage();
  return (user + system) / 1e6;
};

if (given.load) await load(Number(given.load));
const drains = {read: drainReader, bare: drainBare, engine: drainEngine};
const result = await drains[given.mode as keyof typeof drains]();
console.log(JSON.stringify({mode: given.mode, ...result}));

/** 5,000 events a second of event time, 2 % of them up to 10 s behind; 12 categories, 30 countries. */
async function load(events: number): Promise<void> {
  const client = new KafkaClient(settings);
  await deleteTopics(client, [topic]);
  const {partitions} = settings.topics;
  await ensureTopics(client, [{name: topic, partitions, replication: 1, configs: keptConfigs(settings)}]);
  const encoder = compileEncoder(avroSchema(eventType!), schemaId);
  const buffer = new Uint8Array(batchBytes);
  let state = 1;
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  let at = 0;
  let partition = 0;
  const send = async () => {
    const made = encodeBatch(
      [{bytes: buffer.subarray(0, at), at: 0}],
      {timeMs: 0, compression: 'none', headers: []},
      2 ** 24,
      2 ** 24,
    );
    setProducer(made, {id: -1, epoch: -1, sequence: -1});
    const {leader} = client.partition(topic, partition)!;
    const [answer] = await produce(client, leader, [{topic, partition, bytes: made.bytes}], 30_000);
    assert.equal(answer?.code, 0);
    partition = (partition + 1) % partitions;
    at = 0;
  };
  for (let n = 0; n < events; n++) {
    const values = [
      `${n.toString(16).padStart(8, '0')}-0000-7000-8000-${below(2 ** 31)
        .toString(16)
        .padStart(12, '0')}`,
      1767225600000 + Math.floor(n / 5) - (below(50) === 0 ? below(10_000) : 0),
      `u_${String(below(1_000_000)).padStart(7, '0')}`,
      `p_${String(below(5_614)).padStart(6, '0')}`,
      `category_${below(12)}`,
      `C${below(30)}`,
      ['mobile', 'desktop', 'tablet'][below(3)]!,
      below(100_000),
    ];
    if (at + encoder.sizeMax(values) + 4 > batchBytes) await send();
    const end = encoder.encode(values, buffer, at + 4);
    new DataView(buffer.buffer).setUint32(at, end - at - 4, true);
    at = end;
  }
  if (at > 0) await send();
  client.close();
}

async function drainReader() {
  const startMs = performance.now();
  const cpu = cpuSeconds();
  const reader = await openKafkaReader({dir: '/nowhere', kafka: settings}, {reuse: given.reuse});
  let events = 0;
  const drain = async (partition: number) => {
    const end = reader.endOffset(topic, partition);
    for (let offset = reader.startOffset(topic, partition); offset < end; )
      for (const {kind, baseOffset, count} of await reader.read(topic, partition, offset, readBytes)) {
        if (kind === 'data') events += count;
        offset = baseOffset + count;
      }
  };
  for (let partition = 0; partition < reader.partitions(topic); partition++) await drain(partition);
  const seconds = (performance.now() - startMs) / 1000;
  reader.close();
  return {events, seconds, cpuSeconds: cpuSeconds() - cpu, rows: 0, memoryMiB: memoryMiB()};
}

async function drainBare() {
  const startMs = performance.now();
  const cpu = cpuSeconds();
  const client = new KafkaClient(settings);
  await client.refreshMetadata();
  const memory = new AnswerMemory();
  let events = 0;
  for (const [partition, {leader}] of client.metadata.topics.get(topic)!.entries())
    for (let offset = 0, end = 1; offset < end; ) {
      const place = {topic, partition, offset, leaderEpoch: -1, lastEpoch: -1, bytesMax: readBytes};
      const options = {broker: leader, lane: 'bare', waitMs: 0, bytesMax: readBytes, memory};
      const [answer] = await fetchRecords(client, [place], options);
      const {bytes} = answer!;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      end = answer!.stableOffset;
      for (let at = 0; ; ) {
        const batch = batchAt(bytes, view, at);
        if (!batch) break;
        for (let pos = at + batchHeaderBytes; pos < batch.end; events++)
          pos = skipVarint(bytes, pos) + varint(bytes, pos);
        at = batch.end;
        offset = batch.nextOffset;
      }
      memory.give(bytes);
    }
  const seconds = (performance.now() - startMs) / 1000;
  client.close();
  return {events, seconds, cpuSeconds: cpuSeconds() - cpu, rows: 0, memoryMiB: memoryMiB()};
}

async function drainEngine() {
  const stateDir = mkdtempSync(join(tmpdir(), 'millrace-drain-'));
  const plan = domain.aggregations.map((aggregation) => buildPlan(domain, aggregation))[0]!;
  plan.sources = plan.sources.map((source) => ({...source, topic}));
  const reader = await openKafkaReader({dir: '/nowhere', kafka: settings});
  const ends = Array.from({length: reader.partitions(topic)}, (_, partition) =>
    reader.endOffset(topic, partition),
  );
  reader.close();
  const wanted = ends.reduce((sum, end) => sum + end, 0);
  const table = queryTable(domain.aggregations[0]!, 1);
  const sink = await openDrainSink(given.sink, table, settings);
  const startMs = performance.now();
  const cpu = cpuSeconds();
  let rows = 0;
  let lastMs = startMs;
  let done: (events: number) => void;
  let failed: (error: Error) => void;
  let first: {left: number; ms: number; cpuSeconds: number} | undefined;
  const finished = new Promise<number>((resolve, reject) => {
    done = resolve;
    failed = reject;
  });
  const engine = createEngine({
    log: {dir: '/nowhere', kafka: settings},
    stateDir,
    schemas: [{id: schemaId, schema, subject: `${topic}-value`, version: 1}],
    workers: Number(given.workers),
    flushMs: 100,
    checkpointIntervalMs: 1_000,
    marked: async () => undefined,
    lookup: async (_domain, name) => lookups.find((each) => each.name === name),
    onRows(batch) {
      rows += batch.count;
      sink.write(batch).then(() => {
        lastMs = performance.now();
        engine.acknowledge(batch.query, batch.sequence);
      }, failed);
    },
    onMark: (query, epoch) => engine.marked(query, epoch),
    onSide: (_plan, _side, durable) => durable(),
    onStatus([status]) {
      if (status?.reason) failed(new Error(status.reason.message));
      const at = status?.positions?.reduce((sum, {offset}) => sum + offset, 0) ?? 0;
      first ??= {left: wanted - at, ms: performance.now(), cpuSeconds: cpuSeconds()};
      if (at < wanted || !status?.settled) return;
      done(status.counts.reduce((sum, {read}) => sum + read, 0));
    },
  });
  await engine.start([plan]);
  // Not more often: the engine asks the broker for its ends each time.
  const poll = setInterval(() => engine.report(), 200);
  const events = await finished;
  clearInterval(poll);
  const spent = {
    seconds: (lastMs - startMs) / 1000,
    cpuSeconds: cpuSeconds() - cpu,
    reading: {
      events: first!.left,
      seconds: (lastMs - first!.ms) / 1000,
      cpuSeconds: cpuSeconds() - first!.cpuSeconds,
    },
    wholeSeconds: performance.now() / 1000,
    wholeCpuSeconds: cpuSeconds(),
    rows,
    memoryMiB: memoryMiB(),
  };
  if (given.dump) writeFileSync(given.dump, JSON.stringify(await sink.rows()));
  await engine.stop();
  await sink.close();
  rmSync(stateDir, {recursive: true});
  return {events, ...spent};
}
