/**
 * Whether one schema can follow others: Avro's schema resolution, applied to types instead of data.
 * https://avro.apache.org/docs/1.12.0/specification/#schema-resolution
 */
import type {Compatibility} from '../model/types.ts';
import {namespaceOf, simpleName} from './avro.ts';
import {collectNames, type Flat, flatten, type Names} from './flat.ts';
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
  message: string;
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

/** Whether `reader` can read every datum that `writer` can write. @returns every reason why not. */
export function canRead(reader: AvroSchema, writer: AvroSchema): Incompatibility[] {
  const sides: Sides = {
    reader: collectNames(reader),
    writer: collectNames(writer),
    open: new Set(),
  };
  const top = flatten(reader, sides.reader);
  const path = top.kind === 'record' ? simpleName(top.name) : '';
  return compare(top, flatten(writer, sides.writer), path, sides);
}

type Sides = {
  reader: Names;
  writer: Names;
  /** Pairs of records being compared: meeting one again inside itself adds no reason. */
  open: Set<string>;
};

const none: Incompatibility[] = [];

function compare(reader: Flat, writer: Flat, path: string, sides: Sides): Incompatibility[] {
  if (writer.kind === 'union')
    return writer.branches.flatMap((branch) => {
      const flat = flatten(branch, sides.writer, writer.namespace);
      const reasons = compare(reader, flat, path, sides);
      // What the reader cannot take is a branch, whatever it is that differs inside it.
      if (reasons.length === 0 || reader.kind === 'union') return reasons;
      return reasons.some((reason) => reason.code === 'TYPE_MISMATCH' && reason.path === path)
        ? [problem('MISSING_UNION_BRANCH', path, `${shown(flat)} cannot be read as ${shown(reader)}`)]
        : reasons;
    });
  if (reader.kind === 'union') return compareBranches(reader, writer, path, sides);
  switch (reader.kind) {
    case 'record':
      return writer.kind === 'record'
        ? compareRecords(reader, writer, path, sides)
        : mismatch(reader, writer, path);
    case 'enum':
      return writer.kind === 'enum' ? compareEnums(reader, writer, path) : mismatch(reader, writer, path);
    case 'fixed':
      return writer.kind === 'fixed' ? compareFixed(reader, writer, path) : mismatch(reader, writer, path);
    case 'array':
      if (writer.kind !== 'array') return mismatch(reader, writer, path);
      return compare(
        flatten(reader.items, sides.reader, reader.namespace),
        flatten(writer.items, sides.writer, writer.namespace),
        `${path}[]`,
        sides,
      );
    case 'map':
      if (writer.kind !== 'map') return mismatch(reader, writer, path);
      return compare(
        flatten(reader.values, sides.reader, reader.namespace),
        flatten(writer.values, sides.writer, writer.namespace),
        `${path}{}`,
        sides,
      );
    default:
      return writer.kind === reader.kind || promotions[reader.kind]?.includes(writer.kind)
        ? none
        : mismatch(reader, writer, path);
  }
}

/** A reader's kind -> the kinds it is promoted from. */
const promotions: Partial<Record<Flat['kind'], readonly Flat['kind'][]>> = {
  long: ['int'],
  float: ['int', 'long'],
  double: ['int', 'long', 'float'],
  bytes: ['string'],
  string: ['bytes'],
};

function compareBranches(
  reader: Extract<Flat, {kind: 'union'}>,
  writer: Flat,
  path: string,
  sides: Sides,
): Incompatibility[] {
  const branches = reader.branches.map((branch) => flatten(branch, sides.reader, reader.namespace));
  const attempts = branches.map((branch) => compare(branch, writer, path, sides));
  if (attempts.some((reasons) => reasons.length === 0)) return none;
  // A branch of the same kind and name is the one that was meant: its own reasons say more than "no branch".
  const meant = branches.findIndex((branch) => branch.kind === writer.kind && sameName(branch, writer));
  const inside = meant >= 0 ? attempts[meant]! : none;
  return inside.length > 0
    ? inside
    : [problem('MISSING_UNION_BRANCH', path, `the reader's union has no branch for ${shown(writer)}`)];
}

function compareRecords(
  reader: Extract<Flat, {kind: 'record'}>,
  writer: Extract<Flat, {kind: 'record'}>,
  path: string,
  sides: Sides,
): Incompatibility[] {
  if (!sameName(reader, writer)) return differentName(reader, writer, path);
  const pair = `${reader.name} ${writer.name}`;
  if (sides.open.has(pair)) return none;
  sides.open.add(pair);
  const reasons = reader.schema.fields.flatMap((field) => {
    const at = path === '' ? field.name : `${path}.${field.name}`;
    const source = sourceOf(field, writer.schema.fields);
    if (source)
      return compare(
        flatten(field.type, sides.reader, namespaceOf(reader.name)),
        flatten(source.type, sides.writer, namespaceOf(writer.name)),
        at,
        sides,
      );
    if (field.default !== undefined) return none;
    return [
      problem(
        'READER_FIELD_MISSING_DEFAULT_VALUE',
        at,
        `the reader's field has no default, and the writer has no field of this name`,
      ),
    ];
  });
  sides.open.delete(pair);
  return reasons;
}

/** The writer's field for a reader's: of its name, else of one of its aliases. */
const sourceOf = (field: AvroField, fields: readonly AvroField[]): AvroField | undefined =>
  [field.name, ...(field.aliases ?? [])]
    .map((name) => fields.find((candidate) => candidate.name === name))
    .find((found) => found !== undefined);

function compareEnums(
  reader: Extract<Flat, {kind: 'enum'}>,
  writer: Extract<Flat, {kind: 'enum'}>,
  path: string,
): Incompatibility[] {
  if (!sameName(reader, writer)) return differentName(reader, writer, path);
  const missing = writer.symbols.filter((symbol) => !reader.symbols.includes(symbol));
  if (missing.length === 0 || reader.fallback !== undefined) return none;
  return [
    problem(
      'MISSING_ENUM_SYMBOLS',
      path,
      `the reader's enum has no ${missing.join(', ')}, and no default for symbols it does not have`,
    ),
  ];
}

function compareFixed(
  reader: Extract<Flat, {kind: 'fixed'}>,
  writer: Extract<Flat, {kind: 'fixed'}>,
  path: string,
): Incompatibility[] {
  if (!sameName(reader, writer)) return differentName(reader, writer, path);
  return reader.size === writer.size
    ? none
    : [problem('FIXED_SIZE_MISMATCH', path, `${writer.size} bytes cannot be read as ${reader.size}`)];
}

/** Names match without their namespaces; the reader's aliases are names it also goes by. */
function sameName(reader: Flat, writer: Flat): boolean {
  if (!('name' in reader) || !('name' in writer)) return true;
  const aliases = reader.kind === 'record' ? (reader.schema.aliases ?? []) : reader.aliases;
  return [reader.name, ...aliases].some((name) => simpleName(name) === simpleName(writer.name));
}

const differentName = (reader: Flat & {name: string}, writer: Flat & {name: string}, path: string) => [
  problem('NAME_MISMATCH', path, `${writer.kind} ${writer.name} cannot be read as ${reader.name}`),
];

const mismatch = (reader: Flat, writer: Flat, path: string) => [
  problem('TYPE_MISMATCH', path, `${shown(writer)} cannot be read as ${shown(reader)}`),
];

const problem = (code: IncompatibilityCode, path: string, message: string): Incompatibility => ({
  code,
  path,
  message,
});

const shown = (flat: Flat): string => ('name' in flat ? `${flat.kind} ${flat.name}` : flat.kind);
