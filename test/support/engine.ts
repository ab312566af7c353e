/** The real engine over a log of a test: inline, where a crash is to drop it between two turns, or in threads. */
import {rmSync} from 'node:fs';
import type {Clock} from '../../src/clock.ts';
import {createEngine, createInlineEngine, type InlineEngine} from '../../src/process/embedded/engine.ts';
import type {EngineOptions} from '../../src/process/embedded/engine-options.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {LookupSnapshot, QueryCounts, QueryStatus} from '../../src/process/types.ts';
import type {KafkaMirror} from './kafka-mirror.ts';
import type {EventLog} from './log.ts';
import {scratchDir} from './scratch.ts';
import {Told} from './told.ts';

export type RunningOptions = {
  plans: QueryPlan[];
  log: EventLog;
  lookups?: LookupSnapshot[];
  workers: number;
  clock?: Clock;
  threads?: boolean;
  /** The log is read from there. */
  kafka?: KafkaMirror;
};

export class Running {
  readonly told = new Map<string, Told>();
  readonly #options: RunningOptions;
  readonly #stateDir = scratchDir('state');
  #engine!: InlineEngine;
  #counts = new Map<string, QueryCounts[]>();

  constructor(options: RunningOptions) {
    this.#options = options;
    for (const plan of options.plans) this.told.set(plan.id, new Told(plan));
  }

  /** @param kafka null: from the directory, whatever it was before */
  async start(
    workers = this.#options.workers,
    kafka: KafkaMirror | null = this.#options.kafka ?? null,
  ): Promise<void> {
    const {plans, log, lookups = [], clock, threads = false} = this.#options;
    await kafka?.ship();
    const options: EngineOptions = {
      log: kafka ? {dir: '/nowhere', kafka: kafka.settings} : {dir: log.dir, counter: log.counter},
      stateDir: this.#stateDir,
      schemas: [...log.schemas].map(([id, schema]) => ({id, schema, subject: `s${id}`, version: 1})),
      workers,
      flushMs: 1,
      checkpointIntervalMs: 20,
      lookup: async (_, name) => lookups.find((snapshot) => snapshot.name === name),
      marked: async (plan) => this.told.get(plan.id)!.markedEpoch,
      onRows: (rows) => {
        this.told.get(rows.query)!.changelog.add(rows);
        engine.acknowledge(rows.query, rows.sequence);
      },
      onMark: (query, epoch) => {
        this.told.get(query)!.markedEpoch = epoch;
        engine.marked(query, epoch);
      },
      onSide: (plan, {records, failures}, durable) => {
        const told = this.told.get(plan.id)!;
        told.addSide(records);
        told.addFailures(failures);
        durable();
      },
      onStatus: (status) => {
        for (const {query, counts} of status) this.#counts.set(query, counts);
      },
      ...(clock ? {clock} : {}),
    };
    const engine = (threads ? createEngine(options) : createInlineEngine(options)) as InlineEngine;
    this.#engine = engine;
    await engine.start(plans);
  }

  /** A few turns, after which much is under way. */
  async turns(count: number): Promise<void> {
    await this.#options.kafka?.ship();
    for (let turn = 0; turn < count; turn++) await this.#engine.turn();
  }

  /** Everything that was appended is in rows, acknowledged, marked and in a checkpoint. */
  async settle(): Promise<void> {
    await this.#options.kafka?.ship();
    if (!this.#options.threads) await this.#engine.settle();
    else {
      const wanted = this.#options.log.naive.length + this.#options.log.broken.length;
      while (!this.#hasRead(wanted)) await new Promise((resolve) => setTimeout(resolve, 20));
      await this.#engine.drain();
    }
    for (const {state, query, reason} of this.#engine.status())
      if (state !== 'running') throw new Error(`${query} is ${state}: ${reason?.code} ${reason?.message}`);
  }

  /** In threads: whether every query says that nothing is left to read. */
  #hasRead(wanted: number): boolean {
    const status = this.#engine.status();
    return (
      status.length === this.#options.plans.length &&
      status.every(
        ({lagEvents, counts, settled}) =>
          settled === true && lagEvents === 0 && (counts.length > 0 || wanted === 0),
      )
    );
  }

  /** Whether everything that was read is settled, after so long at the latest. */
  drain(withinMs?: number): Promise<boolean> {
    return this.#engine.drain(withinMs);
  }

  status(): QueryStatus[] {
    return this.#engine.status();
  }

  /** What is in memory is gone; `start` begins again from log and checkpoints. */
  stop(): Promise<void> {
    return this.#engine.stop();
  }

  counts(id: string): QueryCounts[] {
    return this.#counts.get(id) ?? [];
  }

  /** What is in memory is gone, and everything begins again from log and checkpoints. */
  async crash(workers?: number): Promise<void> {
    await this.#engine.stop();
    await this.start(workers);
  }

  async close(): Promise<void> {
    await this.#engine.stop();
    rmSync(this.#stateDir, {recursive: true});
  }
}
