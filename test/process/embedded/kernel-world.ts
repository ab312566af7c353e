/** A small domain for tests of the kernel: events as objects, encoded, decoded and aggregated, and deltas added up to rows. */
import assert from 'node:assert/strict';
import {checkExpr} from '../../../src/expr/check.ts';
import {parseMeasures} from '../../../src/expr/measure.ts';
import {parseExpr} from '../../../src/expr/parse.ts';
import type {ExprScope, TypedExpr, Value, ValueType} from '../../../src/expr/types.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import type {Aggregation, Domain, EventType, Field, Lookup, WindowSpec} from '../../../src/model/types.ts';
import {distinctCount, mergeObjects, quantileOf} from '../../../src/process/embedded/accumulators.ts';
import {createTopicDecoder, type TopicDecoder} from '../../../src/process/embedded/decode.ts';
import {createKernel, type Kernel} from '../../../src/process/embedded/kernel.ts';
import type {AccumulatorObject, Delta} from '../../../src/process/embedded/types.ts';
import type {NaiveEvent} from '../../../src/process/naive.ts';
import {buildPlan} from '../../../src/process/plan/build.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import type {LookupSnapshot} from '../../../src/process/types.ts';
import {avroSchema} from '../../../src/schema/avro.ts';
import {compileEncoder} from '../../../src/schema/encode.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import type {AvroSchema} from '../../../src/schema/types.ts';
import {field} from '../../support/fields.ts';

export type EventOptions = {
  derive?: Record<string, string>;
  enrich?: EventType['enrich'];
  checks?: Record<string, string>;
};

/** An event type of the domain `shop`; event_id and timestamp come first. */
export function eventType(
  name: string,
  fields: Field[],
  {derive = {}, enrich = [], checks = {}}: EventOptions = {},
): EventType {
  const all = [
    field('event_id', 'string', {role: 'id', required: true}),
    field('timestamp', 'timestamp', {role: 'time', required: true}),
    ...fields,
  ];
  const type: EventType = {
    domain: 'shop',
    name,
    topic: `shop.${name}`,
    key: 'event_id',
    fields: all,
    derive: [],
    enrich,
    checks: [],
  };
  for (const [column, text] of Object.entries(derive)) {
    const {typed, type: of} = check(text, scopeOf([{...type, enrich: []}]));
    type.derive.push({name: column, type: of, expr: typed, text});
  }
  for (const [called, text] of Object.entries(checks))
    type.checks.push({name: called, expr: check(text, scopeOf([{...type, enrich: []}])).typed, text});
  return type;
}

export function scopeOf(types: EventType[]): ExprScope {
  const scope = new Map<string, {type: ValueType; symbols?: readonly string[]}>([
    ['event_type', {type: 'string'}],
  ]);
  for (const {fields, derive, enrich} of types) {
    for (const {name, type, symbols} of fields) scope.set(name, symbols ? {type, symbols} : {type});
    for (const {name, type} of derive) scope.set(name, {type});
    for (const {take} of enrich) for (const {name, type} of take) scope.set(name, {type});
  }
  return scope;
}

export function check(text: string, scope: ExprScope): {typed: TypedExpr; type: ValueType} {
  const parsed = parseExpr(text);
  assert.ok(parsed.ok, text);
  const checked = checkExpr(parsed.expr, scope);
  assert.ok(checked.ok, `${text}: ${JSON.stringify(checked)}`);
  return {typed: checked.typed, type: checked.type as ValueType};
}

export type QueryOptions = {
  name?: string;
  where?: string;
  window?: WindowSpec;
  groupBy?: string[];
  measures?: Record<string, string>;
  watermarkMs?: number;
  late?: Aggregation['late'];
  correctForMs?: number;
  lookups?: Lookup[];
};

export function planOf(types: EventType[], options: QueryOptions): QueryPlan {
  const scope = scopeOf(types);
  const texts = new Map(Object.entries(options.measures ?? {events_seen: 'count()'}));
  const parsed = parseMeasures(texts, scope);
  assert.deepEqual(parsed.problems, []);
  const aggregation: Aggregation = {
    domain: 'shop',
    name: options.name ?? 'q',
    from: types.map(({name}) => name),
    where: options.where === undefined ? null : check(options.where, scope).typed,
    window: options.window ?? {type: 'tumbling', sizeMs: 60_000},
    groupBy: (options.groupBy ?? []).map((name) => ({name, column: name, type: scope.get(name)!.type})),
    measures: parsed.measures.map((measure) => ({
      ...measure,
      column: measure.name,
    })) as Aggregation['measures'],
    watermarkMs: options.watermarkMs ?? 0,
    late: options.late ?? 'correct',
    dedupMs: null,
    correctForMs: options.correctForMs ?? 86_400_000,
    idleMs: 30_000,
    emit: 'change',
    onTrimmed: 'stop',
    sinks: [],
    limits: {groups: 1e6, memoryBytes: 1e9, stateDiskBytes: 1e9},
  };
  const domain = {
    name: 'shop',
    eventTypes: types,
    lookups: options.lookups ?? [],
    defaults: {futureMaxMs: 3_600_000},
  } as unknown as Domain;
  return buildPlan(domain, aggregation);
}

/** A logged event: values by field name; its place is given when it is appended. */
export type Logged = {
  type: EventType;
  partition: number;
  values: Record<string, Value>;
  /** Another program appended it. */
  isUnchecked?: boolean;
};

/** Schema ids of event types: 1, 2, ... in order. */
export type World = {
  types: EventType[];
  schemas: Map<number, AvroSchema>;
  frame(event: Logged): Uint8Array;
  /** One batch of events of one (topic, partition). */
  batch(events: Logged[], baseOffset: number, appendTimeMs?: number): RecordBatch;
  decoder(topic: string, plans: QueryPlan[]): TopicDecoder;
};

export function createWorld(types: EventType[]): World {
  const schemas = new Map<number, AvroSchema>(types.map((type, index) => [index + 1, avroSchema(type)]));
  const encoders = types.map((type, index) => compileEncoder(avroSchema(type), index + 1));
  const frame = ({type, values}: Logged): Uint8Array => {
    const row = type.fields.map(({name}) => values[name] ?? null);
    const encoder = encoders[types.indexOf(type)]!;
    const buffer = new Uint8Array(encoder.sizeMax(row));
    return buffer.slice(0, encoder.encode(row, buffer, 0));
  };
  return {
    types,
    schemas,
    frame,
    batch: (events, baseOffset, appendTimeMs = 0) => ({
      ...batchOf(events[0]!.type.topic, events[0]!.partition, baseOffset, events.map(frame)),
      ...(events[0]!.isUnchecked ? {isUnchecked: true} : {}),
      appendTimeMs,
    }),
    decoder: (topic, plans) => createTopicDecoder(topic, plans, (id) => schemas.get(id)),
  };
}

export const batchOf = (
  topic: string,
  partition: number,
  baseOffset: number,
  frames: Uint8Array[],
): RecordBatch => ({
  topic,
  partition,
  baseOffset,
  count: frames.length,
  appendTimeMs: 0,
  kind: 'data',
  bytes: packRecords(frames),
});

/** @param appendTimeMs of all of them; 0: not known */
export function naiveEvents(events: Logged[], appendTimeMs = 0): NaiveEvent[] {
  const next = new Map<string, number>();
  return events.map(({type, partition, values, isUnchecked = false}) => {
    const place = `${type.topic}/${partition}`;
    const offset = next.get(place) ?? 0;
    next.set(place, offset + 1);
    const appended = appendTimeMs > 0 ? {appendTimeMs} : {};
    return {topic: type.topic, partition, offset, values, isUnchecked, ...appended};
  });
}

export type RunOptions = {
  /** Events a batch at most; a batch ends where topic, partition or who appended it changes. */
  batchSize?: (index: number) => number;
  /** Whether to take after a batch, and how. */
  takeAfter?: (index: number) => {endGeneration?: boolean} | undefined;
  lookups?: LookupSnapshot[];
  /** Of all batches; 0: not known. */
  appendTimeMs?: number;
};

/** Runs kernels of all plans over the events, with shared decoders. @returns the deltas of each plan. */
export function run(world: World, plans: QueryPlan[], events: Logged[], options: RunOptions = {}): Delta[][] {
  const readersOf = (topic: string) =>
    plans.filter(({sources}) => sources.some((source) => source.topic === topic));
  const decoders = new Map<string, TopicDecoder>();
  for (const {topic} of world.types)
    if (readersOf(topic).length > 0) decoders.set(topic, world.decoder(topic, readersOf(topic)));
  const kernels = plans.map((plan) =>
    createKernel({plan, worker: 0, decoders, lookups: options.lookups ?? []}),
  );
  const deltas: Delta[][] = plans.map(() => []);
  const offsets = new Map<string, number>();
  const open = (kernel: Kernel, topic: string, partition: number) => {
    if (kernel.plan.sources.some((source) => source.topic === topic))
      kernel.open(topic, partition, 0, -Infinity);
  };
  let index = 0;
  for (let from = 0; from < events.length; index++) {
    const {type, partition} = events[from]!;
    const size = options.batchSize?.(index) ?? 100;
    let to = from + 1;
    while (
      to < events.length &&
      to - from < size &&
      events[to]!.type === type &&
      events[to]!.partition === partition &&
      events[to]!.isUnchecked === events[from]!.isUnchecked
    )
      to++;
    const place = `${type.topic}/${partition}`;
    if (!offsets.has(place)) for (const kernel of kernels) open(kernel, type.topic, partition);
    const offset = offsets.get(place) ?? 0;
    const decoded = decoders
      .get(type.topic)
      ?.decode(world.batch(events.slice(from, to), offset, options.appendTimeMs), offset);
    for (const kernel of kernels) if (readersOf(type.topic).includes(kernel.plan)) kernel.process(decoded!);
    offsets.set(place, offset + to - from);
    const take = options.takeAfter?.(index);
    if (take) {
      for (const [k, kernel] of kernels.entries()) deltas[k]!.push(structuredClone(kernel.take(take)));
      if (take.endGeneration) for (const each of decoders.values()) each.endGeneration();
    }
    from = to;
  }
  for (const [k, kernel] of kernels.entries()) deltas[k]!.push(structuredClone(kernel.take()));
  return deltas;
}

type State = {
  startMs: number;
  endMs: number;
  dimensions: Value[];
  cells: Value[];
  objects: (AccumulatorObject | null)[];
};

/** Adds deltas up to the rows they stand for, by obvious means. Keys as `keyOfRow`. */
export function rowsOf(plan: QueryPlan, deltas: Delta[]): Map<string, Record<string, Value>> {
  const states = new Map<string, State>();
  const sessions: State[] = [];
  const groups = new Map<number, Value[][]>();
  for (const delta of deltas) {
    const known = groups.get(delta.generation) ?? [];
    groups.set(delta.generation, known);
    const count = plan.groupBy.length > 0 ? delta.newGroups[0]!.length : 0;
    assert.ok(plan.groupBy.length === 0 || delta.firstGroup === known.length, 'groups come in order');
    for (let k = 0; k < count; k++) known.push(delta.newGroups.map((values) => values[k]!));
    const dimensionsOf = (group: number) => (plan.groupBy.length > 0 ? known[group]! : []);
    const stride = plan.accumulators.filter(({op}) => ['count', 'sum', 'min', 'max'].includes(op)).length;
    for (const pane of delta.panes)
      pane.groups.forEach((group, slot) => {
        const cells = Array.from({length: stride}, (_, i): Value => cellOf(pane, slot * stride + i));
        const objects = pane.objects.map((column) => column[slot]!);
        for (const [startMs, endMs] of windowsOfPane(plan, pane)) {
          const dimensions = dimensionsOf(group);
          const key = `${startMs} ${keyOf(dimensions)}`;
          const state = {startMs, endMs, dimensions, cells, objects};
          states.set(key, merged(plan, states.get(key), state));
        }
      });
    for (const {group, startMs, lastMs, cells, wide, objects} of delta.sessions) {
      assert.equal(plan.window.type, 'session');
      const values = Array.from({length: stride}, (_, i): Value => cellOf({cells, wide}, i));
      sessions.push({startMs, endMs: lastMs, dimensions: dimensionsOf(group), cells: values, objects});
    }
  }
  if (plan.window.type === 'session') joinSessions(plan, sessions, plan.window.gapMs, states);
  return new Map(
    [...states.values()].map((state) => [
      `${state.startMs} ${state.endMs} ${keyOf(state.dimensions)}`,
      rowOf(plan, state),
    ]),
  );
}

function joinSessions(plan: QueryPlan, all: State[], gapMs: number, into: Map<string, State>): void {
  const byGroup = new Map<string, State[]>();
  for (const session of all) {
    const key = keyOf(session.dimensions);
    byGroup.set(key, [...(byGroup.get(key) ?? []), session]);
  }
  for (const [key, sessions] of byGroup) {
    let open: State | undefined;
    const close = () => open && into.set(`${open.startMs} ${key}`, {...open, endMs: open.endMs + gapMs});
    for (const session of sessions.sort((a, b) => a.startMs - b.startMs)) {
      if (open && session.startMs <= open.endMs + gapMs)
        open = {
          ...merged(plan, open, session),
          startMs: open.startMs,
          endMs: Math.max(open.endMs, session.endMs),
        };
      else {
        close();
        open = session;
      }
    }
    close();
  }
}

const cellOf = ({cells, wide}: {cells: Float64Array; wide: Map<number, bigint>}, index: number): Value => {
  const exact = wide.get(index);
  if (exact !== undefined) return exact;
  return Number.isNaN(cells[index]) ? null : cells[index]!;
};

function windowsOfPane(
  plan: QueryPlan,
  {own, startMs, endMs}: {own: boolean; startMs: number; endMs: number},
): [number, number][] {
  const {window} = plan;
  if (own || window.type !== 'sliding') return [[startMs, endMs]];
  const windows: [number, number][] = [];
  for (let end = endMs; end - window.sizeMs <= startMs; end += window.slideMs)
    windows.push([end - window.sizeMs, end]);
  return windows;
}

function merged(plan: QueryPlan, a: State | undefined, b: State): State {
  if (!a) return b;
  const ops = plan.accumulators.filter(({op}) => ['count', 'sum', 'min', 'max'].includes(op));
  const cells = ops.map((accumulator, i): Value => {
    const [left, right] = [a.cells[i]!, b.cells[i]!];
    if (left === null || right === null) return left ?? right;
    if (accumulator.op === 'min' || accumulator.op === 'max')
      return left < right === (accumulator.op === 'min') ? left : right;
    if (accumulator.op === 'sum' && accumulator.type === 'double') return Number(left) + Number(right);
    return small(BigInt(left as number) + BigInt(right as number));
  });
  return {...a, cells, objects: a.objects.map((object, i) => mergeObjects(object, b.objects[i]!))};
}

export const small = (value: bigint): number | bigint =>
  value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;

function rowOf(plan: QueryPlan, {cells, objects}: State): Record<string, Value> {
  const row: Record<string, Value> = {};
  const isCell = plan.accumulators.map(({op}) => ['count', 'sum', 'min', 'max'].includes(op));
  const place = (k: number) => isCell.slice(0, k).filter((cell) => cell === isCell[k]).length;
  const accumulated = (k: number): Value => {
    if (isCell[k]) return cells[place(k)]!;
    const object = objects[place(k)]!;
    if (object === null) return plan.accumulators[k]!.op === 'distinct' ? 0 : null;
    if (object.op === 'distinct') return distinctCount(object);
    return object.op === 'quantile' ? null : object.value;
  };
  for (const measure of plan.measures) {
    if (measure.fn === 'value') row[measure.column] = accumulated(measure.accumulator);
    const unit = 'argType' in measure && measure.argType === 'money' ? 100 : 1;
    if (measure.fn === 'quantile') {
      const object = objects[place(measure.accumulator)]!;
      row[measure.column] = object?.op === 'quantile' ? quantileOf(object, measure.q)! / unit : null;
    }
    if (measure.fn === 'sum' || measure.fn === 'avg') {
      const count = accumulated(measure.count) as number;
      const sum = accumulated(measure.sum);
      row[measure.column] =
        count === 0 ? null : measure.fn === 'sum' ? int64(sum) : Number(sum) / count / unit;
    }
  }
  return {...row, events: accumulated(0)};
}

const int64 = (value: Value): Value =>
  typeof value === 'bigint' && BigInt.asIntN(64, value) !== value ? null : value;

/** Dimension values as text that tells types and NULL apart. */
export const keyOf = (values: Value[]): string =>
  JSON.stringify(values.map((value) => (value === null ? null : `${typeof value} ${value}`)));
