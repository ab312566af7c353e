/** Numbers for pairs of codes, from 0: how a group of many or large dimensions becomes one integer. */
export type PairDictionary = {
  size: number;
  code(a: number, b: number): number;
  bytes(): number;
  clear(): void;
};

export function createPairDictionary(): PairDictionary {
  // [a, b, number + 1] and a spare, an entry; 0: free.
  let table = new Int32Array(4 * 256);
  const hash = (a: number, b: number): number => {
    const mixed = Math.imul(Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77) ^ (a >>> 15), 0x2c1b3c6d);
    return mixed ^ (mixed >>> 15);
  };
  function place(a: number, b: number): number {
    const mask = table.length - 1;
    let entry = (hash(a, b) * 4) & mask;
    while (table[entry + 2] !== 0 && (table[entry] !== a || table[entry + 1] !== b))
      entry = (entry + 4) & mask;
    return entry;
  }
  function grow(): void {
    const old = table;
    table = new Int32Array(old.length * 4);
    for (let from = 0; from < old.length; from += 4) {
      if (old[from + 2] === 0) continue;
      const entry = place(old[from]!, old[from + 1]!);
      for (let k = 0; k < 3; k++) table[entry + k] = old[from + k]!;
    }
  }
  const pairs: PairDictionary = {
    size: 0,
    code(a, b) {
      const entry = place(a, b);
      if (table[entry + 2] !== 0) return table[entry + 2]! - 1;
      table[entry] = a;
      table[entry + 1] = b;
      table[entry + 2] = ++pairs.size;
      if (pairs.size * 8 > table.length) grow();
      return pairs.size - 1;
    },
    bytes: () => table.byteLength,
    clear() {
      table = new Int32Array(4 * 256);
      pairs.size = 0;
    },
  };
  return pairs;
}

/** Group ids by key, with the codes of each group, so that keys can be laid out anew. */
export type GroupTable = {
  /** Groups of the generation. */
  size: number;
  /** Group + 1 by key, 0: none, for keys below its length; generated code looks there itself. */
  direct: Int32Array;
  /** Group of a key, or -1. */
  find(key: number): number;
  add(key: number, codes: Int32Array): number;
  /** Codes of a group, one a dimension, at `group * dimensions`. */
  codes: Int32Array;
  /** Lays all keys out anew. */
  rekey(keyOf: (codes: Int32Array, at: number) => number): void;
  bytes(): number;
  clear(): void;
};

/** A table by key is direct below so many keys, a Map beyond. */
const directMax = 2 ** 22;

export function createGroupTable(dimensions: number): GroupTable {
  let sparse = new Map<number, number>();
  function put(key: number, group: number): void {
    if (key >= directMax) {
      sparse.set(key, group);
      return;
    }
    if (key >= groups.direct.length) {
      const next = new Int32Array(2 ** Math.ceil(Math.log2(key + 1)));
      next.set(groups.direct);
      groups.direct = next;
    }
    groups.direct[key] = group + 1;
  }
  const groups: GroupTable = {
    size: 0,
    codes: new Int32Array(64 * dimensions),
    direct: new Int32Array(256),
    find: (key) =>
      key < groups.direct.length ? groups.direct[key]! - 1 : key < directMax ? -1 : (sparse.get(key) ?? -1),
    add(key, codes) {
      const group = groups.size++;
      put(key, group);
      if (groups.size * dimensions > groups.codes.length) {
        const next = new Int32Array(groups.codes.length * 2);
        next.set(groups.codes);
        groups.codes = next;
      }
      for (let k = 0; k < dimensions; k++) groups.codes[group * dimensions + k] = codes[k]!;
      return group;
    },
    rekey(keyOf) {
      groups.direct = new Int32Array(256);
      sparse = new Map();
      for (let group = 0; group < groups.size; group++) put(keyOf(groups.codes, group * dimensions), group);
    },
    bytes: () => groups.direct.byteLength + sparse.size * 40 + groups.codes.byteLength,
    clear() {
      groups.size = 0;
      groups.codes = new Int32Array(64 * dimensions);
      groups.direct = new Int32Array(256);
      sparse = new Map();
    },
  };
  return groups;
}
