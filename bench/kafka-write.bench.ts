/**
 * Events into Kafka, acks=all, idempotent: objects -> validated -> encoded -> outbox -> Kafka, against `@platformatic/kafka`'s own
 * producer with avsc, which has no outbox. In turns, on one broker that it starts; what arrived is counted and compared.
 * Run: node bench/kafka-write.bench.ts [events a round] [rounds] [seconds of latency] [directory with node_modules/@platformatic/kafka]
 * Without the directory the peer is left out.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {cpus, loadavg, tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import avsc from 'avsc';
import {startKafka} from '../src/cluster/kafka.ts';
import {compileObjectEncoder} from '../src/ingest/objects.ts';
import type {Compression} from '../src/log/kafka/batch-write.ts';
import {openKafkaReader} from '../src/log/kafka/reader.ts';
import type {KafkaSettings} from '../src/log/kafka/settings.ts';
import {keptConfigs} from '../src/log/kafka/topics.ts';
import {openKafkaWriter} from '../src/log/kafka/writer.ts';
import {partitionOf} from '../src/log/partition.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {noTelemetry} from '../src/telemetry.ts';
import {purchaseOf, purchaseType} from './purchases.ts';

const perRound = Number(process.argv[2] ?? 500_000);
const rounds = Number(process.argv[3] ?? 5);
const latencySeconds = Number(process.argv[4] ?? 10);
const peerDir = process.argv[5];
const partitions = 4;
/** Events of one transaction, or of one `send` of the peer. */
const batch = 5_000;
/** Transactions under way at once. */
const underWayMax = 4;
const schemaId = 42;

const events = Array.from({length: 50_000}, (_, i) => purchaseOf(i));

type Sender = {
  /** Sends events [from, from + count) and resolves when all were acknowledged. */
  send(from: number, count: number): Promise<void>;
  close(): Promise<void>;
};
type Way = {name: string; topic: string; open: () => Promise<Sender>};

const kafka = await startKafka({optimised: true, heap: '768m'});
const settings: KafkaSettings = {
  brokers: kafka.brokers,
  clientId: 'bench',
  security: {protocol: 'plaintext'},
  topics: {partitions, replication: 1, retentionMs: null},
};
const dirs: string[] = [];

async function openOurs(topic: string, compression: Compression): Promise<Sender> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  dirs.push(dir);
  const writer = await openKafkaWriter({
    dir,
    kafka: settings,
    topics: [{name: topic, partitions, replication: 1, configs: keptConfigs(settings)}],
    spoolBytesMax: 2 ** 31,
    spoolAfterMs: 30_000,
    compression,
    telemetry: noTelemetry,
  });
  const encoder = compileObjectEncoder(purchaseType, schemaId);
  const spare: Uint8Array[][] = [];
  return {
    async send(from, count) {
      // Memory for what is sent and no more: single events with megabytes each would measure how fast the system gives those.
      const isWhole = count === batch;
      const parts =
        (isWhole ? spare.pop() : undefined) ??
        Array.from({length: partitions}, () => new Uint8Array(1024 + count * 200));
      const ends = new Array<number>(partitions).fill(0);
      const counts = new Array<number>(partitions).fill(0);
      for (let i = from; i < from + count; i++) {
        const event = events[i % events.length]!;
        const partition = partitionOf(event.user_id, event.event_id, partitions);
        ends[partition] = encoder.encode(event, 1_800_000_000_000, parts[partition]!, ends[partition]!);
        counts[partition]!++;
      }
      const appends = parts.flatMap((bytes, partition) =>
        counts[partition]! > 0
          ? [{topic, partition, count: counts[partition]!, bytes: bytes.subarray(0, ends[partition])}]
          : [],
      );
      await writer.append({appends});
      if (isWhole) spare.push(parts);
    },
    close: () => writer.close(),
  };
}

/** The peer as its documentation has it: values are serialised by avsc, keys as ours decide the partition. */
async function openPeer(topic: string, dir: string): Promise<Sender> {
  const entry = join(resolve(dir), 'node_modules/@platformatic/kafka/dist/index.js');
  const {Producer, ProduceAcks} = await import(pathToFileURL(entry).href);
  const type = avsc.Type.forSchema(avroSchema(purchaseType) as avsc.Schema);
  const magic = Buffer.from([0, 0, 0, 0, schemaId]);
  const producer = new Producer({
    clientId: 'peer',
    bootstrapBrokers: kafka.brokers,
    idempotent: true,
    acks: ProduceAcks.ALL,
  });
  return {
    async send(from, count) {
      const messages = [];
      for (let i = from; i < from + count; i++) {
        const {amount, ...event} = events[i % events.length]!;
        const value = Buffer.concat([
          magic,
          type.toBuffer({...event, amount_cents: Math.round(amount * 100)}),
        ]);
        messages.push({topic, partition: partitionOf(event.user_id, event.event_id, partitions), value});
      }
      await producer.send({messages, acks: ProduceAcks.ALL});
    },
    close: () => producer.close(),
  };
}

const ways: Way[] = [
  {name: 'ours, zstd', topic: 'ours.zstd', open: () => openOurs('ours.zstd', 'zstd')},
  {name: 'ours, not packed', topic: 'ours.none', open: () => openOurs('ours.none', 'none')},
  ...(peerDir
    ? [{name: '@platformatic/kafka', topic: 'peer.none', open: () => openPeer('peer.none', peerDir)}]
    : []),
];

/** Events per second, and CPU seconds of this process per million. */
async function throughput({send}: Sender, isPeer: boolean): Promise<{rate: number; cpu: number}> {
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const underWay = new Set<Promise<void>>();
  for (let from = 0; from < perRound; from += batch) {
    const sent = send(from, Math.min(batch, perRound - from)).then(() => void underWay.delete(sent));
    underWay.add(sent);
    // The peer's idempotent producer keeps order by sending one request after the other.
    if (underWay.size >= (isPeer ? 1 : underWayMax)) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  const seconds = (performance.now() - startMs) / 1000;
  const {user, system} = process.cpuUsage(cpuBefore);
  return {rate: perRound / seconds, cpu: (user + system) / perRound};
}

/** One event each millisecond, whether the ones before it were acknowledged or not. @returns latencies in ms, ascending */
async function latency({send}: Sender): Promise<number[]> {
  const found: number[] = [];
  const underWay = new Set<Promise<void>>();
  const startMs = performance.now();
  for (let sent = 0; sent < latencySeconds * 1000; ) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    // What is due is sent; the time counts from when it was due.
    for (; startMs + sent < performance.now() && sent < latencySeconds * 1000; sent++) {
      const dueMs = startMs + sent;
      const one = send(sent, 1).then(() => {
        found.push(performance.now() - dueMs);
        underWay.delete(one);
      });
      underWay.add(one);
    }
  }
  await Promise.all(underWay);
  return found.sort((a, b) => a - b);
}

const median = (list: number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]!;
const at = (list: number[], share: number) =>
  list[Math.min(list.length - 1, Math.floor(list.length * share))]!;

try {
  // The first opens make the topics.
  for (const {open} of ways.slice(0, 2)) await (await open()).close();
  if (peerDir) await (await openOurs('peer.none', 'none')).close();
  const senders = await Promise.all(ways.map(({open}) => open()));
  const sums = ways.map(() => ({
    rates: [] as number[],
    cpus: [] as number[],
    p50: [] as number[],
    p99: [] as number[],
  }));
  for (const [i, sender] of senders.entries()) await throughput(sender, ways[i]!.topic === 'peer.none');
  for (let round = 0; round < rounds; round++)
    for (const [i, sender] of senders.entries()) {
      const {rate, cpu} = await throughput(sender, ways[i]!.topic === 'peer.none');
      sums[i]!.rates.push(rate);
      sums[i]!.cpus.push(cpu);
    }
  const load = loadavg()[0]!;
  for (let round = 0; round < Math.min(rounds, 3); round++)
    for (const [i, sender] of senders.entries()) {
      const list = await latency(sender);
      sums[i]!.p50.push(at(list, 0.5));
      sums[i]!.p99.push(at(list, 0.99));
    }
  for (const sender of senders) await sender.close();
  const reader = await openKafkaReader({dir: join(tmpdir(), 'none'), kafka: settings});
  const expected = perRound * (rounds + 1) + Math.min(rounds, 3) * latencySeconds * 1000;
  for (const {topic} of ways) {
    let count = 0;
    for (let partition = 0; partition < partitions; partition++) count += reader.endOffset(topic, partition);
    assert.equal(count, expected, `${topic} has what was sent`);
  }
  reader.close();
  process.stdout.write(
    `${cpus()[0]?.model}, Node ${process.version}, load ${load.toFixed(1)} then ${loadavg()[0]!.toFixed(1)}; ${perRound} events a round, ${rounds} rounds, medians (ranges)\n`,
  );
  for (const [i, {name}] of ways.entries()) {
    const {rates, cpus: used, p50, p99} = sums[i]!;
    const k = (rate: number) => `${Math.round(rate / 1000)}k`;
    process.stdout.write(
      `${name.padEnd(22)} ${k(median(rates))} events/s (${k(Math.min(...rates))} to ${k(Math.max(...rates))}), ${median(used).toFixed(2)} CPU s per M; at 1k events/s p50 ${median(p50).toFixed(2)} ms, p99 ${median(p99).toFixed(1)} ms (${Math.min(...p99).toFixed(1)} to ${Math.max(...p99).toFixed(1)})\n`,
    );
  }
} finally {
  await kafka.stop();
  for (const dir of dirs) rmSync(dir, {recursive: true, force: true});
}
