/** Values of `generate:` that refer to others: rows of a lookup, earlier events of a session. */
import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import type {EventTypes} from './event-types.ts';
import type {Reporter} from './reporter.ts';
import type {Field, GeneratedValue, Lookup} from './types.ts';

/** What a value may refer to. */
export type ValueSurroundings = {
  eventTypes: EventTypes;
  lookups: ReadonlyMap<string, Lookup | undefined>;
  hasSessions: boolean;
  reporter: Reporter;
};

type Section = Record<string, unknown>;

/** A number as YAML has it; undefined for anything else. */
export const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** `{lookup: products}`, and a column of it. @returns undefined after a mistake. */
export function fromLookup(
  raw: Section,
  eventType: string,
  field: Field,
  common: {nullShare: number; scope: GeneratedValue['scope']},
  path: Path,
  {lookups, eventTypes, reporter}: ValueSurroundings,
): GeneratedValue | undefined {
  const name = String(raw.lookup);
  if (!lookups.has(name)) {
    reporter.error(
      [...path, 'lookup'],
      'LOOKUP_UNKNOWN',
      `there is no lookup ${quote(name)} in this domain`,
      {
        hint: suggest(name, lookups.keys()),
      },
    );
    return undefined;
  }
  const lookup = lookups.get(name);
  if (!lookup) return undefined;
  const typed = (type: Field['type'], what: string): boolean => {
    if (type === field.type || (type === 'string' && field.type === 'enum')) return true;
    reporter.error(path, 'GENERATE_VALUE', `${quote(field.name)} is a ${field.type}, ${what} a ${type}`);
    return false;
  };
  if (raw.column === undefined) {
    const zipf = raw.zipf === undefined ? 0 : numberOf(raw.zipf);
    if (zipf === undefined || zipf < 0 || zipf > 4) {
      reporter.error([...path, 'zipf'], 'VALUE_RANGE', 'zipf is a number from 0 to 4');
      return undefined;
    }
    return typed(lookup.keyType, `the key of ${name}`)
      ? {...common, kind: 'lookup', lookup: name, zipf}
      : undefined;
  }
  const column = lookup.columns.find((each) => each.name === raw.column);
  if (!column) {
    reporter.error(
      [...path, 'column'],
      'LOOKUP_COLUMN_UNKNOWN',
      `${name} has no column ${quote(String(raw.column))}`,
      {
        hint: suggest(
          String(raw.column),
          lookup.columns.map((each) => each.name),
        ),
      },
    );
    return undefined;
  }
  const fields = eventTypes.byName.get(eventType)!.eventType.fields.map((each) => each.name);
  if (typeof raw.by !== 'string' || !fields.includes(raw.by)) {
    reporter.error(
      [...path, 'by'],
      'FIELD_UNKNOWN',
      `by: names the field of ${eventType} that holds the key of ${name}`,
      {
        hint: suggest(String(raw.by ?? ''), fields),
      },
    );
    return undefined;
  }
  return typed(column.type, `${name}.${column.name}`)
    ? {...common, kind: 'lookupColumn', lookup: name, column: column.name, by: raw.by}
    : undefined;
}

/** `{last: page_view.page}`. @returns undefined after a mistake. */
export function lastOf(
  value: unknown,
  eventType: string,
  field: Field,
  common: {nullShare: number; scope: GeneratedValue['scope']},
  path: Path,
  {eventTypes, reporter, hasSessions}: ValueSurroundings,
): GeneratedValue | undefined {
  const [type = '', name = ''] = String(value).split('.');
  const source = eventTypes.byName.get(type)?.eventType.fields.find((each) => each.name === name);
  const problem = !source
    ? `there is no field ${quote(String(value))}`
    : source.type !== field.type
      ? `${quote(field.name)} is a ${field.type}, ${value} a ${source.type}`
      : !hasSessions
        ? 'there are no sessions, so nothing comes before'
        : type === eventType && name === field.name
          ? 'a field cannot be its own source'
          : undefined;
  if (problem === undefined) return {...common, kind: 'last', eventType: type, field: name};
  const known = [...eventTypes.byName.values()].flatMap((each) =>
    each.eventType.fields.map((one) => `${each.eventType.name}.${one.name}`),
  );
  reporter.error(path, 'GENERATE_VALUE', problem, {hint: source ? undefined : suggest(String(value), known)});
  return undefined;
}
