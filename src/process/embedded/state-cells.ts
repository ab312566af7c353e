import type {QueryPlan} from '../plan/nodes.ts';
import type {AccumulatorObject} from './types.ts';

/**
 * Exact additions on Float64 cells. An integer cell holds its value while |x| <= 2^53; beyond that the cell holds
 * `wideMark` and the value is a BigInt in the side map, at the cell's index. Doubles are added as doubles.
 */
export type Cells = {values: Float64Array; wide: Map<number, bigint>};

/** Stands in an integer cell whose value is in `wide`; no sum, minimum or maximum of integers is infinite. */
export const wideMark = Infinity;

export const cellKinds = {sum: 0, min: 1, max: 2, sumDouble: 3, minDouble: 4, maxDouble: 5} as const;

/** Where each accumulator of a plan lives: in a cell, or as an object. */
export type Layout = {
  /** Number of group_by columns. */
  dimensions: number;
  cellCount: number;
  /** `cellKinds` of each cell. */
  kinds: Uint8Array;
  /** Values of cells that saw nothing. */
  empty: Float64Array;
  /** Accumulator -> cell, or -1. */
  cellOf: Int32Array;
  /** Accumulator -> object, or -1. */
  objectOf: Int32Array;
  objectCount: number;
};

/** The layout that `Delta` prescribes: cells and objects in plan order. */
export function layoutOf(plan: QueryPlan): Layout {
  const kinds: number[] = [];
  const cellOf: number[] = [];
  const objectOf: number[] = [];
  let objectCount = 0;
  for (const accumulator of plan.accumulators) {
    const {op} = accumulator;
    if (op === 'count' || op === 'sum' || op === 'min' || op === 'max') {
      const isDouble = op !== 'count' && accumulator.type === 'double';
      const base = op === 'min' ? cellKinds.min : op === 'max' ? cellKinds.max : cellKinds.sum;
      objectOf.push(-1);
      cellOf.push(kinds.push(isDouble ? base + cellKinds.sumDouble : base) - 1);
    } else {
      cellOf.push(-1);
      objectOf.push(objectCount++);
    }
  }
  return {
    dimensions: plan.groupBy.length,
    cellCount: kinds.length,
    kinds: Uint8Array.from(kinds),
    empty: Float64Array.from(kinds, (kind) =>
      kind === cellKinds.sum || kind === cellKinds.sumDouble ? 0 : Number.NaN,
    ),
    cellOf: Int32Array.from(cellOf),
    objectOf: Int32Array.from(objectOf),
    objectCount,
  };
}

/** Puts `wideMark` into the cells whose value is in `wide`: deltas leave them undefined. */
export function markWide(cells: Cells): void {
  for (const index of cells.wide.keys()) cells.values[index] = wideMark;
}

/** Adds the `cellCount` cells of `from` at `fromAt` to those of `into` at `intoAt`. */
export function addCells(layout: Layout, into: Cells, intoAt: number, from: Cells, fromAt: number): void {
  const {kinds, cellCount} = layout;
  const target = into.values;
  const source = from.values;
  for (let cell = 0; cell < cellCount; cell++) {
    const at = intoAt + cell;
    const b = source[fromAt + cell]!;
    const a = target[at]!;
    switch (kinds[cell]) {
      case cellKinds.sum: {
        const sum = a + b;
        if (sum <= Number.MAX_SAFE_INTEGER && sum >= Number.MIN_SAFE_INTEGER) target[at] = sum;
        else put(into, at, exact(into, at) + exact(from, fromAt + cell));
        break;
      }
      case cellKinds.sumDouble:
        target[at] = a + b;
        break;
      default:
        addExtreme(kinds[cell]!, into, at, from, fromAt + cell);
    }
  }
}

function addExtreme(kind: number, into: Cells, at: number, from: Cells, fromAt: number): void {
  const a = into.values[at]!;
  const b = from.values[fromAt]!;
  const least = kind === cellKinds.min || kind === cellKinds.minDouble;
  if (Number.isNaN(b)) return;
  if (kind < cellKinds.sumDouble && (a === wideMark || b === wideMark)) {
    const theirs = exact(from, fromAt);
    if (Number.isNaN(a) || (least ? theirs < exact(into, at) : theirs > exact(into, at)))
      put(into, at, theirs);
  } else if (Number.isNaN(a) || (least ? b < a : b > a)) into.values[at] = b;
}

function exact(cells: Cells, at: number): bigint {
  return cells.values[at] === wideMark ? cells.wide.get(at)! : BigInt(cells.values[at]!);
}

function put(cells: Cells, at: number, value: bigint): void {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)) {
    cells.wide.delete(at);
    cells.values[at] = Number(value);
  } else {
    cells.wide.set(at, value);
    cells.values[at] = wideMark;
  }
}

/** Value of an integer or double cell; bigint beyond 2^53, not bounded by int64. */
export const cellValue = (cells: Cells, at: number): number | bigint => {
  const value = cells.values[at]!;
  return value === wideMark && cells.wide.has(at) ? toValue(cells.wide.get(at)!) : value;
};

/** An exact integer as values are: a number up to 2^53, which cells already hold as wide. */
export const toValue = (exact: bigint): number | bigint =>
  exact === 2n ** 53n || exact === -(2n ** 53n) ? Number(exact) : exact;

/** Bytes that an object takes in memory, roughly. */
export function objectBytes(object: AccumulatorObject | null): number {
  if (object === null) return 0;
  switch (object.op) {
    case 'distinct':
      return 80 + (object.dense ?? object.sparse).byteLength;
    case 'quantile':
      return 200 + 40 * (object.positive.size + object.negative.size);
    default:
      return (
        120 + 2 * object.eventId.length + (typeof object.value === 'string' ? 2 * object.value.length : 8)
      );
  }
}
