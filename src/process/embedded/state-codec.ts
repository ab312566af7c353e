import type {StatePut} from './state.ts';
import {ByteReader, ByteWriter, missingPiece, readObjects, writeObjects} from './state-bytes.ts';
import type {Cells, Layout} from './state-cells.ts';
import {type Groups, splitKeys} from './state-groups.ts';
import {chunkSlots, type Pane} from './state-panes.ts';
import type {SlotTable} from './state-slots.ts';
import type {AccumulatorObject} from './types.ts';

/**
 * Stored state of a query, by key. Every piece names its groups by their dimension values, so it can be read back when the
 * ids of the process that wrote it are gone.
 *
 *   <pane>          "p/<start>/<end>" pane, "o/<start>/<end>" a sliding window's own state
 *   <pane>/<chunk>  chunkSlots rows of it, in three pieces:
 *     /k  keys  := UTF-8 of the keys, one after another (a key ends by itself); written when a group joined
 *     /c  cells := f64*                    row by row
 *     /x  rest  := wide objects            when there is either
 *   "s/<bucket>"    sessions in memory, "z/<run>/<part>/<least start>/<greatest last>" those that left it
 *                   sessions := count:u32 key:text{count} start:f64{count} last:f64{count} cells rest
 *   "pending", "tombstones"  := count:u32 (start:f64 end:f64 all:u8 count:u32 key:text{count})*
 *
 *   wide    := count:u32 (cell index:u32 decimal:text)*
 *   objects := by object accumulator: see `writeObjects` in state-bytes.ts
 *
 * The copy is made on the hot thread: cells are one memcpy, keys are encoded when a group joins a pane (state-keys.ts).
 */
export const paneKey = ({own, startMs, endMs}: PanePlace): string => `${own ? 'o' : 'p'}/${startMs}/${endMs}`;

export type PanePlace = {own: boolean; startMs: number; endMs: number};

/** Pane and chunk of a key that ends in "/c". */
export function parseChunkKey(key: string): PanePlace & {chunk: number} {
  const [kind, start, end, chunk] = key.split('/');
  return {own: kind === 'o', startMs: Number(start), endMs: Number(end), chunk: Number(chunk)};
}

/** The keys of all pieces of a pane with so many chunks. */
export const pieceKeys = (pane: PanePlace, chunks: number): string[] =>
  Array.from({length: chunks}, (_, chunk) =>
    ['k', 'c', 'x'].map((kind) => `${paneKey(pane)}/${chunk}/${kind}`),
  ).flat();

const writer = new ByteWriter();
const decoder = new TextDecoder();

/** Copies the changed chunks of a pane, which is then as the store will have it. */
export function copyPane(pane: Pane, layout: Layout, puts: StatePut[]): void {
  const {cellCount, objectCount} = layout;
  const {slots, cells, objects} = pane;
  const prefix = paneKey(pane);
  for (const {chunk, bytes} of pane.keys.take()) puts.push({key: `${prefix}/${chunk}/k`, bytes});
  // One buffer for all chunks: allocating and giving away each by itself costs more than the copy.
  const copied = new Float64Array(pane.changedChunks.size * chunkSlots * cellCount);
  let at = 0;
  for (const chunk of pane.changedChunks) {
    const from = chunk * chunkSlots;
    const to = Math.min(from + chunkSlots, slots.count);
    copied.set(cells.values.subarray(from * cellCount, to * cellCount), at);
    const bytes = new Uint8Array(copied.buffer, at * 8, (to - from) * cellCount * 8);
    puts.push({key: `${prefix}/${chunk}/c`, bytes});
    at += (to - from) * cellCount;
    const wide = wideOf(cells, from * cellCount, to * cellCount);
    if (objectCount === 0 && wide.length === 0 && !pane.restChunks.has(chunk)) continue;
    pane.restChunks.add(chunk);
    writeWide(wide);
    for (const column of objects) writeObjects(writer, column, from, to);
    puts.push({key: `${prefix}/${chunk}/x`, bytes: writer.take()});
  }
  pane.changedChunks.clear();
}

/** Exact values of the cells from `from` to `to`, by their index from `from` on. */
function wideOf(cells: Cells, from: number, to: number): [number, bigint][] {
  const wide: [number, bigint][] = [];
  for (const [index, value] of cells.wide) if (index >= from && index < to) wide.push([index - from, value]);
  return wide;
}

function writeWide(wide: [number, bigint][]): void {
  writer.u32(wide.length);
  for (const [index, value] of wide) {
    writer.u32(index);
    writer.text(String(value));
  }
}

export type DecodedRows = {
  groupKeys: string[];
  cells: Float64Array;
  wide: [number, bigint][];
  /** By object accumulator, then by row. */
  objects: (AccumulatorObject | null)[][];
};

/** @throws PlatformError CHECKPOINT_CORRUPT when a piece ends too early */
export function decodeChunk(
  pieces: {keys: Uint8Array; cells: Uint8Array; rest: Uint8Array | undefined},
  layout: Layout,
): DecodedRows {
  const cells = new Float64Array(Uint8Array.from(pieces.cells).buffer);
  const count = cells.length / layout.cellCount;
  const groupKeys = splitKeys(decoder.decode(pieces.keys), layout.dimensions);
  if (groupKeys.length !== count) throw missingPiece('keys');
  if (!pieces.rest) return {groupKeys, cells, wide: [], objects: []};
  return {groupKeys, cells, ...readRest(new ByteReader(pieces.rest), count, layout)};
}

/** Rows of sessions, side by side. */
export type SessionRow = {
  gid: number;
  startMs: number;
  lastMs: number;
  cells: Cells;
  objects: (AccumulatorObject | null)[];
};

export const sessionsKey = (bucket: number): string => `s/${bucket}`;

/** Copies sessions into one piece. */
export function copySessionRows(
  key: string,
  sessions: SessionRow[],
  groups: Groups,
  layout: Layout,
): StatePut {
  const {cellCount, objectCount} = layout;
  writer.u32(sessions.length);
  for (const {gid} of sessions) writer.text(groups.key(gid));
  for (const {startMs} of sessions) writer.f64(startMs);
  for (const {lastMs} of sessions) writer.f64(lastMs);
  for (const {cells} of sessions) writer.raw(cells.values);
  writeWide(
    sessions.flatMap(({cells}, row) =>
      cells.values.includes(Infinity)
        ? wideOf(cells, 0, cellCount).map(([cell, value]): [number, bigint] => [
            row * cellCount + cell,
            value,
          ])
        : [],
    ),
  );
  for (let index = 0; index < objectCount; index++) {
    const column = sessions.map(({objects}) => objects[index] ?? null);
    writeObjects(writer, column, 0, column.length);
  }
  return {key, bytes: writer.take()};
}

/** @throws PlatformError CHECKPOINT_CORRUPT when the bytes end too early */
export function decodeSessions(
  bytes: Uint8Array,
  layout: Layout,
): DecodedRows & {startsMs: Float64Array; lastsMs: Float64Array} {
  const from = new ByteReader(bytes);
  const groupKeys = Array.from({length: from.u32()}, () => from.text());
  const [startsMs, lastsMs] = [from.f64s(groupKeys.length), from.f64s(groupKeys.length)];
  const cells = from.f64s(groupKeys.length * layout.cellCount);
  return {groupKeys, startsMs, lastsMs, cells, ...readRest(from, groupKeys.length, layout)};
}

function readRest(from: ByteReader, count: number, layout: Layout): Pick<DecodedRows, 'wide' | 'objects'> {
  const wide = Array.from({length: from.u32()}, (): [number, bigint] => [from.u32(), BigInt(from.text())]);
  const objects = Array.from({length: layout.objectCount}, () => readObjects(from, count));
  return {wide, objects};
}

/** Rows of one window that a sink may lack. */
export type PendingRows = {startMs: number; endMs: number; gids: SlotTable | number[]};
/** The same, read back; `all`: every group of the window. */
export type RestoredRows = {startMs: number; endMs: number; all: boolean; groupKeys: string[]};

/** More rows of a window than this are noted as "all": sending a row again is harmless, a long copy is not. */
const pendingKeysMax = 4096;

export function encodePending(rows: PendingRows[], groups: Groups): Uint8Array<ArrayBuffer> {
  writer.u32(rows.length);
  for (const {startMs, endMs, gids} of rows) {
    const list = Array.isArray(gids) ? gids : gids.gids;
    const count = Array.isArray(gids) ? gids.length : gids.count;
    const all = count > pendingKeysMax;
    writer.f64(startMs);
    writer.f64(endMs);
    writer.u8(all ? 1 : 0);
    writer.u32(all ? 0 : count);
    if (!all) for (let index = 0; index < count; index++) writer.text(groups.key(list[index]!));
  }
  return writer.take();
}

/** @throws PlatformError CHECKPOINT_CORRUPT when the bytes end too early */
export function decodePending(bytes: Uint8Array): RestoredRows[] {
  const from = new ByteReader(bytes);
  return Array.from({length: from.u32()}, () => {
    const [startMs, endMs, all] = [from.f64(), from.f64(), from.u8() === 1];
    return {startMs, endMs, all, groupKeys: Array.from({length: from.u32()}, () => from.text())};
  });
}
