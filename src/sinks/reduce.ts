import type {Value} from '../expr/types.ts';
import type {Table} from '../model/types.ts';
import {columnIndex, pick} from './tables.ts';
import type {RowBatch} from './types.ts';

/**
 * Keeps of every key the row with the highest version, the last one among equals. Tables without a version column (raw
 * events) keep the first row of a key. Rows stay in order; a batch with one row a key is returned as it is.
 */
export function reduceToHighest(table: Table, batch: RowBatch): RowBatch {
  const keys = table.key.map((name) => batch.columns[columnIndex(table, name)]!);
  const versions = batch.columns[columnIndex(table, 'version')];
  // Open addressing: a slot holds the number of the best row of a key, from 1. At most half of the slots are taken.
  const size = 2 ** Math.ceil(Math.log2(Math.max(2, batch.count * 2)));
  const slots = new Int32Array(size);
  let distinct = 0;
  for (let row = 0; row < batch.count; row++) {
    let slot = hashRow(keys, row) & (size - 1);
    for (; slots[slot] !== 0; slot = (slot + 1) & (size - 1)) {
      const best = slots[slot]! - 1;
      if (!sameKey(keys, row, best)) continue;
      if (versions && versions[row]! >= versions[best]!) slots[slot] = row + 1;
      break;
    }
    if (slots[slot] === 0) {
      slots[slot] = row + 1;
      distinct += 1;
    }
  }
  if (distinct === batch.count) return batch;
  const kept = slots.filter((best) => best !== 0).sort();
  return pick(
    batch,
    Array.from(kept, (best) => best - 1),
  );
}

function sameKey(keys: Value[][], a: number, b: number): boolean {
  // As databases compare: NaN equals itself, 0 and -0 are one.
  for (const values of keys)
    if (values[a] !== values[b] && !(Number.isNaN(values[a]) && Number.isNaN(values[b]))) return false;
  return true;
}

function hashRow(keys: Value[][], row: number): number {
  let hash = 0;
  for (const values of keys) hash = Math.imul(hash ^ hashValue(values[row]!), 0x9e3779b1) ^ (hash >>> 15);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** FNV-1a of texts; the two halves of numbers. */
function hashValue(value: Value): number {
  if (typeof value === 'number') {
    const high = Math.floor(value / 2 ** 32);
    return (
      (Math.imul(value | 0, 0x85ebca6b) ^
        Math.imul(high | 0, 0xc2b2ae35) ^
        Math.trunc((value % 1) * 2 ** 31)) |
      0
    );
  }
  if (value === null) return 0x51ed270b;
  const text = typeof value === 'string' ? value : String(value);
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash;
}
