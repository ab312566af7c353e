import type {Table} from '../model/types.ts';
import {reduceToHighest} from './reduce.ts';
import {concat} from './tables.ts';
import type {RowBatch} from './types.ts';

/** Rows that were handed over, and who waits for them. `sinceMs`: when, by the delivery's clock. */
export type Push = {count: number; sinceMs: number; resolve: () => void; reject: (error: unknown) => void};

/** So many rows may wait before those of one key become one. */
const unreducedMax = 1_000;

/** Rows that wait for the write under way. A sink that is behind gets the last row of a key alone, and what waits for it stays small. */
export class DeliveryQueue {
  readonly #table: Table;
  #batches: RowBatch[] = [];
  #pushes: Push[] = [];
  #rows = 0;
  #reducedRows = 0;

  constructor(table: Table) {
    this.#table = table;
  }

  /** Rows in memory. */
  get rows(): number {
    return this.#rows;
  }

  get pushes(): readonly Push[] {
    return this.#pushes;
  }

  add(batch: RowBatch, push: Push): void {
    this.#pushes.push(push);
    this.#batches.push(batch);
    this.#rows += batch.count;
    if (this.#batches.length === 1 || this.#rows <= 2 * this.#reducedRows + unreducedMax) return;
    const reduced = reduceToHighest(this.#table, concat(this.#batches));
    this.#batches = [reduced];
    this.#rows = this.#reducedRows = reduced.count;
  }

  /**
   * Everything that waits, which then waits no more. @param isDistinct whether a batch has one row a key by itself
   * @returns one row a key
   */
  take(isDistinct: boolean): {batch: RowBatch; pushes: Push[]} {
    const all = concat(this.#batches);
    const batch = this.#pushes.length === 1 && isDistinct ? all : reduceToHighest(this.#table, all);
    return {batch, pushes: this.clear()};
  }

  /** Forgets the rows. @returns who waited for them */
  clear(): Push[] {
    const pushes = this.#pushes;
    this.#pushes = [];
    this.#batches = [];
    this.#rows = this.#reducedRows = 0;
    return pushes;
  }
}
