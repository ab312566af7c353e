/** Steps over values of any Avro type, checking them, without making anything of them. */

import {namespaceOf} from './avro.ts';
import {type Flat, flatten, type Names} from './flat.ts';
import {
  broken,
  checkText,
  cursor,
  readBlockCount,
  readIndex,
  readInt,
  readLength,
  readLong,
  short,
} from './read.ts';
import type {AvroSchema} from './types.ts';

/** @returns position after the value. */
export type Skip = (u8: Uint8Array, pos: number, end: number, depth: number) => number;

/** Nesting of recursive records and of arrays at most: the stack's limit is not ours to find. */
const depthMax = 64;

const after =
  (read: (u8: Uint8Array, pos: number, end: number) => unknown): Skip =>
  (u8, pos, end) => {
    read(u8, pos, end);
    return cursor.pos;
  };

const step =
  (size: number): Skip =>
  (_u8, pos, end) =>
    size > end - pos ? short() : pos + size;

const skipBytes: Skip = (u8, pos, end) => {
  const length = readLength(u8, pos, end);
  return cursor.pos + length;
};

/** Text: checked to be UTF-8, since one record is good or bad whichever columns are wanted. */
export const skipText = (u8: Uint8Array, pos: number, end: number): number => {
  const length = readLength(u8, pos, end);
  const start = cursor.pos;
  checkText(u8, start, start + length);
  return start + length;
};

const skipBoolean: Skip = (u8, pos, end) =>
  pos >= end ? short() : u8[pos]! > 1 ? broken(`a boolean of ${u8[pos]}`) : pos + 1;

/** Skipper of a type. `known` ends the recursion of types that contain themselves. */
export function skipper(
  schema: AvroSchema,
  names: Names,
  namespace: string,
  known: Map<AvroSchema, Skip> = new Map(),
): Skip {
  return skipFlat(flatten(schema, names, namespace), names, known);
}

function skipFlat(flat: Flat, names: Names, known: Map<AvroSchema, Skip>): Skip {
  switch (flat.kind) {
    case 'null':
      return step(0);
    case 'boolean':
      return skipBoolean;
    case 'int':
      return after(readInt);
    case 'long':
      return after(readLong);
    case 'float':
      return step(4);
    case 'double':
      return step(8);
    case 'fixed':
      return step(flat.size);
    case 'bytes':
      return skipBytes;
    case 'string':
      return skipText;
    case 'enum': {
      const count = flat.symbols.length;
      return after((u8, pos, end) => readIndex(u8, pos, end, count));
    }
    case 'union': {
      const branches = flat.branches.map((branch) => skipper(branch, names, flat.namespace, known));
      return (u8, pos, end, depth) => {
        const index = readIndex(u8, pos, end, branches.length);
        return branches[index]!(u8, cursor.pos, end, depth);
      };
    }
    case 'array':
      return skipBlocks(skipper(flat.items, names, flat.namespace, known));
    case 'map': {
      const value = skipper(flat.values, names, flat.namespace, known);
      return skipBlocks((u8, pos, end, depth) => value(u8, skipText(u8, pos, end), end, depth));
    }
    case 'record':
      return skipRecord(flat, names, known);
  }
}

function skipRecord(flat: Extract<Flat, {kind: 'record'}>, names: Names, known: Map<AvroSchema, Skip>): Skip {
  const before = known.get(flat.schema);
  if (before) return before;
  const fields: Skip[] = [];
  const skip: Skip = (u8, start, end, depth) => {
    if (depth > depthMax) broken(`records nested more than ${depthMax} deep`);
    let pos = start;
    for (const field of fields) pos = field(u8, pos, end, depth + 1);
    return pos;
  };
  known.set(flat.schema, skip);
  for (const field of flat.schema.fields)
    fields.push(skipper(field.type, names, namespaceOf(flat.name), known));
  return skip;
}

function skipBlocks(item: Skip): Skip {
  return (u8, start, end, depth) => {
    if (depth > depthMax) broken(`values nested more than ${depthMax} deep`);
    let pos = start;
    for (;;) {
      const count = readBlockCount(u8, pos, end);
      pos = cursor.pos;
      if (count === 0) return pos;
      for (let i = 0; i < count; i++) {
        const next = item(u8, pos, end, depth + 1);
        // An item without bytes says nothing however often it stands there; its count may be anything.
        if (next === pos) break;
        pos = next;
      }
    }
  };
}
