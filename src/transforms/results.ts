/** What a transform returned -> values that may leave its thread. Runs beside the user's code, which may have bent any prototype. */
import {outputCharsMax} from './types.ts';

const {hasOwn, getPrototypeOf} = Object;
const {isArray} = Array;
const codePattern = /^[A-Z][A-Z0-9_]{0,47}$/;

/** Made by `reject`; only this module can make one. */
export class Rejection {
  readonly #code: string;
  readonly #message: string;
  constructor(code: string, message: string) {
    this.#code = code;
    this.#message = message;
  }
  static read(value: unknown): {code: string; message: string} | undefined {
    if (typeof value !== 'object' || value === null || !(#code in value)) return undefined;
    return {code: value.#code, message: value.#message};
  }
}

/** What a transform returns to refuse a record. @param code begins with a capital, then capitals, digits and _. */
export function reject(code: unknown, message: unknown = ''): Rejection {
  if (typeof code !== 'string' || !codePattern.test(code))
    throw new TypeError(
      `reject('CODE', 'why'): the code is made of capitals, digits and _, not ${String(code)}`,
    );
  return new Rejection(code, String(message).slice(0, 1000));
}

/** What is wrong with a result, in words. */
export class BadResult extends Error {}

/** Integers beyond this are as far out of range as any, and a bigint may be megabytes long. */
const bigMax = 2n ** 70n;

export type Collected = {count: number; chars: number};

/**
 * Appends the values of every event in `result` to `values`, by field.
 * @throws BadResult when it is no event, or too much; what a getter of the user's throws.
 */
export function collect(
  result: unknown,
  names: readonly string[],
  outputsMax: number,
  values: unknown[],
): Collected {
  if (result === null || result === undefined) return {count: 0, chars: 0};
  if (typeof result !== 'object')
    throw new BadResult(
      `the transform returned ${typeof result}, and not an event, a list of events or reject(...)`,
    );
  const list: readonly unknown[] = isArray(result) ? result : [result];
  const count = list.length;
  if (count > outputsMax)
    throw new BadResult(
      `the transform returned ${count} events of one record; transform.outputs allows ${outputsMax}`,
    );
  let chars = 0;
  for (let i = 0; i < count; i++) {
    const event = list[i];
    if (typeof event !== 'object' || event === null || isArray(event))
      throw new BadResult(`result ${i + 1} of ${count} is no event`);
    if (Rejection.read(event) !== undefined)
      throw new BadResult(`result ${i + 1} of ${count} is a rejection; return reject(...) alone`);
    for (let f = 0; f < names.length; f++) {
      const name = names[f]!;
      const value = hasOwn(event, name) ? (event as Record<string, unknown>)[name] : null;
      const kept = carried(value);
      chars += typeof kept === 'string' ? kept.length : 8;
      if (chars > outputCharsMax)
        throw new BadResult(`the events of one record hold more than ${outputCharsMax} characters`);
      values[values.length] = kept;
    }
  }
  return {count, chars};
}

/** A value that can leave the thread: scalars and dates as they are; an empty list stands for what no field can hold. */
function carried(value: unknown): unknown {
  switch (typeof value) {
    case 'undefined':
      return null;
    case 'string':
    case 'number':
    case 'boolean':
      return value;
    case 'bigint':
      return value > bigMax ? bigMax : value < -bigMax ? -bigMax : value;
    case 'object':
      if (value === null) return null;
      return value instanceof Date && getPrototypeOf(value) === Date.prototype
        ? new Date(value.getTime())
        : [];
    default:
      return [];
  }
}
