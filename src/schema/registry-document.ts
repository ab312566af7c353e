/** A schema as it was sent, made into what the registry keeps: parsed, its references resolved, with its identity. */
import {createHash} from 'node:crypto';
import {type AvroType, fullNameOf, parseAvro, SchemaMistake, type TypeNames} from './registry-avro.ts';
import type {Metadata} from './registry-contract.ts';
import {measure, parseJson, sortedText} from './registry-json.ts';
import {refusals} from './registry-refusal.ts';
import type {Document, Registration, SchemaReference} from './registry-store.ts';
import {schemaText} from './registry-text.ts';

/** What is asked to be registered, looked up or compared. */
export type SchemaRequest = {
  text: string;
  /** AVRO when it is left out; the only one there is. */
  schemaType?: string;
  references?: SchemaReference[];
  metadata?: string | null;
  ruleSet?: string | null;
};

/** Finds a referenced version; `version` -1 is the latest. */
export type FindReference = (
  subject: string,
  version: number,
) => Pick<Registration, 'text' | 'references' | 'version'> | undefined;

/** Of a schema with all that it references; a larger one is refused. */
export const schemaBytesMax = 1 << 20;
const wholeBytesMax = 16 << 20;
/**
 * Values and pairs of key and value of a schema, and of it with all that it references: reading and comparing it keeps everybody
 * else waiting. A field has three to six; 50,000 took 80 ms to read and 50 to compare.
 */
const partsMax = 50_000;
const wholePartsMax = 100_000;

/**
 * @param checkDefaults whether defaults must fit their fields. @param normal keep it in its normalised form.
 * @throws Refusal 42201 with what is wrong, 42209 when it is too large or has too many parts.
 */
export function documentOf(
  request: SchemaRequest,
  find: FindReference,
  {checkDefaults, normal}: {checkDefaults: boolean; normal: boolean},
): Document {
  const {text, schemaType = 'AVRO', metadata = null, ruleSet = null} = request;
  if (schemaType !== 'AVRO')
    throw refusals.invalidSchema(`Invalid schema type ${schemaType}: this registry has AVRO`);
  if (Buffer.byteLength(text) > schemaBytesMax) throw refusals.schemaTooLarge(schemaBytesMax);
  if (measure(text).parts > partsMax) throw refusals.schemaTooComplex(partsMax);
  try {
    const names: TypeNames = new Map();
    const references = (request.references ?? []).map((reference) => ({...reference}));
    const known = resolve(references, find, names);
    const type: AvroType = parseAvro(text, names, checkDefaults);
    const kept = normal ? distinct(references) : references;
    const canonical = schemaText(type, known, normal);
    const whole = kept.length === 0 ? canonical : schemaText(type);
    if (whole.length > wholeBytesMax) throw refusals.schemaTooLarge(wholeBytesMax);
    return {
      text: canonical,
      whole,
      references: kept,
      metadata,
      ruleSet,
      identity: identityOf(canonical, kept, metadata, ruleSet),
      guid: guidOf(canonical, kept, metadata, ruleSet),
    };
  } catch (error) {
    // A chain of references can be deeper than any stack.
    if (error instanceof SchemaMistake || error instanceof RangeError)
      throw refusals.invalidSchema(`Invalid schema of type AVRO, details: ${error.message}`);
    throw error;
  }
}

/**
 * Reads the referenced schemas and what they reference in turn, each name once; -1 becomes the latest version.
 * @returns full names of the schemas that are referenced: the types that stay names in the text.
 */
function resolve(references: SchemaReference[], find: FindReference, names: TypeNames): Set<string> {
  const visited = new Set<string>();
  const known = new Set<string>();
  let size = 0;
  let parts = 0;
  const visit = (list: SchemaReference[]) => {
    for (const reference of list) {
      const {name, subject, version} = reference;
      const found = find(subject, version);
      if (!found)
        throw new SchemaMistake(`no schema reference found for subject "${subject}" and version ${version}`);
      if (version === -1) reference.version = found.version;
      if (visited.has(name)) continue;
      visited.add(name);
      visit(found.references.map((inner) => ({...inner})));
      size += found.text.length;
      if (size > wholeBytesMax) throw refusals.schemaTooLarge(wholeBytesMax);
      parts += measure(found.text).parts;
      if (parts > wholePartsMax) throw refusals.schemaTooComplex(wholePartsMax);
      const type = parseAvro(found.text, names, false);
      if ('name' in type) known.add(fullNameOf(type.name));
    }
  };
  visit(references);
  return known;
}

const compare = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);

function distinct(references: SchemaReference[]): SchemaReference[] {
  const sorted = references.toSorted(
    (a, b) => compare(a.subject, b.subject) || a.version - b.version || compare(a.name, b.name),
  );
  return sorted.filter((each, index) => JSON.stringify(each) !== JSON.stringify(sorted[index - 1]));
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Of what is kept of a document; a difference is damage. */
export const checksum = (text: string, whole: string): string => sha256(`${text}\0${whole}`);

/** Two schemas that differ in the order of attributes alone are the same. */
function identityOf(
  text: string,
  references: SchemaReference[],
  metadata: string | null,
  ruleSet: string | null,
): string {
  const named = references.map(({name, subject, version}) => [name, subject, version]);
  return sha256(JSON.stringify([sortedText(parseJson(text)), named, metadata, ruleSet]));
}

/** Confluent's: MD5 of text, references, metadata, as a UUID. The rules go in as their JSON. */
function guidOf(
  text: string,
  references: SchemaReference[],
  metadata: string | null,
  ruleSet: string | null,
): string {
  const md5 = createHash('md5').update(text);
  for (const {name, subject, version} of references) {
    const number = Buffer.alloc(4);
    number.writeInt32BE(version);
    md5.update(name).update(subject).update(number);
  }
  if (metadata !== null) {
    md5.update(Buffer.of(1));
    const {tags = {}, properties = {}, sensitive = []} = JSON.parse(metadata) as Metadata;
    for (const [key, values] of Object.entries(tags)) for (const part of [key, ...values]) md5.update(part);
    for (const [key, value] of Object.entries(properties)) md5.update(key).update(value);
    for (const part of sensitive) md5.update(part);
  }
  if (ruleSet !== null) md5.update(Buffer.of(1)).update(ruleSet);
  return md5.digest('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
