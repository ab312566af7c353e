/**
 * The engine's parts (reader, decoder, kernel, merger, checkpoint store) driven by hand in one thread: every read, flush,
 * emission, checkpoint and crash happens when a seeded schedule says so. Threads and timers are the real engine's; what rows
 * say must not depend on them, and here every order of events can be had again from its seed.
 */
import assert from 'node:assert/strict';
import type {LogReader, RecordBatch} from '../../src/log/types.ts';
import {commitOf, readCheckpoint, stateName} from '../../src/process/embedded/checkpoint.ts';
import {createTopicDecoder, type TopicDecoder} from '../../src/process/embedded/decode.ts';
import {createKernel, type Kernel} from '../../src/process/embedded/kernel.ts';
import {Merger} from '../../src/process/embedded/merger.ts';
import {type Cursor, Reader} from '../../src/process/embedded/reader.ts';
import type {StateStore} from '../../src/process/embedded/statestore.ts';
import type {Delta} from '../../src/process/embedded/types.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {EmittedRows, LookupSnapshot, QueryCounts} from '../../src/process/types.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import type {Random} from './random.ts';
import {Told} from './told.ts';

export type SteppedOptions = {
  plans: QueryPlan[];
  log: LogReader;
  store: StateStore;
  schemaOf(id: number): AvroSchema | undefined;
  lookups?: LookupSnapshot[];
  workers: number;
  random: Random;
};

type Query = {
  plan: QueryPlan;
  merger: Merger;
  kernels: Kernel[];
  cursors: Cursor[];
  /** Deltas on their way, by worker; in order for each worker. */
  deltas: Delta[][];
  inFlight: EmittedRows | undefined;
};

/** Reads, but not more than some batches at once. */
const limited = (log: LogReader, random: Random): LogReader =>
  Object.create(log, {
    read: {
      value: async (topic: string, partition: number, offset: number): Promise<RecordBatch[]> =>
        log.read(topic, partition, offset, random.pick([1, 1, 2000, 1 << 20])),
    },
    endOffset: {value: (topic: string, partition: number) => log.endOffset(topic, partition)},
  });

export class Stepped {
  nowMs = 0;
  crashes = 0;
  checkpoints = 0;
  readonly told = new Map<string, Told>();
  readonly #options: SteppedOptions;
  #queries: Query[] = [];
  #crashing = false;
  #workers: {decoders: Map<string, TopicDecoder>; reader: Reader}[] = [];
  /** While a turn runs, which queries take part; lets some fall behind. */
  #reading = (_: QueryPlan): boolean => true;

  constructor(options: SteppedOptions) {
    this.#options = options;
    for (const plan of options.plans) this.told.set(plan.id, new Told(plan));
  }

  /** Starts from the store; a query that has no checkpoint yet makes its first before anything else. */
  async start(): Promise<void> {
    const {plans, log, store, schemaOf, workers, random} = this.#options;
    const topics = [...new Set(plans.flatMap(({sources}) => sources.map(({topic}) => topic)))];
    this.#workers = Array.from({length: workers}, () => {
      const decoders = new Map(
        topics.map((topic) => {
          const over = plans.filter(({sources}) => sources.some((source) => source.topic === topic));
          return [topic, createTopicDecoder(topic, over, schemaOf)];
        }),
      );
      return {decoders, reader: new Reader(limited(log, random), decoders)};
    });
    this.#queries = plans.map((plan) => this.#open(plan));
    for (const query of this.#queries) {
      if (store.load(stateName(query.plan))) continue;
      await this.#checkpoint(query);
    }
  }

  #open(plan: QueryPlan): Query {
    const {log, store, lookups = []} = this.#options;
    const places = plan.sources.flatMap(({topic}) =>
      Array.from({length: log.partitions(topic)}, (_, partition) => ({topic, partition, startOffset: 0})),
    );
    const merger = new Merger({
      plan,
      places,
      nowMs: this.nowMs,
      saved: readCheckpoint(store, plan),
      lookups: Object.fromEntries(lookups.map(({name, id}) => [name, id])),
      read: (key) => store.get(stateName(plan), key),
    });
    const kernels = this.#workers.map(({decoders}, worker) =>
      createKernel({plan, worker, decoders, lookups}),
    );
    const query: Query = {
      plan,
      merger,
      kernels,
      cursors: [],
      deltas: kernels.map(() => []),
      inFlight: undefined,
    };
    merger.time.partitions.forEach(({topic, partition, offset, maxTimeMs}, index) => {
      const worker = index % kernels.length;
      kernels[worker]!.open(topic, partition, offset, maxTimeMs, merger.seen.of(topic, partition));
      const cursor: Cursor = {
        topic,
        partition,
        offset,
        wants: () => this.#reading(plan),
        process: (decoded) => kernels[worker]!.process(decoded),
        fail: (error) => {
          throw error;
        },
      };
      query.cursors.push(cursor);
      this.#workers[worker]!.reader.add(cursor);
    });
    return query;
  }

  /**
   * One thing that an engine does, chosen by chance. @param crash how often of 1000 the process dies instead
   * @param clock whether time goes on, too
   */
  async step({crash, clock}: {crash: number; clock: boolean}): Promise<void> {
    const {random} = this.#options;
    this.#crashing = crash > 0;
    if (random.int(1000) < crash) return this.crash();
    const query = random.pick(this.#queries);
    const what = random.int(20);
    if (what < 9) await this.#read();
    else if (what < 12) this.#flush(query, random.int(query.kernels.length));
    else if (what < 14) this.#deliver(query);
    else if (what < 17) this.#emit(query);
    else if (what === 17) this.#acknowledge(query);
    else if (what === 18) await this.#checkpoint(query);
    else if (random.int(8) === 0) this.#endGeneration(random.int(this.#workers.length));
    else if (clock) this.nowMs += random.int(20_000);
  }

  /** Everything in memory is gone; what is durable is read again. */
  async crash(): Promise<void> {
    this.crashes++;
    await this.start();
  }

  /** Reads to the end and lets everything out. */
  async finish(): Promise<void> {
    this.#crashing = false;
    this.#reading = () => true;
    for (const {reader} of this.#workers) {
      reader.refresh();
      while (reader.hasWork()) await reader.turn();
    }
    for (const query of this.#queries) {
      query.kernels.forEach((_, worker) => {
        this.#flush(query, worker);
      });
      while (query.deltas.some(({length}) => length > 0)) this.#deliver(query);
      for (let round = 0; ; round++) {
        assert.ok(round < 100, `${query.plan.id} never settles`);
        this.#acknowledge(query);
        this.#emit(query);
        if (query.inFlight) continue;
        if (!query.merger.wantsCheckpoint()) break;
        await this.#checkpoint(query);
      }
      assert.ok(query.merger.isClean(), `${query.plan.id} keeps rows back`);
    }
  }

  counts(id: string): QueryCounts[] {
    const {merger} = this.#queries.find(({plan}) => plan.id === id)!;
    return merger.time.partitions.map(
      ({
        topic,
        partition,
        read,
        aggregated,
        corrected,
        lateInPart,
        filtered,
        duplicate,
        late,
        dead,
        replayed,
      }) => ({
        topic,
        partition,
        read,
        aggregated,
        corrected,
        lateInPart,
        filtered,
        duplicate,
        late,
        dead,
        replayed,
      }),
    );
  }

  async #read(): Promise<void> {
    const {random} = this.#options;
    const {reader} = random.pick(this.#workers);
    const lagging = random.int(4) === 0 ? random.pick(this.#queries).plan : undefined;
    this.#reading = (plan) => plan !== lagging;
    reader.refresh();
    await reader.turn();
  }

  #flush(query: Query, worker: number): void {
    // Through a thread's message, as another worker's delta comes.
    query.deltas[worker]!.push(structuredClone(query.kernels[worker]!.take()));
  }

  #deliver(query: Query): void {
    const waiting = query.deltas.filter(({length}) => length > 0);
    if (waiting.length === 0) return;
    const delta = this.#options.random.pick(waiting).shift()!;
    this.told.get(query.plan.id)!.addSide(delta.side);
    query.merger.apply(delta, this.nowMs);
    query.merger.tick(this.nowMs);
  }

  #emit(query: Query): void {
    query.merger.tick(this.nowMs);
    const rows = query.merger.takeRows();
    const told = this.told.get(query.plan.id)!;
    told.addFailures(query.merger.takeFailures());
    if (!rows) return;
    assert.equal(query.inFlight, undefined, 'rows leave one batch at a time');
    told.changelog.add(rows);
    query.inFlight = rows;
  }

  #acknowledge(query: Query): void {
    if (!query.inFlight) return;
    const {sequence} = query.inFlight;
    query.inFlight = undefined;
    this.#mark(query, query.merger.acknowledge(sequence));
  }

  async #checkpoint(query: Query): Promise<void> {
    const {store, random} = this.#options;
    if (!query.merger.wantsCheckpoint()) return;
    const copy = query.merger.checkpoint();
    const {epoch} = copy.header;
    this.checkpoints++;
    // The engine goes on while the copy is being written.
    if (random.int(2) === 0) await this.#read();
    if (random.int(2) === 0) this.#deliver(query);
    if (random.int(2) === 0) this.#emit(query);
    await store.commit(commitOf(query.plan, copy));
    // Durable, but nobody has heard of it.
    if (this.#crashing && random.int(3) === 0) return this.crash();
    this.#mark(query, query.merger.committed(epoch, store.sizeBytes(stateName(query.plan))));
  }

  #mark(query: Query, epoch: number | undefined): void {
    if (epoch === undefined) return;
    this.told.get(query.plan.id)!.markedEpoch = epoch;
    this.#mark(query, query.merger.marked(epoch));
  }

  #endGeneration(worker: number): void {
    for (const query of this.#queries)
      query.deltas[worker]!.push(structuredClone(query.kernels[worker]!.take({endGeneration: true})));
    for (const decoder of this.#workers[worker]!.decoders.values()) decoder.endGeneration();
  }
}
