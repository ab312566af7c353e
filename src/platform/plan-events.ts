/** What differs between two definitions of an event type: its fields, and how its events are taken in and read. */
import type {Domain, EventType, Field} from '../model/types.ts';
import type {AppliedTransform} from './apply-record.ts';
import {type Change, type ChangeDetail, highest} from './plan-types.ts';

/** @returns undefined when nothing differs that matters before a query reads it */
export function eventTypeChange(
  before: EventType,
  after: EventType,
  {domain, readers}: {domain: Domain /** Queries that read it. */; readers: string[]},
): Change | undefined {
  const {raw} = domain.defaults;
  const details = [...fieldDetails(before, after, raw), ...ruleDetails(before, after)];
  if (details.length === 0) return undefined;
  const broken = details.filter((detail) => detail.class === 'breaking');
  const columns = broken.map(({what}) => what.slice(what.indexOf('.') + 1));
  return {
    class: highest(details.map((detail) => detail.class)),
    kind: 'event type',
    action: 'change',
    name: after.topic,
    details,
    consumers:
      broken.length === 0
        ? []
        : [
            ...(raw === null ? [] : [`readers of raw table ${after.topic} in ${raw}: ${columns.join(', ')}`]),
            `readers of subject ${after.topic}-value: ${columns.join(', ')}`,
            ...readers.map((query) => `query ${query}`),
          ],
    lost: [],
    restart: true,
  };
}

const isLogged = ({role}: Field): boolean => role !== 'id' && role !== 'time';
const placeOf = ({role, name}: Field): string => `${role}s.${name}`;
const fieldText = ({type, required, symbols}: Field): string =>
  `${type}${symbols ? `(${symbols.join(', ')})` : ''}${required ? ', required' : ', optional'}`;

function fieldDetails(before: EventType, after: EventType, raw: string | null): ChangeDetail[] {
  const old = new Map(before.fields.filter(isLogged).map((field) => [field.name, field]));
  const details: ChangeDetail[] = [];
  for (const field of after.fields.filter(isLogged)) {
    const same = old.get(field.name);
    const alias = same ? undefined : field.aliases.find((name) => old.has(name));
    const was = same ?? (alias === undefined ? undefined : old.get(alias));
    old.delete(was?.name ?? '');
    if (!was) details.push(addedField(field));
    else if (alias !== undefined) {
      details.push({
        class: 'breaking',
        what: placeOf(field),
        before: alias,
        after: field.name,
        effect: `old records are read under the new name${rawColumn(raw, `column ${was.column} becomes ${field.column}`)}`,
      });
      details.push(...changedField(was, {...field, aliases: was.aliases}, raw));
    } else details.push(...changedField(was, field, raw));
  }
  for (const field of old.values())
    details.push({
      class: 'breaking',
      what: placeOf(field),
      before: fieldText(field),
      after: null,
      effect: `it is no longer accepted or read; what is logged keeps it${rawColumn(raw, `column ${field.column} stays, NULL in new rows`)}`,
    });
  return details;
}

/** What becomes of the raw table, which is altered in place. */
const rawColumn = (raw: string | null, text: string): string =>
  raw === null ? '' : `; raw table in ${raw}: ${text}`;

const widened = (was: Field, now: Field): string =>
  `column ${now.column} is widened${was.type === 'long' ? ', integers beyond 2^53 are rounded' : ''}`;

const addedField = (field: Field): ChangeDetail => ({
  class: field.required ? 'breaking' : 'safe',
  what: placeOf(field),
  before: null,
  after: fieldText(field),
  effect: field.required ? 'events without it become dead letters' : 'old records read NULL',
});

function changedField(was: Field, now: Field, raw: string | null): ChangeDetail[] {
  const details: ChangeDetail[] = [];
  const what = placeOf(now);
  const isWider = was.type === now.type || widens(was.type, now.type);
  if (was.type !== now.type)
    details.push({
      class: isWider && raw === null ? 'safe' : 'breaking',
      what,
      before: was.type,
      after: now.type,
      effect: isWider
        ? `old records are read as ${now.type}${rawColumn(raw, widened(was, now))}`
        : `records of type ${was.type} cannot be read as ${now.type}`,
    });
  else if (JSON.stringify(was.symbols) !== JSON.stringify(now.symbols)) {
    const gone = (was.symbols ?? []).filter((symbol) => !now.symbols?.includes(symbol));
    details.push({
      class: gone.length > 0 ? 'breaking' : 'safe',
      what: `${what}.symbols`,
      before: (was.symbols ?? []).join(', '),
      after: (now.symbols ?? []).join(', '),
      ...(gone.length > 0 ? {effect: `records with ${gone.join(', ')} cannot be read`} : {}),
    });
  }
  if (was.required !== now.required)
    details.push({
      class: now.required ? 'breaking' : 'safe',
      what: `${what}.required`,
      before: String(was.required),
      after: String(now.required),
      effect: now.required
        ? 'old records without a value cannot be read'
        : 'a value may be missing from now on',
    });
  if (was.doc !== now.doc)
    details.push({class: 'safe', what: `${what}.doc`, before: was.doc ?? null, after: now.doc ?? null});
  if (was.role !== now.role)
    details.push({
      class: 'safe',
      what: `${what}`,
      before: was.role,
      after: now.role,
      effect: 'a new schema version',
    });
  const others = otherKeys(was, now);
  if (others.length > 0)
    details.push({
      class: 'safe',
      what: `${what}.${others.join(', ')}`,
      before: null,
      after: 'changed',
      effect: 'for events from now on',
    });
  return details;
}

const told = new Set(['name', 'column', 'type', 'symbols', 'required', 'doc', 'role']);
/** Keys of a field that have no rule of their own: what they change is how events are taken in. */
const otherKeys = (was: Field, now: Field): string[] =>
  [...new Set([...Object.keys(was), ...Object.keys(now)])].filter(
    (key) =>
      !told.has(key) &&
      JSON.stringify((was as Record<string, unknown>)[key]) !==
        JSON.stringify((now as Record<string, unknown>)[key]),
  );

/** Avro's promotions between the types of fields. */
export const widens = (from: string, to: string): boolean =>
  (from === 'int' && (to === 'long' || to === 'double')) || (from === 'long' && to === 'double');

function ruleDetails(before: EventType, after: EventType): ChangeDetail[] {
  const details: ChangeDetail[] = [];
  if (before.key !== after.key)
    details.push({
      class: 'safe',
      what: 'key',
      before: before.key,
      after: after.key,
      effect:
        'events from now on are dealt to partitions by it; one key may lie in two partitions, before and after',
    });
  const list = (
    what: string,
    old: {name: string; text: string}[],
    now: {name: string; text: string}[],
    effect: string,
  ) => {
    const were = new Map(old.map(({name, text}) => [name, text]));
    const are = new Map(now.map(({name, text}) => [name, text]));
    for (const name of new Set([...were.keys(), ...are.keys()]))
      if (were.get(name) !== are.get(name))
        details.push({
          class: 'safe',
          what: `${what}.${name}`,
          before: were.get(name) ?? null,
          after: are.get(name) ?? null,
          effect,
        });
  };
  list('checks', before.checks, after.checks, 'for events from now on; what is logged stays');
  const read = 'computed at read: queries that use it change, the log does not';
  list('derive', before.derive, after.derive, read);
  const taken = ({enrich}: EventType) =>
    enrich.flatMap(({lookup, on, take}) =>
      take.map(({name, from}) => ({name, text: `${from} of ${lookup} on ${on}`})),
    );
  list('enrich', taken(before), taken(after), read);
  details.push(...transformDetails(before.transform, after.transform));
  const rest = Object.keys({...before, ...after}).filter(
    (key) =>
      !['domain', 'name', 'topic', 'key', 'fields', 'derive', 'enrich', 'checks', 'transform'].includes(
        key,
      ) &&
      JSON.stringify((before as Record<string, unknown>)[key]) !==
        JSON.stringify((after as Record<string, unknown>)[key]),
  );
  for (const key of rest)
    details.push({
      class: 'safe',
      what: key,
      before: null,
      after: 'changed',
      effect: 'for events from now on',
    });
  return details;
}

/** What an event type's transform does holds for records from now on, whatever differs. */
function transformDetails(
  before: AppliedTransform | undefined,
  after: AppliedTransform | undefined,
): ChangeDetail[] {
  const effect = 'for events from now on; what is logged stays as it is';
  const detail = (what: string, was: string | null, is: string | null): ChangeDetail[] =>
    was === is ? [] : [{class: 'safe', what, before: was, after: is, effect}];
  const moved = detail('transform', before?.path ?? null, after?.path ?? null);
  if (!before || !after) return moved;
  const isEdited = moved.length === 0 && before.digest !== undefined && before.digest !== after.digest;
  return [
    ...moved,
    ...(isEdited ? detail('transform', before.path, `${after.path}, edited`) : []),
    ...detail('transform.timeout', `${before.timeoutMs} ms`, `${after.timeoutMs} ms`),
    ...detail('transform.outputs', String(before.outputsMax), String(after.outputsMax)),
  ];
}
