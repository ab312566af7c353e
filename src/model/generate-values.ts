/** `generate.values`: what a field holds, read from plain values and checked against the field. */
import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import {parseDate, parseTimestamp} from '../expr/calendar.ts';
import type {Value} from '../expr/types.ts';
import {parseUuid} from '../expr/values.ts';
import {parseDuration, parseShare} from '../quantity.ts';
import {fromLookup, lastOf, numberOf, type ValueSurroundings} from './generate-references.ts';
import type {Reporter} from './reporter.ts';
import type {Distribution, Field, GeneratedValue} from './types.ts';

const kinds = [
  'weights',
  'choice',
  'constant',
  'uniform',
  'normal',
  'lognormal',
  'pattern',
  'lookup',
  'last',
];
const options = ['null', 'per', 'min', 'max', 'column', 'by', 'zipf'];
const numeric = new Set(['int', 'long', 'double', 'money']);
const scopes = ['event', 'session', 'entity'] as const;

type Section = Record<string, unknown>;
const isSection = (value: unknown): value is Section =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @returns undefined after a mistake. */
export function buildValue(
  raw: unknown,
  eventType: string,
  field: Field,
  path: Path,
  around: ValueSurroundings,
): GeneratedValue | undefined {
  const {reporter} = around;
  const always = {nullShare: 0, scope: 'event'} as const;
  if (!isSection(raw)) {
    const list = Array.isArray(raw) ? raw : [raw];
    const values = tableOf(list, field, path, reporter);
    return values && {...always, kind: 'table', values, weights: null};
  }
  const found = Object.keys(raw).filter((key) => kinds.includes(key));
  if (found.length === 0 && !Object.keys(raw).some((key) => options.includes(key)) && allNumbers(raw))
    return weighted(raw, field, path, reporter, always);
  for (const key of Object.keys(raw))
    if (!kinds.includes(key) && !options.includes(key))
      reporter.error([...path, key], 'KEY_UNKNOWN', `unknown key ${quote(key)}`, {
        onKey: true,
        hint: suggest(key, [...kinds, ...options]) ?? `known here: ${kinds.join(', ')}`,
      });
  if (found.length !== 1) {
    const message =
      found.length === 0 ? 'there is no distribution' : `${found.join(' and ')} exclude each other`;
    reporter.error(path, 'GENERATE_VALUE', message, {hint: `write one of ${kinds.join(', ')}`});
    return undefined;
  }
  const nullShare = nullShareOf(raw, field, path, reporter);
  const scope = scopeOf(raw, path, around);
  const kind = found[0]!;
  return readKind(kind, raw, eventType, field, {nullShare, scope}, path, around);
}

const allNumbers = (raw: Section): boolean =>
  Object.keys(raw).length > 0 && Object.values(raw).every((value) => typeof value === 'number');

function nullShareOf(raw: Section, field: Field, path: Path, reporter: Reporter): number {
  if (raw.null === undefined) return 0;
  const share = parseShare(String(raw.null));
  if (share === undefined)
    reporter.error([...path, 'null'], 'VALUE_INVALID', `${quote(String(raw.null))} is not a share`, {
      hint: 'write per cent: 5%',
    });
  else if (field.required || field.role === 'time')
    reporter.error(
      [...path, 'null'],
      'GENERATE_VALUE',
      `${quote(field.name)} is required and cannot be NULL`,
      {
        hint: 'remove it, or declare the field with required: false',
      },
    );
  return share ?? 0;
}

function scopeOf(
  raw: Section,
  path: Path,
  {reporter, hasSessions}: ValueSurroundings,
): GeneratedValue['scope'] {
  const scope = scopes.find((each) => each === raw.per);
  if (raw.per !== undefined && scope === undefined)
    reporter.error(
      [...path, 'per'],
      'VALUE_UNKNOWN',
      `${quote(String(raw.per))} is not one of ${scopes.join(', ')}`,
      {
        hint: suggest(String(raw.per), scopes),
      },
    );
  if ((scope === 'session' || scope === 'entity') && !hasSessions)
    reporter.error(
      [...path, 'per'],
      'GENERATE_VALUE',
      `there are no sessions, so nothing is drawn per ${scope}`,
      {
        hint: 'add `sessions:`, or remove per:',
      },
    );
  return scope ?? 'event';
}

function readKind(
  kind: string,
  raw: Section,
  eventType: string,
  field: Field,
  common: {nullShare: number; scope: GeneratedValue['scope']},
  path: Path,
  around: ValueSurroundings,
): GeneratedValue | undefined {
  const {reporter} = around;
  const at = [...path, kind];
  const value = raw[kind];
  const wrong = (message: string, hint: string) => {
    reporter.error(at, 'GENERATE_VALUE', message, {hint});
    return undefined;
  };
  switch (kind) {
    case 'weights':
      if (!isSection(value) || !allNumbers(value))
        return wrong('weights are a map of numbers', 'write {US: 40, DE: 20}');
      return weighted(value, field, at, reporter, common);
    case 'choice':
    case 'constant': {
      if (kind === 'choice' && !Array.isArray(value)) return wrong('a choice is a list', 'write [a, b, c]');
      const values = tableOf(Array.isArray(value) ? value : [value], field, at, reporter);
      return values && {...common, kind: 'table', values, weights: null};
    }
    case 'uniform':
    case 'normal':
    case 'lognormal': {
      if (!numeric.has(field.type))
        return wrong(`${quote(field.name)} is a ${field.type}, no number`, 'use choice, weights or pattern');
      const distribution = readDistribution(kind, value, at, reporter, numberOf);
      const limit = (key: 'min' | 'max') => (typeof raw[key] === 'number' ? raw[key] : null);
      return distribution && {...common, kind: 'number', distribution, min: limit('min'), max: limit('max')};
    }
    case 'pattern':
      if (field.type !== 'string')
        return wrong(`${quote(field.name)} is a ${field.type}, no string`, 'use choice or a distribution');
      if (typeof value !== 'string' || value === '' || value.length > 200)
        return wrong('a pattern is a text', 'for example "A-####"');
      return {...common, kind: 'pattern', text: value};
    case 'last':
      return lastOf(value, eventType, field, common, at, around);
    default:
      return fromLookup(raw, eventType, field, common, path, around);
  }
}

/** "20s" -> ms, for pauses. */
export const durationOf = (value: unknown): number | undefined =>
  typeof value === 'string' || typeof value === 'number' ? parseDuration(String(value)) : undefined;

/** Two numbers of a distribution; the second of a lognormal is plain. @returns undefined after a mistake. */
export function readDistribution(
  kind: Distribution['kind'],
  value: unknown,
  path: Path,
  reporter: Reporter,
  read: (value: unknown) => number | undefined,
): Distribution | undefined {
  const [a, b] = Array.isArray(value) && value.length === 2 ? value : [undefined, undefined];
  const first = read(a);
  const second = kind === 'lognormal' ? numberOf(b) : read(b);
  const names = {uniform: '[from, to]', normal: '[mean, deviation]', lognormal: '[median, sigma]'}[kind];
  if (first === undefined || second === undefined) {
    reporter.error(path, 'GENERATE_VALUE', `${kind} wants ${names}`, {
      hint: `for example ${kind}: ${read === durationOf ? examples[kind] : '[10, 2]'}`,
    });
    return undefined;
  }
  const bad =
    kind === 'uniform'
      ? second < first
      : kind === 'normal'
        ? second < 0
        : first <= 0 || second < 0 || second > 5;
  if (bad) {
    const rule = {
      uniform: 'from is at most to',
      normal: 'the deviation is not negative',
      lognormal: 'the median is above 0, sigma 0 to 5',
    };
    reporter.error(path, 'VALUE_RANGE', `${kind} ${names}: ${rule[kind]}`);
    return undefined;
  }
  if (kind === 'uniform') return {kind, from: first, to: second};
  return kind === 'normal' ? {kind, mean: first, deviation: second} : {kind, median: first, sigma: second};
}
const examples = {uniform: '[1s, 1m]', normal: '[10s, 2s]', lognormal: '[20s, 1.0]'};

function weighted(
  raw: Section,
  field: Field,
  path: Path,
  reporter: Reporter,
  common: {nullShare: number; scope: GeneratedValue['scope']},
): GeneratedValue | undefined {
  const weights = Object.values(raw) as number[];
  if (weights.some((weight) => weight < 0) || weights.every((weight) => weight === 0)) {
    reporter.error(path, 'VALUE_RANGE', 'weights are not negative, and one is above 0');
    return undefined;
  }
  const values = tableOf(Object.keys(raw), field, path, reporter, true);
  return values && {...common, kind: 'table', values, weights};
}

/** Written values as the field stores them. */
function tableOf(
  list: readonly unknown[],
  field: Field,
  path: Path,
  reporter: Reporter,
  keys = false,
): Value[] | undefined {
  const values = list.map((each) => readValue(each, field));
  const index = values.indexOf(undefined);
  if (index < 0 && values.length > 0) return values as Value[];
  const shown = index < 0 ? 'nothing' : quote(String(list[index]));
  const at = index < 0 || list.length === 1 ? path : [...path, keys ? String(list[index]) : index];
  const what = field.symbols === undefined ? `a ${field.type}` : `one of ${field.symbols.join(', ')}`;
  reporter.error(at, 'GENERATE_VALUE', `${quote(field.name)} is ${what}, not ${shown}`, {onKey: keys});
  return undefined;
}

function readValue(raw: unknown, field: Field): Value | undefined {
  const number =
    typeof raw === 'number' ? raw : typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : Number.NaN;
  switch (field.type) {
    case 'string':
      return typeof raw === 'object' || raw === undefined ? undefined : String(raw);
    case 'enum':
      return field.symbols?.includes(String(raw)) ? String(raw) : undefined;
    case 'boolean':
      return String(raw) === 'true' ? true : String(raw) === 'false' ? false : undefined;
    case 'int':
      return Number.isInteger(number) && Math.abs(number) < 2 ** 31 ? number : undefined;
    case 'long':
      return Number.isSafeInteger(number) ? number : undefined;
    case 'double':
      return Number.isFinite(number) ? number : undefined;
    case 'money':
      return Number.isSafeInteger(Math.round(number * 100)) ? Math.round(number * 100) : undefined;
    case 'date':
      return parseDate(String(raw));
    case 'timestamp':
      return parseTimestamp(String(raw));
    case 'uuid':
      return parseUuid(String(raw));
  }
}
