/** A real log, a real checkpoint store, the engine turned by hand, and tables that keep the highest version of a key. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {TestContext} from 'node:test';
import {type TestClock, testClock} from '../../../src/clock.ts';
import type {Value} from '../../../src/expr/types.ts';
import {openLogWriter} from '../../../src/log/embedded.ts';
import type {Append, LogWriter} from '../../../src/log/types.ts';
import type {EventType} from '../../../src/model/types.ts';
import {createInlineEngine, type InlineEngine} from '../../../src/process/embedded/engine.ts';
import type {EngineOptions} from '../../../src/process/embedded/engine-options.ts';
import type {SideOutput} from '../../../src/process/embedded/worker-messages.ts';
import {type NaiveEvent, naive} from '../../../src/process/naive.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import type {EmittedRows, LookupSnapshot, QueryStatus} from '../../../src/process/types.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import {createWorld, type Logged, type World} from './kernel-world.ts';
import {Table} from './rig.ts';

export type EngineRigOptions = {
  partitions?: number;
  workers?: number;
  lookups?: LookupSnapshot[];
  /** Without it the engine knows the schemas of the world's event types alone. */
  schemaOf?: EngineOptions['schemaOf'];
};

export class EngineRig {
  engine!: InlineEngine;
  readonly tables = new Map<string, Table>();
  readonly side: {query: string; output: SideOutput}[] = [];
  readonly clock: TestClock = testClock(0);
  readonly resets: string[] = [];
  plans: QueryPlan[];
  workers: number;
  /** Rows are acknowledged at once unless a query is in here; then they wait in `unacknowledged`. */
  readonly stuck = new Set<string>();
  readonly unacknowledged: EmittedRows[] = [];
  lookups: LookupSnapshot[];
  log: LogWriter;
  /** What `check` takes for the engine's status when another process ran it. */
  status: QueryStatus[] | undefined;
  #world: World;
  #schemaOf: EngineOptions['schemaOf'];
  #dir = mkdtempSync(join(tmpdir(), 'millrace-engine-'));
  #events: NaiveEvent[] = [];
  #offsets = new Map<string, number>();

  constructor(t: TestContext, types: EventType[], plans: QueryPlan[], options: EngineRigOptions = {}) {
    this.#world = createWorld(types);
    this.plans = plans;
    this.workers = options.workers ?? 1;
    this.lookups = options.lookups ?? [];
    this.#schemaOf = options.schemaOf;
    this.log = openLogWriter(join(this.#dir, 'log'));
    for (const {topic} of types) this.log.ensureTopic(topic, options.partitions ?? 1);
    for (const plan of plans) this.tables.set(plan.id, new Table(plan));
    t.after(async () => {
      await this.engine?.stop();
      await this.log.close();
      rmSync(this.#dir, {recursive: true});
    });
  }

  get logDir(): string {
    return join(this.#dir, 'log');
  }

  get stateDir(): string {
    return join(this.#dir, 'state');
  }

  /** Appends events in one transaction, one batch for each run of one (topic, partition). */
  async append(events: Logged[]): Promise<void> {
    const appends: Append[] = [];
    for (let from = 0; from < events.length; ) {
      const {type, partition} = events[from]!;
      let to = from + 1;
      while (events[to]?.type === type && events[to]?.partition === partition) to++;
      const batch = events.slice(from, to);
      const bytes = packRecords(batch.map((event) => this.#world.frame(event)));
      appends.push({topic: type.topic, partition, count: batch.length, bytes});
      for (const {values} of batch) this.#note(type.topic, partition, values);
      from = to;
    }
    await this.log.append({appends});
  }

  async mark(topic: string, partition: number, timeMs: number): Promise<void> {
    await this.log.append({appends: [], marks: [{topic, partition, timeMs}]});
    this.#note(topic, partition, {timestamp: timeMs}, true);
  }

  options(): EngineOptions {
    return {
      log: {dir: this.logDir},
      stateDir: this.stateDir,
      schemas: [...this.#world.schemas].map(([id, schema]) => ({id, subject: '', version: 1, schema})),
      ...(this.#schemaOf ? {schemaOf: this.#schemaOf} : {}),
      workers: this.workers,
      flushMs: 0,
      checkpointIntervalMs: 0,
      clock: this.clock,
      lookup: async (_domain, name, id) =>
        this.lookups.findLast((snapshot) => snapshot.name === name && (id === null || snapshot.id === id)),
      marked: async (plan) => this.tables.get(plan.id)!.markedEpoch || undefined,
      onReset: async (plan) => {
        this.resets.push(plan.id);
        this.tables.get(plan.id)!.rows.clear();
      },
      onRows: (rows) => {
        if (this.stuck.has(rows.query)) this.unacknowledged.push(rows);
        else this.deliver(rows);
      },
      onMark: (query, epoch) => {
        this.tables.get(query)!.markedEpoch = epoch;
        this.engine.marked(query, epoch);
      },
      onSide: (plan, output, durable) => {
        this.side.push({query: plan.id, output});
        durable();
      },
    };
  }

  deliver(rows: EmittedRows): void {
    this.tables.get(rows.query)!.upsert(rows);
    this.engine.acknowledge(rows.query, rows.sequence);
  }

  async start(): Promise<void> {
    this.engine = createInlineEngine(this.options());
    await this.engine.start(this.plans);
  }

  /** Ends the engine without a word, and starts it again. */
  async crash(): Promise<void> {
    await this.engine.stop();
    this.unacknowledged.length = 0;
    await this.start();
  }

  /** Every table equals what the naive evaluator says of the log. */
  check(): void {
    for (const plan of this.plans) {
      const expected = naive(plan, this.#events, new Map(this.lookups.map((each) => [each.name, each])));
      assert.deepEqual(
        comparable(plan, this.tables.get(plan.id)!),
        sorted(expected.rows.map(stable)),
        plan.id,
      );
      assert.ok(expected.rows.length > 0);
      const status = (this.status ?? this.engine.status()).find(({query}) => query === plan.id)!;
      const counts = status.counts.filter(({read}) => read > 0);
      const order = (all: typeof counts) => [...all].sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
      const naiveCounts = expected.counts.filter(({read}) => read > 0);
      assert.deepEqual(order(counts), order(naiveCounts), `ledger of ${plan.id}`);
    }
  }

  /** Places of the events that are late for all windows. */
  lateOf(plan: QueryPlan): [string, number, number][] {
    const {late} = naive(plan, this.#events);
    return late.map(({topic, partition, offset}) => [topic, partition, offset]);
  }

  #note(topic: string, partition: number, values: Record<string, Value>, mark = false): void {
    const place = `${topic}/${partition}`;
    const offset = this.#offsets.get(place) ?? 0;
    this.#offsets.set(place, offset + 1);
    this.#events.push({topic, partition, offset, values, ...(mark ? {mark} : {})});
  }
}

const placeOf = ({topic, partition}: {topic: string; partition: number}) => `${topic}/${partition}`;
const sorted = (rows: string[]): string[] => rows.sort();

/** A row as text, without what says how far the engine is: closed, deleted, version's last bit. */
function stable(row: Record<string, Value>): string {
  const {closed: _closed, deleted: _deleted, version, ...rest} = row;
  const all = {...rest, version: Math.floor(Number(version) / 2)};
  return JSON.stringify(all, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value));
}

function comparable(plan: QueryPlan, table: Table): string[] {
  const names = plan.table.columns.map(({name}) => name);
  return sorted(
    [...table.rows.values()]
      .filter(({deleted}) => deleted === false)
      .map((row) => stable(Object.fromEntries(names.map((name) => [name, row[name]!])))),
  );
}
