/** JSON whose numbers keep their text: a default of 9223372036854775807 or 1.0 stays what its author wrote. */

/** A number as it was written, such as `1.0` or `9223372036854775807`. Made by `JSON.rawJSON`. */
export interface RawNumber {
  readonly rawJSON: string;
}
export type Json = null | boolean | string | RawNumber | Json[] | {[key: string]: Json};

// The standard library's types do not have these yet.
const engine = JSON as unknown as {
  parse(text: string, revive: (key: string, value: unknown, context: {source: string}) => unknown): unknown;
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
};

const depthMax = 400;

/**
 * Reads JSON. @throws SyntaxError when it is none, or is nested deeper than 400 levels, which no reader would follow.
 */
export function parseJson(text: string): Json {
  const {depth, hasNumber} = measure(text);
  if (depth > depthMax) throw new SyntaxError(`nested deeper than ${depthMax} levels`);
  // Being asked about every value takes many times as long, and most schemas have no number.
  if (!hasNumber) return JSON.parse(text) as Json;
  return engine.parse(text, (_key, value, {source}) =>
    typeof value === 'number' ? engine.rawJSON(source) : value,
  ) as Json;
}

/** What reading a text will take. Right for every text that is JSON. */
export type JsonMeasure = {
  /** Deepest nesting of brackets. */
  depth: number;
  /** Objects, their keys and the elements of lists, about. */
  parts: number;
  hasNumber: boolean;
};

/** Counts what stands outside strings, in one pass. */
export function measure(text: string): JsonMeasure {
  let level = 0;
  let depth = 0;
  let parts = 0;
  let hasNumber = false;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (quoted) {
      if (unit === 0x5c) i++;
      else if (unit === 0x22) quoted = false;
    } else if (unit === 0x22) quoted = true;
    else if (unit === 0x2c) parts++;
    else if (unit === 0x5b || unit === 0x7b) {
      if (unit === 0x7b) parts++;
      depth = Math.max(depth, ++level);
    } else if (unit === 0x5d || unit === 0x7d) level--;
    else if (unit >= 0x30 && unit <= 0x39) hasNumber = true;
  }
  return {depth, parts, hasNumber};
}

export const isNumber = (value: Json | undefined): value is RawNumber => engine.isRawJSON(value);

/** Whether it is an object of keys and values. */
export const isObject = (value: Json | undefined): value is {[key: string]: Json} =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isNumber(value);

/** An integer between the bounds, or undefined. */
export function integerOf(value: Json | undefined, least: bigint, most: bigint): bigint | undefined {
  if (!isNumber(value) || !/^-?\d{1,19}$/.test(value.rawJSON)) return undefined;
  const integer = BigInt(value.rawJSON);
  return integer >= least && integer <= most ? integer : undefined;
}

/** The text of a value, its keys in alphabetical order at every level. */
export function sortedText(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(sortedText).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${sortedText(value[key]!)}`).join(',')}}`;
}
