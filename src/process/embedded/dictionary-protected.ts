/**
 * The dictionary of a column of personal data: the log has tokens, kernels see codes of what stands for the values. Generated
 * code finds nothing in it, so that every text comes by `intern`: one look-up of the token more.
 */
import {type Protected, tokenReader} from '../../schema/protected.ts';
import {createTextDictionary, emptyProbe, type TextDictionary} from './dictionary.ts';

export function createProtectedDictionary(of: Protected): TextDictionary {
  const tokens = createTextDictionary();
  const values = createTextDictionary();
  /** Code of a token -> code of its value; -1: not opened yet. */
  let codes = new Int32Array(64).fill(-1);
  let epoch = 0;
  return {
    get size() {
      return values.size;
    },
    ...emptyProbe(),
    intern(bytes, view, start, length) {
      const token = tokens.intern(bytes, view, start, length);
      if (token < 0) return token;
      const reader = tokenReader();
      if (reader.epoch !== epoch) {
        // Something was forgotten.
        epoch = reader.epoch;
        codes.fill(-1);
      }
      if (token >= codes.length) {
        const next = new Int32Array(token * 2).fill(-1);
        next.set(codes);
        codes = next;
      }
      const known = codes[token]!;
      if (known >= 0) return known;
      const value = reader.read(tokens.text(token), of);
      const code = value === null ? 0 : values.internText(value);
      codes[token] = code;
      return code;
    },
    internText: (text) => values.internText(text),
    text: (code) => values.text(code),
    bytes: () => tokens.bytes() + values.bytes() + codes.length * 4,
    clear() {
      tokens.clear();
      values.clear();
      codes = new Int32Array(64).fill(-1);
    },
  };
}
