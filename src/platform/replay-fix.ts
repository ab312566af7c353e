import {PlatformError} from '../errors.ts';
import {checkExpr} from '../expr/check.ts';
import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {ExprProblem, TypedExpr} from '../expr/types.ts';
import type {EventType} from '../model/types.ts';
import {type LetterEvent, writtenAs} from './letters-events.ts';
import {eventScope, eventValue, parseOption, refuseExpression} from './letters-where.ts';

const intMin = -(2 ** 31);
const intMax = 2 ** 31 - 1;
const isInt = (value: number | bigint): boolean => value >= intMin && value <= intMax;

/** What mends an event on its way: new values for some fields, each from the event as it was. */
export type Fix = {
  /** The event by field name as an encoder of objects takes it, or why an expression has no value. */
  apply(
    event: LetterEvent,
    eventType: EventType,
    id: string,
    nowMs: number,
  ): {object: Record<string, unknown>} | {code: string; message: string};
};

/**
 * Compiles `field -> expression`; names are fields, and `"text.<field>"` for what was sent.
 * @throws USAGE when a field is in no event type, is the id, or an expression is wrong for every event type that has the field
 */
export function compileFix(sets: Record<string, string>, eventTypes: EventType[]): Fix | undefined {
  const names = Object.keys(sets);
  if (names.length === 0) return undefined;
  const compiled = new Map<string, {name: string; typed: TypedExpr}[]>();
  for (const name of names) {
    const text = sets[name]!;
    const expr = parseOption('--set', text);
    let problems: ExprProblem[] = [];
    let isUsed = false;
    for (const eventType of eventTypes) {
      const field = eventType.fields.find((each) => each.name === name);
      if (!field) continue;
      if (field.role === 'id')
        throw new PlatformError('USAGE', `--set: ${name} says which event it is, and stays as it is`);
      const checked = checkExpr(
        expr,
        eventScope(eventType),
        // A whole number is a long; whether it fits is seen in its value.
        field.type === 'int' ? ['int', 'long'] : field.type,
      );
      if (!checked.ok) {
        problems = checked.problems;
        continue;
      }
      isUsed = true;
      const steps = compiled.get(eventType.topic) ?? [];
      compiled.set(eventType.topic, [...steps, {name, typed: checked.typed}]);
    }
    if (isUsed) continue;
    if (problems.length > 0) refuseExpression('--set', text, problems);
    const known = [...new Set(eventTypes.flatMap(({fields}) => fields.map((field) => field.name)))];
    throw new PlatformError('USAGE', `--set: no event type has a field "${name}"`, {
      hint: `fields: ${known.join(', ')}`,
    });
  }
  return {
    apply(event, eventType, id, nowMs) {
      const object: Record<string, unknown> = {};
      for (const {name, role, type} of eventType.fields) {
        const value = event.values.get(name) ?? null;
        // A text that is no value goes on as it is, so that what is wrong with it is said as always.
        object[name] = value === null ? (event.texts.get(name) ?? null) : writtenAs(type, value);
        if (role === 'id') object[name] = id;
      }
      for (const {name, typed} of compiled.get(eventType.topic) ?? []) {
        try {
          const {type} = eventType.fields.find((field) => field.name === name)!;
          const value = evaluate(typed, (column) => eventValue(event, column));
          if (type === 'int' && value !== null && !isInt(value as number | bigint))
            return {
              code: 'EXPRESSION',
              message: `--set ${name}: ${value} is out of range for int, which is from ${intMin} to ${intMax}`,
            };
          object[name] = writtenAs(type, value);
        } catch (error) {
          if (!(error instanceof ExpressionFailure)) throw error;
          return {code: 'EXPRESSION', message: `--set ${name}: ${error.message}`};
        }
      }
      const time = eventType.fields.find(({role}) => role === 'time')!.name;
      object[time] ??= nowMs;
      return {object};
    },
  };
}
