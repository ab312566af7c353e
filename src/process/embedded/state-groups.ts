import type {Value, ValueType} from '../../expr/types.ts';

/** The groups of one query: tuples of dimension values <-> small ids, counted by reference, freed with the last one. */
export class Groups {
  /** Values by dimension, then by group id. */
  readonly values: Value[][];
  #types: ValueType[];
  #byKey = new Map<string, number>();
  #keys: (string | undefined)[] = [];
  #refs = new Int32Array(64);
  #free: number[] = [];
  #keyBytes = 0;

  constructor(types: ValueType[]) {
    this.#types = types;
    this.values = types.map(() => []);
  }

  get count(): number {
    return this.#byKey.size;
  }

  /** Memory of keys, values and tables, roughly. */
  get bytes(): number {
    return this.#byKey.size * (90 + 16 * this.values.length) + 4 * this.#keyBytes;
  }

  /** Id of the group, with a reference more. @param value of dimension d */
  intern(value: (dimension: number) => Value): number {
    return this.internKey(keyOf(this.#types.length, value));
  }

  internKey(key: string): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      this.#refs[known]!++;
      return known;
    }
    const gid = this.#free.pop() ?? this.#keys.length;
    this.#byKey.set(key, gid);
    this.#keys[gid] = key;
    const tuple = valuesOf(key, this.#types);
    for (let dimension = 0; dimension < tuple.length; dimension++)
      this.values[dimension]![gid] = tuple[dimension]!;
    if (gid >= this.#refs.length) {
      const larger = new Int32Array(this.#refs.length * 2);
      larger.set(this.#refs);
      this.#refs = larger;
    }
    this.#refs[gid] = 1;
    this.#keyBytes += key.length;
    return gid;
  }

  key(gid: number): string {
    return this.#keys[gid]!;
  }

  retain(gid: number): void {
    this.#refs[gid]!++;
  }

  release(gid: number): void {
    if (--this.#refs[gid]! > 0) return;
    const key = this.#keys[gid]!;
    this.#byKey.delete(key);
    this.#keyBytes -= key.length;
    this.#keys[gid] = undefined;
    for (const column of this.values) column[gid] = null;
    this.#free.push(gid);
  }
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
      return type === 'double' || Number.isSafeInteger(number) ? number : BigInt(text);
    }
  }
}
