/**
 * Group id -> slot, by open addressing; slots are dense and in order of arrival, so a pane's rows lie side by side. With
 * only `add` and `clear` it is also an ordered set of group ids.
 */
export class SlotTable {
  /** Group id of each slot. */
  gids = new Int32Array(8);
  count = 0;
  /** slot + 1, or 0 for an empty place. */
  #table = new Int32Array(16);
  #shift = 28;

  /** @returns the slot, or -1. */
  find(gid: number): number {
    const mask = this.#table.length - 1;
    for (let place = Math.imul(gid, 0x9e3779b1) >>> this.#shift; ; place = (place + 1) & mask) {
      const slot = this.#table[place]! - 1;
      if (slot < 0 || this.gids[slot] === gid) return slot;
    }
  }

  /** @returns the slot; it is new when `count` grew. */
  add(gid: number): number {
    const mask = this.#table.length - 1;
    let place = Math.imul(gid, 0x9e3779b1) >>> this.#shift;
    for (; ; place = (place + 1) & mask) {
      const slot = this.#table[place]! - 1;
      if (slot < 0) break;
      if (this.gids[slot] === gid) return slot;
    }
    const slot = this.count++;
    if (slot === this.gids.length) this.gids = grow(this.gids);
    this.gids[slot] = gid;
    this.#table[place] = slot + 1;
    if (this.count * 2 > mask) this.#rehash();
    return slot;
  }

  /** Removes the first `n` ids; the others keep their order. */
  dropFirst(n: number): void {
    const kept = this.gids.slice(n, this.count);
    this.clear();
    for (const gid of kept) this.add(gid);
  }

  clear(): void {
    this.count = 0;
    if (this.#table.length > 1024) {
      this.gids = new Int32Array(8);
      this.#table = new Int32Array(16);
      this.#shift = 28;
    } else this.#table.fill(0);
  }

  get bytes(): number {
    return (this.gids.length + this.#table.length) * 4;
  }

  #rehash(): void {
    this.#shift -= 1;
    const table = new Int32Array(this.#table.length * 2);
    const mask = table.length - 1;
    for (let slot = 0; slot < this.count; slot++) {
      let place = Math.imul(this.gids[slot]!, 0x9e3779b1) >>> this.#shift;
      while (table[place] !== 0) place = (place + 1) & mask;
      table[place] = slot + 1;
    }
    this.#table = table;
  }
}

function grow(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
