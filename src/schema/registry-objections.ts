/** Why a schema may not follow the versions of its subject, in the words of Confluent's registry. */
import type {Compatibility} from '../model/types.ts';
import {type CompatibilityReason, checkCompatibility} from './compatibility.ts';
import {SchemaMistake} from './registry-avro.ts';
import {propertyOf} from './registry-contract.ts';
import {refusals} from './registry-refusal.ts';
import type {Config, Level} from './registry-settings.ts';
import type {Document, Registration} from './registry-store.ts';
import type {AvroSchema} from './types.ts';

/** @param previous oldest first. @returns an empty list: it may follow. */
export function objections(config: Config, next: Document, previous: readonly Registration[]): string[] {
  const level = config.compatibilityLevel ?? 'BACKWARD';
  const messages = config.validateFields === true ? reservedFields(next, previous.at(-1)) : [];
  const group = config.compatibilityGroup;
  const compared =
    group === undefined
      ? previous
      : previous.filter((each) => propertyOf(each, group) === propertyOf(next, group));
  const reasons = reasonsOf(level, next, compared);
  // Of several versions that object, the newest speaks.
  const newest = Math.max(-1, ...reasons.map((reason) => reason.previous));
  const said = reasons.filter((reason) => reason.previous === newest);
  if (said.length > 0) {
    const {version, text} = compared[newest]!;
    // What old data's readers cannot do comes first, then what the new schema cannot.
    messages.push(
      ...said.filter(({reader}) => reader === 'previous').map(sentence),
      ...said.filter(({reader}) => reader === 'next').map(sentence),
      `{oldSchemaVersion: ${version}}`,
      text.length <= shownMax
        ? `{oldSchema: '${text}'}`
        : `{oldSchema: <truncated> '${text.slice(0, shownMax)}...'}`,
    );
  }
  if (messages.length > 0)
    messages.push(`{validateFields: '${config.validateFields === true}', compatibility: '${level}'}`);
  return messages;
}

function reasonsOf(level: Level, next: Document, previous: readonly Registration[]): CompatibilityReason[] {
  try {
    return checkCompatibility(level.toLowerCase() as Compatibility, parsed(next), previous.map(parsed));
  } catch (error) {
    throw error instanceof SchemaMistake ? refusals.invalidSchema(error.message) : error;
  }
}

const shownMax = 10 * 1024;
const parsed = ({whole}: Document): AvroSchema => JSON.parse(whole) as AvroSchema;

function sentence({code, location, detail, reader}: CompatibilityReason): string {
  const [one, other] = reader === 'next' ? ['new', 'old'] : ['old', 'new'];
  const description = {
    FIXED_SIZE_MISMATCH: `The size of FIXED type field at path '${location}' in the ${one} schema does not match with the ${other} schema`,
    TYPE_MISMATCH: `The type (path '${location}') of a field in the ${one} schema does not match with the ${other} schema`,
    NAME_MISMATCH: `The name of the schema has changed (path '${location}')`,
    MISSING_ENUM_SYMBOLS: `The ${one} schema is missing enum symbols '${detail}' at path '${location}' in the ${other} schema`,
    MISSING_UNION_BRANCH: `The ${one} schema is missing a type inside a union field at path '${location}' in the ${other} schema`,
    READER_FIELD_MISSING_DEFAULT_VALUE: `The field '${detail}' at path '${location}' in the ${one} schema has no default value and is missing in the ${other} schema`,
  }[code];
  return `{errorType:'${code}', description:'${description}', additionalInfo:'${detail}'}`;
}

const reservedOf = (document: Document | undefined): string[] =>
  (document && propertyOf(document, 'confluent:reserved'))
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '') ?? [];

function reservedFields(next: Document, previous: Document | undefined): string[] {
  const reserved = reservedOf(next);
  const schema = parsed(next) as {fields?: {name: string}[]};
  return [
    ...reservedOf(previous)
      .filter((name) => !reserved.includes(name))
      .map((name) => `The new schema has reserved field ${name} removed from its metadata`),
    ...reserved
      .filter((name) => schema.fields?.some((field) => field.name === name))
      .map((name) => `The new schema has field that conflicts with the reserved field ${name}`),
  ];
}
