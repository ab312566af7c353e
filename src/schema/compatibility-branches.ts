/** Which of a reader's types can be meant for a writer's: by kind, by name, by promotion. */
import {fullName, namespaceOf, simpleName} from './avro.ts';
import {type Flat, flatten, type Names} from './flat.ts';

/** A reader's kind -> the kinds it is promoted from. */
export const promotions: Partial<Record<Flat['kind'], readonly Flat['kind'][]>> = {
  long: ['int'],
  float: ['int', 'long'],
  double: ['int', 'long', 'float'],
  bytes: ['string'],
  string: ['bytes'],
};

/** Names match without their namespaces; the reader's aliases are full names that it also goes by. */
export function sameName(reader: Flat, writer: Flat): boolean {
  if (!('name' in reader) || !('name' in writer)) return true;
  if (simpleName(reader.name) === simpleName(writer.name)) return true;
  return aliasesOf(reader).includes(writer.name);
}

/** Full names that a reader's type also goes by. */
const aliasesOf = (flat: Extract<Flat, {name: string}>): string[] =>
  flat.kind === 'record'
    ? (flat.schema.aliases ?? []).map((alias) => fullName(alias, undefined, namespaceOf(flat.name)))
    : flat.aliases;

/** Branches of a union by what a writer must be for them: comparing each with each would take for ever in large unions. */
export function indexOf(
  {branches, namespace}: Extract<Flat, {kind: 'union'}>,
  names: Names,
): Map<string, Flat[]> {
  const index = new Map<string, Flat[]>();
  for (const branch of branches) {
    const flat = flatten(branch, names, namespace);
    const keys =
      'name' in flat
        ? [
            `${flat.kind} ${simpleName(flat.name)}`,
            ...aliasesOf(flat).map((alias) => `${flat.kind} = ${alias}`),
          ]
        : [flat.kind, ...(promotions[flat.kind] ?? []).map((kind) => `promoted ${kind}`)];
    for (const key of keys) {
      const list = index.get(key);
      if (list) list.push(flat);
      else index.set(key, [flat]);
    }
  }
  return index;
}

/** Keys of that index under which branches for a writer are. */
export const keysOf = (writer: Flat): string[] =>
  'name' in writer
    ? [`${writer.kind} ${simpleName(writer.name)}`, `${writer.kind} = ${writer.name}`]
    : [writer.kind, `promoted ${writer.kind}`];
