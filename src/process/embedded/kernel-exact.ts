import {evaluate, type Get} from '../../expr/evaluate.ts';
import {ExpressionFailure} from '../../expr/failure.ts';
import type {Value} from '../../expr/types.ts';
import type {AccumulatorPlan, QueryPlan} from '../plan/nodes.ts';
import {addQuantile, createQuantile, isBetter, tokenOfValue} from './accumulators.ts';
import type {DecodedBatch, SpecialRow} from './decode.ts';
import type {KernelSource} from './kernel.ts';
import type {Keys} from './kernel-keys.ts';
import type {Pane} from './kernel-pane.ts';
import type {Store} from './kernel-store.ts';
import {appendToken} from './kernel-tokens.ts';
import {addWide, boundWide} from './kernel-wide.ts';
import {type Span, windowsOf} from './kernel-window.ts';
import type {AccumulatorObject, PartitionCut} from './types.ts';

/** Takes one row by the reference evaluator, on exact values: slow, and right for everything. */
export type Exact = (
  source: KernelSource,
  decoded: DecodedBatch,
  row: number,
  special: SpecialRow | undefined,
  counts: PartitionCut,
) => void;

type Edge = Extract<AccumulatorObject, {op: 'first' | 'last'}>;
type Arguments = {values: Value[]; eventId: string};

export function createExact(plan: QueryPlan, store: Store, keys: Keys): Exact {
  const horizonMs = plan.late === 'correct' ? plan.correctForMs : 0;
  const ordered = plan.accumulators.some(({op}) => op === 'first' || op === 'last');

  /** Adds to a slot; `values` are the accumulators' arguments. */
  function add(pane: Pane, slot: number, timeMs: number, {values, eventId}: Arguments): void {
    let cell = slot * store.ops.length;
    let object = 0;
    plan.accumulators.forEach((accumulator, k) => {
      const value = values[k]!;
      if (isCell(accumulator)) addToCell(pane, cell++, accumulator, value);
      else addToObject(pane, object++, slot, accumulator, value, timeMs, eventId);
    });
  }

  /** @returns the windows that take the event for themselves alone, or 'pane', or none. */
  function judge(timeMs: number, lateMs: number): {taken: Span[]; windows: Span[]} {
    const windows = windowsOf(plan.window, timeMs);
    return {windows, taken: windows.filter(({endMs}) => endMs + horizonMs > lateMs)};
  }

  function late(
    decoded: DecodedBatch,
    row: number,
    missed: number[],
    counts: PartitionCut,
    lateMs: number,
  ): void {
    counts.late++;
    if (plan.late === 'drop') return;
    const {topic, partition} = decoded;
    const {offset, frame} = decoded.recordOf(row);
    store.side.push({kind: 'late', topic, partition, offset, watermarkMs: lateMs, missed, frame});
  }

  function takeWindows(
    key: number,
    timeMs: number,
    lateMs: number,
    given: Arguments,
    counts: PartitionCut,
  ): number[] | undefined {
    const {windows, taken} = judge(timeMs, lateMs);
    if (taken.length === 0) return windows.map(({startMs}) => startMs);
    if (taken.some(({endMs}) => endMs <= lateMs)) counts.corrected++;
    if (taken.length === windows.length) {
      const pane = store.paneAt(timeMs, lateMs)!;
      add(pane, store.slot(pane, key), timeMs, given);
      return undefined;
    }
    counts.lateInPart++;
    for (const {startMs, endMs} of taken) {
      const pane = store.ownPane(startMs, endMs);
      add(pane, store.slot(pane, key), timeMs, given);
    }
    return undefined;
  }

  function takeSession(
    key: number,
    timeMs: number,
    lateMs: number,
    given: Arguments,
    counts: PartitionCut,
  ): number[] | undefined {
    if (timeMs < lateMs - horizonMs) return [timeMs];
    if (timeMs < lateMs) counts.corrected++;
    const slot = store.sessionSlot(key, store.findSlot(store.pane, key), timeMs);
    add(store.pane, slot, timeMs, given);
    return undefined;
  }

  return (source, decoded, row, special, counts) => {
    const timeMs = decoded.columns[source.scope.numberColumn('timestamp')!]![row]!;
    store.maxMs = Math.max(store.maxMs, timeMs);
    const lateMs = store.maxMs - store.watermarkMs;
    const dead = (stage: 'decode' | 'expression', code: string, message: string) => {
      counts.dead++;
      const {topic, partition} = decoded;
      store.side.push({kind: 'dead', topic, partition, ...decoded.recordOf(row), stage, code, message});
    };
    for (const [column, problem] of special?.bad ?? [])
      if (source.scope.used.has(column)) return dead('decode', 'DECODE', problem);
    if (plan.dedupMs !== undefined && store.isDuplicate[row] === 1) return void counts.duplicate++;
    let given: Arguments;
    let dimensions: Value[];
    try {
      const get = source.scope.getRow(row);
      for (const {expr} of source.plan.derive) evaluate(expr, get);
      if (plan.where && evaluate(plan.where, get) !== true) return void counts.filtered++;
      dimensions = plan.groupBy.map(({name}) => get(name));
      const values = plan.accumulators.map((accumulator) => argument(source, decoded, row, accumulator, get));
      given = {values, eventId: ordered ? source.scope.eventId(row) : ''};
    } catch (error) {
      if (error instanceof ExpressionFailure) return dead('expression', 'EXPRESSION', error.message);
      throw error;
    }
    dimensions.forEach((value, k) => {
      store.codes[k] = keys.codeOf(k, value);
    });
    store.makeRoom();
    const key = keys.keyOf(store.codes, 0);
    const take = plan.window.type === 'session' ? takeSession : takeWindows;
    const missed = take(key, timeMs, lateMs, given, counts);
    if (missed) late(decoded, row, missed, counts, lateMs);
  };
}

const isCell = ({op}: AccumulatorPlan): boolean =>
  op === 'count' || op === 'sum' || op === 'min' || op === 'max';

/** 1 or NULL for counts; a token for `distinct` of a text that was not interned; else the value. */
function argument(
  source: KernelSource,
  decoded: DecodedBatch,
  row: number,
  accumulator: AccumulatorPlan,
  get: Get,
): Value {
  if (accumulator.op === 'count') {
    if (accumulator.filter) return evaluate(accumulator.filter, get) === true ? 1 : null;
    return accumulator.arg && evaluate(accumulator.arg, get) === null ? null : 1;
  }
  if (accumulator.op !== 'distinct') return evaluate(accumulator.arg, get);
  const {arg} = accumulator;
  const column = arg.kind === 'column' ? source.scope.tokenColumn(arg.name) : undefined;
  if (column !== undefined) return decoded.columns[column]![row]! || null;
  const value = evaluate(arg, get);
  return value === null ? null : tokenOfValue(value);
}

function addToCell(pane: Pane, cell: number, accumulator: AccumulatorPlan, value: Value): void {
  if (value === null) return;
  const {cells} = pane;
  if (accumulator.op === 'count') cells[cell]! += 1;
  else if (accumulator.op === 'sum') {
    if (accumulator.type === 'double') cells[cell]! += Number(value);
    else addWide(pane, cell, value as number | bigint);
  } else if (accumulator.op === 'min' || accumulator.op === 'max') {
    const isMin = accumulator.op === 'min';
    if (typeof value === 'bigint') boundWide(pane, cell, value, isMin ? 1 : -1);
    else if (!(isMin ? Number(value) >= cells[cell]! : Number(value) <= cells[cell]!))
      cells[cell] = Number(value);
  }
}

function addToObject(
  pane: Pane,
  object: number,
  slot: number,
  {op}: AccumulatorPlan,
  value: Value,
  timeMs: number,
  eventId: string,
): void {
  if (value === null) return;
  const objects = pane.objects[object]!;
  if (op === 'distinct') appendToken(pane.tokens[object]!, objects, slot, value as number);
  else if (op === 'quantile')
    addQuantile((objects[slot] ??= createQuantile()) as ReturnType<typeof createQuantile>, Number(value));
  else if (op === 'first' || op === 'last') {
    const known = objects[slot] as Edge | null;
    if (!known || isBetter(known, timeMs, eventId)) objects[slot] = {op, timeMs, eventId, value};
  }
}
