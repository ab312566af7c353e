/** Event types as Avro schemas, and the two normal forms of a schema's text. */
import {createHash} from 'node:crypto';
import {PlatformError} from '../errors.ts';
import type {EventType, Field} from '../model/types.ts';
import {piiProperty} from './protected.ts';
import type {AvroField, AvroRecord, AvroSchema} from './types.ts';

const avroName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * The Avro record of an event type: namespace is the domain, fields in model order, a field that is not required is
 * `["null", T]` with default null, money is a long of cents.
 * @throws PlatformError SCHEMA_NAME_INVALID when an enum's symbol is not an Avro name.
 */
export function avroSchema(eventType: EventType): AvroRecord {
  return {
    type: 'record',
    name: eventType.name,
    namespace: eventType.domain,
    fields: eventType.fields.map((field) => avroField(eventType, field)),
  };
}

function avroField(eventType: EventType, field: Field): AvroField {
  const type = avroType(eventType, field);
  const out: AvroField = {name: field.column, type: field.required ? type : ['null', type]};
  if (!field.required) out.default = null;
  const doc = [field.doc, field.type === 'money' ? 'Money, in hundredths.' : undefined]
    .filter(Boolean)
    .join(' ');
  if (doc) out.doc = doc;
  // A renamed money field was a column of cents, too.
  if (field.aliases.length > 0)
    out.aliases = field.aliases.map((alias) => (field.type === 'money' ? `${alias}_cents` : alias));
  if (field.type === 'money') out['millrace.type'] = 'money';
  if (field.pii !== undefined) out[piiProperty] = field.pii;
  return out;
}

function avroType(eventType: EventType, field: Field): AvroSchema {
  switch (field.type) {
    case 'string':
    case 'int':
    case 'long':
    case 'double':
    case 'boolean':
      return field.type;
    case 'money':
      return 'long';
    case 'timestamp':
      return {type: 'long', logicalType: 'timestamp-millis'};
    case 'date':
      return {type: 'int', logicalType: 'date'};
    case 'uuid':
      return {type: 'string', logicalType: 'uuid'};
    case 'enum':
      return avroEnum(eventType, field);
  }
}

function avroEnum(eventType: EventType, field: Field): AvroSchema {
  const symbols = field.symbols ?? [];
  const wrong = symbols.filter((symbol) => !avroName.test(symbol));
  if (symbols.length === 0 || wrong.length > 0 || new Set(symbols).size < symbols.length)
    throw new PlatformError(
      'SCHEMA_NAME_INVALID',
      symbols.length === 0
        ? `enum ${field.name} has no symbols`
        : wrong.length > 0
          ? `enum ${field.name} has symbols that Avro does not allow: ${wrong.map((s) => JSON.stringify(s)).join(', ')}`
          : `enum ${field.name} lists a symbol twice`,
      {
        place: `${eventType.domain}.${eventType.name}.${field.name}`,
        hint: 'begin a symbol with a letter, go on with letters, digits and _; or use type: string',
      },
    );
  // Names of the configuration never contain "__", so this one cannot meet an event type's.
  const name = (column: string) => `${eventType.name}__${column}`;
  const aliases = field.aliases.length > 0 ? {aliases: field.aliases.map(name)} : {};
  return {type: 'enum', name: name(field.column), ...aliases, symbols};
}

const primitives = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']);

/** Full name of a reference or definition: a dotted name is full already. @param namespace the enclosing one, '' for none. */
export function fullName(name: string, own: string | undefined, namespace: string): string {
  if (name.includes('.')) return name;
  const space = own ?? namespace;
  return space === '' ? name : `${space}.${name}`;
}

/** Namespace part of a full name, '' for none. */
export const namespaceOf = (full: string): string => full.slice(0, Math.max(0, full.lastIndexOf('.')));

/** Last part of a full name: what Avro's resolution compares. */
export const simpleName = (full: string): string => full.slice(full.lastIndexOf('.') + 1);

/**
 * Parsing Canonical Form: two schemas with the same one read the same bytes. It has no defaults, aliases or logical types.
 * https://avro.apache.org/docs/1.12.0/specification/#parsing-canonical-form-for-schemas
 */
export function canonicalForm(schema: AvroSchema, namespace = ''): string {
  if (typeof schema === 'string')
    return JSON.stringify(primitives.has(schema) ? schema : fullName(schema, undefined, namespace));
  if (Array.isArray(schema)) return `[${schema.map((branch) => canonicalForm(branch, namespace)).join(',')}]`;
  switch (schema.type) {
    case 'record': {
      const name = fullName(schema.name, schema.namespace, namespace);
      const fields = schema.fields.map(
        (field) =>
          `{"name":${JSON.stringify(field.name)},"type":${canonicalForm(field.type, namespaceOf(name))}}`,
      );
      return `{"name":${JSON.stringify(name)},"type":"record","fields":[${fields.join(',')}]}`;
    }
    case 'enum': {
      const name = fullName(schema.name, schema.namespace, namespace);
      return `{"name":${JSON.stringify(name)},"type":"enum","symbols":${JSON.stringify(schema.symbols)}}`;
    }
    case 'fixed': {
      const own = typeof schema.namespace === 'string' ? schema.namespace : undefined;
      const name = fullName(schema.name, own, namespace);
      return `{"name":${JSON.stringify(name)},"type":"fixed","size":${schema.size}}`;
    }
    case 'array':
      return `{"type":"array","items":${canonicalForm(schema.items, namespace)}}`;
    case 'map':
      return `{"type":"map","values":${canonicalForm(schema.values, namespace)}}`;
    default:
      return JSON.stringify(schema.type);
  }
}

/** SHA-256 of the Parsing Canonical Form, hex. */
export const fingerprint = (schema: AvroSchema): string =>
  createHash('sha256').update(canonicalForm(schema)).digest('hex');

const rabinEmpty = 0xc15d213aa4d7a795n;
const rabinTable = BigUint64Array.from({length: 256}, (_, byte) => {
  let value = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) value = (value >> 1n) ^ (value & 1n ? rabinEmpty : 0n);
  return value;
});

/** CRC-64-AVRO of the Parsing Canonical Form, unsigned: what single-object encoding carries. */
export function fingerprint64(schema: AvroSchema): bigint {
  let value = rabinEmpty;
  for (const byte of Buffer.from(canonicalForm(schema)))
    value = (value >> 8n) ^ rabinTable[Number((value ^ BigInt(byte)) & 0xffn)]!;
  return value;
}

/**
 * The whole schema with its keys sorted, as text: what the registry calls the same schema. Unlike the canonical form it
 * keeps defaults, aliases and logical types, which decide how a reader resolves old data.
 */
export function normalForm(schema: AvroSchema): string {
  return JSON.stringify(schema, (_key, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
