/**
 * The two walks over every byte of a batch, in WebAssembly with 16 bytes a step: memory of its own, nothing of the platform in it.
 * Made at the first use of a thread. Where WebAssembly or its vectors are missing, callers go their way in JavaScript.
 *
 * Checksum. Two messages that differ by a multiple of CRC-32C's polynomial have the same checksum. x^5685 + x^1362 + x^426 + 1 is
 * one, and so is its eighth power, whose exponents count bytes. So each byte can be taken away from the front if it is added
 * (XOR) 4323, 5259 and 5685 bytes further on, sixteen at once without any table; the last 5685 bytes are left. A second multiple, of six
 * terms, leaves 290 of those for the tables. (Sparse multiples for checksums: https://arxiv.org/abs/2412.16398.)
 */
import {
  above,
  add,
  again,
  againIf,
  and,
  below,
  block,
  type Code,
  get,
  i32,
  leaveIf,
  load8,
  load128,
  loop,
  ne,
  notBelow,
  or,
  set,
  shl,
  shr,
  store32,
  store128,
  wasmModule,
  when,
  xor128,
} from './wasm.ts';

/**
 * Exponents of sparse multiples in falling order, bytes; 0 is one more. Of those with so many terms they are the ones of least degree whose
 * shifts are long: what a step reads was stored long before.
 */
const far = {high: 5685, lower: [1362, 426]};
const near = {high: 290, lower: [136, 113, 107, 32]};
type Multiple = typeof far;
/** Bytes of one round of a fold. */
const roundBytes = 64;
/** What is folded at once stays in the first cache with what it needs. */
const pieceBytes = 16 * 1024;
/** Fewer bytes are folded by the near multiple alone. */
const farBytesLeast = 2 * far.high;

/** Places in the memory; what lies between them is read, never used. */
const resultAt = 0;
const pieceAt = 91 * 64;
const farRestAt = pieceAt + pieceBytes + 2048;
const nearRestAt = farRestAt + 6144;
const movedAt = nearRestAt + 512;
const movedBytes = 32 * 1024;
const loadedAt = movedAt + movedBytes + 64;
const loadedBytes = 2 ** 20;
const pages = Math.ceil((loadedAt + loadedBytes + 256) / 65_536);

/** far, near (data, out, end, history): out = data + what the terms bring from the history, which ends at `out` as a rule. */
function foldCode({lower}: Multiple): Code {
  const [data, out, end, history] = [0, 1, 2, 3];
  const steps: Code[] = [];
  for (let at = 0; at < roundBytes; at += 16) {
    const brought = [0, ...lower].map((term) => load128(get(history), term + at));
    steps.push(store128(get(out), brought.reduce(xor128, load128(get(data), at)), at));
  }
  const next = [data, out, history].map((pointer) => set(pointer, add(get(pointer), i32(roundBytes))));
  return [...loop(...steps, ...next, againIf(0, below(get(out), get(end)))), ...get(out)];
}

/**
 * move(at, to, delta, countMax, out, outEnd): the fast way of `walk` in batch-read.ts over records from `at` to `to`, whose
 * values it copies to `out`, each behind its length. It stops in front of a record that is odd, torn, has numbers of more than three bytes
 * or finds no room. @returns how many it took; where it stands is at `resultAt`, then where its output ends
 */
function moveCode(): Code {
  const [at, to, delta, countMax, out, outEnd] = [0, 1, 2, 3, 4, 5];
  const [count, pos, number, end, valueEnd, byte] = [6, 7, 8, 9, 10, 11];
  const step = (n: number) => set(pos, add(get(pos), i32(n)));
  // A varint of up to three bytes at `pos`, not unzigzagged; depth: of the block to leave for a longer one.
  const varint = (depth: number): Code[] => [
    set(number, load8(get(pos))),
    step(1),
    when(
      above(get(number), i32(127)),
      set(byte, load8(get(pos))),
      step(1),
      set(number, or(and(get(number), i32(127)), shl(and(get(byte), i32(127)), i32(7)))),
      when(
        above(get(byte), i32(127)),
        set(byte, load8(get(pos))),
        step(1),
        leaveIf(depth + 2, above(get(byte), i32(127))),
        set(number, or(get(number), shl(get(byte), i32(14)))),
      ),
    ),
  ];
  const half = shr(get(number), i32(1));
  const isOdd = and(get(number), i32(1));
  const record: Code[] = [
    leaveIf(1, notBelow(get(count), get(countMax))),
    set(pos, get(at)),
    ...varint(1),
    leaveIf(1, isOdd),
    set(end, add(get(pos), half)),
    leaveIf(1, above(get(end), get(to))),
    // The attributes, and the time.
    step(1),
    ...varint(1),
    ...varint(1),
    leaveIf(1, ne(get(number), shl(get(delta), i32(1)))),
    ...varint(1),
    when(ne(get(number), i32(1)), leaveIf(2, isOdd), set(pos, add(get(pos), half))),
    leaveIf(1, notBelow(get(pos), get(end))),
    ...varint(1),
    leaveIf(1, isOdd),
    set(number, half),
    set(valueEnd, add(get(pos), get(number))),
    leaveIf(1, notBelow(get(valueEnd), get(end))),
    leaveIf(1, notBelow(get(pos), get(valueEnd))),
    leaveIf(1, above(add(get(out), add(get(number), i32(4))), get(outEnd))),
    store32(get(out), get(number)),
    set(out, add(get(out), i32(4))),
    set(number, add(get(out), get(number))),
    loop(
      store128(get(out), load128(get(pos))),
      set(out, add(get(out), i32(16))),
      step(16),
      againIf(0, below(get(pos), get(valueEnd))),
    ),
    set(out, get(number)),
    set(at, get(end)),
    set(delta, add(get(delta), i32(1))),
    set(count, add(get(count), i32(1))),
    again(0),
  ];
  return [
    ...block(loop(...record)),
    ...store32(i32(resultAt), get(at)),
    ...store32(i32(resultAt + 4), get(out)),
    ...get(count),
  ];
}

type Exports = {
  memory: {buffer: ArrayBuffer};
  far(data: number, out: number, end: number, history: number): number;
  near(data: number, out: number, end: number, history: number): number;
  move(at: number, to: number, delta: number, countMax: number, out: number, outEnd: number): number;
};

/** As much of the platform's WebAssembly as is used here; the compiler's library for servers does not have it. */
declare const WebAssembly:
  | {
      validate(bytes: Uint8Array): boolean;
      Module: new (bytes: Uint8Array) => object;
      Instance: new (module: object) => {exports: Exports};
    }
  | undefined;

/** Where a walk over records stands, in their bytes; `delta`: the offset of the next one from the batch's base. */
export type Place = {at: number; to: number; delta: number; write: number};

/** Fewer bytes are quicker summed by the tables. */
export const shortenBytesLeast = 1536;
/** More bytes are shortened piece by piece. */
export const shortenBytesMax = loadedBytes;
/** Fewer bytes of records are quicker walked where they are. */
export const moveBytesLeast = 768;

export class Machine {
  readonly #exports: Exports;
  readonly #memory: Uint8Array;
  readonly #result: Int32Array;

  private constructor(exports: Exports) {
    this.#exports = exports;
    this.#memory = new Uint8Array(exports.memory.buffer);
    this.#result = new Int32Array(exports.memory.buffer, resultAt, 2);
  }

  /** Undefined where there is no WebAssembly, or none with vectors. */
  static open(): Machine | undefined {
    if (typeof WebAssembly === 'undefined') return undefined;
    const bytes = wasmModule(pages, [
      {name: 'far', parameters: 4, locals: 0, body: foldCode(far)},
      {name: 'near', parameters: 4, locals: 0, body: foldCode(near)},
      {name: 'move', parameters: 6, locals: 6, body: moveCode()},
    ]);
    if (!WebAssembly.validate(bytes)) return undefined;
    return new Machine(new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports);
  }

  /**
   * Shortens a message of `shortenBytesLeast` to `shortenBytesMax` bytes.
   * @param register of the checksum before the message
   * @returns bytes that lead from a register of 0 to the same one as the message; valid until the next call
   */
  shorten(bytes: Uint8Array, from: number, to: number, register: number): Uint8Array {
    const memory = this.#memory;
    memory.set(bytes.subarray(from, to), loadedAt);
    for (let index = 0; index < 4; index++) memory[loadedAt + index]! ^= register >>> (8 * index);
    let length = to - from;
    let at = loadedAt;
    if (length >= farBytesLeast) {
      length = this.#fold('far', far, at, length, farRestAt);
      at = farRestAt;
    }
    length = this.#fold('near', near, at, length, nearRestAt);
    return memory.subarray(nearRestAt, nearRestAt + length);
  }

  /** Folds `length` bytes at `data` into fewer at `restAt`. @returns how many */
  #fold(name: 'far' | 'near', {high, lower}: Multiple, data: number, length: number, restAt: number): number {
    const memory = this.#memory;
    const history = pieceAt - high;
    const whole = Math.floor((length - high) / roundBytes) * roundBytes;
    memory.fill(0, history, pieceAt);
    let end = pieceAt;
    for (let at = 0; at < whole; at += pieceBytes) {
      if (at > 0) memory.copyWithin(history, end - high, end);
      end = pieceAt + Math.min(pieceBytes, whole - at);
      this.#exports[name](data + at, pieceAt, end, history);
    }
    // What is left gets what the terms bring, and gives nothing any more.
    memory.fill(0, end, end + lower[0]! + 2 * roundBytes);
    this.#exports[name](data + whole, restAt, restAt + length - whole, end - high);
    return length - whole;
  }

  /**
   * Moves the values of records together at `place.write`, which is not after `place.at`, each behind its length: `countMax` of them at
   * most, as many as the fast way takes. @returns how many; `place` stands behind them
   */
  move(bytes: Uint8Array, place: Place, countMax: number): number {
    let count = 0;
    for (let taken = 1; taken > 0 && count < countMax; count += taken)
      taken = this.#moveLoaded(bytes, place, countMax - count);
    return count;
  }

  /** What is loaded at once: a record at its end that is cut is the first of the next. */
  #moveLoaded(bytes: Uint8Array, place: Place, countMax: number): number {
    const memory = this.#memory;
    const loaded = bytes.subarray(place.at, Math.min(place.to, place.at + loadedBytes));
    memory.set(loaded, loadedAt);
    const base = place.at - loadedAt;
    const end = loadedAt + loaded.length;
    let count = 0;
    for (let taken = 1; taken > 0 && count < countMax; count += taken) {
      const room = movedAt + movedBytes;
      taken = this.#exports.move(place.at - base, end, place.delta, countMax - count, movedAt, room);
      place.at = this.#result[0]! + base;
      bytes.set(memory.subarray(movedAt, this.#result[1]!), place.write);
      place.write += this.#result[1]! - movedAt;
      place.delta += taken;
    }
    return count;
  }
}

let opened: {machine: Machine | undefined} | undefined;

/** This thread's. */
export function machine(): Machine | undefined {
  opened ??= {machine: Machine.open()};
  return opened.machine;
}
