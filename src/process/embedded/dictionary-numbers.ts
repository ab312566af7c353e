import type {Value, ValueType} from '../../expr/types.ts';

/** Numbers (and integers beyond 2^53) as codes, for dimensions that are no texts. Code 0 is NULL. */
export type NumberDictionary = {
  size: number;
  /** NaN is NULL, code 0. */
  code(value: number): number;
  codeOfValue(value: Value): number;
  /** As a value of the dictionary's type. */
  value(code: number): Value;
  bytes(): number;
  clear(): void;
};

const scratch = new Float64Array(1);
const scratchWords = new Int32Array(scratch.buffer);

/** Bits of a double mixed to 32. */
export function hashNumber(value: number): number {
  scratch[0] = value;
  let hash = Math.imul(scratchWords[0]!, 0x9e3779b1) ^ Math.imul(scratchWords[1]!, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 16);
}

export function createNumberDictionary(type: ValueType): NumberDictionary {
  let keys = new Float64Array(64);
  let codes = new Int32Array(64);
  let values: (number | bigint)[] = [0];
  let wide = new Map<bigint, number>();

  function place(value: number): number {
    const mask = keys.length - 1;
    let slot = hashNumber(value) & mask;
    while (codes[slot] !== 0 && keys[slot] !== value) slot = (slot + 1) & mask;
    return slot;
  }

  function grow(): void {
    keys = new Float64Array(keys.length * 4);
    codes = new Int32Array(keys.length);
    values.forEach((value, code) => {
      if (code === 0 || typeof value === 'bigint') return;
      const slot = place(value);
      keys[slot] = value;
      codes[slot] = code;
    });
  }

  const dictionary: NumberDictionary = {
    size: 1,
    code(given) {
      if (Number.isNaN(given)) return 0;
      const value = given + 0; // -0 and 0 are one group
      const slot = place(value);
      if (codes[slot] !== 0) return codes[slot]!;
      keys[slot] = value;
      codes[slot] = dictionary.size;
      values.push(value);
      if (++dictionary.size * 2 > keys.length) grow();
      return dictionary.size - 1;
    },
    codeOfValue(value) {
      if (value === null) return 0;
      if (typeof value !== 'bigint') return dictionary.code(Number(value));
      const known = wide.get(value);
      if (known !== undefined) return known;
      wide.set(value, dictionary.size);
      values.push(value);
      return dictionary.size++;
    },
    value(code) {
      if (code === 0) return null;
      return type === 'boolean' ? values[code] === 1 : values[code]!;
    },
    bytes: () => keys.length * 12 + values.length * 8 + wide.size * 64,
    clear() {
      dictionary.size = 1;
      keys = new Float64Array(64);
      codes = new Int32Array(64);
      values = [0];
      wide = new Map();
    },
  };
  return dictionary;
}
