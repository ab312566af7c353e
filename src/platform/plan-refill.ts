import {hasLog, openLog} from '../log/open.ts';
import type {LogReader, RecordBatch} from '../log/types.ts';
import {createTopicDecoder, type TopicDecoder} from '../process/embedded/decode.ts';
import {createKernel} from '../process/embedded/kernel.ts';
import {lookupsOf} from '../process/embedded/lookup-journal.ts';
import {topicsOf} from '../process/embedded/topics-read.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {hasRegistry, openRegistry} from '../schema/registry-open.ts';
import type {AvroSchema} from '../schema/types.ts';
import type {PlatformDirs} from './places.ts';
import type {Refill} from './plan-types.ts';

/** Records read to measure a rate, at most. */
const sampleMax = 200_000;

/** Measures refills over what the log holds now. Read-only. */
export type RefillSizes = {
  /** @param knownRate events a second of an earlier refill of the query */
  of(plan: QueryPlan, knownRate?: number): Promise<Refill>;
  close(): void;
};

export async function openRefillSizes(dirs: PlatformDirs): Promise<RefillSizes> {
  if (!hasLog(dirs.source) || !hasRegistry(dirs.registry)) return {of: async () => nothing, close() {}};
  const log = await openLog(dirs.source);
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  const schemas = new Map<number, AvroSchema>();
  for (const {id, schema} of await registry.own()) schemas.set(id, schema);
  registry.close();
  return {
    async of(plan, knownRate) {
      await log.refresh(topicsOf(plan));
      const sample = await sampleOf(log, plan);
      const {events, trimmed} = countsOf(log, plan);
      if (events === 0) return {...nothing, trimmed};
      const bytes = Math.round((events * sample.bytes) / Math.max(1, sample.records));
      const rate = knownRate ?? measure(plan, sample.batches, schemas);
      return {
        events,
        bytes,
        seconds: rate > 0 ? events / rate : 0,
        eventsPerSecond: Math.round(rate),
        measured: knownRate !== undefined ? 'refill' : rate > 0 ? 'sample' : 'none',
        trimmed,
      };
    },
    close: () => log.close(),
  };
}

const nothing: Refill = {events: 0, bytes: 0, seconds: 0, eventsPerSecond: 0, measured: 'none', trimmed: 0};

function countsOf(log: LogReader, plan: QueryPlan): {events: number; trimmed: number} {
  let events = 0;
  let trimmed = 0;
  for (const topic of topicsOf(plan))
    for (let partition = 0; partition < log.partitions(topic); partition++) {
      const start = log.startOffset(topic, partition);
      events += log.endOffset(topic, partition) - start;
      trimmed += start;
    }
  return {events, trimmed};
}

type Sample = {batches: RecordBatch[]; records: number; bytes: number};

async function sampleOf(log: LogReader, plan: QueryPlan): Promise<Sample> {
  const sample: Sample = {batches: [], records: 0, bytes: 0};
  for (const topic of topicsOf(plan))
    for (let partition = 0; partition < log.partitions(topic); partition++) {
      const start = log.startOffset(topic, partition);
      if (start >= log.endOffset(topic, partition) || sample.records >= sampleMax) continue;
      for (const batch of await log.read(topic, partition, start, 4 * 2 ** 20)) {
        sample.batches.push(batch);
        if (batch.kind !== 'data') continue;
        sample.records += batch.count;
        sample.bytes += batch.bytes.length;
      }
    }
  return sample;
}

/** Reads, decodes and aggregates the sample as the engine does. @returns events a second; 0 when that cannot be tried here */
function measure(plan: QueryPlan, batches: RecordBatch[], schemas: Map<number, AvroSchema>): number {
  // Without its lookups a query cannot be tried; the rate without them is an upper bound, which would promise too much.
  if (lookupsOf(plan).length > 0) return 0;
  const decoders = new Map<string, TopicDecoder>(
    topicsOf(plan).map((topic) => [topic, createTopicDecoder(topic, [plan], (id) => schemas.get(id))]),
  );
  let rate = 0;
  // The first turn compiles; the second is measured.
  for (let turn = 0; turn < 2; turn++) {
    const kernel = createKernel({plan, worker: 0, decoders});
    const opened = new Set<string>();
    let records = 0;
    const startedMs = performance.now();
    for (const batch of batches) {
      const {topic, partition, baseOffset} = batch;
      if (!opened.has(`${topic}/${partition}`)) kernel.open(topic, partition, baseOffset, -Infinity);
      opened.add(`${topic}/${partition}`);
      kernel.process(decoders.get(topic)!.decode(batch, baseOffset));
      records += batch.count;
    }
    rate = records / Math.max(1e-3, (performance.now() - startedMs) / 1000);
  }
  return rate;
}
