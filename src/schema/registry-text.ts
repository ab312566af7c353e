/** Texts of a schema: without white space as the reference implementation writes it, normalised, and whole. */
import {
  type AvroName,
  type AvroType,
  type AvroTypeField,
  fullNameOf,
  type Properties,
} from './registry-avro.ts';
import {isObject, type Json, sortedText} from './registry-json.ts';

type Writing = {
  /** Full names that are written as names: referenced, or defined further up. */
  known: Set<string>;
  normal: boolean;
};

/**
 * A schema as text, in the order of attributes in which Java's Avro writes them. A referenced type whose full name is in
 * `known` is written as its name, any other is defined where it is first met.
 * @param normal attributes in alphabetical order, aliases too, empty documentation left out: two schemas that differ in
 *   nothing that Avro gives a meaning are the same text.
 */
export function schemaText(type: AvroType, known: Iterable<string> = [], normal = false): string {
  return write(type, '', {known: new Set(known), normal});
}

function write(type: AvroType, space: string, writing: Writing): string {
  switch (type.kind) {
    case 'union':
      return `[${type.branches.map((branch) => write(branch, space, writing)).join(',')}]`;
    case 'array':
    case 'map': {
      const inner = write(type.of, space, writing);
      const of = type.kind === 'array' ? 'items' : 'values';
      return `{"type":"${type.kind}","${of}":${inner}${properties(type.properties, writing)}}`;
    }
    case 'record':
    case 'enum':
    case 'fixed':
      return writeNamed(type, space, writing);
    default:
      return type.properties.length === 0
        ? `"${type.kind}"`
        : `{"type":"${type.kind}"${properties(type.properties, writing)}}`;
  }
}

function writeNamed(type: Extract<AvroType, {name: AvroName}>, space: string, writing: Writing): string {
  const {name} = type;
  const full = fullNameOf(name);
  if (writing.known.has(full)) return JSON.stringify(relative(name, space));
  writing.known.add(full);
  let text = `{"type":"${type.kind}","name":${JSON.stringify(name.name)}`;
  if (name.space !== space) text += `,"namespace":${JSON.stringify(name.space)}`;
  if (type.doc !== undefined && !(writing.normal && type.doc === ''))
    text += `,"doc":${JSON.stringify(type.doc)}`;
  if (type.kind === 'record')
    text += `,"fields":[${type.fields.map((field) => writeField(field, name.space, writing)).join(',')}]`;
  if (type.kind === 'enum') {
    text += `,"symbols":${JSON.stringify(type.symbols)}`;
    if (type.fallback !== undefined) text += `,"default":${JSON.stringify(type.fallback)}`;
  }
  if (type.kind === 'fixed') text += `,"size":${type.size}`;
  const aliases = type.aliases.map((alias) => relative(alias, name.space));
  return `${text}${properties(type.properties, writing)}${aliasList(aliases, writing)}}`;
}

/** A name as it is written inside a namespace: full unless it is of that namespace. */
const relative = (name: AvroName, space: string): string =>
  name.space === space ? name.name : fullNameOf(name);

function writeField(field: AvroTypeField, space: string, writing: Writing): string {
  let text = `{"name":${JSON.stringify(field.name)},"type":${write(field.type, space, writing)}`;
  if (field.doc !== undefined) text += `,"doc":${JSON.stringify(field.doc)}`;
  if (field.default !== undefined) text += `,"default":${value(field.default, writing)}`;
  if (field.order !== 'ascending') text += `,"order":"${field.order}"`;
  return `${text}${aliasList(field.aliases, writing)}${properties(field.properties, writing)}}`;
}

function aliasList(aliases: string[], {normal}: Writing): string {
  const unique = [...new Set(aliases)];
  if (unique.length === 0) return '';
  return `,"aliases":${JSON.stringify(normal ? unique.sort() : unique)}`;
}

const value = (json: Json, {normal}: Writing): string => (normal ? sortedText(json) : JSON.stringify(json));

/** The logical type goes first in a normalised text, as the reference implementation has it. */
function properties(all: Properties, writing: Writing): string {
  const rank = (key: string) => (key === 'logicalType' ? 0 : key === 'precision' || key === 'scale' ? 1 : 2);
  const order = writing.normal ? all.toSorted(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1)) : all;
  return order.map(([key, json]) => `,${JSON.stringify(key)}:${value(json, writing)}`).join('');
}

/** What makes two schemas the same, as text: everything but the order of attributes and white space. */
export function identityText(canonical: Json): string {
  return isObject(canonical) || Array.isArray(canonical) ? sortedText(canonical) : JSON.stringify(canonical);
}
