/** What people write inside `{ }` and YAML reads otherwise: a comma inside a call, a colon without a blank. */
import {isScalar, Scalar} from 'yaml';
import type {Diagnostics} from './diagnostics.ts';
import {quote} from './nodes.ts';
import {placeAt, type SourceFile} from './source.ts';

export type Pairs = {key: unknown; value: unknown}[];

const commaMessage = 'inside { } a comma ends the value';
const plainNumber = /^-?\d+(?:\.\d+)?$/;

/**
 * The pairs of a flow map as they were meant: `{p: quantile(a, 0.5)}` is for YAML the keys `p` and `0.5)`. Each such mistake is
 * told once, and the value is put together again, so that checking goes on with what was meant.
 */
export function mendFlowMap(file: SourceFile, items: Pairs, diagnostics: Diagnostics): Pairs {
  const mended: Pairs = [];
  for (let i = 0; i < items.length; i++) {
    const pair = mendColon(file, items[i]!, diagnostics);
    const last = lastOfCall(items, i, pair.value);
    if (last > i) {
      const [start] = rangeOf(pair.value);
      const [, end] = rangeOf(items[last]!.key);
      const text = file.text.slice(start, end).replace(/\s+/g, ' ');
      diagnostics.error(placeAt(file, start, end), 'YAML_COMMA', commaMessage, {
        hint: `write ${quote(text)} in quotes`,
      });
      mended.push({key: pair.key, value: plain(text, start, end)});
    } else mended.push(pair);
    i = last;
  }
  return mended;
}

/** `x:count()` is for YAML one key without a value. */
function mendColon(file: SourceFile, pair: Pairs[number], diagnostics: Diagnostics): Pairs[number] {
  if (pair.value !== null || !isPlain(pair.key)) return pair;
  const text = pair.key.source!;
  const [, name] = /^([A-Za-z]\w*):\S/.exec(text) ?? [];
  if (name === undefined) return pair;
  const [start, end] = rangeOf(pair.key);
  diagnostics.error(
    placeAt(file, start, end),
    'YAML_COLON',
    `${quote(text)} is one word: a key without a value`,
    {
      hint: `write a blank after the colon: ${name}: ${text.slice(name.length + 1)}`,
    },
  );
  const from = start + name.length + 1;
  return {key: plain(name, start, from - 1), value: plain(text.slice(name.length + 1), from, end)};
}

/** Index of the item in which the call is closed that the value of item `from` leaves open; `from` when it leaves none. */
function lastOfCall(items: Pairs, from: number, value: unknown): number {
  if (!isPlain(value)) return from;
  let text = value.source!;
  let last = from;
  while (openCalls(text) > 0) {
    const next = items[last + 1];
    if (!next || next.value !== null || !isPlain(next.key)) break;
    text += `, ${next.key.source!}`;
    last++;
  }
  return last;
}

/** How many `(` are not closed, those in SQL strings aside. */
const openCalls = (text: string): number => {
  const bare = text.replace(/'(?:[^']|'')*'/g, '');
  return bare.split('(').length - bare.split(')').length;
};

const isPlain = (node: unknown): node is Scalar =>
  isScalar(node) && node.type === Scalar.PLAIN && typeof node.source === 'string';

const rangeOf = (node: unknown): [number, number] => {
  const range = (node as Scalar).range;
  return [range?.[0] ?? 0, range?.[1] ?? 0];
};

/** A scalar as YAML would have read it, had it been written as it was meant. */
function plain(text: string, start: number, end: number): Scalar {
  const value = plainNumber.test(text)
    ? Number(text)
    : text === 'true'
      ? true
      : text === 'false'
        ? false
        : text;
  const scalar = new Scalar(value);
  scalar.type = Scalar.PLAIN;
  scalar.source = text;
  scalar.range = [start, end, end];
  return scalar;
}

/** Whether a syntax error stands on a line where a call inside `{ }` has a comma before a quote: `{a: coalesce(x, 'none')}`. */
export const isCommaInCall = (line: string): boolean =>
  /[{,]\s*\w+:\s*[^\s"'{[][^"'{}[\]]*\([^()]*,\s*['"]/.test(line);

/** What to do about it. */
export const commaInCall = {
  message: commaMessage,
  hint: 'put quotes around the whole value: "coalesce(a, b)"',
};
