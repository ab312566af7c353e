/**
 * Decode and kernel of one thread, from encoded batches: node bench/kernel.bench.ts [events] [rounds]
 *
 * Beside the engine: `avsc` objects and a Map, and chDB's AvroConfluent format with GROUP BY of a file of the same frames, on
 * one thread (its schema registry is a few lines in a worker). The peers run interleaved in one process and their results are compared before anything is reported. Figures are medians of
 * events per second of CPU time (this thread's; chDB: the process's, since it has its own), wall time beside it, since the machine may be shared. A delta is taken every
 * 250,000 events, its cost is part of the figure. The event is the purchase of docs: 8 fields, about 100 bytes.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {cpus, tmpdir} from 'node:os';
import {join} from 'node:path';
import {Worker} from 'node:worker_threads';
import avsc from 'avsc';
import {query} from 'chdb';
import type {ValueType} from '../src/expr/types.ts';
import type {RecordBatch} from '../src/log/types.ts';
import type {WindowSpec} from '../src/model/types.ts';
import {distinctCount} from '../src/process/embedded/accumulators.ts';
import {createTopicDecoder} from '../src/process/embedded/decode.ts';
import {createKernel} from '../src/process/embedded/kernel.ts';
import type {Delta} from '../src/process/embedded/types.ts';
import type {AccumulatorPlan, QueryPlan} from '../src/process/plan/nodes.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import type {AvroField, AvroRecord} from '../src/schema/types.ts';
import {categories, countries, createRandom, devices, randomId} from './purchases.ts';

const eventCount = Number(process.argv[2] ?? 1_000_000);
const rounds = Number(process.argv[3] ?? 7);
const batchBytes = 256 * 1024;
const flushEvents = 250_000;
const minuteMs = 60_000;
const schemaId = 42;
const topic = 'ecommerce.purchase';
const textNames = ['user_id', 'product_id', 'category', 'country', 'device'];
const optional = (name: string): AvroField => ({name, type: ['null', 'string'], default: null});
const schema: AvroRecord = {
  type: 'record',
  name: 'purchase',
  namespace: 'ecommerce',
  fields: [
    {name: 'event_id', type: 'string'},
    {name: 'timestamp', type: {type: 'long', logicalType: 'timestamp-millis'}},
    ...textNames.map(optional),
    {name: 'amount_cents', type: 'long'},
  ],
};
function createBatches(): RecordBatch[] {
  const random = createRandom(1);
  const below = (n: number) => Math.floor(random() * n);
  const rarely = (value: string) => (random() < 0.02 ? null : value);
  const encoder = compileEncoder(schema, schemaId);
  const buffer = new Uint8Array(batchBytes);
  const batches: RecordBatch[] = [];
  let [pos, count, baseOffset] = [0, 0, 0];
  const flush = () => {
    const batch = {topic, partition: 0, baseOffset, count, appendTimeMs: 0, kind: 'data' as const};
    batches.push({...batch, bytes: buffer.slice(0, pos)});
    baseOffset += count;
    [pos, count] = [0, 0];
  };
  for (let i = 0; i < eventCount; i++) {
    const row = [
      randomId(below),
      // 100,000 events a second, 2 % of them up to 10 s behind.
      1767225600000 + Math.floor(i / 100) - (random() < 0.02 ? below(10_000) : 0),
      rarely(`u_${String(below(1_000_000)).padStart(7, '0')}`),
      // With 30 countries and NULL this makes 174,000 groups and more.
      `p_${String(below(5_614)).padStart(6, '0')}`,
      rarely(categories[below(12)]!),
      rarely(countries[Math.floor(random() ** 2 * 30)]!),
      rarely(devices[below(3)]!),
      Math.round(Math.exp(8 + 1.1 * (random() + random() + random() - 1.5) * 2)),
    ];
    const end = encoder.encodeRecord(row, buffer, pos);
    if (end < 0) {
      flush();
      i--;
      continue;
    }
    pos = end;
    count++;
  }
  flush();
  return batches;
}

const column = (name: string, type: ValueType) => ({kind: 'column' as const, type, name});
const countAll: AccumulatorPlan = {op: 'count', filter: null, arg: null};
const amount = column('amount', 'money');
/** count, sum, max; avg needs nothing more. */
const four: AccumulatorPlan[] = [
  countAll,
  {op: 'sum', arg: amount, type: 'money'},
  {op: 'max', arg: amount, type: 'money'},
];

function planOf(
  name: string,
  window: WindowSpec,
  dimensions: string[],
  accumulators: AccumulatorPlan[],
): QueryPlan {
  const names = new Set([
    ...dimensions,
    ...accumulators.flatMap(({arg}) => (arg?.kind === 'column' ? [arg.name] : [])),
  ]);
  const text = textNames
    .filter((field) => names.has(field))
    .map((field) => ({name: field, column: field, type: 'string' as const, nullable: true, aliases: []}));
  const fields = [
    {name: 'timestamp', column: 'timestamp', type: 'timestamp' as const, nullable: false, aliases: []},
    ...text,
    {name: 'amount', column: 'amount_cents', type: 'money' as const, nullable: false, aliases: []},
  ];
  return {
    domain: 'ecommerce',
    query: name,
    id: `ecommerce.${name}`,
    revision: 1,
    futureMaxMs: 3_600_000,
    fingerprint: name,
    sources: [{topic, eventType: 'purchase', fields, derive: [], enrich: []}],
    where: null,
    watermarkMs: 600_000,
    late: 'correct',
    correctForMs: 86_400_000,
    idleMs: 30_000,
    window,
    tzdata: null,
    groupBy: dimensions.map((dimension) => ({name: dimension, column: dimension, type: 'string'})),
    accumulators,
    measures: [],
    emit: 'change',
    table: {namespace: 'ecommerce', name, kind: 'query', columns: [], key: []},
    sinks: [],
    limits: {groups: 5e6, memoryBytes: 2 ** 29, stateDiskBytes: 2 ** 30},
  };
}

/** `<pane start> <dimensions>` -> cells of the pane. */
type Result = Map<string, number[]>;

function addDelta(plan: QueryPlan, delta: Delta, groups: string[], result: Result): void {
  for (let k = 0; k < (delta.newGroups[0]?.length ?? 0); k++)
    groups.push(delta.newGroups.map((values) => String(values[k])).join('|'));
  const stride = plan.accumulators.filter(({op}) => op !== 'distinct').length;
  for (const {startMs, groups: ids, cells} of delta.panes)
    ids.forEach((group, slot) => {
      const key = `${startMs} ${groups[group]}`;
      const [count, sum, max] = cells.subarray(slot * stride, slot * stride + 3);
      const [count0, sum0, max0] = result.get(key) ?? [0, 0, -Infinity];
      result.set(key, [count0! + count!, sum0! + sum!, Math.max(max0!, max!)]);
    });
}

type Runner = {name: string; run(): void; result(): Result};

function engine(name: string, plans: QueryPlan[], batches: RecordBatch[], fresh: boolean): Runner {
  const make = () => {
    const decoder = createTopicDecoder(topic, plans, (id) => (id === schemaId ? schema : undefined));
    const decoders = new Map([[topic, decoder]]);
    return {decoder, kernels: plans.map((plan) => createKernel({plan, worker: 0, decoders}))};
  };
  let made = make();
  const deltas: Delta[][] = plans.map(() => []);
  return {
    name,
    run() {
      // A cold run meets every text and group for the first time.
      if (fresh) made = make();
      const {decoder, kernels} = made;
      for (const [k, kernel] of kernels.entries()) {
        kernel.open(topic, 0, 0, -Infinity);
        deltas[k] = [];
      }
      let since = 0;
      for (const batch of batches) {
        const decoded = decoder.decode(batch, batch.baseOffset);
        for (const kernel of kernels) kernel.process(decoded);
        since += batch.count;
        if (since < flushEvents) continue;
        since = 0;
        for (const [k, kernel] of kernels.entries()) deltas[k]!.push(kernel.take());
      }
      for (const [k, kernel] of kernels.entries()) deltas[k]!.push(kernel.take());
    },
    result() {
      made = make();
      this.run();
      const result: Result = new Map();
      const groups: string[] = [];
      for (const delta of deltas[0]!) addDelta(plans[0]!, delta, groups, result);
      return result;
    },
  };
}

function avscAndMap(batches: RecordBatch[], sizeMs: number, dimensions: string[]): Runner {
  const type = avsc.Type.forSchema(schema as avsc.Schema, {wrapUnions: false});
  let result: Result = new Map();
  return {
    name: 'avsc objects + Map',
    run() {
      result = new Map();
      for (const {bytes} of batches) {
        const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
        for (let pos = 0; pos < buffer.length; pos += 4 + buffer.readUInt32LE(pos)) {
          const event = type.decode(buffer, pos + 9).value;
          const startMs = Math.floor(event.timestamp / sizeMs) * sizeMs;
          const key = `${startMs} ${dimensions.map((name) => String(event[name])).join('|')}`;
          const cells = result.get(key);
          if (cells === undefined) result.set(key, [1, event.amount_cents, event.amount_cents]);
          else {
            cells[0]!++;
            cells[1]! += event.amount_cents;
            if (event.amount_cents > cells[2]!) cells[2] = event.amount_cents;
          }
        }
      }
    },
    result: () => result,
  };
}

/** Answers every request for a schema with the one there is. */
const registrySource = `
const {createServer} = require('node:http');
const {workerData, parentPort} = require('node:worker_threads');
createServer((request, response) => response.setHeader('content-type', 'application/json').end(workerData))
  .listen(0, '127.0.0.1', function () { parentPort.postMessage(this.address().port); });`;

async function chdbOverFile(batches: RecordBatch[]): Promise<Runner & {close(): Promise<void>}> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const path = join(dir, 'frames');
  const parts: Buffer[] = [];
  for (const {bytes} of batches) {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let pos = 0; pos < buffer.length; pos += 4 + buffer.readUInt32LE(pos))
      parts.push(buffer.subarray(pos + 4, pos + 4 + buffer.readUInt32LE(pos)));
  }
  writeFileSync(path, Buffer.concat(parts));
  const workerData = JSON.stringify({schema: JSON.stringify(schema)});
  const registry = new Worker(registrySource, {eval: true, workerData});
  const port = await new Promise((resolve) => registry.once('message', resolve));
  const columns =
    "timestamp DateTime64(3, 'UTC'), category Nullable(String), country Nullable(String), amount_cents Int64";
  const sql = `SELECT toUnixTimestamp(toStartOfMinute(timestamp)) * 1000 AS start, category, country,
      count(), sum(amount_cents), max(amount_cents), avg(amount_cents)
    FROM file('${path}', 'AvroConfluent', '${columns.replaceAll("'", "\\'")}') GROUP BY start, category, country
    SETTINGS format_avro_schema_registry_url = 'http://127.0.0.1:${port}', max_threads = 1`;
  let answer = '';
  return {
    name: 'chDB AvroConfluent + GROUP BY, one thread',
    run() {
      answer = String(query(sql, 'JSONCompactEachRow'));
    },
    result: () =>
      new Map(
        answer
          .trim()
          .split('\n')
          .map((line): [string, number[]] => {
            const [start, category, country, ...cells] = JSON.parse(line);
            return [`${start} ${category}|${country}`, cells.slice(0, 3).map(Number)];
          }),
      ),
    async close() {
      await registry.terminate();
      rmSync(dir, {recursive: true});
    },
  };
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const cpuMs = (isProcess: boolean): number => {
  const {user, system} = isProcess ? process.cpuUsage() : process.threadCpuUsage();
  return (user + system) / 1000;
};

const batches = createBatches();
const bytes = batches.reduce((sum, batch) => sum + batch.bytes.length, 0);
const tumbling: WindowSpec = {type: 'tumbling', sizeMs: minuteMs};
const sliding: WindowSpec = {type: 'sliding', sizeMs: 5 * minuteMs, slideMs: minuteMs};
const two = ['category', 'country'];
const many = ['product_id', 'country'];
const distinct: AccumulatorPlan[] = [
  ...four,
  {op: 'distinct', arg: column('user_id', 'string'), type: 'string'},
];
const tumblingPlan = planOf('tumbling', tumbling, two, four);
const manyPlan = planOf('many', tumbling, many, four);
const distinctPlan = planOf('distinct', tumbling, two, distinct);

const reference = avscAndMap(batches, minuteMs, two);
const manyReference = avscAndMap(batches, minuteMs, many);
const chdb = await chdbOverFile(batches);
const base = engine('tumbling 1m, 2 dimensions, count sum max avg', [tumblingPlan], batches, false);
const runners: Runner[] = [
  reference,
  chdb,
  base,
  engine('sliding 5m/1m, the same', [planOf('sliding', sliding, two, four)], batches, false),
  engine('tumbling + distinct(user_id)', [distinctPlan], batches, false),
  engine('174k groups, warm', [manyPlan], batches, false),
  engine('174k groups, cold', [manyPlan], batches, true),
  engine(
    '5 queries over one decode',
    [
      tumblingPlan,
      planOf('sliding', sliding, two, four),
      distinctPlan,
      planOf('country', tumbling, ['country'], four),
      planOf('device', tumbling, ['device'], four),
    ],
    batches,
    false,
  ),
];

// Equal results first.
reference.run();
manyReference.run();
const expected = reference.result();
assert.deepEqual(base.result(), expected);
chdb.run();
assert.deepEqual(chdb.result(), expected);
assert.deepEqual(runners[3]!.result(), expected, 'the panes of the sliding window are the minutes');
assert.deepEqual(runners[5]!.result(), manyReference.result());
checkDistinct();

function checkDistinct(): void {
  const users = new Map<string, Set<string>>();
  const type = avsc.Type.forSchema(schema as avsc.Schema, {wrapUnions: false});
  const wanted = batches.slice(0, 60);
  for (const batch of wanted) {
    const buffer = Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length);
    for (let pos = 0; pos < buffer.length; pos += 4 + buffer.readUInt32LE(pos)) {
      const {category, country, timestamp, user_id} = type.decode(buffer, pos + 9).value;
      const key = `${Math.floor(timestamp / minuteMs) * minuteMs} ${category}|${country}`;
      if (user_id !== null) users.set(key, (users.get(key) ?? new Set()).add(user_id));
    }
  }
  const decoder = createTopicDecoder(topic, [distinctPlan], () => schema);
  const kernel = createKernel({plan: distinctPlan, worker: 0, decoders: new Map([[topic, decoder]])});
  kernel.open(topic, 0, 0, -Infinity);
  for (const batch of wanted) kernel.process(decoder.decode(batch, batch.baseOffset));
  const {newGroups, panes} = kernel.take();
  const errors = panes.flatMap(({startMs, groups, objects}) =>
    [...groups].flatMap((group, slot) => {
      const key = `${startMs} ${newGroups.map((values) => String(values[group])).join('|')}`;
      const object = objects[0]![slot];
      const exact = users.get(key)?.size ?? 0;
      return object?.op === 'distinct' && exact > 0 ? [distinctCount(object) / exact - 1] : [];
    }),
  );
  const rms = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length);
  assert.ok(rms < 0.0163 * 1.3, `distinct is off by ${rms}`);
}

const times = runners.map((): {cpu: number[]; wall: number[]} => ({cpu: [], wall: []}));
for (let round = 0; round <= rounds; round++)
  for (const [k, runner] of runners.entries()) {
    const [wall, cpu] = [performance.now(), cpuMs(runner === chdb)];
    runner.run();
    // The first round warms up.
    if (round === 0) continue;
    times[k]!.cpu.push(cpuMs(runner === chdb) - cpu);
    times[k]!.wall.push(performance.now() - wall);
  }
const rate = (ms: number) => eventCount / ms / 1000;
const baseRate = rate(median(times[0]!.cpu));
console.log(
  `${cpus()[0]!.model}, node ${process.version}, ${eventCount} events of ${(bytes / eventCount).toFixed(1)} bytes, ${rounds} rounds, ${expected.size} and ${manyReference.result().size} rows compared`,
);
for (const [k, {name}] of runners.entries()) {
  const own = rate(median(times[k]!.cpu));
  console.log(
    `${name.padEnd(50)} ${own.toFixed(2).padStart(7)} M events/s CPU (${rate(median(times[k]!.wall)).toFixed(2)} wall)  ${(own / baseRate).toFixed(1)}x`,
  );
}
await chdb.close();
