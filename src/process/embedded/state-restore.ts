import {mergeObjects} from './accumulators.ts';
import type {RestoredState} from './state.ts';
import {missingPiece} from './state-bytes.ts';
import type {Layout} from './state-cells.ts';
import {decodeChunk, type PanePlace, paneKey} from './state-codec.ts';
import type {Groups} from './state-groups.ts';
import {chunkSlots, Pane} from './state-panes.ts';

/** A pane as the store has it; its groups are retained. @throws PlatformError CHECKPOINT_CORRUPT */
export function readPane(
  stored: PanePlace & {chunks: number},
  layout: Layout,
  groups: Groups,
  read: RestoredState['read'],
): Pane {
  const pane = new Pane(stored.own, stored.startMs, stored.endMs, layout);
  const {cellCount} = layout;
  for (let chunk = 0; chunk < stored.chunks; chunk++) {
    const name = `${paneKey(stored)}/${chunk}`;
    const [keys, cells, rest] = ['k', 'c', 'x'].map((kind) => read(`${name}/${kind}`));
    if (!keys || !cells) throw missingPiece(name);
    if (rest) pane.restChunks.add(chunk);
    const rows = decodeChunk({keys, cells, rest}, layout);
    for (const [row, groupKey] of rows.groupKeys.entries()) {
      const slot = pane.slotOf(groups.retainKey(groupKey), groups);
      for (const [index, column] of rows.objects.entries())
        pane.mergeObject(index, slot, column[row]!, mergeObjects);
    }
    const firstCell = chunk * chunkSlots * cellCount;
    pane.cells.values.set(rows.cells, firstCell);
    for (const [index, value] of rows.wide) pane.cells.wide.set(firstCell + index, value);
  }
  pane.keys.forget();
  return pane;
}
