/**
 * Live over Kafka: `node bench/kafka-live.bench.ts [seconds] [rounds] [events a second] [flush]`. Job A of the comparisons at 10,000 events/s.
 *   to a topic       a producer of another program (no outbox; acks=all) -> Kafka -> `millrace run --only engine`, a process of its own ->
 *                    rows in agg.ecommerce.revenue_per_minute.r1 -> a consumer. An event's latency ends when the consumer has decoded a row
 *                    that counts it; cores are those of the engine's process alone.
 *   to ClickHouse    the whole platform in one process: appended through the outbox, acknowledged by Kafka, read back, aggregated, written
 *                    over HTTP (ClickHouse's protocol in front of chDB) and acknowledged; cores are the platform's, without the servers.
 * Both in turn, on servers that it starts. Open loop: an event is created when the schedule says so. Groups of one row are in one
 * partition, so that the row's count says which events it holds. Prints a table, and JSON in the last line.
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {monitorEventLoopDelay} from 'node:perf_hooks';
import {startClickHouse} from '../src/cluster/clickhouse.ts';
import {startKafka} from '../src/cluster/kafka.ts';
import {encodeBatch, setProducer} from '../src/log/kafka/batch-write.ts';
import {KafkaClient} from '../src/log/kafka/client.ts';
import {produce} from '../src/log/kafka/produce.ts';
import {openKafkaReader} from '../src/log/kafka/reader.ts';
import type {KafkaSettings} from '../src/log/kafka/settings.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../src/log/kafka/topics.ts';
import {queryTable} from '../src/model/tables.ts';
import {dirsOf} from '../src/platform/places.ts';
import {compileDecoder} from '../src/schema/decode.ts';
import {frameHeaderBytes, walkRecords} from '../src/schema/frame.ts';
import {openRegistry} from '../src/schema/registry-open.ts';
import type {AvroRecord} from '../src/schema/types.ts';
import {rowReader, rowsTopic} from '../src/sinks/kafka/rows.ts';
import {columnIndex} from '../src/sinks/tables.ts';
import {loadDomain} from '../test/support/platform.ts';
import {platformOf} from '../test/support/running.ts';
import {repository} from './example.ts';
import {type Lane, measure, purchaseLanes} from './paced.ts';
import {
  cpuSecondsOf,
  machine,
  median,
  partitions,
  purchaseTopic,
  purchaseYaml,
  quantile,
  range,
  schemaOf,
  startOn,
} from './world.ts';

const seconds = Number(process.argv[2] ?? 30);
const rounds = Number(process.argv[3] ?? 3);
const perSecond = Number(process.argv[4] ?? 10_000);
const flush = process.argv[5] ?? '3ms';
const warmUpSeconds = 10;
const tailMs = 60_000;
/** A producer sends so often, unless so many of its requests are not answered: what is due meanwhile goes together, as with any producer. */
const tickMs = 2;
const underWayMax = 5;

/** `held`: 99th percentile of how late this process came to its own work, ms: what the producer and the consumer add. */
type Figures = {p50: number; p99: number; max: number; cores: number; writes: number; held?: number};

const [aggregation] = (await loadDomain(purchaseYaml)).aggregations;
const table = queryTable(aggregation!, 1);
const dirs: string[] = [];
const scratch = () => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  dirs.push(dir);
  return dir;
};
const kafka = await startKafka({optimised: true, heap: '768m'});
const settings = (clientId: string): KafkaSettings => ({
  brokers: kafka.brokers,
  clientId,
  security: {protocol: 'plaintext'},
  topics: {partitions, replication: 1, retentionMs: null},
});
const platformYaml = (clientId: string, more: string) => `platform: bench
defaults: {raw: none}
server: {port: 0}
log: {backend: kafka, kafka: {brokers: ["${kafka.brokers[0]}"], client_id: ${clientId}, topics: {partitions: ${partitions}, replication: 1}}}
${more}`;

/** Resolves when `done` says so. */
async function until(what: string, done: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + tailMs;
  while (!(await done())) {
    assert.ok(performance.now() < endMs, `${what} within ${tailMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Creates what the lanes hold at the pace from now on, a request every few milliseconds. */
async function sendPaced(client: KafkaClient, lanes: Lane[], startMs: number): Promise<void> {
  const total = lanes.reduce((sum, {count}) => sum + count, 0);
  const sent = lanes.map(() => 0);
  const underWay = new Set<Promise<void>>();
  for (let due = 0; due < total; ) {
    await new Promise((resolve) => setTimeout(resolve, tickMs));
    while (underWay.size >= underWayMax) await Promise.race(underWay);
    due = Math.min(total, Math.floor(((performance.now() - startMs) * perSecond) / 1000));
    const batches = lanes.flatMap((lane, partition) => {
      const from = sent[partition]!;
      const to = due === total ? lane.count : Math.floor((lane.count * due) / total);
      if (to === from) return [];
      const bytes = lane.bytes.subarray(from === 0 ? 0 : lane.ends[from - 1], lane.ends[to - 1]);
      const head = {timeMs: Date.now(), compression: 'none' as const, headers: []};
      const batch = encodeBatch([{bytes, at: 0}], head, 2 ** 24);
      setProducer(batch, {id: -1, epoch: -1, sequence: -1});
      sent[partition] = to;
      return [{topic: purchaseTopic, partition, bytes: batch.bytes}];
    });
    if (batches.length === 0) continue;
    const {leader} = client.partition(purchaseTopic, 0)!;
    const one = produce(client, leader, batches, 30_000).then((answers) => {
      underWay.delete(one);
      for (const {code} of answers) assert.equal(code, 0);
    });
    underWay.add(one);
  }
  await Promise.all(underWay);
}

/** Groups of rows by `<window start>/<category>/<country>`, and when their events are created: `dueMs[starts[g]]` and on, after the start. */
type Groups = {index: Map<string, number>; starts: Int32Array; dueMs: Float64Array; seen: Int32Array};

/** Made before anything is timed, in flat memory: a collection of garbage here would look like a latency there. */
function groupsOf(lanes: Lane[], schema: AvroRecord): Groups {
  const decode = compileDecoder(schema);
  const at = (name: string) => schema.fields.findIndex((field) => field.name === name);
  const [time, category, country] = [at('timestamp'), at('category'), at('country')];
  const index = new Map<string, number>();
  const total = lanes.reduce((sum, {count}) => sum + count, 0);
  const groups: Int32Array[] = lanes.map((lane) => {
    const own = new Int32Array(lane.count);
    for (let event = 0; event < lane.count; event++) {
      const start = event === 0 ? 0 : lane.ends[event - 1]!;
      const values = decode(lane.bytes, start + 4 + frameHeaderBytes, lane.ends[event]!) as unknown[];
      const name = `${Math.floor(Number(values[time]) / 60_000) * 60_000}/${values[category]}/${values[country]}`;
      let group = index.get(name);
      if (group === undefined) index.set(name, (group = index.size));
      own[event] = group;
    }
    return own;
  });
  const starts = new Int32Array(index.size + 1);
  for (const own of groups) for (const group of own) starts[group + 1]!++;
  for (let group = 0; group < index.size; group++) starts[group + 1]! += starts[group]!;
  const next = starts.slice();
  const dueMs = new Float64Array(total);
  for (const own of groups)
    for (let event = 0; event < own.length; event++)
      dueMs[next[own[event]!]!++] = (event / own.length) * (total / perSecond) * 1000;
  return {index, starts, dueMs, seen: new Int32Array(index.size)};
}

/** Reads the rows as they come until `isOver`. @param counted told of every row: its group and its count */
async function consume(
  clientId: string,
  isOver: () => boolean,
  counted: (group: string, orders: number) => void,
): Promise<void> {
  const reader = await openKafkaReader({dir: scratch(), kafka: settings(clientId)});
  const topic = rowsTopic(table);
  const rows = rowReader(table);
  const [start, category, country, orders] = ['window_start', 'category', 'country', 'orders'].map((name) =>
    columnIndex(table, name),
  ) as [number, number, number, number];
  const offsets = Array.from({length: reader.partitions(topic)}, (_, at) => reader.startOffset(topic, at));
  while (!isOver()) {
    let isIdle = true;
    for (const [partition, offset] of offsets.entries()) {
      if (reader.endOffset(topic, partition) <= offset) continue;
      isIdle = false;
      for (const {kind, bytes, baseOffset, count} of await reader.read(topic, partition, offset, 2 ** 20)) {
        if (kind === 'data') walkRecords({bytes, count}, (_, pos, end) => rows.add(bytes, pos, end));
        offsets[partition] = baseOffset + count;
      }
    }
    const {count, columns} = rows.take();
    for (let at = 0; at < count; at++)
      counted(
        `${Number(columns[start]![at])}/${columns[category]![at]}/${columns[country]![at]}`,
        Number(columns[orders]![at]),
      );
    if (isIdle) await reader.waitForAppend(100);
  }
  reader.close();
}

/** A directory with a platform whose rows go to topics. */
function engineRoot(): string {
  const root = scratch();
  mkdirSync(join(root, 'config/domains'), {recursive: true});
  writeFileSync(
    join(root, 'config/platform.yaml'),
    platformYaml('live', `engine: {embedded: {flush: ${flush}}}\nsinks: {rows: {backend: file}}\n`),
  );
  writeFileSync(join(root, 'config/domains/ecommerce.yaml'), purchaseYaml);
  return root;
}

async function toTopic(): Promise<Figures> {
  const client = new KafkaClient(settings('producer'));
  await client.refreshMetadata();
  const known = [purchaseTopic, rowsTopic(table), 'live.rows'];
  await deleteTopics(
    client,
    known.filter((topic) => client.metadata.topics.has(topic)),
  );
  const topic = {name: purchaseTopic, partitions, replication: 1, configs: keptConfigs(settings('producer'))};
  await ensureTopics(client, [topic]);
  const root = engineRoot();
  const args = [join(repository, 'bin/millrace.js'), 'run', '--only', 'engine', '--port', '0'];
  const engine = spawn(process.execPath, args, {cwd: root, stdio: ['ignore', 'pipe', 'pipe']});
  let said = '';
  const hear = (chunk: Buffer) => void (said = `${said}${chunk}`.slice(-4_000));
  engine.stdout!.on('data', hear);
  engine.stderr!.on('data', hear);
  try {
    await until('the engine runs', () => {
      assert.equal(engine.exitCode, null, said);
      return / running /.test(said);
    });
    const registry = await openRegistry(dirsOf(await platformOf(root)).registry);
    const newest = (await registry.versions(`${purchaseTopic}-value`)).at(-1)!;
    registry.close();
    const schema = {id: newest.id, schema: newest.schema as AvroRecord};
    await client.refreshMetadata();
    const events = (warmUpSeconds + seconds) * perSecond;
    const lanes = purchaseLanes(schema, events, perSecond);
    const {index, starts, dueMs, seen} = groupsOf(lanes, schema.schema);
    const warmUpMs = warmUpSeconds * 1000;
    const latenciesMs = new Float64Array(events);
    let measured = 0;
    let left = events;
    let writes = 0;
    let startMs = Infinity;
    const consumed = consume(
      'consumer',
      () => left <= 0,
      (name, orders) => {
        const sinceMs = performance.now() - startMs;
        const group = index.get(name)!;
        if (sinceMs >= warmUpMs) writes++;
        for (let at = starts[group]! + seen[group]!; seen[group]! < orders; at++, seen[group]!++, left--)
          if (dueMs[at]! >= warmUpMs) latenciesMs[measured++] = sinceMs - dueMs[at]!;
      },
    );
    let cpuBefore = 0;
    const held = monitorEventLoopDelay({resolution: tickMs});
    startMs = performance.now();
    const warm = setTimeout(() => {
      cpuBefore = cpuSecondsOf(engine.pid!);
      held.enable();
    }, warmUpMs);
    await sendPaced(client, lanes, startMs);
    clearTimeout(warm);
    held.disable();
    const cores = (cpuSecondsOf(engine.pid!) - cpuBefore) / ((performance.now() - startMs - warmUpMs) / 1000);
    await until('every event is in a row', () => left <= 0);
    await consumed;
    const sorted = latenciesMs.subarray(0, measured).sort();
    return {
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      max: sorted.at(-1)!,
      cores,
      writes,
      held: held.percentile(99) / 1e6,
    };
  } finally {
    client.close();
    if (engine.exitCode === null) {
      engine.kill('SIGTERM');
      await once(engine, 'exit');
    }
  }
}

const front = await startClickHouse({dir: scratch()});

async function toClickHouse(round: number): Promise<Figures> {
  const client = new KafkaClient(settings('cleaner'));
  await client.refreshMetadata();
  await deleteTopics(
    client,
    [...client.metadata.topics.keys()].filter((name) => name === purchaseTopic),
  );
  client.close();
  const {running, remove} = await startOn({
    'platform.yaml': platformYaml(
      `whole${round}`,
      `sinks: {analytics: {backend: clickhouse, clickhouse: {url: "${front.url}"}}, records: {backend: stdout}}\n`,
    ),
    'domains/ecommerce.yaml': purchaseYaml,
  });
  try {
    const events = (warmUpSeconds + seconds) * perSecond;
    const lanes = purchaseLanes(await schemaOf(running, purchaseTopic), events, perSecond);
    const servers = [...kafka.pids, front.pid];
    const {latencies, cores} = await measure(
      running,
      purchaseTopic,
      lanes,
      perSecond,
      warmUpSeconds,
      servers,
    );
    const {rows} = await running.outputs.sql(
      'analytics',
      'select toInt64(sum(orders)) from ecommerce.revenue_per_minute',
    );
    assert.equal(Number(rows[0]![0]), events, 'ClickHouse holds every event once');
    return {...latencies[0]!, cores};
  } finally {
    await running.drain();
    remove();
  }
}

const ways = [
  {name: `event -> row in a topic, flush ${flush}`, run: toTopic},
  {name: 'event -> acknowledged in ClickHouse', run: toClickHouse},
];
const found = ways.map((): Figures[] => []);
try {
  for (let round = 0; round < rounds; round++)
    for (const [index, {run}] of ways.entries()) found[index]!.push(await run(round));
} finally {
  await front.kill();
  await kafka.stop();
  for (const dir of dirs) rmSync(dir, {recursive: true, force: true});
}
console.log(
  `${machine()}; ${perSecond} events/s, ${seconds} s after ${warmUpSeconds} s of warming up, ${rounds} rounds, medians (ranges)`,
);
for (const [index, {name}] of ways.entries()) {
  const of = (key: keyof Figures) => found[index]!.map((each) => each[key] ?? 0);
  const show = (key: keyof Figures, digits: number) =>
    `${median(of(key)).toFixed(digits)} (${range(of(key), digits)})`;
  console.log(
    `${name.padEnd(38)} p50 ${show('p50', 1)} ms, p99 ${show('p99', 1)} ms, max ${show('max', 0)} ms, ${show('cores', 2)} cores${found[index]![0]!.held === undefined ? '' : `; the bench itself was held up ${show('held', 1)} ms (p99)`}`,
  );
}
console.log(JSON.stringify(Object.fromEntries(ways.map(({name}, index) => [name, found[index]]))));
