/** Avro bodies -> values of wanted columns, by code generated for a pair of schemas. Generated code holds indexes and numbers only. */
import assert from 'node:assert/strict';
import {PlatformError} from '../errors.ts';
import {namespaceOf, simpleName} from './avro.ts';
import {branchesOf, collectNames, type Flat, flatten, type Names} from './flat.ts';
import {protectedText, protectionOf} from './protected.ts';
import * as read from './read.ts';
import {DecodeFailure} from './read.ts';
import {skipper, skipText} from './skip.ts';
import type {AvroField, AvroRecord, AvroValue} from './types.ts';

/**
 * Reads the Avro body in [pos, end) (a frame's header is before it: see `schemaIdOf`), which must be one record and nothing
 * after it. Never reads beyond `end`. @returns the wanted columns' values, in the order asked for.
 * @throws DecodeFailure BODY_INVALID naming the field.
 */
export type Decoder = (bytes: Uint8Array, pos: number, end: number) => AvroValue[];

type Column = {field: AvroField; branches: Flat[]};

/**
 * Decoder of what `writer` wrote. @param fields names of the wanted columns, all by default; each must be the writer's.
 * @throws PlatformError SCHEMA_UNSUPPORTED when a wanted column is a record, a map or an array of such.
 */
export const compileDecoder = (writer: AvroRecord, fields?: readonly string[]): Decoder =>
  compileResolvingDecoder(writer, writer, fields);

/**
 * Decoder of what `writer` wrote as `reader` sees it: fields are matched by name, then by the reader's aliases; missing ones
 * get the reader's default; numbers are promoted. https://avro.apache.org/docs/1.12.0/specification/#schema-resolution
 * @param fields names of the wanted columns of the reader, all by default.
 * @throws PlatformError SCHEMA_INCOMPATIBLE when a wanted column cannot be resolved; SCHEMA_UNSUPPORTED as above.
 */
export function compileResolvingDecoder(
  writer: AvroRecord,
  reader: AvroRecord,
  fields: readonly string[] = reader.fields.map(({name}) => name),
): Decoder {
  const writerNames = collectNames(writer);
  const readerNames = collectNames(reader);
  const columns: Column[] = fields.map((name) => {
    const field = reader.fields.find((candidate) => candidate.name === name);
    assert.ok(field, `schema ${reader.name} has no field ${name}`);
    return {field, branches: branchesOf(field.type, readerNames, spaceOf(reader))};
  });
  const sources = columns.map(({field}) => sourceOf(field, writer));
  const tables: unknown[] = [];
  const place = (table: unknown) => tables.push(table) - 1;
  const body = writer.fields.map((field, index) => {
    const wanted = columns.flatMap((column, target) => (sources[target] === index ? [{column, target}] : []));
    const code = fieldCode(field, wanted[0], {writer, reader, writerNames, readerNames, place});
    // Two of the reader's columns can come from one of the writer's, by an alias.
    const copies = wanted.slice(1).map(({target}) => `r${target}=r${wanted[0]!.target};`);
    return `f=${index}; ${code} ${copies.join('')}`;
  });
  const initial = columns.map(({field}, target) => {
    if (sources[target]! >= 0) return `r${target}=null`;
    if (field.default === undefined)
      throw new PlatformError(
        'SCHEMA_INCOMPATIBLE',
        `field ${field.name} has no default, and the writer has no such field`,
      );
    return `r${target}=T[${place(defaultValue(field, columns[target]!.branches))}]`;
  });
  const source = `
    const {cursor, broken, short, readLong, readInt, readLength, readIndex, readText, readDouble, readFloat} = R;
    return (u8, p, end) => {
      let f=0, b, n, q${initial.map((text) => `, ${text}`).join('')};
      try {
        if (end>u8.length) short();
        ${body.join('\n')}
        f=-1;
        if (p!==end) broken((end-p)+' bytes follow the record');
      } catch (error) { throw located(error, f); }
      return [${columns.map((_, target) => `r${target}`).join(',')}];
    };`;
  const located = (error: unknown, index: number): unknown =>
    error instanceof DecodeFailure && index >= 0
      ? new DecodeFailure(error.reason, `field ${writer.fields[index]!.name}: ${error.message}`)
      : error;
  return new Function('R', 'T', 'skipText', 'located', source)(read, tables, skipText, located);
}

const spaceOf = (record: AvroRecord): string => record.namespace ?? namespaceOf(record.name);

/** Index of the writer's field for a reader's: its name, else one of its aliases; -1 when there is none. */
function sourceOf(field: AvroField, writer: AvroRecord): number {
  for (const name of [field.name, ...(field.aliases ?? [])]) {
    const index = writer.fields.findIndex((candidate) => candidate.name === name);
    if (index >= 0) return index;
  }
  return -1;
}

type Context = {
  writer: AvroRecord;
  reader: AvroRecord;
  writerNames: Names;
  readerNames: Names;
  /** Gives a value to the generated code. @returns its index in T. */
  place(table: unknown): number;
};

function fieldCode(
  field: AvroField,
  wanted: {column: Column; target: number} | undefined,
  context: Context,
): string {
  const {writer, writerNames, place} = context;
  const flat = flatten(field.type, writerNames, spaceOf(writer));
  if (!wanted) {
    if (flat.kind === 'string') return 'p=skipText(u8,p,end);';
    return `p=T[${place(skipper(field.type, writerNames, spaceOf(writer)))}](u8,p,end,0);`;
  }
  const {column, target} = wanted;
  // What the reader protects was perhaps written before it did, and the other way round.
  const of = protectionOf(column.field, context.reader) ?? protectionOf(field, writer);
  const text = of && protectedText(of);
  const branches = branchesOf(field.type, writerNames, spaceOf(writer));
  const codes = branches.map((branch) => {
    const match = column.branches.find((candidate) => resolves(branch, candidate));
    return match && valueCode(branch, match, `r${target}`, context, field.name, text);
  });
  if (flat.kind !== 'union') {
    if (codes[0] === undefined) throw incompatible(field.name, branches, column);
    return codes[0];
  }
  if (codes.every((code) => code === undefined)) throw incompatible(field.name, branches, column);
  const count = branches.length;
  const head = `if (p>=end) short(); n=u8[p]; if (n>${Math.min(2 * (count - 1), 126)}||n&1) { n=readIndex(u8,p,end,${count}); p=cursor.pos; } else { n>>>=1; p++; }`;
  const cases = codes.map(
    (code, index) => `if (n===${index}) { ${code ?? `broken('a branch that the reader does not have');`} }`,
  );
  return `${head} ${cases.join(' else ')}`;
}

function incompatible(name: string, branches: Flat[], column: Column): PlatformError {
  const kinds = (list: Flat[]) => list.map(({kind}) => kind).join(' or ');
  return new PlatformError(
    'SCHEMA_INCOMPATIBLE',
    `field ${name} was written as ${kinds(branches)} and cannot be read as ${kinds(column.branches)}`,
  );
}

/** A writer's kind -> the kinds it can be read as. */
const promotions: Partial<Record<Flat['kind'], readonly Flat['kind'][]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string'],
};

function resolves(writer: Flat, reader: Flat): boolean {
  if (writer.kind === 'enum' || writer.kind === 'fixed') {
    if (reader.kind !== writer.kind) return false;
    if (writer.kind === 'fixed' && reader.kind === 'fixed' && writer.size !== reader.size) return false;
    return [reader.name, ...reader.aliases].some((name) => simpleName(name) === simpleName(writer.name));
  }
  return writer.kind === reader.kind || (promotions[writer.kind]?.includes(reader.kind) ?? false);
}

/** Code that reads a value written as `writer` and assigns it to `to` as `reader`. */
function valueCode(
  writer: Flat,
  reader: Flat,
  to: string,
  context: Context,
  name: string,
  text: ReturnType<typeof protectedText> = read.readText,
): string {
  const length = `if (p>=end) short(); n=u8[p++]; if (n&1||n>127||n>>>1>end-p) { n=readLength(u8,p-1,end); p=cursor.pos; } else n>>>=1; q=p+n;`;
  const varint = (slow: string) =>
    `if (p>=end) short(); b=u8[p]; if (b<128) { ${to}=(b>>>1)^-(b&1); p++; } else { ${to}=${slow}(u8,p,end); p=cursor.pos; }`;
  const promote =
    reader.kind === 'float'
      ? `${to}=Math.fround(Number(${to}));`
      : reader.kind === 'double'
        ? `${to}=Number(${to});`
        : '';
  switch (writer.kind) {
    case 'null':
      return `${to}=null;`;
    case 'boolean':
      return `if (p>=end) short(); b=u8[p++]; if (b>1) broken('a boolean of '+b); ${to}=b===1;`;
    case 'int':
      return varint('readInt') + promote;
    case 'long':
      return varint('readLong') + promote;
    case 'float':
      return `${to}=readFloat(u8,p,end); p+=4;`;
    case 'double':
      return `${to}=readDouble(u8,p,end); p+=8;`;
    // A copy of the bytes: Buffer's own slice would be a window on the batch.
    case 'string':
    case 'bytes':
      return `${length} ${to}=${reader.kind === 'string' ? (text === read.readText ? 'readText(u8,p,q)' : `T[${context.place(text)}](u8,p,q)`) : 'new Uint8Array(u8.subarray(p,q))'}; p=q;`;
    case 'fixed':
      return `q=p+${writer.size}; if (q>end) short(); ${to}=new Uint8Array(u8.subarray(p,q)); p=q;`;
    case 'enum': {
      const table = context.place(enumTable(writer, reader));
      return `n=readIndex(u8,p,end,${writer.symbols.length}); p=cursor.pos; ${to}=T[${table}][n]; if (${to}===undefined) broken('a symbol that the reader does not have');`;
    }
    case 'array':
      return `${to}=T[${context.place(arrayReader(writer, reader, context, name))}](u8,p,end); p=cursor.pos;`;
    default:
      throw new PlatformError(
        'SCHEMA_UNSUPPORTED',
        `field ${name} is a ${writer.kind}, which cannot be a column`,
      );
  }
}

/** The writer's index -> the reader's symbol, its default where it has no such symbol, undefined where it has no default. */
function enumTable(writer: Flat, reader: Flat): (string | undefined)[] {
  assert.ok(writer.kind === 'enum' && reader.kind === 'enum');
  return writer.symbols.map((symbol) => (reader.symbols.includes(symbol) ? symbol : reader.fallback));
}

/** Reads arrays whose items are simple: each item is the one column of a decoder of its own. */
function arrayReader(writer: Flat, reader: Flat, context: Context, name: string): Decoder {
  assert.ok(writer.kind === 'array' && reader.kind === 'array');
  const from = flatten(writer.items, context.writerNames, writer.namespace);
  const into = flatten(reader.items, context.readerNames, reader.namespace);
  if (!resolves(from, into))
    throw incompatible(name, [from], {field: {name, type: reader.items}, branches: [into]});
  if (!(['int', 'long', 'string', 'double'] as Flat['kind'][]).includes(from.kind))
    throw new PlatformError(
      'SCHEMA_UNSUPPORTED',
      `field ${name} is an array of ${from.kind}, which cannot be a column`,
    );
  const item: (u8: Uint8Array, p: number, end: number) => AvroValue = new Function(
    'R',
    `const {cursor, short, readLong, readInt, readLength, readText, readDouble} = R;
     return (u8, p, end) => { let b, n, q, r; ${valueCode(from, into, 'r', context, name)} cursor.pos=p; return r; };`,
  )(read);
  return (u8, start, end) => {
    const values: AvroValue[] = [];
    let pos = start;
    for (;;) {
      const count = read.readBlockCount(u8, pos, end);
      pos = read.cursor.pos;
      if (count === 0) return values;
      // Every item has at least a byte, so a count of anything ends with the record.
      for (let i = 0; i < count; i++) {
        values.push(item(u8, pos, end));
        pos = read.cursor.pos;
      }
    }
  };
}

/** A default's JSON as a value: bytes are text of code points 0 to 255. */
function defaultValue(field: AvroField, branches: Flat[]): AvroValue {
  const json = field.default;
  if (json === null || typeof json === 'boolean' || typeof json === 'number') return json;
  if (typeof json === 'string') {
    const binary = branches.find(
      ({kind}) => kind === 'string' || kind === 'enum' || kind === 'bytes' || kind === 'fixed',
    );
    return binary?.kind === 'bytes' || binary?.kind === 'fixed'
      ? Uint8Array.from(Buffer.from(json, 'latin1'))
      : json;
  }
  if (Array.isArray(json) && json.every((item) => ['string', 'number'].includes(typeof item)))
    return json as AvroValue[];
  throw new PlatformError(
    'SCHEMA_UNSUPPORTED',
    `the default of field ${field.name} cannot be a column's value`,
  );
}
