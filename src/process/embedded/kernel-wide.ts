/** Integers beyond 2^53 in the cells of a pane: `Pane.wide` has their exact value. */
import type {Pane} from './kernel-pane.ts';

/** Entries of `wide` that still say what their cell is. */
export function liveWide({wide, cells}: Pane): Map<number, bigint> {
  if (wide.size === 0) return wide;
  return new Map([...wide].filter(([cell]) => !Number.isFinite(cells[cell]!)));
}

/** Puts the entries of `stride` cells from `from` on into a map of cells from `to` on. */
export function moveWide(
  {wide, cells}: Pane,
  from: number,
  into: Map<number, bigint>,
  to: number,
  stride: number,
): void {
  for (let i = 0; i < stride; i++) {
    const exact = Number.isFinite(cells[from + i]!) ? undefined : wide.get(from + i);
    if (exact !== undefined) into.set(to + i, exact);
  }
}

/** Whether a sum is exact as a double. */
export const isSafe = (value: number): boolean =>
  value <= Number.MAX_SAFE_INTEGER && value >= -Number.MAX_SAFE_INTEGER;

/** Adds an integer of any size to a sum whose cell would leave 2^53, or has left it. */
export function addWide(pane: Pane, cell: number, value: number | bigint): void {
  const before = pane.cells[cell]!;
  const sum = (Number.isNaN(before) ? pane.wide.get(cell)! : BigInt(before)) + BigInt(value);
  if (isSafe(Number(sum))) {
    pane.wide.delete(cell);
    pane.cells[cell] = Number(sum);
  } else {
    pane.wide.set(cell, sum);
    pane.cells[cell] = NaN;
  }
}

/** Takes an integer beyond 2^53 into a minimum (`sign` 1) or maximum (`sign` -1). */
export function boundWide(pane: Pane, cell: number, value: bigint, sign: 1 | -1): void {
  const before = pane.cells[cell]!;
  const known = Number.isFinite(before) ? before : pane.wide.get(cell);
  if (known !== undefined && (sign === 1 ? known <= value : known >= value)) return;
  pane.wide.set(cell, value);
  pane.cells[cell] = value < 0n ? -Infinity : Infinity;
}
