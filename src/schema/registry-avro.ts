/**
 * Avro schemas of anybody's making: read strictly by the specification into a graph whose names are resolved, also into
 * the schemas that others reference. https://avro.apache.org/docs/1.12.0/specification/
 */
import {integerOf, isNumber, isObject, type Json, parseJson} from './registry-json.ts';
import type {AvroPrimitive} from './types.ts';

/** Attributes that the specification gives no meaning, in the order they were written. */
export type Properties = [key: string, value: Json][];
/** `space` is '' for none. */
export type AvroName = {name: string; space: string};
type Named = {name: AvroName; doc: string | undefined; aliases: AvroName[]; properties: Properties};
export type AvroType =
  | {kind: AvroPrimitive; properties: Properties}
  | ({kind: 'record'; fields: AvroTypeField[]} & Named)
  | ({kind: 'enum'; symbols: string[]; fallback: string | undefined} & Named)
  | ({kind: 'fixed'; size: number} & Named)
  | {kind: 'array'; of: AvroType; properties: Properties}
  | {kind: 'map'; of: AvroType; properties: Properties}
  | {kind: 'union'; branches: AvroType[]};
export type AvroTypeField = {
  name: string;
  type: AvroType;
  doc: string | undefined;
  /** Undefined: it has none. */
  default: Json | undefined;
  order: 'ascending' | 'descending' | 'ignore';
  aliases: string[];
  properties: Properties;
};

/** Types by full name, filled while schemas are read. */
export type TypeNames = Map<string, AvroType>;

/** What is wrong with the text of a schema. */
export class SchemaMistake extends Error {}

const wrong = (message: string): never => {
  throw new SchemaMistake(message);
};

/**
 * Reads a schema. Names that it uses and does not define are looked up in `names`, to which its own are added.
 * @param checkDefaults whether a default must fit its field. @throws SchemaMistake
 */
export function parseAvro(text: string, names: TypeNames, checkDefaults: boolean): AvroType {
  let json: Json;
  try {
    json = parseJson(text);
  } catch (error) {
    return wrong(`not JSON: ${(error as Error).message}`);
  }
  return readType(json, '', {names, checkDefaults});
}

type Reading = {names: TypeNames; checkDefaults: boolean};

const primitives = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']);
const isPrimitive = (name: string): name is AvroPrimitive => primitives.has(name);
const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

export const fullNameOf = ({name, space}: AvroName): string => (space === '' ? name : `${space}.${name}`);
const shown = (json: Json | undefined): string =>
  json === undefined ? 'nothing' : JSON.stringify(json).slice(0, 200);

function readType(json: Json, space: string, reading: Reading): AvroType {
  if (typeof json === 'string')
    return isPrimitive(json) ? {kind: json, properties: []} : lookUp(json, space, reading);
  if (Array.isArray(json)) return readUnion(json, space, reading);
  if (!isObject(json)) return wrong(`no schema: ${shown(json)}`);
  const {type} = json;
  if (typeof type !== 'string') return wrong(`no type: ${shown(json)}`);
  if (isPrimitive(type)) return {kind: type, properties: propertiesOf(json, typeKeys)};
  switch (type) {
    case 'record':
      return readRecord(json, space, reading);
    case 'enum':
      return readEnum(json, space, reading);
    case 'fixed':
      return readFixed(json, space, reading);
    case 'array':
      if (json.items === undefined) return wrong(`an array without items: ${shown(json)}`);
      return {
        kind: 'array',
        of: readType(json.items, space, reading),
        properties: propertiesOf(json, typeKeys),
      };
    case 'map':
      if (json.values === undefined) return wrong(`a map without values: ${shown(json)}`);
      return {
        kind: 'map',
        of: readType(json.values, space, reading),
        properties: propertiesOf(json, typeKeys),
      };
    default:
      return lookUp(type, space, reading);
  }
}

function lookUp(name: string, space: string, {names}: Reading): AvroType {
  const full = name.includes('.') || space === '' ? name : `${space}.${name}`;
  return names.get(full) ?? names.get(name) ?? wrong(`undefined name: ${JSON.stringify(name)}`);
}

function readUnion(branches: Json[], space: string, reading: Reading): AvroType {
  const seen = new Set<string>();
  const types = branches.map((branch) => {
    const type = readType(branch, space, reading);
    if (type.kind === 'union') return wrong(`a union in a union: ${shown(branches)}`);
    const key = 'name' in type ? fullNameOf(type.name) : type.kind;
    if (seen.has(key)) return wrong(`duplicate in union: ${key}`);
    seen.add(key);
    return type;
  });
  return {kind: 'union', branches: types};
}

const typeKeys = new Set([
  'aliases',
  'doc',
  'fields',
  'items',
  'name',
  'namespace',
  'size',
  'symbols',
  'type',
  'values',
]);
const enumKeys = new Set([...typeKeys, 'default']);
const fieldKeys = new Set(['aliases', 'default', 'doc', 'name', 'order', 'type']);

const propertiesOf = (json: {[key: string]: Json}, known: ReadonlySet<string>): Properties =>
  Object.entries(json).filter(([key]) => !known.has(key));

/** The name of a definition, entered into the names before what it holds is read: a record may hold itself. */
function define<T extends AvroType & Named>(
  json: {[key: string]: Json},
  space: string,
  {names}: Reading,
  make: (named: Named) => T,
): T {
  const {name: given, namespace, doc} = json;
  if (typeof given !== 'string') return wrong(`no name in: ${shown(json)}`);
  const dot = given.lastIndexOf('.');
  const own = typeof namespace === 'string' ? namespace : space;
  const name = {name: given.slice(dot + 1), space: dot < 0 ? own : given.slice(0, dot)};
  checkName(name.name);
  for (const part of name.space === '' ? [] : name.space.split('.')) checkName(part);
  if (isPrimitive(name.name) && name.space === '') return wrong(`${given} cannot be defined again`);
  const full = fullNameOf(name);
  if (names.has(full)) return wrong(`can't redefine: ${full}`);
  const aliases = textsOf(json.aliases, 'aliases').map((alias): AvroName => {
    const at = alias.lastIndexOf('.');
    return {name: alias.slice(at + 1), space: at < 0 ? name.space : alias.slice(0, at)};
  });
  const type = make({name, doc: typeof doc === 'string' ? doc : undefined, aliases, properties: []});
  names.set(full, type);
  return type;
}

function checkName(name: string): void {
  if (!namePattern.test(name)) wrong(`illegal name: ${JSON.stringify(name)}`);
}

function textsOf(json: Json | undefined, what: string): string[] {
  if (json === undefined) return [];
  if (!Array.isArray(json) || json.some((item) => typeof item !== 'string'))
    return wrong(`${what} is no list of texts: ${shown(json)}`);
  return json as string[];
}

function readRecord(json: {[key: string]: Json}, space: string, reading: Reading): AvroType {
  const {fields} = json;
  const record = define(json, space, reading, (named) => ({
    kind: 'record',
    fields: [] as AvroTypeField[],
    ...named,
  }));
  if (!Array.isArray(fields)) return wrong(`record ${record.name.name} has no fields`);
  const seen = new Set<string>();
  for (const field of fields) {
    const read = readField(field, record.name.space, reading);
    if (seen.has(read.name)) return wrong(`duplicate field ${read.name} in record ${record.name.name}`);
    seen.add(read.name);
    record.fields.push(read);
  }
  record.properties = propertiesOf(json, typeKeys);
  return record;
}

const orders = ['ascending', 'descending', 'ignore'] as const;

function readField(json: Json, space: string, reading: Reading): AvroTypeField {
  if (!isObject(json) || typeof json.name !== 'string') return wrong(`no field name: ${shown(json)}`);
  const {name, doc} = json;
  checkName(name);
  if (json.type === undefined) return wrong(`no field type: ${shown(json)}`);
  const type = readType(json.type, space, reading);
  const order = json.order ?? 'ascending';
  if (typeof order !== 'string' || !orders.includes(order as never))
    return wrong(`the order of field ${name} is none of ${orders.join(', ')}`);
  if (reading.checkDefaults && json.default !== undefined && !fits(json.default, type))
    return wrong(`invalid default for field ${name}: ${shown(json.default)} is no ${nameOf(type)}`);
  return {
    name,
    type,
    doc: typeof doc === 'string' ? doc : undefined,
    default: json.default,
    order: order as AvroTypeField['order'],
    aliases: textsOf(json.aliases, `aliases of field ${name}`),
    properties: propertiesOf(json, fieldKeys),
  };
}

function readEnum(json: {[key: string]: Json}, space: string, reading: Reading): AvroType {
  const symbols = textsOf(json.symbols, 'symbols');
  if (json.symbols === undefined) return wrong(`an enum without symbols: ${shown(json)}`);
  for (const symbol of symbols) checkName(symbol);
  if (new Set(symbols).size < symbols.length) return wrong(`an enum has a symbol twice: ${shown(symbols)}`);
  const fallback = json.default;
  if (fallback !== undefined && (typeof fallback !== 'string' || !symbols.includes(fallback)))
    return wrong(`the enum's default ${shown(fallback)} is none of its symbols`);
  const properties = propertiesOf(json, enumKeys);
  return define(json, space, reading, (named) => ({kind: 'enum', ...named, symbols, fallback, properties}));
}

function readFixed(json: {[key: string]: Json}, space: string, reading: Reading): AvroType {
  const size = integerOf(json.size, 0n, 2n ** 31n - 1n);
  if (size === undefined) return wrong(`a fixed without a size of 0 or more: ${shown(json)}`);
  const properties = propertiesOf(json, typeKeys);
  return define(json, space, reading, (named) => ({kind: 'fixed', ...named, size: Number(size), properties}));
}

const nameOf = (type: AvroType): string => ('name' in type ? fullNameOf(type.name) : type.kind);

/** Whether a default can be that of a type; of a union: of any branch. */
function fits(value: Json, type: AvroType): boolean {
  switch (type.kind) {
    case 'null':
      return value === null;
    case 'boolean':
      return typeof value === 'boolean';
    case 'int':
      return integerOf(value, -(2n ** 31n), 2n ** 31n - 1n) !== undefined;
    case 'long':
      return integerOf(value, -(2n ** 63n), 2n ** 63n - 1n) !== undefined;
    case 'float':
    case 'double':
      return isNumber(value);
    case 'string':
    case 'bytes':
    case 'fixed':
      return typeof value === 'string';
    case 'enum':
      return typeof value === 'string' && type.symbols.includes(value);
    case 'array':
      return Array.isArray(value) && value.every((item) => fits(item, type.of));
    case 'map':
      return isObject(value) && Object.values(value).every((item) => fits(item, type.of));
    case 'union':
      return type.branches.some((branch) => fits(value, branch));
    case 'record':
      return (
        isObject(value) &&
        type.fields.every((field) => {
          const own = Object.hasOwn(value, field.name) ? value[field.name] : field.default;
          return own !== undefined && fits(own, field.type);
        })
      );
  }
}
