import type {Value} from '../../expr/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import {isText} from './decode-columns.ts';
import {createTextDictionary, type TextDictionary} from './dictionary.ts';
import {createNumberDictionary, type NumberDictionary} from './dictionary-numbers.ts';
import {createGroupTable, createPairDictionary, type GroupTable} from './kernel-groups.ts';

/** Codes of group_by columns, the integer key made of them, and the groups by key. */
export type Keys = {
  /** `bits`: codes side by side in one integer; `pairs`: pairs of codes numbered, when they do not fit side by side. */
  mode: 'bits' | 'pairs';
  /** In `bits`: where each code begins, and how many codes it has room for. */
  shifts: Int32Array;
  limits: Int32Array;
  /** Keys are below it; Infinity in `pairs`, where a key can be new at any row. */
  space(): number;
  /** Own dictionaries of text columns that do not use the logged column's codes. */
  texts: (TextDictionary | undefined)[];
  numberCode(dimension: number, value: number): number;
  codeOf(dimension: number, value: Value): number;
  pair(level: number, a: number, b: number): number;
  keyOf(codes: Int32Array, at: number): number;
  /** Group of a key, made when it is new. */
  group(key: number, codes: Int32Array): number;
  groups: GroupTable;
  wantsRoom(): boolean;
  grow(): void;
  size(): number;
  /** Values of the groups from `first` on, one array a dimension. */
  values(first: number): Value[][];
  bytes(): number;
  clear(): void;
};

/** A key and its successor are positive 32-bit integers. */
const bitsMax = 30;

/** @param direct dictionaries of the logged columns that dimensions use directly. */
export function createKeys(plan: QueryPlan, direct: (TextDictionary | undefined)[]): Keys {
  const count = plan.groupBy.length;
  const texts = plan.groupBy.map(({type}, k) =>
    isText(type) && !direct[k] ? createTextDictionary() : undefined,
  );
  const numbers: (NumberDictionary | undefined)[] = plan.groupBy.map(({type}) =>
    isText(type) ? undefined : createNumberDictionary(type),
  );
  const pairs = Array.from({length: Math.max(0, count - 1)}, createPairDictionary);
  const groups = createGroupTable(count);
  const dictionaryOf = (k: number): TextDictionary | NumberDictionary => direct[k] ?? texts[k] ?? numbers[k]!;
  let bits: number[] = [];
  let space = 1;

  function layOut(): void {
    bits = plan.groupBy.map((_, k) => Math.max(bits[k] ?? 2, Math.ceil(Math.log2(dictionaryOf(k).size + 1))));
    let shift = 0;
    for (let k = 0; k < count; k++) {
      keys.shifts[k] = shift;
      keys.limits[k] = 2 ** Math.min(bits[k]!, bitsMax);
      shift += bits[k]!;
    }
    // One dimension is its own key; several that do not fit side by side are numbered.
    if (shift > bitsMax && count > 1) keys.mode = 'pairs';
    space = keys.mode === 'bits' ? 2 ** shift : Infinity;
  }

  const keys: Keys = {
    mode: 'bits',
    shifts: new Int32Array(count),
    limits: new Int32Array(count),
    space: () => space,
    texts,
    numberCode: (dimension, value) => numbers[dimension]!.code(value),
    codeOf(k, value) {
      if (value === null) return 0;
      return numbers[k] ? numbers[k].codeOfValue(value) : (direct[k] ?? texts[k]!).internText(String(value));
    },
    pair: (level, a, b) => pairs[level]!.code(a, b),
    keyOf(codes, at) {
      if (count === 0) return 0;
      let key = codes[at]!;
      for (let k = 1; k < count; k++)
        key =
          keys.mode === 'bits'
            ? key | (codes[at + k]! << keys.shifts[k]!)
            : keys.pair(k - 1, key, codes[at + k]!);
      return key;
    },
    group(key, codes) {
      const known = groups.find(key);
      return known >= 0 ? known : groups.add(key, codes);
    },
    groups,
    wantsRoom: () => keys.mode === 'bits' && keys.limits.some((limit, k) => dictionaryOf(k).size > limit),
    grow() {
      if (keys.mode === 'pairs') return;
      layOut();
      groups.rekey(keys.keyOf);
    },
    size: () => groups.size,
    values: (first) =>
      plan.groupBy.map((_, k) => {
        const values: Value[] = [];
        for (let group = first; group < groups.size; group++) {
          const code = groups.codes[group * count + k]!;
          values.push(
            code === 0 ? null : numbers[k] ? numbers[k].value(code) : (direct[k] ?? texts[k]!).text(code),
          );
        }
        return values;
      }),
    bytes: () =>
      groups.bytes() +
      pairs.reduce((sum, pair) => sum + pair.bytes(), 0) +
      [...texts, ...numbers].reduce((sum, dictionary) => sum + (dictionary?.bytes() ?? 0), 0),
    clear() {
      for (const dictionary of [...texts, ...numbers, ...pairs]) dictionary?.clear();
      groups.clear();
      if (keys.mode === 'pairs') return;
      bits = [];
      layOut();
    },
  };
  layOut();
  return keys;
}
