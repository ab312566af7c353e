/** A merger with a real store and a sink that keeps the highest version of a key: what the engine's tests stand on. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Value} from '../../../src/expr/types.ts';
import {queryTable} from '../../../src/model/tables.ts';
import type {Aggregation} from '../../../src/model/types.ts';
import {commitOf, readCheckpoint, stateName} from '../../../src/process/embedded/checkpoint.ts';
import {Merger} from '../../../src/process/embedded/merger.ts';
import {
  openStateStore,
  type StateStore,
  startCheckpointWriter,
} from '../../../src/process/embedded/statestore.ts';
import type {Delta} from '../../../src/process/embedded/types.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import type {EmittedRows} from '../../../src/process/types.ts';

export const minute = 60_000;

/** count(*), sum(amount): long, group by country. `more` replaces what a test is about. */
export function planOf(more: Partial<QueryPlan> = {}): QueryPlan {
  const plan: QueryPlan = {
    domain: 'shop',
    query: 'revenue',
    id: 'shop.revenue',
    revision: 1,
    fingerprint: 'as it was',
    sources: [{topic: 'shop.purchase', eventType: 'purchase', fields: [], derive: [], enrich: []}],
    where: null,
    watermarkMs: 0,
    futureMaxMs: 60 * minute,
    late: 'correct',
    correctForMs: 60 * minute,
    idleMs: 30_000,
    window: {type: 'tumbling', sizeMs: minute},
    tzdata: null,
    groupBy: [{name: 'country', column: 'country', type: 'string'}],
    accumulators: [
      {op: 'count', filter: null, arg: null},
      {op: 'sum', arg: {kind: 'column', type: 'long', name: 'amount'}, type: 'long'},
    ],
    measures: [
      {name: 'orders', column: 'orders', type: 'long', fn: 'value', accumulator: 0},
      {name: 'total', column: 'total', type: 'long', fn: 'sum', sum: 1, count: 0, argType: 'long'},
    ],
    emit: 'change',
    table: {namespace: 'shop', name: 'revenue__r1', kind: 'query', columns: [], key: []},
    sinks: ['analytics'],
    limits: {groups: 1000, memoryBytes: 2 ** 28, stateDiskBytes: 2 ** 28},
    ...more,
  };
  const measures = plan.measures.map(({name, column, type}) => ({name, column, type, fn: 'sum'}));
  const aggregation = {domain: 'shop', name: 'revenue', groupBy: plan.groupBy, measures};
  return {...plan, table: queryTable(aggregation as unknown as Aggregation, plan.revision)};
}

export type HandDelta = {
  /** [partition, offset, maxTimeMs] */
  cuts?: [number, number, number][];
  panes?: {startMs: number; endMs?: number; own?: boolean; rows: [Value, ...(number | bigint)[]][]}[];
  sessions?: [group: Value, startMs: number, lastMs: number, ...cells: number[]][];
};

let generation = 0;

/** A kernel's delta, written by hand; groups by one dimension. Every delta is a generation of its own. */
export function deltaOf(hand: HandDelta, topic = 'shop.purchase', worker = 0): Delta {
  const values: Value[] = [];
  const idOf = (value: Value) => (values.includes(value) ? values.indexOf(value) : values.push(value) - 1);
  const counts = {
    read: 0,
    aggregated: 0,
    corrected: 0,
    lateInPart: 0,
    filtered: 0,
    duplicate: 0,
    late: 0,
    dead: 0,
  };
  return {
    query: 'shop.revenue',
    worker,
    generation: ++generation,
    firstGroup: 0,
    panes: (hand.panes ?? []).map(({startMs, endMs = startMs + minute, own = false, rows}) => {
      const wide = new Map<number, bigint>();
      const cells = rows.flatMap(([, ...row], index) =>
        row.map((cell, at) => {
          if (typeof cell === 'number') return cell;
          wide.set(index * row.length + at, cell);
          return 12345;
        }),
      );
      const groups = Int32Array.from(rows, ([group]) => idOf(group));
      return {own, startMs, endMs, groups, cells: Float64Array.from(cells), wide, objects: []};
    }),
    sessions: (hand.sessions ?? []).map(([group, startMs, lastMs, ...cells]) => ({
      group: idOf(group),
      startMs,
      lastMs,
      cells: Float64Array.from(cells),
      wide: new Map(),
      objects: [],
    })),
    newGroups: [values],
    cuts: (hand.cuts ?? []).map(([partition, offset, maxTimeMs]) => ({
      topic,
      partition,
      offset,
      maxTimeMs,
      ...counts,
    })),
    side: [],
  };
}

export type Row = Record<string, Value> & {version?: Value; deleted?: Value; window_start?: Value};

/** What a sink holds: the row with the highest version of each key. */
export class Table {
  rows = new Map<string, Row>();
  writes = 0;
  markedEpoch = 0;
  #plan: QueryPlan;

  constructor(plan: QueryPlan) {
    this.#plan = plan;
  }

  upsert({count, columns}: EmittedRows): void {
    const names = this.#plan.table.columns.map(({name}) => name);
    assert.equal(columns.length, names.length);
    for (let index = 0; index < count; index++) {
      const row = Object.fromEntries(names.map((name, column) => [name, columns[column]![index]!]));
      const key = JSON.stringify(this.#plan.table.key.map((name) => row[name]));
      const known = this.rows.get(key);
      if (!known || row.version! > known.version!) this.rows.set(key, row);
      this.writes++;
    }
  }

  /** Rows that a reader sees, as [window_start in minutes, ...columns], in order of the key. */
  read(...columns: string[]): Value[][] {
    return [...this.rows]
      .filter(([, row]) => row.deleted === false)
      .sort(([a, x], [b, y]) => Number(x.window_start) - Number(y.window_start) || (a < b ? -1 : 1))
      .map(([, row]) => [Number(row.window_start) / minute, ...columns.map((name) => row[name]!)]);
  }
}

export class Rig {
  plan: QueryPlan;
  merger!: Merger;
  table: Table;
  store!: StateStore;
  nowMs = 0;
  partitions: number;
  #options: {leavingMin?: number} = {};
  #dir = mkdtempSync(join(tmpdir(), 'millrace-merger-'));
  #writer!: Awaited<ReturnType<typeof startCheckpointWriter>>;

  constructor(plan: QueryPlan, partitions: number) {
    this.plan = plan;
    this.partitions = partitions;
    this.table = new Table(plan);
  }

  /** @param leavingMin see `MergerOptions` */
  static async open(plan: QueryPlan, partitions = 1, leavingMin?: number): Promise<Rig> {
    const rig = new Rig(plan, partitions);
    if (leavingMin !== undefined) rig.#options = {leavingMin};
    rig.#writer = await startCheckpointWriter(rig.#dir);
    rig.store = openStateStore(rig.#dir, rig.#writer.connect());
    rig.restart();
    await rig.checkpoint();
    return rig;
  }

  /** Forgets what is in memory; the state is that of the last checkpoint. */
  restart(): void {
    const saved = readCheckpoint(this.store, this.plan);
    this.merger = new Merger({
      ...this.#options,
      plan: this.plan,
      places: Array.from({length: this.partitions}, (_, partition) => ({
        topic: 'shop.purchase',
        partition,
        startOffset: 0,
      })),
      nowMs: this.nowMs,
      saved,
      read: (key) => this.store.get(stateName(this.plan), key),
    });
  }

  apply(hand: HandDelta): this {
    this.merger.apply(deltaOf(hand), this.nowMs);
    this.merger.tick(this.nowMs);
    return this;
  }

  /** Everything that may leave goes to the table, is acknowledged and marked. @returns rows written */
  flush(): number {
    this.merger.tick(this.nowMs);
    const before = this.table.writes;
    for (let rows = this.merger.takeRows(); rows; rows = this.merger.takeRows()) {
      this.table.upsert(rows);
      this.#mark(this.merger.acknowledge(rows.sequence));
    }
    return this.table.writes - before;
  }

  async checkpoint(): Promise<void> {
    const copy = this.merger.checkpoint();
    const {epoch} = copy.header;
    await this.store.commit(commitOf(this.plan, copy));
    this.#mark(this.merger.committed(epoch, this.store.sizeBytes(stateName(this.plan))));
  }

  /** Checkpoints and flushes until nothing more is to say. */
  async settle(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      this.flush();
      if (!this.merger.wantsCheckpoint()) return;
      await this.checkpoint();
    }
    assert.fail('it never settles');
  }

  keys(prefix: string): string[] {
    return this.store.keys(stateName(this.plan)).filter((key) => key.startsWith(prefix));
  }

  async close(): Promise<void> {
    this.store.close();
    await this.#writer.close();
    rmSync(this.#dir, {recursive: true});
  }

  #mark(epoch: number | undefined): void {
    if (epoch === undefined) return;
    this.table.markedEpoch = epoch;
    this.#mark(this.merger.marked(epoch));
  }
}
