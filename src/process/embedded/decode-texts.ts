import type {AvroValue} from '../../schema/types.ts';
import {tokenOfBytes, tokenOfText} from './accumulators.ts';
import type {SpecialRow} from './decode.ts';
import {type DecodeState, missFields, type TextTarget} from './decode-code.ts';
import {type ColumnSpec, onlyColumn} from './decode-columns.ts';
import type {TextDictionary} from './dictionary.ts';

/**
 * Codes and tokens of the texts that the generated code did not find, into their columns. @param view over `bytes`
 * @returns a row whose text is not UTF-8, or -1
 */
export function fillMisses(
  {misses, missed, columns}: DecodeState,
  texts: TextTarget[],
  dictionaries: (TextDictionary | undefined)[],
  bytes: Uint8Array,
  view: DataView,
): number {
  for (let at = 0; at < missed; at += missFields) {
    const {column, symbols, codes} = texts[misses[at + 1]!]!;
    const [start, length] = [misses[at + 2]!, misses[at + 3]!];
    const dictionary = dictionaries[column];
    const number =
      length >= 0
        ? (dictionary?.intern(bytes, view, start, length) ?? tokenOfBytes(view, start, length))
        : (codes[start] ||= dictionary?.internText(symbols[start]!) ?? tokenOfText(symbols[start]!));
    if (number < 0) return misses[at]!;
    columns[column]![misses[at]!] = number;
  }
  return -1;
}

/**
 * Codes of the texts that columns depend on (`DecodeState.wanted`): known from the start, so that a row that has one is seen at once.
 */
export function internWanted(
  wanted: Int32Array,
  specs: readonly ColumnSpec[],
  dictionaries: (TextDictionary | undefined)[],
): void {
  for (const [index, spec] of specs.entries())
    if (spec.only) wanted[index] = dictionaries[onlyColumn(specs, spec)!]!.internText(spec.only.text);
}

/**
 * A value of the checked way into its column, or into `special` where it does not fit. A text of a `place` column has no position in the
 * bytes: it goes to `texts`.
 */
export function storeValue(
  {use, type}: ColumnSpec,
  index: number,
  value: AvroValue,
  special: SpecialRow,
  to: {
    columns: DecodeState['columns'];
    dictionaries: (TextDictionary | undefined)[];
    texts: string[];
  },
): void {
  const {row} = special;
  const target = to.columns[index]!;
  if (use === 'number') {
    const isWide = typeof value === 'bigint' && type !== 'double';
    if (isWide) special.wide.set(index, value);
    target[row] = value === null || isWide ? NaN : Number(value);
    return;
  }
  target[row] = use === 'place' ? -1 : 0;
  if (value === null) return;
  const text = typeof value === 'string' ? value : Buffer.from(value as Uint8Array).toString();
  if (use === 'code') target[row] = to.dictionaries[index]!.internText(text);
  if (use === 'token') target[row] = tokenOfText(text);
  if (use === 'place') target[row] = -1 - to.texts.push(text);
}
