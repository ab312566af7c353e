/**
 * The generator: `node bench/generate.bench.ts [events] [rounds] [pipeline events]`.
 *
 *   to bytes   one thread: purchases of bench/world.ts's shape (8 fields) to records of log batches, drawn and encoded by generated
 *              code; interleaved with the plain way: draw into an object, encode it with the compiled encoder, and with the example's
 *              shoppers (sessions over three event types, 200 products), without and with every fault
 *   pipeline   the whole platform with its defaults, raw off: generator and log in the ingest thread -> engine -> chDB, from the first
 *              event until chDB has acknowledged rows that hold all of them; the count in chDB is compared
 */
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {Chunk} from '../src/generate/chunk.ts';
import {noFaults} from '../src/generate/faults.ts';
import {Generator} from '../src/generate/generator.ts';
import type {LookupRows} from '../src/generate/types.ts';
import {loadPlatform} from '../src/model/load.ts';
import type {Domain} from '../src/model/types.ts';
import {lookupRows} from '../src/platform/generate.ts';
import {createLookupStore} from '../src/platform/lookups.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import {sinks} from '../src/sinks/registry.ts';
import type {SinkSpec} from '../src/sinks/types.ts';
import {
  cpuSecondsOf,
  machine,
  median,
  partitions,
  purchaseTopic,
  purchaseYaml,
  range,
  startOn,
} from './world.ts';

const count = Number(process.argv[2] ?? 4_000_000);
const rounds = Number(process.argv[3] ?? 5);
const pipelineCount = Number(process.argv[4] ?? 6_000_000);
const originMs = Date.UTC(2025, 0, 1);
const repository = join(import.meta.dirname, '..');

/** The purchases of the other benches, generated. The rate is so high that a minute has a million events. */
const generateYaml = `${purchaseYaml}generate:
  seed: 1
  rate: 20000/s
  keys: {user_id: {count: 1000000}, product_id: {count: 5614, zipf: 1.1}}
  values:
    country: {weights: {US: 40, DE: 20, FR: 15, BR: 10, GB: 8, JP: 7}}
    amount: {lognormal: [30, 1.1]}
`;

async function domainOf(root: string, name: string): Promise<{domain: Domain; lookups: LookupRows[]}> {
  const sinkSpecs: Record<string, SinkSpec> = sinks;
  const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
  if (!loaded.ok) throw new Error(loaded.diagnostics.map(({message}) => message).join('\n'));
  const domain = loaded.platform.domains.find((each) => each.name === name)!;
  return {
    domain,
    lookups: await lookupRows(domain, domain.generate!, createLookupStore(join(root, '.millrace/lookups'))),
  };
}

type Way = {name: string; run(): number};

/** Records of log batches, by generated code. */
function toBytes(name: string, domain: Domain, lookups: LookupRows[], faults: boolean): Way {
  const generate = faults ? domain.generate! : {...domain.generate!, faults: noFaults};
  const schemaIds = Object.fromEntries(domain.eventTypes.map(({topic}, index) => [topic, index + 1]));
  const options = {
    domain,
    generate,
    lookups: new Map(lookups.map((rows) => [rows.name, rows])),
    schemaIds,
    partitions,
    run: 0,
  };
  const generator = new Generator(options, {originMs});
  const chunk = new Chunk(generator, domain, partitions);
  return {
    name,
    run() {
      let bytes = 0;
      for (let event = 0; event < count; event++) {
        generator.next();
        chunk.add();
        if (!chunk.full) continue;
        for (const append of chunk.appends()) bytes += append.bytes.length;
        chunk.clear();
      }
      return bytes;
    },
  };
}

/** The same events as objects, each encoded by the compiled encoder. */
function toObjects(domain: Domain): Way {
  const generate = {...domain.generate!, faults: noFaults};
  const generator = new Generator(
    {domain, generate, lookups: new Map(), schemaIds: {}, partitions, run: 0},
    {originMs},
  );
  const [eventType] = domain.eventTypes;
  const encoder = compileEncoder(avroSchema(eventType!), 1);
  const buffer = new Uint8Array(64 * 1024);
  const names = eventType!.fields.map(({name}) => name);
  return {
    name: 'purchase, drawn into objects, then encoded',
    run() {
      let bytes = 0;
      for (let event = 0; event < count; event++) {
        generator.next();
        const values = generator.values();
        bytes += encoder.encodeRecord(
          names.map((name) => values[name]!),
          buffer,
          0,
        );
      }
      return bytes;
    },
  };
}

async function bytesBench(): Promise<void> {
  const {running, root, remove} = await startOn({'domains/ecommerce.yaml': generateYaml});
  await running.drain();
  const purchases = await domainOf(root, 'ecommerce');
  const shoppers = await domainOf(repository, 'ecommerce');
  remove();
  const ways = [
    toBytes('purchase to bytes', purchases.domain, [], false),
    toObjects(purchases.domain),
    toBytes('shoppers to bytes, no faults', shoppers.domain, shoppers.lookups, false),
    toBytes('shoppers to bytes, all faults, checks', shoppers.domain, shoppers.lookups, true),
  ];
  const rates = ways.map((): number[] => []);
  const cpuRates = ways.map((): number[] => []);
  const sizes = ways.map(() => 0);
  for (let round = 0; round <= rounds; round++)
    for (const [index, way] of ways.entries()) {
      const cpuBefore = process.cpuUsage();
      const begin = performance.now();
      const bytes = way.run();
      const seconds = (performance.now() - begin) / 1000;
      const {user, system} = process.cpuUsage(cpuBefore);
      // The first round compiles.
      if (round > 0) {
        rates[index]!.push(count / seconds / 1e6);
        cpuRates[index]!.push(count / (user + system));
      }
      sizes[index] = bytes / count;
    }
  assert.ok(Math.abs(sizes[0]! - sizes[1]!) < 0.5, 'both ways write the same records');
  for (const [index, {name}] of ways.entries())
    console.log(
      `${name}: median ${median(rates[index]!).toFixed(2)} M events/s (${range(rates[index]!, 2)}), per CPU second ${median(cpuRates[index]!).toFixed(2)} M (${range(cpuRates[index]!, 2)}), ${sizes[index]!.toFixed(1)} B`,
    );
}

async function pipelineRound(): Promise<{perSecond: number; cpuSeconds: number}> {
  const {running, remove} = await startOn({'domains/ecommerce.yaml': generateYaml});
  try {
    let through = new Map<number, number>();
    running.metrics.observers.push((name, event) => {
      if (name !== 'RowsAcknowledged') return;
      const places = (event as {through: {partition: number; offset: number}[]}).through;
      if (places.length > 0) through = new Map(places.map(({partition, offset}) => [partition, offset]));
    });
    const cpuBefore = cpuSecondsOf(process.pid);
    const begin = performance.now();
    await running.generators.start('ecommerce', {fast: true, count: pipelineCount});
    for (;;) {
      const reached = [...through.values()].reduce((sum, offset) => sum + offset, 0);
      if (reached >= pipelineCount) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const seconds = (performance.now() - begin) / 1000;
    const cpuSeconds = cpuSecondsOf(process.pid) - cpuBefore;
    const {rows} = await running.outputs.sql(
      'analytics',
      'select toInt64(sum(orders)) from ecommerce.revenue_per_minute',
    );
    assert.equal(rows[0]![0], pipelineCount, 'chDB holds every event once');
    await running.drain();
    return {perSecond: pipelineCount / seconds, cpuSeconds: cpuSeconds / (pipelineCount / 1e6)};
  } finally {
    remove();
  }
}

console.log(machine());
await bytesBench();
const results = [];
for (let round = 0; round < Math.min(rounds, 3); round++) results.push(await pipelineRound());
const rates = results.map(({perSecond}) => perSecond / 1e6);
const cpu = results.map(({cpuSeconds}) => cpuSeconds);
console.log(
  `${purchaseTopic}, generated, whole pipeline, ${pipelineCount} events: median ${median(rates).toFixed(2)} M events/s (${range(rates, 2)}), ` +
    `${median(cpu).toFixed(2)} CPU s per M events (${range(cpu, 2)})`,
);
