/** What changed between two versions of a schema, place by place, as people read it. */
import {namespaceOf} from './avro.ts';
import {collectNames, type Flat, flatten, type Names} from './flat.ts';
import type {AvroField, AvroSchema} from './types.ts';

/** A place that is in one version only, or says something else. `renamedFrom`: an alias tells its name before. */
export type SchemaChange = {
  path: string;
  change: 'added' | 'removed' | 'renamed' | 'changed';
  before: string | null;
  after: string | null;
};

/** @returns changes in the order of the newer version, what was removed last; an empty list: none that Avro sees. */
export function differenceOf(before: AvroSchema, after: AvroSchema): SchemaChange[] {
  const old = placesOf(before);
  const changes: SchemaChange[] = [];
  const seen = new Set<string>();
  for (const [path, {text, aliases}] of placesOf(after)) {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('.') + 1));
    const source = old.has(path)
      ? path
      : aliases.map((alias) => parent + alias).find((each) => old.has(each));
    if (source === undefined) {
      changes.push({path, change: 'added', before: null, after: text});
      continue;
    }
    seen.add(source);
    const was = old.get(source)!.text;
    if (source !== path) changes.push({path, change: 'renamed', before: `${source}: ${was}`, after: text});
    else if (was !== text) changes.push({path, change: 'changed', before: was, after: text});
  }
  for (const [path, {text}] of old)
    if (!seen.has(path)) changes.push({path, change: 'removed', before: text, after: null});
  return changes;
}

type Place = {text: string; aliases: string[]};

/** Path -> its type as a word or a few: `id` -> `long`, `lines[]` -> `record shop.line`. */
function placesOf(schema: AvroSchema): Map<string, Place> {
  const places = new Map<string, Place>();
  const names = collectNames(schema);
  const visit = (
    type: AvroSchema,
    space: string,
    path: string,
    field: AvroField | undefined,
    open: string[],
  ) => {
    const flat = flatten(type, names, space);
    places.set(path === '' ? '(whole)' : path, {
      text: `${shown(type, flat, names)}${defaultOf(field)}`,
      aliases: field?.aliases ?? [],
    });
    for (const branch of flat.kind === 'union'
      ? flat.branches.map((each) => flatten(each, names, flat.namespace))
      : [flat]) {
      if (branch.kind === 'array') visit(branch.items, branch.namespace, `${path}[]`, undefined, open);
      if (branch.kind === 'map') visit(branch.values, branch.namespace, `${path}{}`, undefined, open);
      // A record inside itself was listed further up.
      if (branch.kind === 'record' && !open.includes(branch.name))
        for (const each of branch.schema.fields)
          visit(each.type, namespaceOf(branch.name), path === '' ? each.name : `${path}.${each.name}`, each, [
            ...open,
            branch.name,
          ]);
    }
  };
  visit(schema, '', '', undefined, []);
  return places;
}

const defaultOf = (field: AvroField | undefined): string =>
  field?.default === undefined ? '' : ` = ${JSON.stringify(field.default)}`;

function shown(type: AvroSchema, flat: Flat, names: Names): string {
  switch (flat.kind) {
    case 'union':
      return flat.branches
        .map((branch) => shown(branch, flatten(branch, names, flat.namespace), names))
        .join(' | ');
    case 'enum':
      return `enum ${flat.name} (${flat.symbols.join(', ')})`;
    case 'fixed':
      return `fixed ${flat.name} (${flat.size} bytes)`;
    case 'record':
      return `record ${flat.name}`;
    default: {
      const logical =
        typeof type === 'object' && !Array.isArray(type) && 'logicalType' in type
          ? type.logicalType
          : undefined;
      return logical === undefined ? flat.kind : `${flat.kind} (${logical})`;
    }
  }
}
