/** Fields of event types -> where their values come from: what the configuration says, else what type and name suggest. */
import assert from 'node:assert/strict';
import type {Value} from '../expr/types.ts';
import type {Domain, EventType, Field, Generate, GeneratedValue} from '../model/types.ts';
import {zipfWeights} from './distributions.ts';
import {idStem, isOwnId, numbersFor, textsFor} from './names.ts';
import {drawsMax} from './shape-code.ts';
import type {FieldPlan, LookupRows, Source, TextPart} from './types.ts';

/** Up to so many keys their texts are made beforehand. */
const tableMax = 131_072;
const plainKeys = 1000;
const event = {nullShare: 0, scope: 'event'} as const;

/** A small number of a name. */
const textHash = (text: string): number =>
  [...text].reduce((sum, char) => (Math.imul(sum, 31) + char.charCodeAt(0)) & 0xffff, 7);

export type PlannedTypes = {
  /** By event type, in model order, one plan a field; event_id and timestamp have none. */
  plans: (FieldPlan | null)[][];
  /** Values that sessions keep for later events. */
  memories: number;
  /** Size and weights of the entities; null without sessions. */
  entities: {count: number; weights: ArrayLike<number> | null} | null;
};

/** @param lookups those that the values refer to, by name. */
export function planFields(
  domain: Domain,
  generate: Generate,
  lookups: ReadonlyMap<string, LookupRows>,
): PlannedTypes {
  const {eventTypes} = domain;
  const memory = new Map<string, number>();
  const entities = generate.sessions ? entitiesOf(domain, generate, generate.sessions.entity, lookups) : null;
  const plans = eventTypes.map((type) =>
    type.fields.map((field, at): FieldPlan | null => {
      if (field.role === 'id' || field.role === 'time') return null;
      const from = lastSource(type, field, domain, generate);
      const source = sourceOf(from.type, from.field, domain, generate, lookups, type);
      let recall: number | null = null;
      if (from.field !== field || from.type !== type) {
        const key = `${from.type.name}.${from.field.name}`;
        recall = memory.get(key) ?? memory.size;
        memory.set(key, recall);
      }
      const draw = drawsMax * (source.scope === 'event' ? at : 1000 + textHash(from.field.name));
      return {name: field.name, source, draw, remember: null, recall};
    }),
  );
  for (const [index, {name}] of eventTypes.entries())
    for (const plan of plans[index]!) if (plan) plan.remember = memory.get(`${name}.${plan.name}`) ?? null;
  return {plans, memories: memory.size, entities};
}

/** The field whose values this one repeats within a session; itself where it repeats none. */
function lastSource(
  type: EventType,
  field: Field,
  domain: Domain,
  generate: Generate,
): {type: EventType; field: Field} {
  const seen = new Set<string>();
  let from = {type, field};
  for (;;) {
    const key = `${from.type.name}.${from.field.name}`;
    const value = generate.values[key];
    if (value?.kind !== 'last' || seen.has(key)) return from;
    seen.add(key);
    const next = domain.eventTypes.find(({name}) => name === value.eventType)!;
    from = {type: next, field: next.fields.find(({name}) => name === value.field)!};
  }
}

function sourceOf(
  type: EventType,
  field: Field,
  domain: Domain,
  generate: Generate,
  lookups: ReadonlyMap<string, LookupRows>,
  target: EventType,
): Source {
  const {sessions} = generate;
  const written = generate.values[`${type.name}.${field.name}`];
  if (sessions?.entity === field.name && !written) return entitySource(domain, generate, field, lookups);
  if (sessions?.id === field.name && !written && sessionIds.has(field.type)) return sessionSource(field);
  if (written && written.kind !== 'last')
    return writtenSource(written, field, lookups, target, domain, generate);
  return keySource(field, type, domain, generate, lookups) ?? plainSource(field);
}

const sessionIds = new Set(['string', 'int', 'long', 'uuid']);

function sessionSource(field: Field): Source {
  if (field.type === 'uuid') return {...event, scope: 'session', kind: 'uuid'};
  if (field.type !== 'string') return {...event, kind: 'counter', of: 'session'};
  return {...event, kind: 'text', of: 'session', parts: [{kind: 'fixed', text: 's-'}, {kind: 'number'}]};
}

/** Keys of what is looked up by this field: references that always hit. */
function lookupOf(field: Field, types: readonly EventType[]): string | undefined {
  for (const {fields, enrich} of types)
    if (fields.some(({name, type}) => name === field.name && type === field.type)) {
      const found = enrich.find(({on}) => on === field.name);
      if (found) return found.lookup;
    }
  return undefined;
}

/** Lookups whose rows the generator needs. */
export function lookupsOf({eventTypes}: Domain, generate: Generate): string[] {
  const names = new Set<string>();
  for (const type of eventTypes)
    for (const field of type.fields) {
      const written = generate.values[`${type.name}.${field.name}`];
      if (written?.kind === 'lookup' || written?.kind === 'lookupColumn') names.add(written.lookup);
      const own = written ? undefined : lookupOf(field, eventTypes);
      if (own !== undefined) names.add(own);
    }
  return [...names];
}

/** The rows of a lookup as a table, skewed; at most `count` of them. */
function lookupTable(rows: LookupRows, zipf: number, count: number | null): Source {
  const values = rows.keys.slice(0, Math.max(1, count ?? rows.keys.length));
  return {
    ...event,
    kind: 'table',
    of: 'draw',
    values,
    weights: zipf === 0 ? null : zipfWeights(values.length, zipf),
  };
}

/** Values of a key space that the configuration has, or of a lookup; undefined when the field is neither. */
function keySource(
  field: Field,
  type: EventType,
  {eventTypes}: Domain,
  generate: Generate,
  lookups: ReadonlyMap<string, LookupRows>,
): Source | undefined {
  const key = generate.keys[field.name];
  const lookup = lookups.get(lookupOf(field, eventTypes) ?? '');
  if (lookup && lookup.keys.length > 0) return lookupTable(lookup, key?.zipf ?? 0, key?.count ?? null);
  if (key) return keySpace(field, key);
  const stem = idStem(field.name);
  if (stem === undefined || field.type !== 'string') return undefined;
  const shared = eventTypes.filter(({fields}) => fields.some(({name}) => name === field.name)).length > 1;
  if (isOwnId(stem) && !shared && type.key !== field.name)
    return {
      ...event,
      kind: 'text',
      of: 'event',
      parts: [{kind: 'fixed', text: `${stem}-`}, {kind: 'number'}],
    };
  return keySpace(field, {count: plainKeys, zipf: 1, pattern: null});
}

function keySpace(field: Field, {count, zipf, pattern}: Generate['keys'][string]): Source {
  const weights = zipf === 0 ? null : zipfWeights(count, zipf);
  const [prefix = '', suffix = ''] = (pattern ?? `${idStem(field.name) ?? field.name}-{n}`).split('{n}');
  const width = field.type === 'string' ? String(count).length : 0;
  const wide = count > tableMax && field.type !== 'uuid';
  if (wide) return {...event, kind: 'key', count, weights, of: 'draw', prefix, suffix, width};
  const values = Array.from({length: Math.min(count, tableMax)}, (_, index): Value => {
    if (field.type === 'string') return `${prefix}${String(index + 1).padStart(width, '0')}${suffix}`;
    if (field.type === 'uuid') return `00000000-0000-4000-8000-${String(index + 1).padStart(12, '0')}`;
    return index + 1;
  });
  return {
    ...event,
    kind: 'table',
    of: 'draw',
    values,
    weights: weights && Array.from(weights).slice(0, values.length),
  };
}

/** The entities of sessions: the same key space in every event type that has the field. */
function entitiesOf(
  domain: Domain,
  generate: Generate,
  name: string,
  lookups: ReadonlyMap<string, LookupRows>,
) {
  const type = domain.eventTypes.find(({fields}) => fields.some((field) => field.name === name))!;
  const field = type.fields.find((each) => each.name === name)!;
  const source = entitySource(domain, generate, field, lookups);
  assert(source.kind === 'table' || source.kind === 'key');
  return {count: source.kind === 'key' ? source.count : source.values.length, weights: source.weights};
}

function entitySource(
  domain: Domain,
  generate: Generate,
  field: Field,
  lookups: ReadonlyMap<string, LookupRows>,
): Source {
  const key = generate.keys[field.name] ?? {count: plainKeys, zipf: 1, pattern: null};
  const lookup = lookups.get(lookupOf(field, domain.eventTypes) ?? '');
  const source =
    lookup && lookup.keys.length > 0
      ? lookupTable(lookup, key.zipf, generate.keys[field.name]?.count ?? null)
      : keySpace(field, key);
  assert(source.kind === 'table' || source.kind === 'key');
  return {...source, of: 'entity'};
}

function writtenSource(
  written: Exclude<GeneratedValue, {kind: 'last'}>,
  field: Field,
  lookups: ReadonlyMap<string, LookupRows>,
  type: EventType,
  domain: Domain,
  generate: Generate,
): Source {
  const {nullShare, scope} = written;
  const common = {nullShare, scope};
  switch (written.kind) {
    case 'table':
      return {...common, kind: 'table', of: 'draw', values: written.values, weights: written.weights};
    case 'number':
      return {...common, ...numberSource(field, written.distribution), min: written.min, max: written.max};
    case 'pattern':
      return {
        ...common,
        kind: 'text',
        of: scope === 'session' ? 'session' : 'event',
        parts: partsOf(written.text),
      };
    case 'lookup': {
      const rows = lookups.get(written.lookup)!;
      return {...lookupTable(rows, written.zipf, null), ...common};
    }
    case 'lookupColumn': {
      const sameAs = type.fields.findIndex(({name}) => name === written.by);
      const field = type.fields[sameAs];
      const by = field && sourceOf(type, field, domain, generate, lookups, type);
      const rows = lookups.get(written.lookup)!;
      const column = new Map(rows.keys.map((key, index) => [key, rows.columns[written.column]![index]!]));
      // A key that the lookup does not have is NULL, as in `enrich`; so is a field that holds other things than keys.
      const values = by?.kind === 'table' ? by.values.map((key) => column.get(key) ?? null) : [null];
      return {...common, kind: 'related', values, sameAs: by?.kind === 'table' ? sameAs : -1};
    }
  }
}

function numberSource(field: Field, distribution: Extract<Source, {kind: 'number'}>['distribution']) {
  return {
    kind: 'number' as const,
    distribution,
    scale: field.type === 'money' ? 100 : 1,
    integer: field.type !== 'double',
  };
}

/** "A-{n}-##?" -> its pieces. */
export function partsOf(pattern: string): TextPart[] {
  return [...pattern.matchAll(/\{n\}|[#?]|[^{#?]+|\{/g)].map(([piece]): TextPart => {
    if (piece === '{n}') return {kind: 'number'};
    if (piece === '#') return {kind: 'digit'};
    return piece === '?' ? {kind: 'letter'} : {kind: 'fixed', text: piece};
  });
}

/** Values by type and name. */
function plainSource(field: Field): Source {
  const {name} = field;
  const table = (values: Value[], weights: number[] | null): Source => ({
    ...event,
    kind: 'table',
    of: 'draw',
    values,
    weights,
  });
  switch (field.type) {
    case 'boolean':
      return table([true, false], null);
    case 'enum':
      return table(field.symbols ?? [], null);
    case 'uuid':
      return {...event, kind: 'uuid'};
    case 'timestamp':
      return {...event, kind: 'time'};
    case 'date':
      return {...event, kind: 'date'};
    case 'int':
    case 'long':
    case 'double':
    case 'money':
      return plainNumber(field);
    case 'string': {
      const known = textsFor(name);
      if (known)
        return table(
          known.map(([text]) => text),
          known.map(([, weight]) => weight),
        );
      const count = field.role === 'dimension' ? 5 : 20;
      const values = Array.from({length: count}, (_, index) => `${name}-${index + 1}`);
      return table(values, Array.from(zipfWeights(count, 0.8)));
    }
  }
}

function plainNumber(field: Field): Source {
  const unnamed =
    field.type === 'money'
      ? ({kind: 'lognormal', median: 20, sigma: 0.8} as const)
      : field.type === 'double'
        ? ({kind: 'normal', mean: 50, deviation: 15} as const)
        : ({kind: 'uniform', from: 0, to: 1000} as const);
  const source = numberSource(field, numbersFor(field.name) ?? unnamed);
  // What is counted or paid is there: not rounded to 0.
  const min = source.distribution.kind === 'lognormal' && source.integer ? 1 / source.scale : null;
  return {...event, ...source, min, max: null};
}
