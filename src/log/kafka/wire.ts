/**
 * Kafka's primitive types (https://kafka.apache.org/protocol#protocol_types): integers big-endian; strings with an int16
 * length, bytes and arrays with an int32 length, -1 for null; the compact forms of flexible versions with an unsigned varint
 * that is one more than the length, 0 for null.
 */
import {PlatformError} from '../../errors.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Grows as it is written. */
export class WireWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(sizeHint = 256) {
    this.#bytes = new Uint8Array(sizeHint);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** What was written, without a copy: valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  #room(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  int8(value: number): this {
    const at = this.#room(1);
    this.#view.setInt8(at, value);
    return this;
  }

  int16(value: number): this {
    const at = this.#room(2);
    this.#view.setInt16(at, value);
    return this;
  }

  int32(value: number): this {
    const at = this.#room(4);
    this.#view.setInt32(at, value);
    return this;
  }

  uint32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value);
    return this;
  }

  int64(value: bigint | number): this {
    const at = this.#room(8);
    this.#view.setBigInt64(at, BigInt(value));
    return this;
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0);
  }

  /** Unsigned varint, up to 32 bits. */
  uvarint(value: number): this {
    for (let rest = value >>> 0; ; rest >>>= 7) {
      if (rest < 0x80) return this.int8(rest);
      this.int8((rest & 0x7f) | 0x80);
    }
  }

  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1);
    const bytes = encoder.encode(value);
    return this.int16(bytes.length).raw(bytes);
  }

  bytesOf(value: Uint8Array | null): this {
    return value === null ? this.int32(-1) : this.int32(value.length).raw(value);
  }

  array<T>(items: readonly T[] | null, write: (item: T) => void): this {
    this.int32(items === null ? -1 : items.length);
    for (const item of items ?? []) write(item);
    return this;
  }

  compactString(value: string | null): this {
    if (value === null) return this.uvarint(0);
    const bytes = encoder.encode(value);
    return this.uvarint(bytes.length + 1).raw(bytes);
  }

  compactArray<T>(items: readonly T[], write: (item: T) => void): this {
    this.uvarint(items.length + 1);
    for (const item of items) write(item);
    return this;
  }

  /** No tagged field. */
  noTags(): this {
    return this.uvarint(0);
  }
}

/** Reads an answer; every read is checked against its end. Throws KAFKA_PROTOCOL. */
export class WireReader {
  readonly bytes: Uint8Array;
  position: number;
  #view: DataView;

  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = bytes;
    this.position = position;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes that are left. */
  get left(): number {
    return this.bytes.length - this.position;
  }

  #take(size: number): number {
    const at = this.position;
    if (size < 0 || size > this.bytes.length - at) throw broken(`${size} bytes wanted at ${at}`, this.bytes);
    this.position = at + size;
    return at;
  }

  int8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  int16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#take(8));
  }

  /** An int64 that counts something: offsets, times. Throws beyond 2^53. */
  long(): number {
    const value = Number(this.int64());
    if (!Number.isSafeInteger(value)) throw broken(`the number ${value}`, this.bytes);
    return value;
  }

  boolean(): boolean {
    return this.int8() !== 0;
  }

  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#view.getUint8(this.#take(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw broken('a number of more than five bytes', this.bytes);
  }

  /** A view into the answer. */
  raw(size: number): Uint8Array {
    const at = this.#take(size);
    return this.bytes.subarray(at, at + size);
  }

  nullableString(): string | null {
    const length = this.int16();
    return length < 0 ? null : decoder.decode(this.raw(length));
  }

  string(): string {
    return this.nullableString() ?? '';
  }

  /** A view into the answer; null as empty. */
  bytesOf(): Uint8Array {
    const length = this.int32();
    return length < 0 ? this.raw(0) : this.raw(length);
  }

  array<T>(read: () => T): T[] {
    return this.#items(this.int32(), read);
  }

  compactString(): string | null {
    const length = this.uvarint() - 1;
    return length < 0 ? null : decoder.decode(this.raw(length));
  }

  compactArray<T>(read: () => T): T[] {
    return this.#items(this.uvarint() - 1, read);
  }

  #items<T>(count: number, read: () => T): T[] {
    // An item has at least one byte, so that a broken count cannot ask for more memory than the answer has.
    if (count > this.left) throw broken(`${count} items`, this.bytes);
    const items: T[] = [];
    for (let index = 0; index < count; index++) items.push(read());
    return items;
  }

  skipTags(): void {
    for (let count = this.uvarint(); count > 0; count--) {
      this.uvarint();
      this.raw(this.uvarint());
    }
  }
}

const broken = (what: string, bytes: Uint8Array) =>
  new PlatformError('KAFKA_PROTOCOL', `an answer of ${bytes.length} bytes cannot be read: ${what}`, {
    hint: 'check that the address is a Kafka broker of version 2.7 or later',
  });
