import type {StatePut} from './state.ts';

/** Offsets by class and (topic, partition): `late shop.purchase/0`. */
type Offsets = Map<string, number[]>;

/** Places of one stored piece: bounds what a checkpoint writes while the set grows. */
const pieceMax = 4096;

/**
 * Places in the log, each in a class, that are only ever added. Stored in pieces of a bounded size, of which a checkpoint
 * writes those that changed; pieces of before stay in the store until somebody asks what is in the set.
 */
export class PlaceSet {
  #name: string;
  #read: (key: string) => Uint8Array | undefined;
  /** Number of the piece that grows. */
  #last = 0;
  #count = 0;
  /** Pieces that the store may not have as they are; always the one that grows. */
  #recent = new Map<number, Offsets>([[0, new Map()]]);
  #changed = new Set<number>();
  #copied: number[] = [];
  /** Everything in the store, while it is asked. */
  #loaded: Map<string, Set<number>> | undefined;

  /** @param name of its pieces in the store: `<name>.<n>` */
  constructor(name: string, keys: string[], read: (key: string) => Uint8Array | undefined) {
    this.#name = name;
    this.#read = read;
    const prefix = `${name}.`;
    const numbers = keys
      .filter((key) => key.startsWith(prefix))
      .map((key) => Number(key.slice(prefix.length)));
    if (numbers.length === 0) return;
    this.#last = Math.max(...numbers);
    const piece = this.#piece(this.#last);
    for (const offsets of piece.values()) this.#count += offsets.length;
    this.#recent = new Map([[this.#last, piece]]);
  }

  add(kind: string, topic: string, partition: number, offset: number): void {
    if (this.#count >= pieceMax) {
      this.#count = 0;
      this.#recent.set(++this.#last, new Map());
    }
    const key = `${kind} ${topic}/${partition}`;
    const piece = this.#recent.get(this.#last)!;
    const offsets = piece.get(key);
    if (offsets) offsets.push(offset);
    else piece.set(key, [offset]);
    this.#count++;
    this.#changed.add(this.#last);
    if (this.#loaded) note(this.#loaded, key, [offset]);
  }

  has(kind: string, topic: string, partition: number, offset: number): boolean {
    if (!this.#loaded) {
      this.#loaded = new Map();
      for (let number = 0; number <= this.#last; number++)
        for (const [key, offsets] of this.#recent.get(number) ?? this.#piece(number))
          note(this.#loaded, key, offsets);
    }
    return this.#loaded.get(`${kind} ${topic}/${partition}`)?.has(offset) ?? false;
  }

  /** Nobody asks any more for now: memory holds what the store lacks, and no more. */
  unload(): void {
    this.#loaded = undefined;
  }

  copy(puts: StatePut[]): void {
    for (const number of this.#changed) {
      const text = JSON.stringify([...this.#recent.get(number)!]);
      puts.push({key: `${this.#name}.${number}`, bytes: new TextEncoder().encode(text)});
    }
    this.#copied = [...this.#changed];
    this.#changed.clear();
  }

  /** The last copy is in the store. */
  committed(): void {
    for (const number of this.#copied)
      if (number < this.#last && !this.#changed.has(number)) this.#recent.delete(number);
    this.#copied = [];
  }

  get bytes(): number {
    const loaded = [...(this.#loaded?.values() ?? [])].reduce((sum, offsets) => sum + offsets.size * 40, 0);
    return this.#recent.size * pieceMax * 8 + loaded;
  }

  #piece(number: number): Offsets {
    const bytes = this.#read(`${this.#name}.${number}`);
    return bytes ? new Map(JSON.parse(new TextDecoder().decode(bytes)) as [string, number[]][]) : new Map();
  }
}

function note(loaded: Map<string, Set<number>>, key: string, offsets: number[]): void {
  const known = loaded.get(key) ?? new Set();
  loaded.set(key, known);
  for (const offset of offsets) known.add(offset);
}
