/**
 * ClickHouse's Native format: a block by columns. A server reads it without parsing text: three times the rows of TabSeparated.
 * https://clickhouse.com/docs/interfaces/formats/Native
 *
 *   block  = varint columns, varint rows, column*
 *   column = text name, text type, values              text = varint bytes, UTF-8
 *   Nullable(T)        a byte a row (1: NULL), then the values of T, zero for NULL
 *   numbers, times     little-endian; DateTime64(3): ms as Int64; Date32: days as Int32; UUID: two UInt64, high half first
 *   LowCardinality(T)  UInt64 1, UInt64 flags | width, UInt64 keys, the keys as T without Nullable, UInt64 rows, an index a row;
 *                      of Nullable(String) key 0 is NULL
 */
import {PlatformError} from '../../errors.ts';
import type {Value} from '../../expr/types.ts';
import type {Column, Table} from '../../model/types.ts';
import {tableId} from '../tables.ts';
import type {RowBatch} from '../types.ts';
import {columnType} from './types.ts';

/** Bytes of one block, in pieces that belong one behind the other. @throws SINK_ROW for a value that is none of its column's type */
export function encodeNative(table: Table, batch: RowBatch): Uint8Array[] {
  const pieces: Uint8Array[] = [concat([varint(table.columns.length), varint(batch.count)])];
  for (const [index, column] of table.columns.entries()) {
    const type = columnType(table, column);
    pieces.push(concat([lengthAndText(column.name), lengthAndText(type)]));
    const values = batch.columns[index]!;
    try {
      encodeColumn(type, values, batch.count, pieces);
    } catch (error) {
      if (!(error instanceof WrongValue)) throw error;
      throw wrongValue(table, column, type, error.value);
    }
  }
  return pieces;
}

/** A value that its column cannot hold. */
class WrongValue extends Error {
  readonly value: Value;

  constructor(value: Value) {
    super('a value of another type');
    this.value = value;
  }
}

const shownMax = 100;

function wrongValue(table: Table, {name}: Column, type: string, value: Value): PlatformError {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, shownMax)) : String(value);
  return new PlatformError('SINK_ROW', `column ${name}: ${shown} is no ${type}`, {
    place: tableId(table),
    hint: 'the row is set aside: npx millrace dlq list',
  });
}

const lowCardinality = /^LowCardinality\((.*)\)$/;
const nullable = /^Nullable\((.*)\)$/;

function encodeColumn(type: string, values: Value[], count: number, pieces: Uint8Array[]): void {
  const inner = lowCardinality.exec(type)?.[1];
  if (inner !== undefined) {
    encodeDictionary(nullable.test(inner), values, count, pieces);
    return;
  }
  const plain = nullable.exec(type)?.[1];
  if (plain !== undefined) {
    const nulls = new Uint8Array(count);
    for (let row = 0; row < count; row++) if (values[row] === null) nulls[row] = 1;
    pieces.push(nulls);
  }
  pieces.push(encoderOf(plain ?? type)(values, count, plain !== undefined));
}

type Encoder = (values: Value[], count: number, mayBeNull: boolean) => Uint8Array;

const encoderOf = (type: string): Encoder => {
  const found = type.startsWith('DateTime64') ? times : encoders[type];
  if (!found) throw new Error(`no encoder of ${type}`);
  return found;
};

const bytesOf = (view: ArrayBufferView<ArrayBuffer>): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** Years 1900 to 2299: what DateTime64 and Date32 hold; beyond it ClickHouse clamps what it parses, and so do we. */
const [timeMin, timeMax] = [Date.UTC(1900, 0, 1), Date.UTC(2300, 0, 1) - 1];
const dayMs = 86_400_000;

const times: Encoder = (values, count, mayBeNull) => {
  const words = new Int32Array(2 * count);
  for (let row = 0; row < count; row++) {
    const value = values[row]!;
    if (value === null && mayBeNull) continue;
    if (typeof value !== 'number' || !(Math.abs(value) <= Number.MAX_SAFE_INTEGER))
      throw new WrongValue(value);
    const time = Math.trunc(Math.max(timeMin, Math.min(timeMax, value)));
    words[2 * row] = time;
    words[2 * row + 1] = Math.floor(time / 4_294_967_296);
  }
  return bytesOf(words);
};

/** `asIntN`/`asUintN` of the value must be the value. */
const int64s =
  (wrap: (bits: number, value: bigint) => bigint, min: number): Encoder =>
  (values, count, mayBeNull) => {
    const words = new Int32Array(2 * count);
    const wide = new BigInt64Array(words.buffer);
    for (let row = 0; row < count; row++) {
      const value = values[row]!;
      if (typeof value === 'number') {
        if (!(value >= min && value <= 9_007_199_254_740_992) || value !== Math.floor(value))
          throw new WrongValue(value);
        // The lower word of a whole number is what is left modulo 2^32.
        words[2 * row] = value;
        words[2 * row + 1] = Math.floor(value / 4_294_967_296);
      } else if (typeof value === 'bigint' && wrap(64, value) === value) wide[row] = value;
      else if (value !== null || !mayBeNull) throw new WrongValue(value);
    }
    return bytesOf(words);
  };

const int32s =
  (min: number, max: number, clamped: boolean): Encoder =>
  (values, count, mayBeNull) => {
    const numbers = new Int32Array(count);
    for (let row = 0; row < count; row++) {
      const value = values[row]!;
      if (value === null && mayBeNull) continue;
      if (typeof value !== 'number' || value !== Math.floor(value)) throw new WrongValue(value);
      if (!clamped && (value < min || value > max)) throw new WrongValue(value);
      numbers[row] = Math.max(min, Math.min(max, value));
    }
    return bytesOf(numbers);
  };

const doubles: Encoder = (values, count, mayBeNull) => {
  const numbers = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    const value = values[row]!;
    if (typeof value === 'number') numbers[row] = value;
    else if (typeof value === 'bigint') numbers[row] = Number(value);
    else if (value !== null || !mayBeNull) throw new WrongValue(value);
  }
  return bytesOf(numbers);
};

const flags: Encoder = (values, count, mayBeNull) => {
  const bytes = new Uint8Array(count);
  for (let row = 0; row < count; row++) {
    const value = values[row]!;
    if (value === true) bytes[row] = 1;
    else if (value !== false && (value !== null || !mayBeNull)) throw new WrongValue(value);
  }
  return bytes;
};

const uuidText = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const uuids: Encoder = (values, count, mayBeNull) => {
  const bytes = Buffer.alloc(16 * count);
  for (let row = 0; row < count; row++) {
    const value = values[row]!;
    if (value === null && mayBeNull) continue;
    if (typeof value !== 'string' || !uuidText.test(value)) throw new WrongValue(value);
    const id = Buffer.from(value.replaceAll('-', ''), 'hex');
    bytes.set(id.subarray(0, 8).reverse(), 16 * row);
    bytes.set(id.subarray(8).reverse(), 16 * row + 8);
  }
  return bytes;
};

const texts: Encoder = (values, count, mayBeNull) => {
  const writer = new TextWriter(count);
  for (let row = 0; row < count; row++) {
    const value = values[row]!;
    if (typeof value === 'string') writer.write(value);
    else if (value === null && mayBeNull) writer.write('');
    else throw new WrongValue(value);
  }
  return writer.bytes();
};

const encoders: Record<string, Encoder> = {
  Int64: int64s(BigInt.asIntN, -9_007_199_254_740_992),
  UInt64: int64s(BigInt.asUintN, 0),
  Int32: int32s(-2_147_483_648, 2_147_483_647, false),
  Date32: int32s(timeMin / dayMs, Math.floor(timeMax / dayMs), true),
  Float64: doubles,
  Bool: flags,
  UInt8: flags,
  UUID: uuids,
  String: texts,
};

/** Flags of a dictionary that a block brings whole: HasAdditionalKeys, NeedUpdateDictionary. */
const wholeDictionary = 0x600;

function encodeDictionary(mayBeNull: boolean, values: Value[], count: number, pieces: Uint8Array[]): void {
  const known = new Map<string, number>();
  const indexes = new Uint32Array(count);
  const keys = new TextWriter(64);
  let size = 0;
  if (mayBeNull) {
    keys.write('');
    size = 1;
  }
  let last: Value = null;
  let lastIndex = 0;
  for (let row = 0; row < count; row++) {
    const value = values[row]!;
    if (value === null) {
      if (!mayBeNull) throw new WrongValue(value);
      continue;
    }
    if (value !== last) {
      if (typeof value !== 'string') throw new WrongValue(value);
      let index = known.get(value);
      if (index === undefined) {
        index = size++;
        known.set(value, index);
        keys.write(value);
      }
      last = value;
      lastIndex = index;
    }
    indexes[row] = lastIndex;
  }
  const width = size <= 256 ? 0 : size <= 65_536 ? 1 : 2;
  const narrow = width === 0 ? new Uint8Array(indexes) : width === 1 ? new Uint16Array(indexes) : indexes;
  const head = new BigUint64Array([1n, BigInt(wholeDictionary | width), BigInt(size)]);
  pieces.push(bytesOf(head), keys.bytes(), bytesOf(new BigUint64Array([BigInt(count)])), bytesOf(narrow));
}

/** Texts one behind the other, each with its length. */
class TextWriter {
  #bytes: Buffer;
  #at = 0;

  constructor(texts: number) {
    this.#bytes = Buffer.allocUnsafe(Math.max(64, 24 * texts));
  }

  write(text: string): void {
    const most = this.#at + 5 + 3 * text.length;
    if (most > this.#bytes.length) {
      const wider = Buffer.allocUnsafe(Math.max(most, 2 * this.#bytes.length));
      this.#bytes.copy(wider, 0, 0, this.#at);
      this.#bytes = wider;
    }
    // Below 128 bytes the length is one byte, which is nearly always known before: texts of up to 42 characters.
    if (text.length <= 42) {
      const size = this.#bytes.write(text, this.#at + 1, 'utf8');
      this.#bytes[this.#at] = size;
      this.#at += 1 + size;
      return;
    }
    const size = Buffer.byteLength(text);
    const length = varint(size);
    this.#bytes.set(length, this.#at);
    this.#at += length.length;
    this.#at += this.#bytes.write(text, this.#at, 'utf8');
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

const lengthAndText = (text: string): Uint8Array => {
  const bytes = Buffer.from(text);
  return concat([varint(bytes.length), bytes]);
};

const concat = (parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);
