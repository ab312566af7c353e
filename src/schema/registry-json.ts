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
  if (depthOf(text) > depthMax) throw new SyntaxError(`nested deeper than ${depthMax} levels`);
  return engine.parse(text, (_key, value, {source}) =>
    typeof value === 'number' ? engine.rawJSON(source) : value,
  ) as Json;
}

/** Deepest nesting of brackets outside strings; right for every text that is JSON. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (quoted) {
      if (unit === 0x5c) i++;
      else if (unit === 0x22) quoted = false;
    } else if (unit === 0x22) quoted = true;
    else if (unit === 0x5b || unit === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (unit === 0x5d || unit === 0x7d) depth--;
  }
  return deepest;
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
