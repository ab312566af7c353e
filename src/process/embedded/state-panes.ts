import {addCells, type Cells, type Layout, markWide, objectBytes} from './state-cells.ts';
import type {Groups} from './state-groups.ts';
import {PaneKeys} from './state-keys.ts';
import {SlotTable} from './state-slots.ts';
import type {AccumulatorObject, PaneDelta} from './types.ts';

/** Slots per chunk: the unit in which a pane is written to the store. */
export const chunkSlots = 1024;

/** Merges two objects and leaves both as they are; `accumulators.ts` implements it. */
export type MergeObjects = (
  a: AccumulatorObject | null,
  b: AccumulatorObject | null,
) => AccumulatorObject | null;

/** Full state of one pane, or of one sliding window's own events: a row of cells and objects for each group. */
export class Pane {
  readonly own: boolean;
  readonly startMs: number;
  readonly endMs: number;
  readonly slots = new SlotTable();
  /** Cells of slot s begin at s * cellCount. */
  readonly cells: Cells = {values: new Float64Array(0), wide: new Map()};
  /** By object accumulator, then by slot. */
  readonly objects: (AccumulatorObject | null)[][];
  /** Chunks that differ from the store. */
  readonly changedChunks = new Set<number>();
  /** Keys that the store does not have yet: they never change, so only new ones are written. */
  readonly keys = new PaneKeys(chunkSlots);
  /** Chunks of which the store has a piece beside keys and cells. */
  readonly restChunks = new Set<number>();
  /** Bytes of objects, roughly; kept while adding. */
  objectBytes = 0;
  #layout: Layout;

  constructor(own: boolean, startMs: number, endMs: number, layout: Layout) {
    this.own = own;
    this.startMs = startMs;
    this.endMs = endMs;
    this.#layout = layout;
    this.objects = Array.from({length: layout.objectCount}, () => []);
  }

  get bytes(): number {
    return (
      300 +
      this.slots.bytes +
      this.keys.bytes +
      this.cells.values.byteLength +
      64 * this.cells.wide.size +
      this.objectBytes
    );
  }

  /** Slot of a group, made if it is new. @returns the slot; `slots.count` tells whether it is new */
  slotOf(gid: number, groups: Groups): number {
    const {slots, cells} = this;
    const before = slots.count;
    const slot = slots.add(gid);
    if (slots.count > before) {
      this.keys.add(groups.key(gid));
      const {cellCount, empty} = this.#layout;
      const needed = slots.count * cellCount;
      if (needed > cells.values.length) {
        const larger = new Float64Array(Math.max(needed, cells.values.length * 2, 8 * cellCount));
        larger.set(cells.values);
        cells.values = larger;
      }
      cells.values.set(empty, slot * cellCount);
      for (const column of this.objects) column.push(null);
    }
    return slot;
  }

  /**
   * Adds a kernel's delta. @param gidOf the kernel's group ids -> ours, which are those of `groups`
   * @param changed is told every changed group, and whether it is new here
   */
  add(
    delta: PaneDelta,
    gidOf: Int32Array,
    groups: Groups,
    merge: MergeObjects,
    changed: (gid: number, isNew: boolean) => void,
  ): void {
    const {cellCount, objectCount} = this.#layout;
    const from: Cells = {values: delta.cells, wide: delta.wide};
    if (delta.wide.size > 0) markWide(from);
    let lastChunk = -1;
    for (let row = 0; row < delta.groups.length; row++) {
      const gid = gidOf[delta.groups[row]!]!;
      const before = this.slots.count;
      const slot = this.slotOf(gid, groups);
      addCells(this.#layout, this.cells, slot * cellCount, from, row * cellCount);
      for (let object = 0; object < objectCount; object++)
        this.mergeObject(object, slot, delta.objects[object]![row]!, merge);
      const chunk = Math.floor(slot / chunkSlots);
      if (chunk !== lastChunk) this.changedChunks.add((lastChunk = chunk));
      changed(gid, this.slots.count > before);
    }
  }

  mergeObject(object: number, slot: number, from: AccumulatorObject | null, merge: MergeObjects): void {
    if (from === null) return;
    const column = this.objects[object]!;
    const before = column[slot] ?? null;
    const bytesBefore = objectBytes(before);
    const after = merge(before, from);
    column[slot] = after;
    this.objectBytes += objectBytes(after) - bytesBefore;
  }
}
