/** What the compiled codecs see of a schema: a row of columns, each a choice of one or more simple types. */
import {fullName, namespaceOf} from './avro.ts';
import type {AvroPrimitive, AvroSchema} from './types.ts';

/** A type without names to look up: references are resolved, logical types dropped. */
export type Flat =
  | {kind: AvroPrimitive}
  | {kind: 'enum'; name: string; aliases: string[]; symbols: string[]; fallback: string | undefined}
  | {kind: 'fixed'; name: string; aliases: string[]; size: number}
  | {kind: 'array'; items: AvroSchema; namespace: string}
  | {kind: 'map'; values: AvroSchema; namespace: string}
  | {kind: 'record'; name: string; schema: Extract<AvroSchema, {type: 'record'}>}
  | {kind: 'union'; branches: AvroSchema[]; namespace: string};

/** Definitions by full name, collected before types are looked at, so that a reference may stand anywhere. */
export type Names = Map<string, AvroSchema>;

/** Collects every named type of a schema. @throws Error when a name is defined twice or is not defined. */
export function collectNames(schema: AvroSchema, names: Names = new Map(), namespace = ''): Names {
  if (typeof schema === 'string') return names;
  if (Array.isArray(schema)) {
    for (const branch of schema) collectNames(branch, names, namespace);
    return names;
  }
  switch (schema.type) {
    case 'array':
      return collectNames(schema.items, names, namespace);
    case 'map':
      return collectNames(schema.values, names, namespace);
    case 'record':
    case 'enum':
    case 'fixed': {
      const own = typeof schema.namespace === 'string' ? schema.namespace : undefined;
      const full = fullName(schema.name, own, namespace);
      names.set(full, schema);
      if (schema.type === 'record')
        for (const field of schema.fields) collectNames(field.type, names, namespaceOf(full));
      return names;
    }
    default:
      return names;
  }
}

const aliasesOf = (schema: {[key: string]: unknown}, namespace: string): string[] =>
  ((schema.aliases as string[] | undefined) ?? []).map((alias) => fullName(alias, undefined, namespace));

/** One level of a type, references resolved. @throws Error on a name that the schema does not define. */
export function flatten(schema: AvroSchema, names: Names, namespace = ''): Flat {
  if (Array.isArray(schema)) return {kind: 'union', branches: schema, namespace};
  if (typeof schema === 'string') {
    if (isPrimitive(schema)) return {kind: schema};
    const full = fullName(schema, undefined, namespace);
    const found = names.get(full) ?? names.get(schema);
    if (found === undefined) throw new Error(`the schema does not define ${JSON.stringify(schema)}`);
    return flatten(found, names, namespaceOf(full));
  }
  const own = typeof schema.namespace === 'string' ? schema.namespace : undefined;
  switch (schema.type) {
    case 'array':
      return {kind: 'array', items: schema.items, namespace};
    case 'map':
      return {kind: 'map', values: schema.values, namespace};
    case 'record':
      return {kind: 'record', name: fullName(schema.name, own, namespace), schema};
    case 'enum': {
      const name = fullName(schema.name, own, namespace);
      const aliases = aliasesOf(schema, namespaceOf(name));
      return {kind: 'enum', name, aliases, symbols: schema.symbols, fallback: schema.default};
    }
    case 'fixed': {
      const name = fullName(schema.name, own, namespace);
      return {kind: 'fixed', name, aliases: aliasesOf(schema, namespaceOf(name)), size: schema.size};
    }
    default:
      // `{"type": {"type": "long"}}` and `{"type": "Named"}` are the inner type.
      return flatten(schema.type as AvroSchema, names, namespace);
  }
}

/** Branches of a union, or the type itself as its only branch. */
export function branchesOf(schema: AvroSchema, names: Names, namespace = ''): Flat[] {
  const flat = flatten(schema, names, namespace);
  return flat.kind === 'union'
    ? flat.branches.map((branch) => flatten(branch, names, flat.namespace))
    : [flat];
}

const primitiveNames = new Set<string>([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
]);
const isPrimitive = (name: string): name is AvroPrimitive => primitiveNames.has(name);
