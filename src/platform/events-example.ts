/** An event of a type as an example: it is accepted as it stands wherever its checks can be met. */
import type {Value} from '../expr/types.ts';
import {compileRowChecks} from '../ingest/checks.ts';
import type {EventType, Field} from '../model/types.ts';

/** As in JSON. */
export type ExampleEvent = Record<string, string | number | boolean>;

/** Times of examples, so that documents do not change from day to day. */
const timeText = '2026-01-31T12:00:00Z';
const timeMs = Date.parse(timeText);
const dateText = '2026-01-31';
const dateDays = Math.floor(timeMs / 86_400_000);
const uuidText = '0190b0a0-1111-7222-8333-444455556666';

/** Numbers that are tried until the checks are true. */
const candidates = [12, 1, 100, 0, 5, 1000, 50, 10_000, -1, 2, 20, 90, 1_000_000, 0.5];
const attemptsMax = 2_000;

/** A value as JSON has it, and as expressions see it. */
function exampleValue(
  field: Field,
  pick: (count: number) => number,
): {json: string | number | boolean; value: Value} {
  const number = candidates[pick(candidates.length)]!;
  const whole = Math.trunc(number);
  switch (field.type) {
    case 'int':
    case 'long':
      return {json: whole, value: whole};
    case 'double':
      return {json: number, value: number};
    case 'money': {
      const cents = Math.round(number * 100) + (number > 0 && pick(2) === 0 ? 34 : 0);
      return {json: cents / 100, value: cents};
    }
    case 'boolean': {
      const truth = pick(2) === 0;
      return {json: truth, value: truth};
    }
    case 'timestamp':
      return {json: timeText, value: timeMs};
    case 'date':
      return {json: dateText, value: dateDays};
    case 'uuid':
      return {json: uuidText, value: uuidText};
    case 'enum': {
      const symbols = field.symbols ?? [''];
      const symbol = symbols[pick(symbols.length)]!;
      return {json: symbol, value: symbol};
    }
    case 'string':
      return {json: `${field.name}-1`, value: `${field.name}-1`};
  }
}

/**
 * @returns the fields in the order of the schema, without event_id and timestamp, which the platform fills in. Checks that no
 * plain values meet are not met.
 */
export function exampleEvent(eventType: EventType): ExampleEvent {
  const fields = eventType.fields.filter(({role}) => role !== 'id' && role !== 'time');
  const checks = compileRowChecks(eventType, {check: '', detail: ''});
  let first: ExampleEvent | undefined;
  // The same choices in every run: attempt n takes the digits of n, so that neighbours differ in one field.
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    let rest = attempt;
    const pick = (count: number) => {
      const chosen = rest % count;
      rest = Math.floor(rest / count);
      return chosen;
    };
    const event: ExampleEvent = {};
    const row: Record<string, Value> = {event_id: uuidText, timestamp: timeMs};
    for (const field of fields) {
      const {json, value} = exampleValue(field, pick);
      event[field.name] = json;
      row[field.name] = value;
    }
    first ??= event;
    if (checks === undefined || checks.check(row) === 0) return event;
  }
  return first!;
}
