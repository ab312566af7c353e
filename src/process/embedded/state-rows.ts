import type {Pane} from './state-panes.ts';
import {SlotTable} from './state-slots.ts';

/** What is known of a window while it has something to say: it is open, or rows of it are on their way. */
export type Window = {startMs: number; endMs: number; closed: boolean; dirty: SlotTable};

/** Rows by window, as group ids. */
export type RowSet = Map<Window, SlotTable>;

export const placeOf = ({startMs, endMs}: Window) => ({startMs, endMs});

export function rowsOf(rows: RowSet, window: Window): SlotTable {
  let gids = rows.get(window);
  if (!gids) rows.set(window, (gids = new SlotTable()));
  return gids;
}

export function moveRows(from: RowSet, into: RowSet): void {
  for (const [window, gids] of from) {
    const known = into.get(window);
    if (!known) into.set(window, gids);
    else for (let index = 0; index < gids.count; index++) known.add(gids.gids[index]!);
  }
  from.clear();
}

/** Every group of a window is changed. */
export function markAll(window: Window, panes: Pane[]): void {
  for (const {slots} of panes)
    for (let slot = 0; slot < slots.count; slot++) window.dirty.add(slots.gids[slot]!);
}

/** Starts of the sliding windows that cover the pane at `startMs`, ascending. */
export function coveringStarts(startMs: number, sizeMs: number, slideMs: number): number[] {
  const starts = [];
  for (let at = startMs - sizeMs + slideMs; at <= startMs; at += slideMs) starts.push(at);
  return starts;
}
