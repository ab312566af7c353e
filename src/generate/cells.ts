/** Values as Avro bytes in words of four, so that generated code copies them with few stores. */
import type {Value} from '../expr/types.ts';
import type {Field} from '../model/types.ts';
import {writeDouble, writeLong, writeText} from '../schema/write.ts';

/** `words`: `stride` of them a value, little-endian; `lengths`: bytes of each that count. */
export type Cells = {words: Int32Array; lengths: Uint16Array; stride: number};

/** Encoded values of a field, with the byte of the union's branch before them where the field may be NULL. */
export function cellsOf(field: Field, values: readonly Value[]): Cells {
  const encoded = values.map((value) => bytesOf(field, value));
  const stride = Math.max(1, ...encoded.map((bytes) => (bytes.length + 3) >> 2));
  const words = new Int32Array(stride * values.length);
  const bytes = new Uint8Array(words.buffer);
  for (const [index, each] of encoded.entries()) bytes.set(each, index * stride * 4);
  return {words, lengths: Uint16Array.from(encoded, ({length}) => length), stride};
}

function bytesOf(field: Field, value: Value): Uint8Array {
  if (value === null && !field.required) return Uint8Array.of(0);
  const text = typeof value === 'string' ? value : '';
  const out = new Uint8Array(3 * text.length + 24);
  let at = 0;
  if (!field.required) out[at++] = 2;
  switch (field.type) {
    case 'string':
    case 'uuid':
      at = writeText(text, out, at);
      break;
    case 'enum':
      at = writeLong(Math.max(0, field.symbols?.indexOf(text) ?? 0), out, at);
      break;
    case 'boolean':
      out[at++] = value === true ? 1 : 0;
      break;
    case 'double':
      at = writeDouble(Number(value ?? 0), out, at);
      break;
    default:
      at = writeLong(value === null ? 0 : typeof value === 'boolean' ? Number(value) : value, out, at);
  }
  return out.subarray(0, at);
}

const ascii = (text: string): number =>
  text.charCodeAt(0) | (text.charCodeAt(1) << 8) | (text.charCodeAt(2) << 16) | (text.charCodeAt(3) << 24);

/** 0..9999 -> its four decimal digits in a word. */
export const digits4 = Int32Array.from({length: 10_000}, (_, value) => ascii(String(value).padStart(4, '0')));

/** A byte -> its two hexadecimal digits, the first in the low byte. */
export const hex2 = Uint16Array.from({length: 256}, (_, byte) => {
  const text = byte.toString(16).padStart(2, '0');
  return text.charCodeAt(0) | (text.charCodeAt(1) << 8);
});

/** Four characters of a text as a word. */
export const wordAt = (text: string, at: number): number => ascii(text.slice(at, at + 4));
