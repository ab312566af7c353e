/**
 * Whether one schema can follow others: Avro's schema resolution, applied to types instead of data.
 * https://avro.apache.org/docs/1.12.0/specification/#schema-resolution
 */
import type {Compatibility} from '../model/types.ts';
import {namespaceOf, simpleName} from './avro.ts';
import {indexOf, keysOf, promotions, sameName} from './compatibility-branches.ts';
import {collectNames, type Flat, flatten, type Names} from './flat.ts';
import {SchemaMistake} from './registry-avro.ts';
import type {AvroField, AvroSchema} from './types.ts';

export type IncompatibilityCode =
  | 'NAME_MISMATCH'
  | 'TYPE_MISMATCH'
  | 'FIXED_SIZE_MISMATCH'
  | 'MISSING_ENUM_SYMBOLS'
  | 'MISSING_UNION_BRANCH'
  | 'READER_FIELD_MISSING_DEFAULT_VALUE';

export type Incompatibility = {
  code: IncompatibilityCode;
  /** `purchase.address.street`; `[]` for an array's items, `{}` for a map's values. */
  path: string;
  /** JSON pointer into the reader, as Java's Avro has it: `/fields/0/type`; `/` for the whole. */
  location: string;
  message: string;
  /** Java's Avro's own words for it, which clients of a registry look at. */
  detail: string;
};

/** An incompatibility with one of the earlier schemas. `reader` says which of the two could not read the other's data. */
export type CompatibilityReason = Incompatibility & {
  /** Index in `previous`. */
  previous: number;
  reader: 'next' | 'previous';
};

/**
 * Whether `next` may follow `previous` (oldest first): BACKWARD reads the last one's data with `next`, FORWARD reads data of
 * `next` with the last one, FULL both; the transitive forms ask that of all of them. @returns every reason; none: it may.
 */
export function checkCompatibility(
  mode: Compatibility,
  next: AvroSchema,
  previous: readonly AvroSchema[],
): CompatibilityReason[] {
  if (mode === 'none') return [];
  const first = mode.endsWith('_transitive') ? 0 : Math.max(0, previous.length - 1);
  const reasons: CompatibilityReason[] = [];
  for (let index = first; index < previous.length; index++) {
    const earlier = previous[index]!;
    if (!mode.startsWith('forward'))
      for (const reason of canRead(next, earlier)) reasons.push({...reason, previous: index, reader: 'next'});
    if (!mode.startsWith('backward'))
      for (const reason of canRead(earlier, next))
        reasons.push({...reason, previous: index, reader: 'previous'});
  }
  return reasons;
}

/**
 * Whether `reader` can read every datum that `writer` can write. @returns every reason why not.
 * @throws SchemaMistake when that takes more than 300,000 comparisons.
 */
export function canRead(reader: AvroSchema, writer: AvroSchema): Incompatibility[] {
  const sides: Sides = {
    reader: collectNames(reader),
    writer: collectNames(writer),
    met: new Map(),
    unions: new Map(),
    fields: new Map(),
    left: comparisonsMax,
  };
  const top = flatten(reader, sides.reader);
  const path = top.kind === 'record' ? simpleName(top.name) : '';
  return [...new Set(compare(top, flatten(writer, sides.writer), {path, pointer: ''}, sides))];
}

type Place = {path: string; pointer: string};
const inside = ({path, pointer}: Place, suffix: string, token: string): Place => ({
  path: `${path}${suffix}`,
  pointer: `${pointer}/${token}`,
});

type Sides = {
  reader: Names;
  writer: Names;
  /**
   * Pairs of records with their reasons: each is compared once, or types that refer to each other many times would take
   * for ever. While a pair is being compared it has none: meeting it again inside itself adds no reason.
   */
  met: Map<string, Incompatibility[]>;
  unions: Map<AvroSchema[], Map<string, Flat[]>>;
  /** Fields of the writer's records by name. */
  fields: Map<AvroField[], Map<string, AvroField>>;
  /** Comparisons that may still be made. */
  left: number;
};

/** Schemas made to be slow need more: unions of thousands of records of one name. */
const comparisonsMax = 300_000;
const none: Incompatibility[] = [];

function compare(reader: Flat, writer: Flat, place: Place, sides: Sides): Incompatibility[] {
  if (--sides.left < 0) throw new SchemaMistake('the schemas are too complex to be compared');
  if (writer.kind === 'union')
    return writer.branches.flatMap((branch, index) => {
      const flat = flatten(branch, sides.writer, writer.namespace);
      const at = reader.kind === 'union' ? inside(place, '', String(index)) : place;
      const reasons = compare(reader, flat, at, sides);
      // What the reader cannot take is a branch, whatever it is that differs inside it.
      if (reasons.length === 0 || reader.kind === 'union') return reasons;
      return reasons.some((reason) => reason.code === 'TYPE_MISMATCH' && reason.path === place.path)
        ? [lacking(place, `${shown(flat)} cannot be read as ${shown(reader)}`, flat)]
        : reasons;
    });
  if (reader.kind === 'union') return compareBranches(reader, writer, place, sides);
  switch (reader.kind) {
    case 'record':
      return writer.kind === 'record'
        ? compareRecords(reader, writer, place, sides)
        : mismatch(reader, writer, place);
    case 'enum':
      return writer.kind === 'enum' ? compareEnums(reader, writer, place) : mismatch(reader, writer, place);
    case 'fixed':
      return writer.kind === 'fixed' ? compareFixed(reader, writer, place) : mismatch(reader, writer, place);
    case 'array':
      if (writer.kind !== 'array') return mismatch(reader, writer, place);
      return compare(
        flatten(reader.items, sides.reader, reader.namespace),
        flatten(writer.items, sides.writer, writer.namespace),
        inside(place, '[]', 'items'),
        sides,
      );
    case 'map':
      if (writer.kind !== 'map') return mismatch(reader, writer, place);
      return compare(
        flatten(reader.values, sides.reader, reader.namespace),
        flatten(writer.values, sides.writer, writer.namespace),
        inside(place, '{}', 'values'),
        sides,
      );
    default:
      return writer.kind === reader.kind || promotions[reader.kind]?.includes(writer.kind)
        ? none
        : mismatch(reader, writer, place);
  }
}

function compareBranches(
  reader: Extract<Flat, {kind: 'union'}>,
  writer: Flat,
  place: Place,
  sides: Sides,
): Incompatibility[] {
  let branches = sides.unions.get(reader.branches);
  if (!branches) sides.unions.set(reader.branches, (branches = indexOf(reader, sides.reader)));
  // A branch of the same kind and name is the one that was meant: its own reasons say more than "no branch".
  let own = none;
  for (const key of keysOf(writer))
    for (const branch of branches.get(key) ?? []) {
      const reasons = compare(branch, writer, place, sides);
      if (reasons.length === 0) return none;
      if (own.length === 0 && branch.kind === writer.kind) own = reasons;
    }
  return own.length > 0
    ? own
    : [lacking(place, `the reader's union has no branch for ${shown(writer)}`, writer)];
}

function compareRecords(
  reader: Extract<Flat, {kind: 'record'}>,
  writer: Extract<Flat, {kind: 'record'}>,
  place: Place,
  sides: Sides,
): Incompatibility[] {
  if (!sameName(reader, writer)) return differentName(reader, writer, place);
  const pair = `${reader.name} ${writer.name}`;
  const before = sides.met.get(pair);
  if (before) return before;
  sides.met.set(pair, none);
  const {fields} = writer.schema;
  const sources = sides.fields.get(fields) ?? new Map(fields.map((field) => [field.name, field]));
  sides.fields.set(fields, sources);
  const reasons = reader.schema.fields.flatMap((field, index) => {
    const at = inside(place, place.path === '' ? field.name : `.${field.name}`, `fields/${index}`);
    const source = sourceOf(field, sources);
    if (source)
      return compare(
        flatten(field.type, sides.reader, namespaceOf(reader.name)),
        flatten(source.type, sides.writer, namespaceOf(writer.name)),
        inside(at, '', 'type'),
        sides,
      );
    if (field.default !== undefined) return none;
    return [
      problem(
        'READER_FIELD_MISSING_DEFAULT_VALUE',
        at,
        `the reader's field has no default, and the writer has no field of this name`,
        field.name,
      ),
    ];
  });
  sides.met.set(pair, reasons);
  return reasons;
}

/** The writer's field for a reader's: of its name, else of one of its aliases. */
const sourceOf = (field: AvroField, fields: ReadonlyMap<string, AvroField>): AvroField | undefined =>
  [field.name, ...(field.aliases ?? [])].map((name) => fields.get(name)).find((found) => found !== undefined);

function compareEnums(
  reader: Extract<Flat, {kind: 'enum'}>,
  writer: Extract<Flat, {kind: 'enum'}>,
  place: Place,
): Incompatibility[] {
  if (!sameName(reader, writer)) return differentName(reader, writer, place);
  const symbols = new Set(reader.symbols);
  const missing = writer.symbols.filter((symbol) => !symbols.has(symbol));
  if (missing.length === 0 || reader.fallback !== undefined) return none;
  return [
    problem(
      'MISSING_ENUM_SYMBOLS',
      inside(place, '', 'symbols'),
      `the reader's enum has no ${missing.join(', ')}, and no default for symbols it does not have`,
      `[${missing.toSorted().join(', ')}]`,
    ),
  ];
}

function compareFixed(
  reader: Extract<Flat, {kind: 'fixed'}>,
  writer: Extract<Flat, {kind: 'fixed'}>,
  place: Place,
): Incompatibility[] {
  if (!sameName(reader, writer)) return differentName(reader, writer, place);
  return reader.size === writer.size
    ? none
    : [
        problem(
          'FIXED_SIZE_MISMATCH',
          inside(place, '', 'size'),
          `${writer.size} bytes cannot be read as ${reader.size}`,
          `expected: ${writer.size}, found: ${reader.size}`,
        ),
      ];
}

const differentName = (reader: Flat & {name: string}, writer: Flat & {name: string}, place: Place) => [
  problem(
    'NAME_MISMATCH',
    inside(place, '', 'name'),
    `${writer.kind} ${writer.name} cannot be read as ${reader.name}`,
    `expected: ${writer.name}`,
  ),
];

const mismatch = (reader: Flat, writer: Flat, place: Place) => [
  problem(
    'TYPE_MISMATCH',
    place,
    `${shown(writer)} cannot be read as ${shown(reader)}`,
    `reader type: ${reader.kind.toUpperCase()} not compatible with writer type: ${writer.kind.toUpperCase()}`,
  ),
];

const lacking = (place: Place, message: string, writer: Flat): Incompatibility =>
  problem(
    'MISSING_UNION_BRANCH',
    place,
    message,
    `reader union lacking writer type: ${writer.kind.toUpperCase()}`,
  );

const problem = (
  code: IncompatibilityCode,
  {path, pointer}: Place,
  message: string,
  detail: string,
): Incompatibility => ({code, path, location: pointer === '' ? '/' : pointer, message, detail});

const shown = (flat: Flat): string => ('name' in flat ? `${flat.kind} ${flat.name}` : flat.kind);
