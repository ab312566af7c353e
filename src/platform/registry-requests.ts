/** Bodies of requests to the registry, checked. Scalars are taken as texts where a text is asked for, as Jackson does. */
import {parseMetadata, parseRuleSet} from '../schema/registry-contract.ts';
import {Refusal, refusals} from '../schema/registry-refusal.ts';
import type {RegisterRequest} from '../schema/registry-register.ts';
import {type ConfigChange, type Level, levels, type Mode, modes} from '../schema/registry-settings.ts';
import type {SchemaReference} from '../schema/registry-store.ts';
import {malformed} from './registry-http.ts';

type Body = Record<string, unknown>;

function textOf(body: Body, key: string): string | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'object') throw malformed(`"${key}" is no text`);
  return String(value);
}

function integerOf(body: Body, key: string): number | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || Math.abs(number) >= 2 ** 31)
    throw malformed(`"${key}" is no integer of 32 bits`);
  return number;
}

function booleanOf(body: Body, key: string): boolean | null | undefined {
  const value = body[key];
  if (value === undefined || value === null) return value;
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'false') return value === 'true';
  throw malformed(`"${key}" is neither true nor false`);
}

/** What `parse` says about a shape is a malformed request; what it refuses stays so. */
function shaped<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof Refusal ? error : malformed((error as Error).message);
  }
}

function referencesOf({references}: Body): SchemaReference[] {
  if (references === undefined || references === null) return [];
  if (!Array.isArray(references)) throw malformed('"references" is no list');
  return references.map((item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item))
      throw malformed('a reference is no object');
    const name = textOf(item as Body, 'name');
    const subject = textOf(item as Body, 'subject');
    const version = integerOf(item as Body, 'version');
    if (name === undefined || subject === undefined || version === undefined)
      throw refusals.invalidSchema(
        `Invalid reference: ${JSON.stringify(item)} needs a name, a subject and a version`,
      );
    return {name, subject, version};
  });
}

const text = (value: object | null): string | null => (value === null ? null : JSON.stringify(value));

/** A schema to register, look up or compare. @throws Refusal 400, 42201, 42210. */
export function schemaRequest(body: Body): RegisterRequest & {text: string} {
  for (const key of ['schemaTagsToAdd', 'schemaTagsToRemove'])
    if (Array.isArray(body[key]) && body[key].length > 0)
      throw new Refusal(422, `"${key}" is not supported: write the tags into the schema`);
  if (booleanOf(body, 'propagateSchemaTags') === true)
    throw new Refusal(422, '"propagateSchemaTags" is not supported: write the tags into the schema');
  const schemaType = textOf(body, 'schemaType');
  const id = integerOf(body, 'id');
  const version = integerOf(body, 'version');
  return {
    text: textOf(body, 'schema') ?? '',
    ...(schemaType === undefined ? {} : {schemaType}),
    references: referencesOf(body),
    metadata: text(shaped(() => parseMetadata(body.metadata))),
    ruleSet: text(shaped(() => parseRuleSet(body.ruleSet))),
    ...(id === undefined || id < 0 ? {} : {id}),
    ...(version === undefined ? {} : {version}),
  };
}

const unsupported: Record<string, (value: unknown) => boolean> = {
  aliasForDeks: () => true,
  validateRules: (value) => value !== true && value !== 'true',
  compatibilityPolicy: (value) => String(value).toUpperCase() !== 'STRICT',
};

/** Settings to change. @throws Refusal 400, 422 for settings that this registry has not, 42203, 42210. */
export function configChange(body: Body): ConfigChange {
  for (const [key, refused] of Object.entries(unsupported))
    if (body[key] !== undefined && body[key] !== null && refused(body[key]))
      throw new Refusal(422, `"${key}": ${JSON.stringify(body[key])} is not supported by this registry`);
  const change: ConfigChange = {};
  if ('compatibility' in body || 'compatibilityLevel' in body) {
    const given = textOf(body, 'compatibility') ?? textOf(body, 'compatibilityLevel');
    const level = given?.toUpperCase() as Level | undefined;
    if (level !== undefined && !levels.includes(level)) throw refusals.invalidCompatibility();
    change.compatibilityLevel = level ?? null;
  }
  for (const key of ['alias', 'compatibilityGroup'] as const)
    if (key in body) change[key] = textOf(body, key) || null;
  for (const key of ['normalize', 'validateFields', 'validateNewSchemas'] as const)
    if (key in body) change[key] = booleanOf(body, key) ?? null;
  for (const key of ['defaultMetadata', 'overrideMetadata'] as const)
    if (key in body) change[key] = shaped(() => parseMetadata(body[key]));
  for (const key of ['defaultRuleSet', 'overrideRuleSet'] as const)
    if (key in body) change[key] = shaped(() => parseRuleSet(body[key]));
  return change;
}

/** The mode to set. @throws Refusal 42204. */
export function modeRequest(body: Body): Mode {
  const mode = textOf(body, 'mode')?.toUpperCase();
  if (mode === 'FORWARD') throw refusals.invalidMode('FORWARD is not supported: this registry has no other');
  if (!modes.includes(mode as Mode)) throw refusals.invalidMode();
  return mode as Mode;
}
