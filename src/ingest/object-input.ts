/** An event that is an object already, as a transform gets it. */
import type {EventType} from '../model/types.ts';
import {type ReadState, readerOf} from './object-values.ts';
import {reasonCode} from './reasons.ts';
import {inputValue} from './transform-input.ts';

/**
 * Values in the order of the fields, or why one cannot be read as its type. What is missing is NULL: what is required is judged by what the
 * transform returns.
 * @param object by field name, as `objects.ts` takes it.
 */
export function objectInput(
  {fields}: EventType,
  object: Readonly<Record<string, unknown>>,
): unknown[] | {code: string; message: string} {
  const values: unknown[] = [];
  for (const field of fields) {
    const {name, type, symbols} = field;
    const given = Object.hasOwn(object, name) ? (object[name] ?? null) : null;
    if (given === null) {
      values.push(null);
      continue;
    }
    const state: ReadState = {reason: 0};
    const value = readerOf(field)(given, state);
    if (state.reason !== 0) {
      // The value itself is not told: it may be that of a person.
      const what = type === 'enum' ? `one of ${symbols!.slice(0, 20).join(', ')}` : type;
      return {code: reasonCode(state.reason), message: `${name}: its value cannot be read as ${what}`};
    }
    values.push(type === 'enum' ? symbols![value as number] : inputValue(type, value));
  }
  return values;
}
