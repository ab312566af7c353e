import {AssertionError} from 'node:assert';
import {compileDecoder, type Decoder} from '../../schema/decode.ts';
import {branchesOf, collectNames, type Flat} from '../../schema/flat.ts';
import {piiProperty, protectionOf} from '../../schema/protected.ts';
import {DecodeFailure} from '../../schema/read.ts';
import {fieldIndexOf, unreadable} from '../../schema/readable.ts';
import type {AvroField, AvroRecord, AvroValue} from '../../schema/types.ts';
import {type DecodeRun, type FieldStep, generateDecodeRun, type TextTarget} from './decode-code.ts';
import {type ColumnSpec, onlyColumn} from './decode-columns.ts';

/** How the records of one writer's schema are read. */
export type Writer = {
  /** Undefined where only the checked way knows the schema's types. */
  run: DecodeRun | undefined;
  /** The columns that it fills with codes and tokens. */
  texts: TextTarget[];
  /** Reads and checks a whole record; values in the order that `places` points into. */
  checked: Decoder;
  /** Column -> index of its value in `checked`'s, -1 when the writer lacks the field: NULL. */
  places: Int32Array;
  /** Column -> why the writer's type cannot be read as the column's. */
  bad: Map<number, string>;
  /** Column -> what its values have to be, where the writer's can be others: the checked way looks at each. */
  limits: Map<number, Limit>;
};

/** Symbols that the column's type has; not NULL. */
export type Limit = {symbols?: ReadonlySet<string>; required: boolean};

/** `only`: index of the column that says whether it is looked at. */
type Column = {spec: ColumnSpec; index: number; only: number | undefined};

/** Resolves a writer's schema to the wanted columns; one that cannot be understood has no column that can be read. */
export function prepareWriter(schema: AvroRecord, schemaId: number, specs: ColumnSpec[]): Writer {
  try {
    return resolve(schema, schemaId, specs);
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    // A schema of another program: whatever is wrong with it is a matter of its records.
    const message = `schema ${schemaId} cannot be read: ${(error as Error).message}`;
    return {
      run: undefined,
      texts: [],
      checked: () => {
        throw new DecodeFailure('BODY_INVALID', message);
      },
      places: new Int32Array(specs.length).fill(-1),
      bad: new Map(),
      limits: new Map(),
    };
  }
}

function resolve(schema: AvroRecord, schemaId: number, specs: ColumnSpec[]): Writer {
  const names = collectNames(schema);
  const space = schema.namespace ?? '';
  const flats = schema.fields.map(({type}) => branchesOf(type, names, space));
  const bad = new Map<number, string>();
  const limits = new Map<number, Limit>();
  const wanted = new Map<number, Column[]>();
  specs.forEach((spec, index) => {
    const field = fieldIndexOf(schema, spec);
    const problem = unreadable(spec, field, flats[field] ?? [], schemaId);
    if (problem !== undefined) bad.set(index, problem);
    if (field < 0) return;
    const limit = limitOf(spec, flats[field]!);
    if (limit) limits.set(index, limit);
    if (problem === undefined)
      wanted.set(field, [...(wanted.get(field) ?? []), {spec, index, only: onlyColumn(specs, spec)}]);
  });
  const fields = [...wanted.keys()];
  const places = new Int32Array(specs.length).fill(-1);
  fields.forEach((field, place) => {
    for (const {index} of wanted.get(field)!) places[index] = place;
  });
  const steps = schema.fields.map((field, index) =>
    stepOf(
      isUnion(field.type),
      flats[index]!,
      wanted.get(index) ?? [],
      protectionOf(field, schema) !== undefined,
    ),
  );
  // A time that is missing or of a wrong type makes every record dead: the checked way says so.
  const simple = steps.every((step) => step !== undefined) && places[0]! >= 0 && limits.size === 0;
  const absent = specs.flatMap(({use}, column) => (places[column]! < 0 ? [{column, use}] : []));
  const generated = simple ? generateDecodeRun(steps as FieldStep[], absent, schemaId) : undefined;
  return {
    run: generated?.run,
    texts: generated?.texts ?? [],
    checked: compileDecoder(
      // Also what was written before it was protected.
      {...schema, fields: schema.fields.map((field, index) => protectedAs(field, wanted.get(index) ?? []))},
      fields.map((field) => schema.fields[field]!.name),
    ),
    places,
    bad,
    limits,
  };
}

/** Where a writer may write what the column's type does not have. */
function limitOf({required, symbols}: ColumnSpec, branches: Flat[]): Limit | undefined {
  const isOpen = required && branches.some(({kind}) => kind === 'null');
  const known = symbols && new Set(symbols);
  const others = branches.some(
    (flat) => flat.kind === 'enum' && !flat.symbols.every((each) => known?.has(each)),
  );
  if (!isOpen && !(known && others)) return undefined;
  return {required: isOpen, ...(known && others ? {symbols: known} : {})};
}

function protectedAs(field: AvroField, columns: Column[]): AvroField {
  const of = columns.find(({spec}) => spec.of)?.spec.of;
  return of ? {...field, [piiProperty]: of.kind} : field;
}

const isUnion = (type: unknown): boolean => Array.isArray(type);

/** Undefined for what the generated code does not read: unions other than with null, nested types, bytes as text. */
function stepOf(
  union: boolean,
  branches: Flat[],
  columns: Column[],
  isProtected: boolean,
): FieldStep | undefined {
  // What was protected when it was written and is not any more: the checked way opens it.
  if (isProtected && columns.some(({spec}) => !spec.of)) return undefined;
  const values = branches.filter(({kind}) => kind !== 'null');
  const flat = values[0];
  if (!flat || values.length > 1 || (union && branches.length !== 2)) return undefined;
  if (flat.kind === 'array' || flat.kind === 'map' || flat.kind === 'record' || flat.kind === 'union')
    return undefined;
  if (flat.kind === 'bytes' && columns.length > 0) return undefined;
  // An index of more than one byte: no generated table look-up.
  if (flat.kind === 'enum' && flat.symbols.length > 64) return undefined;
  const value = branches.indexOf(flat) * 2;
  return {
    flat,
    union: union ? {value, null: 2 - value} : null,
    targets: columns.map(({spec, index, only}) => ({
      column: index,
      use: spec.use,
      ...(only === undefined ? {} : {only}),
    })),
    isTime: columns.some(({spec}) => spec.name === 'timestamp'),
  };
}

/** Why a value cannot be one of the column's; undefined when it can. It is not shown: it may be personal. */
export function problemOf({column}: ColumnSpec, limit: Limit, value: AvroValue): string | undefined {
  if (value === null)
    return limit.required ? `field ${column} is required, and the record has none` : undefined;
  if (limit.symbols && !limit.symbols.has(value as string))
    return `field ${column} holds a symbol that its type does not have`;
  return undefined;
}
