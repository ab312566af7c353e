import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Compatibility} from '../../src/model/types.ts';
import {canRead, checkCompatibility} from '../../src/schema/compatibility.ts';
import {compileResolvingDecoder} from '../../src/schema/decode.ts';
import type {AvroField, AvroRecord, AvroSchema} from '../../src/schema/types.ts';
import {type Random, random} from '../support/random.ts';
import {avscType} from './avsc.ts';

const rec = (fields: AvroField[], name = 'r', more: object = {}): AvroRecord => ({
  type: 'record',
  name,
  fields,
  ...more,
});
const enumOf = (symbols: string[], more: object = {}): AvroSchema => ({
  type: 'enum',
  name: 'e',
  symbols,
  ...more,
});
const fixed = (size: number, name = 'f', more: object = {}): AvroSchema => ({
  type: 'fixed',
  name,
  size,
  ...more,
});
const x = (type: AvroSchema, more: object = {}): AvroField => ({name: 'x', type, ...more});

/** Lines of https://avro.apache.org/docs/1.12.0/specification/#schema-resolution, as [what, reader, writer, reasons]. */
const table: [string, AvroSchema, AvroSchema, string[]][] = [
  // "int is promotable to long, float, or double", and so on.
  ...(['long', 'float', 'double'] as const).map((to): [string, AvroSchema, AvroSchema, string[]] => [
    'promotion',
    to,
    'int',
    [],
  ]),
  ...(['float', 'double'] as const).map((to): [string, AvroSchema, AvroSchema, string[]] => [
    'promotion',
    to,
    'long',
    [],
  ]),
  ['promotion', 'double', 'float', []],
  ['promotion', 'bytes', 'string', []],
  ['promotion', 'string', 'bytes', []],
  ['no demotion', 'int', 'long', ['TYPE_MISMATCH ']],
  ['no demotion', 'long', 'float', ['TYPE_MISMATCH ']],
  ['no demotion', 'float', 'double', ['TYPE_MISMATCH ']],
  ['no conversion', 'string', 'int', ['TYPE_MISMATCH ']],
  ['no conversion', 'boolean', 'int', ['TYPE_MISMATCH ']],
  ['null is its own type', 'null', 'string', ['TYPE_MISMATCH ']],
  ['a logical type does not matter', {type: 'long', logicalType: 'timestamp-millis'}, 'int', []],
  // Records.
  [
    'the order of fields may differ',
    rec([{name: 'a', type: 'int'}, x('int')]),
    rec([x('int'), {name: 'a', type: 'int'}]),
    [],
  ],
  ["a writer's extra field is ignored", rec([]), rec([x('int')]), []],
  [
    "a reader's extra field needs a default",
    rec([x('int')]),
    rec([]),
    ['READER_FIELD_MISSING_DEFAULT_VALUE r.x'],
  ],
  ["a reader's extra field with a default", rec([x('int', {default: 0})]), rec([]), []],
  ['a null default is a default', rec([x(['null', 'int'], {default: null})]), rec([]), []],
  [
    'a nullable field without default',
    rec([x(['null', 'int'])]),
    rec([]),
    ['READER_FIELD_MISSING_DEFAULT_VALUE r.x'],
  ],
  ['names must match', rec([], 'a'), rec([], 'b'), ['NAME_MISMATCH a']],
  [
    'only unqualified names are compared',
    rec([], 'r', {namespace: 'one'}),
    rec([], 'r', {namespace: 'two'}),
    [],
  ],
  ["an alias is the reader's other name", rec([], 'a', {aliases: ['b']}), rec([], 'b'), []],
  [
    'an alias of the writer does not count',
    rec([], 'a'),
    rec([], 'b', {aliases: ['a']}),
    ['NAME_MISMATCH a'],
  ],
  [
    'a renamed field with its alias',
    rec([x('int', {aliases: ['old']})]),
    rec([{name: 'old', type: 'int'}]),
    [],
  ],
  [
    'a renamed field of another type',
    rec([x('int', {aliases: ['old']})]),
    rec([{name: 'old', type: 'string'}]),
    ['TYPE_MISMATCH r.x'],
  ],
  [
    'every reason is listed',
    rec([x('int'), {name: 'y', type: 'long'}]),
    rec([x('string')]),
    ['TYPE_MISMATCH r.x', 'READER_FIELD_MISSING_DEFAULT_VALUE r.y'],
  ],
  [
    'reasons name the inner field',
    rec([x(rec([{name: 'in', type: 'int'}], 'inner'))]),
    rec([x(rec([{name: 'in', type: 'string'}], 'inner'))]),
    ['TYPE_MISMATCH r.x.in'],
  ],
  // Enums.
  ['a new symbol of the reader', enumOf(['a', 'b', 'c']), enumOf(['a', 'b']), []],
  ['a symbol less', enumOf(['a']), enumOf(['a', 'b', 'c']), ['MISSING_ENUM_SYMBOLS ']],
  ['a symbol less, with a default', enumOf(['a'], {default: 'a'}), enumOf(['a', 'b']), []],
  [
    "the writer's default does not help",
    enumOf(['a']),
    enumOf(['a', 'b'], {default: 'a'}),
    ['MISSING_ENUM_SYMBOLS '],
  ],
  ['names of enums', enumOf(['a']), {type: 'enum', name: 'other', symbols: ['a']}, ['NAME_MISMATCH ']],
  ['an enum is no string', 'string', enumOf(['a']), ['TYPE_MISMATCH ']],
  // Fixed.
  ['the same size', fixed(4), fixed(4), []],
  ['sizes must match', fixed(4), fixed(5), ['FIXED_SIZE_MISMATCH ']],
  ['names of fixed', fixed(4), fixed(4, 'g'), ['NAME_MISMATCH ']],
  ['an alias of fixed', fixed(4, 'f', {aliases: ['g']}), fixed(4, 'g'), []],
  ['fixed is not bytes', 'bytes', fixed(4), ['TYPE_MISMATCH ']],
  // Arrays and maps.
  [
    'items are resolved',
    rec([x({type: 'array', items: 'long'})]),
    rec([x({type: 'array', items: 'int'})]),
    [],
  ],
  [
    'items that differ',
    rec([x({type: 'array', items: 'int'})]),
    rec([x({type: 'array', items: 'string'})]),
    ['TYPE_MISMATCH r.x[]'],
  ],
  [
    'values are resolved',
    rec([x({type: 'map', values: 'double'})]),
    rec([x({type: 'map', values: 'long'})]),
    [],
  ],
  [
    'values that differ',
    rec([x({type: 'map', values: 'int'})]),
    rec([x({type: 'map', values: 'string'})]),
    ['TYPE_MISMATCH r.x{}'],
  ],
  ['an array is no map', {type: 'array', items: 'int'}, {type: 'map', values: 'int'}, ['TYPE_MISMATCH ']],
  // Unions.
  ['a field becomes nullable', rec([x(['null', 'int'], {default: null})]), rec([x('int')]), []],
  ['a field is no longer nullable', rec([x('int')]), rec([x(['null', 'int'])]), ['MISSING_UNION_BRANCH r.x']],
  ['the order of branches may differ', ['int', 'null'], ['null', 'int'], []],
  ['a branch more', ['null', 'int', 'string'], ['null', 'int'], []],
  ['a branch less', ['null', 'int'], ['null', 'int', 'string'], ['MISSING_UNION_BRANCH ']],
  ['a branch is promoted', ['null', 'double'], ['null', 'int'], []],
  ['every branch can be promoted', 'double', ['int', 'long'], []],
  ['no branch', ['null', 'int'], 'string', ['MISSING_UNION_BRANCH ']],
  [
    'the branch that was meant says why',
    rec([x(['null', rec([{name: 'a', type: 'int'}], 'i')])]),
    rec([x(['null', rec([], 'i')])]),
    ['READER_FIELD_MISSING_DEFAULT_VALUE r.x.a'],
  ],
  ['an enum in a union', ['null', enumOf(['a'])], ['null', enumOf(['a', 'b'])], ['MISSING_ENUM_SYMBOLS ']],
  // References and recursion.
  [
    'a reference is what it names',
    rec([
      {name: 'a', type: fixed(4)},
      {name: 'b', type: 'f'},
    ]),
    rec([
      {name: 'a', type: fixed(4)},
      {name: 'b', type: 'f'},
    ]),
    [],
  ],
  [
    'a reference that differs',
    rec([{name: 'a', type: enumOf(['p'])}, x('e')]),
    rec([{name: 'a', type: enumOf(['p', 'q'])}, x('e')]),
    ['MISSING_ENUM_SYMBOLS r.a', 'MISSING_ENUM_SYMBOLS r.x'],
  ],
  [
    'a list in itself',
    rec([x('int'), {name: 'next', type: ['null', 'r']}]),
    rec([x('int'), {name: 'next', type: ['null', 'r']}]),
    [],
  ],
  [
    'a list in itself that differs',
    rec([x('int'), {name: 'next', type: ['null', 'r']}]),
    rec([x('string'), {name: 'next', type: ['null', 'r']}]),
    ['TYPE_MISMATCH r.x'],
  ],
];

test('reader and writer resolve as the specification says', () => {
  for (const [what, reader, writer, expected] of table)
    assert.deepEqual(
      canRead(reader, writer).map(({code, path}) => `${code} ${path}`),
      expected,
      `${what}: ${JSON.stringify(reader)} reads ${JSON.stringify(writer)}`,
    );
});

test('modes look in their direction and at as many versions as they say', () => {
  const none = rec([]);
  const optional = rec([x(['null', 'int'], {default: null})]);
  const required = rec([x('int')]);
  const text = rec([x('string')]);
  const cases: [Compatibility, AvroSchema, AvroSchema[], string[]][] = [
    ['none', text, [required], []],
    ['backward', optional, [none], []],
    ['backward', none, [required], []],
    ['backward', required, [none], ['next reads 0']],
    ['forward', required, [none], []],
    ['forward', none, [required], ['previous reads 0']],
    ['full', optional, [none], []],
    ['full', required, [none], ['next reads 0']],
    ['full', none, [required], ['previous reads 0']],
    ['full', text, [required], ['next reads 0', 'previous reads 0']],
    ['backward', text, [required, none, optional], ['next reads 2', 'next reads 2']],
    ['backward', text, [required, text], []],
    ['backward_transitive', text, [required, text], ['next reads 0']],
    ['forward_transitive', text, [required, text], ['previous reads 0']],
    ['full_transitive', text, [required, text], ['next reads 0', 'previous reads 0']],
    ['full_transitive', text, [], []],
  ];
  for (const [mode, next, previous, expected] of cases)
    assert.deepEqual(
      checkCompatibility(mode, next, previous).map((reason) => `${reason.reader} reads ${reason.previous}`),
      expected,
      `${mode} ${JSON.stringify(next)} after ${JSON.stringify(previous)}`,
    );
});

const primitives = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;

/** A random type; named types come from a few names, so that two schemas often meet. Each name at most once a schema. */
function randomSchema(chance: Random, depth: number, used: Set<string>): AvroSchema {
  const kind = chance.int(depth > 0 ? 14 : 8);
  const name = (base: string) => {
    const free = [base, `${base}2`, `${base}3`, `${base}4`, `${base}5`].find(
      (candidate) => !used.has(candidate),
    );
    if (free) used.add(free);
    return free;
  };
  if (kind < 8) return primitives[kind]!;
  if (kind === 8) return {type: 'array', items: randomSchema(chance, depth - 1, used)};
  if (kind === 9) return {type: 'map', values: randomSchema(chance, depth - 1, used)};
  if (kind === 10) {
    const free = name('e');
    const symbols = ['a', 'b', 'c'].slice(0, 1 + chance.int(3));
    return free ? {type: 'enum', name: free, symbols} : 'int';
  }
  if (kind === 11) {
    const free = name('f');
    return free ? {type: 'fixed', name: free, size: 1 + chance.int(2)} : 'bytes';
  }
  if (kind === 12) {
    const branches = primitives.filter(() => chance.int(3) === 0);
    return branches.length > 0 ? branches : ['null', 'string'];
  }
  return randomRecord(chance, depth - 1, used, name('r') ?? 'r6');
}

function randomRecord(chance: Random, depth: number, used: Set<string>, name: string): AvroRecord {
  used.add(name);
  const fields = ['p', 'q', 's']
    .filter(() => chance.int(3) > 0)
    .map((field): AvroField => {
      if (chance.int(4) === 0) return {name: field, type: ['null', 'int'], default: null};
      const aliases = chance.int(6) === 0 ? {aliases: [chance.pick(['old', 't'])]} : {};
      return {name: chance.int(8) === 0 ? 't' : field, type: randomSchema(chance, depth, used), ...aliases};
    });
  const seen = new Set<string>();
  return rec(
    fields.filter((field) => !seen.has(field.name) && seen.add(field.name)),
    name,
  );
}

/**
 * Undefined where avsc is known to differ: it refuses a field that an alias finds a second time, where the specification's
 * rewriting of the writer leaves the field of that name.
 */
function avscCanRead(reader: AvroSchema, writer: AvroSchema): boolean | undefined {
  try {
    avscType(reader).createResolver(avscType(writer));
    return true;
  } catch (error) {
    return /ambiguous aliasing/.test((error as Error).message) ? undefined : false;
  }
}

/** A slight change of a type, so that pairs are often nearly compatible. */
function mutate(schema: AvroRecord, chance: Random): AvroRecord {
  const next = structuredClone(schema);
  const index = chance.int(next.fields.length + 1);
  const of = next.fields[index];
  if (!of) next.fields.push({name: 'added', type: 'int', ...(chance.int(2) ? {default: 1} : {})});
  else if (chance.int(3) === 0) next.fields.splice(index, 1);
  else if (typeof of.type === 'string') {
    of.type = chance.pick<AvroSchema>([...primitives, ['null', 'long'], ['string', 'double']]);
    delete of.default;
  }
  return next;
}

test("avsc's resolver agrees on random pairs of schemas", () => {
  const counts = {compatible: 0, incompatible: 0};
  for (let seed = 0; seed < 4000; seed++) {
    const chance = random(seed);
    const writer = randomRecord(chance, 2, new Set(), 'r');
    const reader = chance.int(4) === 0 ? randomRecord(chance, 2, new Set(), 'r') : mutate(writer, chance);
    const ours = canRead(reader, writer).length === 0;
    const theirs = avscCanRead(reader, writer);
    if (theirs === undefined) continue;
    counts[ours ? 'compatible' : 'incompatible']++;
    assert.equal(
      ours,
      theirs,
      `seed ${seed}: ${JSON.stringify(reader)} reads ${JSON.stringify(writer)}: ${JSON.stringify(canRead(reader, writer))}`,
    );
  }
  assert.ok(counts.compatible > 500 && counts.incompatible > 500, JSON.stringify(counts));
});

test('what the checker allows the resolving decoder can be made for', () => {
  let made = 0;
  for (let seed = 0; seed < 2000; seed++) {
    const chance = random(seed);
    const writer = randomRecord(chance, 1, new Set(), 'r');
    const reader = mutate(writer, chance);
    if (canRead(reader, writer).length > 0) continue;
    const columns = reader.fields.filter(({type}) => typeof type === 'string' || Array.isArray(type));
    assert.doesNotThrow(
      () =>
        compileResolvingDecoder(
          writer,
          reader,
          columns.map(({name}) => name),
        ),
      `seed ${seed}`,
    );
    made++;
  }
  assert.ok(made > 300, String(made));
});

test('large schemas are compared by what can match; those made to be slow are refused', () => {
  const union = (count: number, name: (index: number) => string, field: string): AvroSchema =>
    Array.from({length: count}, (_, index) => rec([{name: field, type: 'int'}], name(index)));
  const many = union(20_000, (index) => `R${index}`, 'x');
  assert.deepEqual(canRead(many, many), []);
  // Every branch might be meant for every other: the same simple name in many namespaces.
  const one = union(5_000, (index) => `n${index}.R`, 'x');
  const other = union(5_000, (index) => `n${index}.R`, 'y');
  assert.throws(() => canRead(one, other), {message: 'the schemas are too complex to be compared'});
});
