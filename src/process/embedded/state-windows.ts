import type {QueryPlan} from '../plan/nodes.ts';
import {mergeObjects} from './accumulators.ts';
import type {RowBuilder, RowState} from './emit.ts';
import type {QueryState, RestoredState, StateCopy} from './state.ts';
import {addCells, type Cells, type Layout} from './state-cells.ts';
import {copyPane, type PanePlace, paneKey, parseChunkKey, pieceKeys} from './state-codec.ts';
import type {Groups} from './state-groups.ts';
import {chunkSlots, Pane} from './state-panes.ts';
import {readPane} from './state-restore.ts';
import {coveringStarts, markAll, moveRows, placeOf, type RowSet, rowsOf, type Window} from './state-rows.ts';
import {SlotTable} from './state-slots.ts';
import type {AccumulatorObject, PaneDelta} from './types.ts';

/** A pane in the store, by its place; it may be in memory too. */
type Stored = PanePlace & {chunks: number};

/**
 * State of tumbling, sliding and calendar windows: panes, and for sliding windows their own events. A window's row is the
 * sum of the panes it covers and of its own state. Panes whose windows are all closed and clean leave memory once the store
 * has them, and are read back when an event corrects them.
 */
export class WindowState implements QueryState {
  #layout: Layout;
  #groups: Groups;
  /** Sliding only; else 0 and the pane is the window. */
  #sizeMs = 0;
  #slideMs = 0;
  #onlyClosed: boolean;
  #panes = new Map<string, Pane>();
  #stored = new Map<string, Stored>();
  #windows = new Map<number, Window>();
  #dirty = new Set<Window>();
  /** Rows that left, by window: not yet acknowledged; acknowledged; with a mark on its way. */
  #inFlight: RowSet = new Map();
  #acknowledged: RowSet = new Map();
  #marking: RowSet = new Map();
  readonly #left = [this.#inFlight, this.#acknowledged, this.#marking];
  #closedThroughMs = -Infinity;
  #nextCloseMs = Infinity;
  #read: (key: string) => Uint8Array | undefined;
  #scratch: {cells: Cells; objects: (AccumulatorObject | null)[]};

  constructor(plan: QueryPlan, layout: Layout, groups: Groups, read: RestoredState['read']) {
    this.#layout = layout;
    this.#groups = groups;
    this.#onlyClosed = plan.emit === 'close';
    this.#read = read;
    if (plan.window.type === 'sliding') {
      this.#sizeMs = plan.window.sizeMs;
      this.#slideMs = plan.window.slideMs;
    }
    const cells = {values: new Float64Array(layout.cellCount), wide: new Map()};
    this.#scratch = {cells, objects: new Array(layout.objectCount).fill(null)};
  }

  apply({panes}: {panes: PaneDelta[]}, gidOf: Int32Array): void {
    for (const delta of panes) {
      if (delta.groups.length === 0) continue;
      const pane = this.#pane(delta.own, delta.startMs, delta.endMs);
      const windows = this.#windowsOf(delta);
      for (const window of windows) this.#dirty.add(window);
      const [only] = windows;
      if (windows.length === 1)
        pane.add(delta, gidOf, this.#groups, mergeObjects, (gid, isNew) => {
          if (isNew) this.#groups.retain(gid);
          only!.dirty.add(gid);
        });
      else
        pane.add(delta, gidOf, this.#groups, mergeObjects, (gid, isNew) => {
          if (isNew) this.#groups.retain(gid);
          for (const window of windows) window.dirty.add(gid);
        });
    }
  }

  closeThrough(ms: number): void {
    if (ms <= this.#closedThroughMs) return;
    this.#closedThroughMs = ms;
    if (ms < this.#nextCloseMs) return;
    this.#nextCloseMs = Infinity;
    for (const window of this.#windows.values()) {
      if (window.closed) continue;
      if (window.endMs > ms) {
        this.#nextCloseMs = Math.min(this.#nextCloseMs, window.endMs);
        continue;
      }
      window.closed = true;
      markAll(window, this.#panesOf(window));
      this.#dirty.add(window);
    }
  }

  hasDirty(): boolean {
    if (!this.#onlyClosed) return this.#dirty.size > 0;
    for (const window of this.#dirty) if (window.closed) return true;
    return false;
  }

  isClean(): boolean {
    return !this.hasDirty() && this.#inFlight.size === 0;
  }

  take(builder: RowBuilder, rowsMax: number): number {
    let left = rowsMax;
    for (const window of this.#dirty) {
      if (left === 0) break;
      if (this.#onlyClosed && !window.closed) continue;
      const count = Math.min(left, window.dirty.count);
      const panes = this.#panesOf(window);
      const gids = rowsOf(this.#inFlight, window);
      for (let index = 0; index < count; index++) {
        const gid = window.dirty.gids[index]!;
        builder.add(window.startMs, window.endMs, gid, this.#rowState(panes, gid), window.closed);
        gids.add(gid);
      }
      left -= count;
      if (count === window.dirty.count) {
        window.dirty.clear();
        this.#dirty.delete(window);
      } else window.dirty.dropFirst(count);
    }
    return rowsMax - left;
  }

  acknowledged(): void {
    moveRows(this.#inFlight, this.#acknowledged);
  }

  beginMark(): void {
    moveRows(this.#acknowledged, this.#marking);
  }

  marked(): void {
    const windows = [...this.#marking.keys()];
    this.#marking.clear();
    for (const window of windows) if (this.#isIdle(window)) this.#windows.delete(window.startMs);
  }

  copy(into: StateCopy, floorMs: number): void {
    this.#deleteBelow(floorMs, into.deletes);
    for (const [key, pane] of this.#panes) {
      if (pane.changedChunks.size === 0) continue;
      copyPane(pane, this.#layout, into.puts);
      const {own, startMs, endMs, slots} = pane;
      this.#stored.set(key, {own, startMs, endMs, chunks: Math.ceil(slots.count / chunkSlots)});
    }
    for (const rows of this.#left)
      for (const [window, gids] of rows) into.pending.push({...placeOf(window), gids});
    for (const window of this.#dirty)
      if (window.closed || !this.#onlyClosed) into.pending.push({...placeOf(window), gids: window.dirty});
  }

  committed(): void {
    for (const [key, pane] of this.#panes) {
      if (pane.changedChunks.size > 0 || this.#lastEndOf(pane) > this.#closedThroughMs) continue;
      if (this.#coveringStarts(pane).some((startMs) => this.#windows.has(startMs))) continue;
      this.#release(key, pane);
    }
  }

  restore(saved: RestoredState): void {
    this.#read = saved.read;
    this.#closedThroughMs = saved.closedThroughMs;
    for (const text of saved.keys) {
      if (!text.endsWith('/c')) continue;
      const {own, startMs, endMs, chunk} = parseChunkKey(text);
      const key = paneKey({own, startMs, endMs});
      const stored = this.#stored.get(key) ?? {own, startMs, endMs, chunks: 0};
      stored.chunks = Math.max(stored.chunks, chunk + 1);
      this.#stored.set(key, stored);
    }
    for (const stored of this.#stored.values())
      if (this.#lastEndOf(stored) > this.#closedThroughMs) {
        const pane = this.#pane(stored.own, stored.startMs, stored.endMs);
        for (const startMs of this.#coveringStarts(pane)) {
          const endMs = this.#slideMs === 0 || pane.own ? pane.endMs : startMs + this.#sizeMs;
          if (endMs > this.#closedThroughMs) this.#window(startMs, endMs);
        }
      }
    for (const {startMs, endMs, all, groupKeys} of saved.pending) {
      const window = this.#window(startMs, endMs);
      this.#dirty.add(window);
      const panes = this.#panesOf(window);
      if (all) markAll(window, panes);
      for (const groupKey of groupKeys) {
        const gid = this.#groups.retainKey(groupKey);
        window.dirty.add(gid);
        // The window's panes hold their own references.
        this.#groups.release(gid);
      }
    }
  }

  openWindows(): number {
    return [...this.#windows.values()].filter(({closed}) => !closed).length;
  }

  bytes(): number {
    let bytes = 0;
    for (const pane of this.#panes.values()) bytes += pane.bytes;
    for (const window of this.#windows.values()) bytes += 200 + window.dirty.bytes;
    for (const rows of this.#left) for (const gids of rows.values()) bytes += gids.bytes;
    return bytes;
  }

  #rowState(panes: Pane[], gid: number): RowState {
    const {cellCount, objectCount, empty} = this.#layout;
    const [only] = panes;
    if (panes.length === 1) {
      const slot = only!.slots.find(gid);
      return {cells: only!.cells, at: slot * cellCount, object: (index) => only!.objects[index]![slot]!};
    }
    const {cells: scratch, objects} = this.#scratch;
    scratch.values.set(empty);
    scratch.wide.clear();
    objects.fill(null);
    for (const pane of panes) {
      const slot = pane.slots.find(gid);
      if (slot < 0) continue;
      addCells(this.#layout, scratch, 0, pane.cells, slot * cellCount);
      for (let index = 0; index < objectCount; index++) {
        const object = pane.objects[index]![slot];
        if (object) objects[index] = mergeObjects(objects[index]!, object);
      }
    }
    return {cells: scratch, at: 0, object: (index) => objects[index]!};
  }

  /** Windows that take a pane's events; they become known. */
  #windowsOf(pane: PanePlace): Window[] {
    if (this.#slideMs === 0 || pane.own) return [this.#window(pane.startMs, pane.endMs)];
    return this.#coveringStarts(pane).map((startMs) => this.#window(startMs, startMs + this.#sizeMs));
  }

  #coveringStarts(pane: PanePlace): number[] {
    return this.#slideMs === 0 || pane.own
      ? [pane.startMs]
      : coveringStarts(pane.startMs, this.#sizeMs, this.#slideMs);
  }

  #window(startMs: number, endMs: number): Window {
    const known = this.#windows.get(startMs);
    if (known) return known;
    const closed = endMs <= this.#closedThroughMs;
    const window = {startMs, endMs, closed, dirty: new SlotTable()};
    if (!closed) this.#nextCloseMs = Math.min(this.#nextCloseMs, endMs);
    this.#windows.set(startMs, window);
    return window;
  }

  /** Closed, and a mark stands after all of its rows. */
  #isIdle(window: Window): boolean {
    return window.closed && window.dirty.count === 0 && !this.#left.some((rows) => rows.has(window));
  }

  /** Panes of a window that have state, read back where they had left memory. */
  #panesOf(window: {startMs: number; endMs: number}): Pane[] {
    const panes: Pane[] = [];
    const take = (own: boolean, startMs: number, endMs: number) => {
      const key = paneKey({own, startMs, endMs});
      const pane = this.#panes.get(key) ?? (this.#stored.has(key) ? this.#readBack(key) : undefined);
      if (pane) panes.push(pane);
    };
    const {startMs, endMs} = window;
    if (this.#slideMs === 0) take(false, startMs, endMs);
    else {
      take(true, startMs, endMs);
      for (let at = startMs; at < endMs; at += this.#slideMs) take(false, at, at + this.#slideMs);
    }
    return panes;
  }

  #pane(own: boolean, startMs: number, endMs: number): Pane {
    const key = paneKey({own, startMs, endMs});
    const known = this.#panes.get(key) ?? (this.#stored.has(key) ? this.#readBack(key) : undefined);
    if (known) return known;
    const pane = new Pane(own, startMs, endMs, this.#layout);
    this.#panes.set(key, pane);
    return pane;
  }

  #readBack(key: string): Pane {
    const pane = readPane(this.#stored.get(key)!, this.#layout, this.#groups, this.#read);
    this.#panes.set(key, pane);
    return pane;
  }

  /** End of the last window that a pane belongs to. */
  #lastEndOf(pane: PanePlace): number {
    return this.#slideMs === 0 || pane.own ? pane.endMs : pane.startMs + this.#sizeMs;
  }

  #deleteBelow(floorMs: number, deletes: string[]): void {
    for (const [key, pane] of this.#panes)
      if (this.#lastEndOf(pane) <= floorMs && !this.#stored.has(key) && this.#isDone(pane))
        this.#release(key, pane);
    for (const [key, stored] of this.#stored) {
      if (this.#lastEndOf(stored) > floorMs || !this.#isDone(stored)) continue;
      const pane = this.#panes.get(key);
      if (pane) this.#release(key, pane);
      this.#stored.delete(key);
      deletes.push(...pieceKeys(stored, stored.chunks));
    }
  }

  /** Every window of the pane is closed, and all its rows were acknowledged. */
  #isDone(pane: PanePlace): boolean {
    return (
      this.#lastEndOf(pane) <= this.#closedThroughMs &&
      !this.#coveringStarts(pane).some((startMs) => this.#windows.has(startMs))
    );
  }

  #release(key: string, pane: Pane): void {
    for (let slot = 0; slot < pane.slots.count; slot++) this.#groups.release(pane.slots.gids[slot]!);
    this.#panes.delete(key);
  }
}
