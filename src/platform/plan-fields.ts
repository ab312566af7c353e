/** What differs between the fields of two definitions of an event type. */
import type {EventType, Field} from '../model/types.ts';
import type {ChangeDetail} from './plan-types.ts';

const isLogged = ({role}: Field): boolean => role !== 'id' && role !== 'time';
const placeOf = ({role, name}: Field): string => `${role}s.${name}`;
const fieldText = ({type, required, symbols}: Field): string =>
  `${type}${symbols ? `(${symbols.join(', ')})` : ''}${required ? ', required' : ', optional'}`;

/** What differs of one field: as it was, or as it comes when it is new. */
export type FieldChange = {field: Field; details: ChangeDetail[]};

/**
 * Fields that stay, under whatever name, then those that come and those that go.
 * @param raw sink of raw events; null: none
 */
export function fieldChanges(before: EventType, after: EventType, raw: string | null): FieldChange[] {
  const old = new Map(before.fields.filter(isLogged).map((field) => [field.name, field]));
  const added: Field[] = [];
  const changes: FieldChange[] = [];
  const now = after.fields.filter(isLogged);
  const kept = new Set(now.map(({name}) => name));
  for (const field of now) {
    const same = old.get(field.name);
    const alias = same ? undefined : field.aliases.find((name) => old.has(name) && !kept.has(name));
    const was = same ?? (alias === undefined ? undefined : old.get(alias));
    old.delete(was?.name ?? '');
    if (!was) added.push(field);
    else
      changes.push({
        field: was,
        details: [
          ...(alias === undefined ? [] : [renamedField(was, field, raw)]),
          ...changedField(was, field, raw),
        ],
      });
  }
  const gone = [...old.values()];
  for (const field of added) changes.push({field, details: [addedField(field, added, gone)]});
  for (const field of gone) changes.push({field, details: [removedField(field, raw)]});
  return changes;
}

const renamedField = (was: Field, field: Field, raw: string | null): ChangeDetail => ({
  class: 'breaking',
  what: placeOf(field),
  before: was.name,
  after: field.name,
  effect: `old records are read under the new name${rawColumn(raw, `column ${was.column} becomes ${field.column}`)}`,
});

const removedField = (field: Field, raw: string | null): ChangeDetail => ({
  class: 'breaking',
  what: placeOf(field),
  before: fieldText(field),
  after: null,
  effect: `it is no longer accepted or read; what is logged keeps it${rawColumn(raw, `column ${field.column} stays, NULL in new rows`)}`,
});

/** What becomes of the raw table, which is altered in place. */
const rawColumn = (raw: string | null, text: string): string =>
  raw === null ? '' : `; raw table in ${raw}: ${text}`;

const widened = (was: Field, now: Field): string =>
  `column ${now.column} is widened${was.type === 'long' ? ', integers beyond 2^53 are rounded' : ''}`;

const addedField = (field: Field, added: Field[], gone: Field[]): ChangeDetail => ({
  class: field.required ? 'breaking' : 'safe',
  what: placeOf(field),
  before: null,
  after: fieldText(field),
  effect: `${field.required ? 'events without it become dead letters' : 'old records read NULL'}${renameHint(field, added, gone)}`,
});

/** A field that comes where others of its type and role go may be one of them under a new name. */
function renameHint(field: Field, added: Field[], gone: Field[]): string {
  const isLike = ({type, role}: Field) => type === field.type && role === field.role;
  const candidates = gone.filter(isLike).map(({name}) => name);
  if (candidates.length === 0) return '';
  const without = field.required
    ? 'without it older records cannot be read'
    : `without it older values read NULL under ${field.name}`;
  return candidates.length === 1 && added.filter(isLike).length === 1
    ? `; looks like a rename: add aliases: [${candidates[0]}], ${without}`
    : `; if it is ${candidates.join(' or ')} renamed, add that name to its aliases: ${without}`;
}

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
  details.push(...aliasDetails(was, now, raw));
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

/** Aliases say how records that are logged are read, not how events are taken in; the name of before a rename is told by it. */
function aliasDetails(was: Field, now: Field, raw: string | null): ChangeDetail[] {
  const come = now.aliases.filter((alias) => alias !== was.name && !was.aliases.includes(alias));
  const gone = was.aliases.filter((alias) => alias !== now.name && !now.aliases.includes(alias));
  const what = `${placeOf(now)}.aliases`;
  const rawText = rawColumn(raw, 'rows that are there stay, those still to come are read so');
  const detail = (each: Omit<ChangeDetail, 'what' | 'before' | 'after'>): ChangeDetail => ({
    ...each,
    what,
    before: was.aliases.join(', ') || null,
    after: now.aliases.join(', ') || null,
  });
  if (gone.length > 0)
    return [
      detail({
        class: 'breaking',
        effect: `old records with ${gone.join(', ')} ${now.required ? 'cannot be read' : `read NULL under ${now.name}`}, in every refill${rawText}`,
      }),
    ];
  if (come.length === 0) return [];
  return [
    detail({
      class: 'safe',
      effect: `changes how old records are read: from now on ${come.join(', ')} of those without ${now.name} is read under it, in every refill${rawText}`,
    }),
  ];
}

const told = new Set(['name', 'column', 'type', 'symbols', 'required', 'doc', 'role', 'aliases']);
/** Keys of a field that have no rule of their own: what they change is how events are taken in. */
const otherKeys = (was: Field, now: Field): string[] =>
  [...new Set([...Object.keys(was), ...Object.keys(now)])].filter(
    (key) =>
      !told.has(key) &&
      JSON.stringify((was as Record<string, unknown>)[key]) !==
        JSON.stringify((now as Record<string, unknown>)[key]),
  );

/** Avro's promotions between the types of fields. */
const widens = (from: string, to: string): boolean =>
  (from === 'int' && (to === 'long' || to === 'double')) || (from === 'long' && to === 'double');
