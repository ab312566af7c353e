/** Random Avro schemas as teams write them: namespaces, aliases, defaults, documentation, logical types, names used again. */
import type {Random} from '../support/random.ts';

type Json = null | boolean | number | string | Json[] | {[key: string]: Json};
type Names = {defined: {full: string; kind: string}[]; used: Set<string>};

const primitives = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
const spaces = ['', 'a', 'a.b'] as const;

const logical: Json[] = [
  {type: 'long', logicalType: 'timestamp-millis'},
  {type: 'int', logicalType: 'date'},
  {type: 'string', logicalType: 'uuid', note: 'x'},
  {type: 'bytes', logicalType: 'decimal', precision: 6, scale: 2},
];

function nameIn(
  chance: Random,
  base: string,
  names: Names,
  space: string,
): {json: {[key: string]: Json}; full: string} {
  for (;;) {
    const name = `${base}${chance.int(4)}`;
    const own = chance.int(3) === 0 ? chance.pick([...spaces]) : undefined;
    const full = [own ?? space, name].filter(Boolean).join('.');
    if (names.used.has(full)) {
      if (names.used.size > 40) base = `${base}x`;
      continue;
    }
    names.used.add(full);
    return {json: {name, ...(own === undefined ? {} : {namespace: own})}, full};
  }
}

/** @param space of what encloses it. */
function randomType(chance: Random, depth: number, names: Names, space: string): Json {
  const kind = chance.int(depth > 0 ? 17 : 8);
  if (kind < 8) return primitives[kind]!;
  switch (kind) {
    case 8:
      return {type: 'array', items: randomType(chance, depth - 1, names, space)};
    case 9:
      return {type: 'map', values: randomType(chance, depth - 1, names, space)};
    case 10: {
      const {json, full} = nameIn(chance, 'E', names, space);
      const symbols = ['a', 'b', 'c'].filter(() => chance.int(3) > 0);
      if (symbols.length === 0) symbols.push('a');
      names.defined.push({full, kind: 'enum'});
      const more = chance.int(4) === 0 ? {default: symbols[0]!} : {};
      return {type: 'enum', ...json, symbols, ...more, ...aliases(chance, 'E')};
    }
    case 11: {
      const {json, full} = nameIn(chance, 'F', names, space);
      names.defined.push({full, kind: 'fixed'});
      return {type: 'fixed', ...json, size: 1 + chance.int(2), ...aliases(chance, 'F')};
    }
    case 12:
      return chance.pick(logical);
    case 13:
    case 14: {
      const branches: Json[] = primitives.filter(() => chance.int(4) === 0);
      if (chance.int(3) === 0) {
        const more = randomType(chance, depth - 1, names, space);
        if (
          typeof more === 'object' &&
          !Array.isArray(more) &&
          !primitives.includes((more as {type: never}).type)
        )
          branches.push(more);
      }
      return branches.length > 0 ? branches : ['null', 'string'];
    }
    case 15:
      return names.defined.length > 0 ? chance.pick(names.defined).full : 'long';
    default:
      return randomRecord(chance, depth - 1, names, space);
  }
}

const aliases = (chance: Random, base: string): {[key: string]: Json} =>
  chance.int(5) === 0 ? {aliases: [`${chance.pick(['', 'a.'])}${base}${chance.int(4)}`]} : {};

/** A record; each full name is defined once. */
export function randomRecord(
  chance: Random,
  depth: number,
  names: Names = {defined: [], used: new Set()},
  space = '',
): {[key: string]: Json} {
  const {json, full} = nameIn(chance, 'R', names, space);
  const inner = full.slice(0, Math.max(0, full.lastIndexOf('.')));
  const fields: Json[] = [];
  for (const name of ['p', 'q', 's', 't']) {
    if (chance.int(3) === 0) continue;
    const field: {[key: string]: Json} =
      chance.int(5) === 0
        ? {name, type: ['null', 'int'], default: null}
        : {name, type: randomType(chance, depth, names, inner)};
    if (field.type === 'int' && chance.int(2) === 0) field.default = chance.int(100);
    if (field.type === 'double' && chance.int(2) === 0) field.default = 1.5;
    if (chance.int(8) === 0) field.doc = 'a "note"\né';
    if (chance.int(10) === 0) field.order = chance.pick(['ascending', 'descending', 'ignore']);
    if (chance.int(8) === 0) field.aliases = [chance.pick(['old', 'older', 'p'])];
    if (chance.int(10) === 0) field.unit = {b: 1, a: [true]};
    fields.push(field);
  }
  names.defined.push({full, kind: 'record'});
  const doc = chance.int(6) === 0 ? {doc: chance.pick(['', 'text'])} : {};
  return {type: 'record', ...json, ...doc, fields, ...aliases(chance, 'R')};
}

/** A slight change somewhere, so that pairs are often nearly compatible. */
export function mutate<T extends Json>(chance: Random, schema: T): T {
  const next = structuredClone(schema);
  const nodes: {[key: string]: Json}[] = [];
  const walk = (json: Json): void => {
    if (Array.isArray(json)) json.forEach(walk);
    else if (typeof json === 'object' && json !== null) {
      nodes.push(json);
      Object.values(json).forEach(walk);
    }
  };
  walk(next);
  for (let times = 1 + chance.int(2); times > 0; times--) {
    const node = chance.pick(nodes);
    if (Array.isArray(node.fields)) {
      const at = chance.int(node.fields.length + 1);
      if (at < node.fields.length && chance.int(2) === 0) node.fields.splice(at, 1);
      else
        node.fields.push({
          name: `added${times}`,
          type: 'int',
          ...(chance.int(2) === 0 ? {default: 1} : {}),
        });
    } else if (Array.isArray(node.symbols)) node.symbols = [...new Set([...(node.symbols as string[]), 'z'])];
    else if (node.type === 'fixed') node.size = 3;
    else if (typeof node.type === 'string' && 'default' in node === false && 'name' in node)
      node.type = chance.pick<Json>([...primitives, ['null', 'long'], ['string', 'double']]);
    else if (typeof node.items === 'string') node.items = chance.pick([...primitives]);
    else if (typeof node.values === 'string') node.values = chance.pick([...primitives]);
  }
  return next;
}
