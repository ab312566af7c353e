/**
 * A backlog of partitions of very different size: `node bench/kafka-lag.bench.ts [thousands of events] [rounds]`.
 * Four partitions hold the same hour with 80, 16, 3.5 and 0.5 % of the events, most of them up to 10 s out of order, one of a thousand five
 * minutes late. The engine reads them from Kafka as fast as it can, with watermark 10s and `late: drop`, in one thread and in two. An event
 * that its own partition's time does not make late must be counted, whichever partition is read faster: every row and every number of late
 * events is compared with a plain count of the same events. Beside it stands what one time for all partitions would have lost, were
 * they read in turn by equal numbers of events. Starts its own server; prints a table, and JSON in the last line.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {startKafka} from '../src/cluster/kafka.ts';
import type {Value} from '../src/expr/types.ts';
import {encodeBatch, setProducer} from '../src/log/kafka/batch-write.ts';
import {KafkaClient} from '../src/log/kafka/client.ts';
import {produce} from '../src/log/kafka/produce.ts';
import type {KafkaSettings} from '../src/log/kafka/settings.ts';
import {ensureTopics, keptConfigs} from '../src/log/kafka/topics.ts';
import {queryTable} from '../src/model/tables.ts';
import {createEngine} from '../src/process/embedded/engine.ts';
import {buildPlan} from '../src/process/plan/build.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {columnIndex} from '../src/sinks/tables.ts';
import {loadDomain} from '../test/support/platform.ts';
import {createRandom} from './purchases.ts';
import {createPurchases, machine, median, purchaseTopic, purchaseYaml, range} from './world.ts';

const events = Number(process.argv[2] ?? 2_000) * 1000;
const rounds = Number(process.argv[3] ?? 3);
const shares = [0.8, 0.16, 0.035, 0.005];
const hourMs = 3_600_000;
const startMs = Date.UTC(2026, 0, 5, 12);
const delayMs = 10_000;
const windowMs = 60_000;
const batchBytes = 256 * 1024;
/** Events of one turn of the reader that the comparison imagines. */
const turnEvents = 5_000;

const domain = await loadDomain(`${purchaseYaml}    watermark: 10s\n    late: drop\n`);
const [aggregation] = domain.aggregations;
const schema = avroSchema(domain.eventTypes[0]!);
const table = queryTable(aggregation!, 1);
const kafka = await startKafka({optimised: true});
const settings: KafkaSettings = {
  brokers: kafka.brokers,
  clientId: 'bench',
  security: {protocol: 'plaintext'},
  topics: {partitions: shares.length, replication: 1, retentionMs: null},
};

type Group = {orders: number; cents: number};
/** What a plain count of the same events says. */
const expected = {late: shares.map(() => 0), groups: new Map<string, Group>()};
const times = shares.map((share) => new Float64Array(Math.round(events * share)));
const windowOf = (ms: number) => Math.floor(ms / windowMs) * windowMs;

/** Fills the topic, and counts what it holds. */
async function load(): Promise<void> {
  const client = new KafkaClient(settings);
  const configs = keptConfigs(settings);
  await ensureTopics(client, [{name: purchaseTopic, partitions: shares.length, replication: 1, configs}]);
  await client.refreshMetadata();
  const purchases = createPurchases({id: 1, schema});
  const random = createRandom(7);
  const buffer = new Uint8Array(batchBytes);
  for (const [partition, own] of times.entries()) {
    let end = 0;
    let highest = -Infinity;
    const send = async () => {
      const head = {timeMs: Date.now(), compression: 'none' as const, headers: []};
      const made = encodeBatch([{bytes: buffer.subarray(0, end), at: 0}], head, 2 ** 24);
      setProducer(made, {id: -1, epoch: -1, sequence: -1});
      // A topic that was just made has its leaders a moment later.
      for (let tries = 0, code = -1; code !== 0; tries++) {
        assert.ok(tries < 50, `produce: ${code}`);
        if (tries > 0) await new Promise((resolve) => setTimeout(resolve, 100));
        if (tries > 0) await client.refreshMetadata();
        const leader = client.partition(purchaseTopic, partition)?.leader ?? -1;
        const batch = {topic: purchaseTopic, partition, bytes: made.bytes};
        const [answer] = leader < 0 ? [] : await produce(client, leader, [batch], 30_000);
        code = answer?.code ?? -1;
      }
      end = 0;
    };
    for (let at = 0; at < own.length; at++) {
      const behind = random() < 0.001 ? 300_000 : random() < 0.5 ? Math.floor(random() * delayMs) : 0;
      const ms = startMs + Math.floor((at / own.length) * hourMs) - behind;
      const purchase = purchases.next(ms);
      let next = purchases.write(purchase, buffer, end);
      if (next < 0) {
        await send();
        next = purchases.write(purchase, buffer, end);
      }
      end = next;
      own[at] = ms;
      highest = Math.max(highest, ms);
      const window = windowOf(ms);
      if (window + windowMs <= highest - delayMs) {
        expected.late[partition]!++;
        continue;
      }
      const name = `${window}/${purchase.category}/${purchase.country}`;
      const group = expected.groups.get(name) ?? {orders: 0, cents: 0};
      group.orders++;
      group.cents += purchase.amountCents;
      expected.groups.set(name, group);
    }
    await send();
  }
  client.close();
}

/** Events that one time for all partitions makes late, read in turn by equal numbers. */
function lateByOneTime(): number {
  const at = times.map(() => 0);
  let highest = -Infinity;
  let late = 0;
  for (let isMore = true; isMore; ) {
    isMore = false;
    for (const [partition, own] of times.entries()) {
      const end = Math.min(own.length, at[partition]! + turnEvents);
      for (; at[partition]! < end; at[partition]!++) {
        const ms = own[at[partition]!]!;
        highest = Math.max(highest, ms);
        if (windowOf(ms) + windowMs <= highest - delayMs) late++;
      }
      isMore ||= at[partition]! < own.length;
    }
  }
  return late;
}

/** @returns late events by partition, groups as the rows say, events/s */
async function drain(workers: number) {
  const stateDir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const plan = buildPlan(domain, aggregation!);
  const [start, category, country, orders, revenue, version] = [
    'window_start',
    'category',
    'country',
    'orders',
    'revenue_cents',
    'version',
  ].map((name) => columnIndex(table, name)) as [number, number, number, number, number, number];
  const groups = new Map<string, Group & {version: number}>();
  const {promise, resolve, reject} = Promise.withResolvers<number[]>();
  const beganMs = performance.now();
  const engine = createEngine({
    log: {dir: '/nowhere', kafka: settings},
    stateDir,
    schemas: [{id: 1, schema, subject: `${purchaseTopic}-value`, version: 1}],
    workers,
    flushMs: 25,
    checkpointIntervalMs: 1_000,
    marked: async () => undefined,
    onRows({query, sequence, count, columns}) {
      const cell = (column: number, row: number): Value => columns[column]![row]!;
      for (let row = 0; row < count; row++) {
        const name = `${Number(cell(start, row))}/${cell(category, row)}/${cell(country, row)}`;
        const now = Number(cell(version, row));
        if (now < (groups.get(name)?.version ?? -1)) continue;
        groups.set(name, {
          orders: Number(cell(orders, row)),
          cents: Number(cell(revenue, row)),
          version: now,
        });
      }
      engine.acknowledge(query, sequence);
    },
    onMark: (query, epoch) => engine.marked(query, epoch),
    onSide: (_plan, _side, durable) => durable(),
    onStatus([status]) {
      if (status?.reason) reject(new Error(status.reason.message));
      const counts = status?.counts ?? [];
      if (!status?.settled || counts.reduce((sum, {read}) => sum + read, 0) < events) return;
      const own = shares.map((_, at) => counts.find(({partition}) => partition === at)?.late ?? 0);
      resolve(own);
    },
  });
  await engine.start([plan]);
  const poll = setInterval(() => engine.report(), 50);
  const late = await promise.finally(() => clearInterval(poll));
  const seconds = (performance.now() - beganMs) / 1000;
  await engine.stop();
  rmSync(stateDir, {recursive: true});
  return {late, groups, perSecond: events / seconds};
}

const rates = new Map<number, number[]>();
try {
  await load();
  for (let round = 0; round < rounds; round++)
    for (const workers of [1, 2]) {
      const {late, groups, perSecond} = await drain(workers);
      assert.deepEqual(late, expected.late, 'late events by partition');
      assert.equal(groups.size, expected.groups.size);
      for (const [name, {orders, cents}] of expected.groups) {
        const found = groups.get(name);
        assert.deepEqual([found?.orders, found?.cents], [orders, cents], name);
      }
      rates.set(workers, [...(rates.get(workers) ?? []), perSecond]);
    }
} finally {
  await kafka.stop();
}
const late = expected.late.reduce((sum, count) => sum + count, 0);
const lost = lateByOneTime() - late;
console.log(
  `${machine()}; ${events} events in partitions of ${times.map(({length}) => length).join(', ')}; ${rounds} rounds`,
);
console.log(`late by their own partition: ${late}, counted so in every round; lost beside them: 0`);
console.log(
  `one time for all partitions, read in turn, would lose ${lost} (${((lost / events) * 100).toFixed(1)} %)`,
);
for (const [workers, list] of rates)
  console.log(
    `${workers} thread(s): ${(median(list) / 1e6).toFixed(2)} M events/s (${range(
      list.map((rate) => rate / 1e6),
      2,
    )}), start of the engine and last checkpoint included`,
  );
console.log(JSON.stringify({events, late, lost: 0, lostByOneTime: lost, rates: Object.fromEntries(rates)}));
