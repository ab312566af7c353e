import type {AccumulatorPlan} from '../plan/nodes.ts';
import {mergeObjects} from './accumulators.ts';
import {createTokenLog, foldTokens, type TokenLog} from './kernel-tokens.ts';
import {addWide, boundWide, isSafe, liveWide, moveWide} from './kernel-wide.ts';
import type {AccumulatorObject, PaneDelta} from './types.ts';

/**
 * What a kernel adds up for one pane since the last flush. Groups that were met have a slot; `table` finds it by the group's
 * key: open addressing, [key + 1, slot] an entry, 0 free. The same look-up is an identity (multiplier 1, shift 0) while the
 * space of keys is small, and a hash else.
 *
 * A cell whose exact value is in `wide` is not finite: sums are NaN, minima and maxima the infinity that no number passes. An
 * entry of `wide` whose cell is finite is outdated (a smaller minimum was met).
 */
export type Pane = {
  own: boolean;
  startMs: number;
  endMs: number;
  table: Int32Array;
  multiplier: number;
  shift: number;
  mask: number;
  slots: number;
  /** While `slots` is below it neither the table nor what is by slot must grow. */
  room: number;
  /** By slot. */
  keys: Int32Array;
  groups: Int32Array;
  cells: Float64Array;
  wide: Map<number, bigint>;
  /** One array by slot for each object accumulator, in plan order. */
  objects: (AccumulatorObject | null)[][];
  /** Parallel to `objects`: for a `distinct` what its sketches do not have yet. */
  tokens: (TokenLog | undefined)[];
};

export type CellOp = {
  op: 'count' | 'sum' | 'min' | 'max';
  isDouble: boolean;
  /** What a cell holds before the first event. */
  initial: number;
};
export type ObjectOp = Exclude<AccumulatorPlan['op'], CellOp['op']>;

/** Accumulators with a cell, in plan order. */
export const cellOps = (accumulators: AccumulatorPlan[]): CellOp[] =>
  accumulators.flatMap((accumulator): CellOp[] => {
    if (accumulator.op === 'count') return [{op: 'count', isDouble: false, initial: 0}];
    if (accumulator.op !== 'sum' && accumulator.op !== 'min' && accumulator.op !== 'max') return [];
    const initial = accumulator.op === 'sum' ? 0 : NaN;
    return [{op: accumulator.op, isDouble: accumulator.type === 'double', initial}];
  });

/** Accumulators with an object, in plan order. */
export const objectOps = (accumulators: AccumulatorPlan[]): ObjectOp[] =>
  accumulators.flatMap(({op}) =>
    op === 'distinct' || op === 'quantile' || op === 'first' || op === 'last' ? [op] : [],
  );

const slotsAtFirst = 32;

/** An empty pane; `like` gives its arrays, when it is not used any more. */
export function createPane(
  own: boolean,
  startMs: number,
  endMs: number,
  stride: number,
  objects: ObjectOp[],
  like?: Pane,
): Pane {
  return {
    own,
    startMs,
    endMs,
    table: like?.table ?? new Int32Array(4 * slotsAtFirst),
    multiplier: like?.multiplier ?? 0x9e3779b1 | 0,
    shift: like?.shift ?? 32 - Math.log2(2 * slotsAtFirst),
    mask: like?.mask ?? 2 * slotsAtFirst - 1,
    slots: 0,
    room: 0,
    keys: like?.keys ?? new Int32Array(slotsAtFirst),
    groups: like?.groups ?? new Int32Array(slotsAtFirst),
    cells: like?.cells ?? new Float64Array(slotsAtFirst * stride),
    wide: new Map(),
    objects: objects.map(() => []),
    tokens: objects.map((op, k) => (op === 'distinct' ? createTokenLog(like?.tokens[k]) : undefined)),
  };
}

/** Slot of a key, or -1. */
export function slotOf(pane: Pane, key: number): number {
  const {table, mask} = pane;
  let entry = ((Math.imul(key, pane.multiplier) >>> pane.shift) & mask) * 2;
  for (; table[entry] !== 0; entry = (entry + 2) & (mask * 2 + 1))
    if (table[entry] === key + 1) return table[entry + 1]!;
  return -1;
}

/** Adds a slot for a key that has none. @param keySpace keys are below it. */
export function addSlot(pane: Pane, key: number, group: number, keySpace: number, ops: CellOp[]): number {
  const slot = newSlot(pane, key, group, ops);
  if (fillsUp(pane, keySpace) && pane.slots * 2 > pane.mask) layOut(pane, keySpace);
  else {
    place(pane, key, slot);
    setRoom(pane, keySpace);
  }
  return slot;
}

/** An identity never fills up while its keys stay below its size. */
const fillsUp = ({multiplier, mask}: Pane, keySpace: number): boolean =>
  multiplier !== 1 || keySpace > mask + 1;

function setRoom(pane: Pane, keySpace: number): void {
  const slotsMax = pane.groups.length;
  pane.room = fillsUp(pane, keySpace) ? Math.min(slotsMax, pane.mask >>> 1) : slotsMax;
}

/** A slot that the table does not lead to; cells begin as 0, minima and maxima as NaN. */
export function newSlot(pane: Pane, key: number, group: number, ops: CellOp[]): number {
  const slot = pane.slots++;
  if (slot >= pane.groups.length) growSlots(pane, ops.length);
  pane.keys[slot] = key;
  pane.groups[slot] = group;
  const at = slot * ops.length;
  for (let i = 0; i < ops.length; i++) pane.cells[at + i] = ops[i]!.initial;
  for (const objects of pane.objects) objects[slot] = null;
  return slot;
}

function growSlots(pane: Pane, stride: number): void {
  const length = pane.groups.length * 2;
  for (const name of ['keys', 'groups'] as const) {
    const next = new Int32Array(length);
    next.set(pane[name]);
    pane[name] = next;
  }
  const cells = new Float64Array(length * stride);
  cells.set(pane.cells);
  pane.cells = cells;
}

/** Lets the table lead from a key to a slot. */
export function place({table, mask, multiplier, shift}: Pane, key: number, slot: number): void {
  let entry = ((Math.imul(key, multiplier) >>> shift) & mask) * 2;
  while (table[entry] !== 0 && table[entry] !== key + 1) entry = (entry + 2) & (mask * 2 + 1);
  table[entry] = key + 1;
  table[entry + 1] = slot;
}

/** Builds the table anew for the keys that there are: an identity when that is not much larger than a hash, else a hash. */
export function layOut(pane: Pane, keySpace: number): void {
  let entries = 64;
  while (entries < pane.slots * 4) entries *= 2;
  if (keySpace <= entries) {
    pane.multiplier = 1;
    pane.shift = 0;
    entries = 2 ** Math.ceil(Math.log2(keySpace));
  } else {
    pane.multiplier = 0x9e3779b1 | 0;
    pane.shift = 32 - Math.log2(entries);
  }
  pane.mask = entries - 1;
  pane.table = new Int32Array(entries * 2);
  for (let slot = 0; slot < pane.slots; slot++)
    // A session that was merged into another has no key any more.
    if (pane.keys[slot]! >= 0) place(pane, pane.keys[slot]!, slot);
  setRoom(pane, keySpace);
}

/** Makes an emptied pane's table usable for another one. */
export function clearTable(pane: Pane): Pane {
  pane.table.fill(0);
  return pane;
}

/** Approximate memory, bytes; asked for often, so objects are sampled. */
export const paneBytes = (pane: Pane): number =>
  pane.table.byteLength +
  pane.keys.byteLength * 2 +
  pane.cells.byteLength +
  pane.wide.size * 64 +
  pane.objects.reduce((sum, objects) => sum + sampledBytes(objects, objectBytes), 0) +
  pane.tokens.reduce((sum, log) => sum + (log ? log.entries.byteLength + 100 * log.merged.size : 0), 0);

const sampleMax = 32;

/** Sum over a list, from the sizes of some of its items. */
export function sampledBytes<T>(items: readonly T[], bytesOf: (item: T) => number): number {
  const step = Math.ceil(items.length / sampleMax);
  let sum = 0;
  let count = 0;
  for (let i = 0; i < items.length; i += step) {
    sum += bytesOf(items[i]!);
    count++;
  }
  return count === 0 ? 0 : (sum / count) * items.length;
}

/** Approximate memory of an object accumulator. */
function objectBytes(object: AccumulatorObject | null): number {
  if (object === null) return 8;
  if (object.op === 'distinct') return 100 + (object.dense ?? object.sparse).byteLength;
  return object.op === 'quantile' ? 200 + 40 * (object.positive.size + object.negative.size) : 150;
}

/**
 * The groups that have an event since the pane was emptied, as they travel; arrays are copies, objects must not be used any
 * more. Undefined when there are none.
 */
export function paneDelta(pane: Pane, ops: CellOp[]): PaneDelta | undefined {
  const {own, startMs, endMs, slots, cells} = pane;
  const stride = ops.length;
  for (const [k, log] of pane.tokens.entries()) if (log) foldTokens(log, pane.objects[k]!);
  let count = 0;
  // Cell 0 is count(*).
  for (let slot = 0; slot < slots; slot++) if (cells[slot * stride] !== 0) count++;
  if (count === 0) return undefined;
  if (count === slots)
    return {
      own,
      startMs,
      endMs,
      groups: pane.groups.slice(0, slots),
      cells: cells.slice(0, slots * stride),
      wide: liveWide(pane),
      objects: pane.objects,
    };
  const groups = new Int32Array(count);
  const moved = new Float64Array(count * stride);
  const wide = new Map<number, bigint>();
  const objects = pane.objects.map((): (AccumulatorObject | null)[] => []);
  let place = 0;
  for (let slot = 0; slot < slots; slot++) {
    if (cells[slot * stride] === 0) continue;
    groups[place] = pane.groups[slot]!;
    for (let i = 0; i < stride; i++) moved[place * stride + i] = cells[slot * stride + i]!;
    if (pane.wide.size > 0) moveWide(pane, slot * stride, wide, place * stride, stride);
    for (let k = 0; k < objects.length; k++) objects[k]!.push(pane.objects[k]![slot]!);
    place++;
  }
  return {own, startMs, endMs, groups, cells: moved, wide, objects};
}

/** Empties the pane; its slots stay, since the next events are likely of the same groups. */
export function emptyPane(pane: Pane, ops: CellOp[]): void {
  const {cells, slots} = pane;
  const stride = ops.length;
  for (let i = 0; i < stride; i++) {
    const {initial} = ops[i]!;
    for (let cell = i; cell < slots * stride; cell += stride) cells[cell] = initial;
  }
  pane.wide = new Map();
  pane.objects = pane.objects.map(() => new Array(slots).fill(null));
}

/** Adds what `from` holds to `into`, slots of one pane. */
export function mergeSlots(pane: Pane, into: number, from: number, ops: CellOp[]): void {
  const {cells, wide} = pane;
  ops.forEach(({op, isDouble}, i) => {
    const to = into * ops.length + i;
    const cell = from * ops.length + i;
    const value = cells[cell]!;
    const exact = Number.isFinite(value) ? undefined : wide.get(cell);
    if (op === 'min' || op === 'max') {
      if (exact !== undefined) boundWide(pane, to, exact, op === 'min' ? 1 : -1);
      else if (!Number.isNaN(value) && !(op === 'min' ? value >= cells[to]! : value <= cells[to]!))
        cells[to] = value;
    } else if (isDouble) cells[to]! += value;
    else if (exact !== undefined) addWide(pane, to, exact);
    else {
      const sum = cells[to]! + value;
      if (isSafe(sum)) cells[to] = sum;
      else addWide(pane, to, value);
    }
    wide.delete(cell);
  });
  for (const objects of pane.objects) {
    objects[into] = mergeObjects(objects[into]!, objects[from]!);
    objects[from] = null;
  }
  for (const log of pane.tokens) log?.merged.set(from, into);
}
