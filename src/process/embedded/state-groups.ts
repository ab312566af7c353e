import type {Value, ValueType} from '../../expr/types.ts';
import {toValue} from './state-cells.ts';

/**
 * The groups of one query: tuples of dimension values <-> small ids, counted by reference, freed with the last one. State
 * holds a group (`retain`), and so does a kernel's generation that knows its id (`intern`); the limit is on the first.
 */
export class Groups {
  /** Values by dimension, then by group id. */
  readonly values: Value[][];
  #types: ValueType[];
  #byKey = new Map<string, number>();
  #keys: (string | undefined)[] = [];
  #refs = new Int32Array(64);
  /** Those of `#refs` that are held by state. */
  #stateRefs = new Int32Array(64);
  #inState = 0;
  #free: number[] = [];
  #keyBytes = 0;

  constructor(types: ValueType[]) {
    this.#types = types;
    this.values = types.map(() => []);
  }

  /** Groups that have state. */
  get count(): number {
    return this.#inState;
  }

  /** Memory of keys, values and tables, roughly. */
  get bytes(): number {
    return this.#byKey.size * (90 + 16 * this.values.length) + 4 * this.#keyBytes;
  }

  /** Id of the group, held until `forget`. @param value of dimension d */
  intern(value: (dimension: number) => Value): number {
    const gid = this.#find(keyOf(this.#types.length, value));
    this.#refs[gid]!++;
    return gid;
  }

  /** Id of the group, held by state until `release`. */
  retainKey(key: string): number {
    const gid = this.#find(key);
    this.retain(gid);
    return gid;
  }

  #find(key: string): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const gid = this.#free.pop() ?? this.#keys.length;
    this.#byKey.set(key, gid);
    this.#keys[gid] = key;
    const tuple = valuesOf(key, this.#types);
    for (let dimension = 0; dimension < tuple.length; dimension++)
      this.values[dimension]![gid] = tuple[dimension]!;
    if (gid >= this.#refs.length) {
      this.#refs = grow(this.#refs);
      this.#stateRefs = grow(this.#stateRefs);
    }
    this.#keyBytes += key.length;
    return gid;
  }

  key(gid: number): string {
    return this.#keys[gid]!;
  }

  retain(gid: number): void {
    this.#refs[gid]!++;
    if (this.#stateRefs[gid]!++ === 0) this.#inState++;
  }

  release(gid: number): void {
    if (--this.#stateRefs[gid]! === 0) this.#inState--;
    this.forget(gid);
  }

  /** Ends an `intern`. */
  forget(gid: number): void {
    if (--this.#refs[gid]! > 0) return;
    const key = this.#keys[gid]!;
    this.#byKey.delete(key);
    this.#keyBytes -= key.length;
    this.#keys[gid] = undefined;
    for (const column of this.values) column[gid] = null;
    this.#free.push(gid);
  }
}

function grow(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

/** Tuple as text that tells NULL from '' and can be read back: `~` for NULL, else `<length>=<text>`. */
export function keyOf(dimensions: number, value: (dimension: number) => Value): string {
  let key = '';
  for (let dimension = 0; dimension < dimensions; dimension++) {
    const one = value(dimension);
    if (one === null) key += '~';
    else {
      const text = typeof one === 'string' ? one : String(one);
      key += `${text.length}=${text}`;
    }
  }
  return key;
}

/** The keys of a text that is keys one after another. A query without dimensions has one group, whose key is empty. */
export function splitKeys(text: string, dimensions: number): string[] {
  if (dimensions === 0) return [''];
  const keys: string[] = [];
  for (let at = 0; at < text.length; ) {
    const from = at;
    for (let dimension = 0; dimension < dimensions; dimension++) {
      if (text[at] === '~') at++;
      else {
        const equals = text.indexOf('=', at);
        at = equals + 1 + Number(text.slice(at, equals));
      }
    }
    keys.push(text.slice(from, at));
  }
  return keys;
}

/** The values of a key of `keyOf`. */
export function valuesOf(key: string, types: ValueType[]): Value[] {
  let at = 0;
  return types.map((type) => {
    if (key[at] === '~') {
      at++;
      return null;
    }
    const equals = key.indexOf('=', at);
    const end = equals + 1 + Number(key.slice(at, equals));
    const text = key.slice(equals + 1, end);
    at = end;
    return parseValue(text, type);
  });
}

function parseValue(text: string, type: ValueType): Value {
  switch (type) {
    case 'string':
    case 'uuid':
    case 'enum':
      return text;
    case 'boolean':
      return text === 'true';
    default: {
      const number = Number(text);
      return type === 'double' || Number.isSafeInteger(number) ? number : toValue(BigInt(text));
    }
  }
}
