import {PlatformError} from '../../errors.ts';
import type {Value} from '../../expr/types.ts';
import {registerCount} from './accumulators.ts';
import type {AccumulatorObject} from './types.ts';

/** A buffer that grows while it is written. Numbers are little-endian. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(1024);
  length = 0;

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.#room(4);
    this.length = this.#bytes.writeUInt32LE(value, this.length);
  }

  f64(value: number): void {
    this.#room(8);
    this.length = this.#bytes.writeDoubleLE(value, this.length);
  }

  /** length:u32, UTF-8 */
  text(value: string): void {
    this.#room(4 + value.length * 3);
    const length = this.#bytes.write(value, this.length + 4, 'utf8');
    this.#bytes.writeUInt32LE(length, this.length);
    this.length += 4 + length;
  }

  raw(bytes: ArrayBufferView): void {
    this.#room(bytes.byteLength);
    this.#bytes.set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), this.length);
    this.length += bytes.byteLength;
  }

  /** The bytes written, in a buffer of their own; the writer begins anew. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.length);
    taken.set(this.#bytes.subarray(0, this.length));
    this.length = 0;
    return taken;
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.length + bytes, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}

/** Reads what a ByteWriter wrote; bytes that end too early are a damaged state, never a wrong number. */
export class ByteReader {
  #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  f64(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  text(): string {
    const length = this.u32();
    const from = this.#take(length);
    return this.#bytes.toString('utf8', from, from + length);
  }

  raw(length: number): Uint8Array<ArrayBuffer> {
    const from = this.#take(length);
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes.subarray(from, from + length));
    return bytes;
  }

  f64s(count: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.raw(count * 8).buffer);
  }

  i32s(count: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.raw(count * 4).buffer);
  }

  #take(length: number): number {
    const from = this.#at;
    if (from + length > this.#bytes.length) throw damaged('a stored piece of state ends too early');
    this.#at = from + length;
    return from;
  }
}

const damaged = (message: string): PlatformError =>
  new PlatformError('CHECKPOINT_CORRUPT', message, {
    hint: 'rebuild the query from the log: npx millrace rebuild <domain>.<query>',
  });

/** A piece that the checkpoint names is not in the store. */
export const missingPiece = (key: string): PlatformError => damaged(`the checkpoint lacks its piece ${key}`);

const tags = {none: 0, quantile: 1, first: 2, last: 3} as const;

/**
 * Objects of one accumulator, row by row. Distinct ones are written in bulk, since they are many and long.
 *
 *   objects  := 0 object* | 1 length:i32{count} content
 *   length   := -1 none | -2 registers | number of tokens
 *   content  := (token:i32* | registers:u8{4096})*
 *   object   := 0 | 1 buckets buckets zeros:f64 | (2 | 3) time:f64 event_id:text value
 *   buckets  := count:u32 (index:f64 count:f64)*
 */
export function writeObjects(
  into: ByteWriter,
  column: (AccumulatorObject | null)[],
  from: number,
  to: number,
): void {
  let isDistinct = false;
  for (let row = from; row < to && !isDistinct; row++) isDistinct = column[row]?.op === 'distinct';
  into.u8(isDistinct ? 1 : 0);
  if (isDistinct) writeDistinct(into, column as (Distinct | null)[], from, to);
  else for (let row = from; row < to; row++) writeObject(into, column[row]!);
}

export function readObjects(from: ByteReader, count: number): (AccumulatorObject | null)[] {
  if (from.u8() === 0) return Array.from({length: count}, () => readObject(from));
  return Array.from(from.i32s(count), (length): Distinct | null => {
    if (length === -1) return null;
    if (length === -2) return {op: 'distinct', sparse: null, dense: from.raw(registerCount)};
    return {op: 'distinct', sparse: from.i32s(length), dense: null};
  });
}

type Distinct = Extract<AccumulatorObject, {op: 'distinct'}>;

function writeDistinct(into: ByteWriter, column: (Distinct | null)[], from: number, to: number): void {
  const lengths = new Int32Array(to - from);
  let bytes = 0;
  for (let row = from; row < to; row++) {
    const object = column[row]!;
    lengths[row - from] = object === null ? -1 : (object.sparse?.length ?? -2);
    bytes += object === null ? 0 : (object.sparse ?? object.dense!).byteLength;
  }
  into.raw(lengths);
  // Tokens and registers are both whole words, so that one array takes them without a view for each.
  const words = new Int32Array(bytes / 4);
  const registers = new Uint8Array(words.buffer);
  let at = 0;
  for (let row = from; row < to; row++) {
    const object = column[row]!;
    if (object === null) continue;
    if (object.sparse) words.set(object.sparse, at);
    else registers.set(object.dense!, at * 4);
    at += (object.sparse ?? object.dense!).byteLength / 4;
  }
  into.raw(words);
}

function writeObject(into: ByteWriter, object: AccumulatorObject | null): void {
  if (object === null || object.op === 'distinct') {
    into.u8(tags.none);
    return;
  }
  if (object.op !== 'quantile') {
    into.u8(tags[object.op]);
    into.f64(object.timeMs);
    into.text(object.eventId);
    writeValue(into, object.value);
    return;
  }
  into.u8(tags.quantile);
  for (const buckets of [object.positive, object.negative]) {
    into.u32(buckets.size);
    for (const [index, count] of buckets) {
      into.f64(index);
      into.f64(count);
    }
  }
  into.f64(object.zeros);
}

function readObject(from: ByteReader): AccumulatorObject | null {
  const tag = from.u8();
  if (tag === tags.none) return null;
  if (tag === tags.quantile) {
    const [positive, negative] = [readBuckets(from), readBuckets(from)];
    return {op: 'quantile', positive, negative, zeros: from.f64()};
  }
  const op = tag === tags.first ? 'first' : 'last';
  return {op, timeMs: from.f64(), eventId: from.text(), value: readValue(from)};
}

function readBuckets(from: ByteReader): Map<number, number> {
  const buckets = new Map<number, number>();
  for (let left = from.u32(); left > 0; left--) buckets.set(from.f64(), from.f64());
  return buckets;
}

/** value := 0 | 1 text | 2 f64 | 3 decimal text of a bigint | 4 u8 */
function writeValue(into: ByteWriter, value: Value): void {
  if (value === null) into.u8(0);
  else if (typeof value === 'string') {
    into.u8(1);
    into.text(value);
  } else if (typeof value === 'number') {
    into.u8(2);
    into.f64(value);
  } else if (typeof value === 'bigint') {
    into.u8(3);
    into.text(String(value));
  } else {
    into.u8(4);
    into.u8(value ? 1 : 0);
  }
}

function readValue(from: ByteReader): Value {
  switch (from.u8()) {
    case 1:
      return from.text();
    case 2:
      return from.f64();
    case 3:
      return BigInt(from.text());
    case 4:
      return from.u8() === 1;
    default:
      return null;
  }
}
