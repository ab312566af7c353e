/** Metadata and rules that a schema carries for its clients: kept, merged with the defaults of the configuration, given back. */
import {refusals} from './registry-refusal.ts';
import type {Config} from './registry-settings.ts';

/** Keys and sets in alphabetical order. */
export type Metadata = {
  tags?: Record<string, string[]>;
  properties?: Record<string, string>;
  sensitive?: string[];
};
export type Rule = {name: string; mode: string; type: string; [key: string]: unknown};
export type RuleSet = {
  migrationRules?: Rule[];
  domainRules?: Rule[];
  encodingRules?: Rule[];
  enableAt?: string;
};

const sorted = <T>(map: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isTextMap = (value: unknown): value is Record<string, string> =>
  isMap(value) && Object.values(value).every((item) => typeof item === 'string');
const isScalar = (value: unknown): boolean => typeof value !== 'object' || value === null;
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/** Checks the shape of metadata. @throws Error that says what is wrong; a request with it is malformed. */
export function parseMetadata(json: unknown): Metadata | null {
  if (json === null || json === undefined) return null;
  if (!isMap(json)) throw new Error('metadata is no object');
  const {tags, properties, sensitive} = json;
  const metadata: Metadata = {};
  if (tags !== undefined && tags !== null) {
    if (!isMap(tags) || !Object.values(tags).every(isTexts))
      throw new Error('metadata.tags is no map of lists of texts');
    metadata.tags = sorted(
      Object.fromEntries(
        Object.entries(tags as Record<string, string[]>).map(([key, list]) => [
          key,
          [...new Set(list)].sort(),
        ]),
      ),
    );
  }
  if (properties !== undefined && properties !== null) {
    if (!isTextMap(properties)) throw new Error('metadata.properties is no map of texts');
    metadata.properties = sorted(properties);
  }
  if (sensitive !== undefined && sensitive !== null) {
    if (!isTexts(sensitive)) throw new Error('metadata.sensitive is no list of texts');
    metadata.sensitive = [...new Set(sensitive)].sort();
  }
  return metadata;
}

const phases = ['migrationRules', 'domainRules', 'encodingRules'] as const;
const modesOf: Record<(typeof phases)[number], readonly string[]> = {
  migrationRules: ['UPGRADE', 'DOWNGRADE', 'UPDOWN'],
  domainRules: ['WRITE', 'READ', 'WRITEREAD'],
  encodingRules: ['WRITE', 'READ', 'WRITEREAD'],
};

/** Checks rules. @throws Error when they have no such shape; Refusal 42210 when a rule contradicts itself. */
export function parseRuleSet(json: unknown): RuleSet | null {
  if (json === null || json === undefined) return null;
  if (!isMap(json)) throw new Error('ruleSet is no object');
  const set: RuleSet = {};
  const names = new Set<string>();
  for (const phase of phases) {
    const list = json[phase];
    if (list === undefined || list === null) continue;
    if (!Array.isArray(list) || !list.every(isMap)) throw new Error(`ruleSet.${phase} is no list of objects`);
    for (const rule of list) {
      const {name, mode, type, tags, params, ...rest} = rule;
      if (!isTexts(tags ?? []) || !isTextMap(params ?? {}) || !Object.values(rest).every(isScalar))
        throw new Error(`a rule of ruleSet.${phase} has not the shape of a rule`);
      if (typeof name !== 'string' || name === '') throw refusals.invalidRuleSet('a rule has no name');
      if (names.has(name)) throw refusals.invalidRuleSet(`Found rule with duplicate name '${name}'`);
      names.add(name);
      if (typeof type !== 'string') throw refusals.invalidRuleSet(`Missing rule type in '${name}'`);
      if (typeof mode !== 'string' || !modesOf[phase].includes(mode))
        throw refusals.invalidRuleSet(`The mode of '${name}' can only be ${modesOf[phase].join(', ')}`);
    }
    set[phase] = list as Rule[];
  }
  if (typeof json.enableAt === 'string') set.enableAt = json.enableAt;
  return set;
}

function mergeMetadata(old: Metadata | null, next: Metadata | null): Metadata | null {
  if (!old || !next) return next ?? old;
  const merged: Metadata = {};
  if (old.tags || next.tags) merged.tags = sorted({...old.tags, ...next.tags});
  if (old.properties || next.properties) merged.properties = sorted({...old.properties, ...next.properties});
  if (old.sensitive || next.sensitive)
    merged.sensitive = [...new Set([...(old.sensitive ?? []), ...(next.sensitive ?? [])])].sort();
  return merged;
}

function mergeRuleSets(old: RuleSet | null, next: RuleSet | null): RuleSet | null {
  if (!old || !next) return next ?? old;
  const merged: RuleSet = {};
  for (const phase of phases) {
    const later = next[phase] ?? [];
    const kept = (old[phase] ?? []).filter(({name}) => !later.some((rule) => rule.name === name));
    if (kept.length + later.length > 0) merged[phase] = [...kept, ...later];
  }
  const enableAt = next.enableAt ?? old.enableAt;
  if (enableAt !== undefined) merged.enableAt = enableAt;
  return merged;
}

/** Metadata and rules of a schema, as JSON; null for none. */
export type Contract = {metadata: string | null; ruleSet: string | null};

const versionKey = 'confluent:version';

/**
 * What a new version carries: its own or else the previous version's, between the defaults and the overrides of the
 * configuration. `confluent:version` is kept true: set when the request names a version or it was there before.
 */
export function contractOf(
  config: Config,
  own: Contract,
  previous: Contract | undefined,
  version: {next: number; asked: boolean} | undefined,
): Contract {
  const parsed = <T>(text: string | null | undefined): T | null =>
    text === null || text === undefined ? null : (JSON.parse(text) as T);
  let metadata = mergeMetadata(
    mergeMetadata(config.defaultMetadata ?? null, parsed<Metadata>(own.metadata ?? previous?.metadata)),
    config.overrideMetadata ?? null,
  );
  if (version && (version.asked || metadata?.properties?.[versionKey] !== undefined))
    metadata = mergeMetadata(metadata, {properties: {[versionKey]: String(version.next)}});
  const ruleSet = mergeRuleSets(
    mergeRuleSets(config.defaultRuleSet ?? null, parsed<RuleSet>(own.ruleSet ?? previous?.ruleSet)),
    config.overrideRuleSet ?? null,
  );
  const text = (value: object | null) => (value === null ? null : JSON.stringify(value));
  return {metadata: text(metadata), ruleSet: text(ruleSet)};
}

/** A property of a schema's metadata. */
export function propertyOf({metadata}: {metadata: string | null}, key: string): string | undefined {
  return metadata === null ? undefined : (JSON.parse(metadata) as Metadata).properties?.[key];
}

/** Without the version that Confluent's clients write into metadata: what two registrations of one schema share. */
export function withoutVersion({metadata, ruleSet}: Contract): string {
  const parsed = metadata === null ? {} : (JSON.parse(metadata) as Metadata);
  const {[versionKey]: _, ...properties} = parsed.properties ?? {};
  const rest = {...parsed, properties};
  const nonEmpty = Object.entries(rest).filter(([, value]) => Object.keys(value).length > 0);
  return JSON.stringify([nonEmpty, ruleSet]);
}
