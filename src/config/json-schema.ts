import type {FieldSpec} from './fields.ts';
import {identifierPattern} from './names.ts';
import {domainSpec} from './specs/domain.ts';
import {type BackendSpecs, platformSpec} from './specs/platform.ts';

export type JsonSchema = {[keyword: string]: unknown};

const number = '\\d+(\\.\\d+)?';
const patterns = {
  duration: `^(0|${number} *(ms|s|m|h|d|w))$`,
  bytes: `^${number} *(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`,
  count: `^${number} *[kKMG]?$`,
  rate: `^${number}[kKM]?/(s|m|h)$`,
  share: `^${number}%$`,
};

/**
 * JSON Schema (draft 2020-12) of a kind of file, for editors. `environment` is `platform` where nothing is required and null
 * removes. What this version does not have is not in it.
 */
export function jsonSchema(
  kind: 'platform' | 'environment' | 'domain',
  backends: {sinks: BackendSpecs; secrets: BackendSpecs},
): JsonSchema {
  const spec = kind === 'domain' ? domainSpec : platformSpec(backends.sinks, backends.secrets);
  const file = {
    platform: 'config/platform.yaml',
    environment: 'config/environments/*.yaml',
    domain: 'config/domains/*.yaml',
  }[kind];
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `Millrace ${file}`,
    ...schemaOf(spec, kind === 'environment'),
  };
}

/** @param isOverlay nothing is required and null is allowed. */
function schemaOf(spec: FieldSpec, isOverlay: boolean): JsonSchema {
  const {doc, default: initial} = spec;
  const about: JsonSchema = {description: doc, ...(initial === undefined ? {} : {default: initial})};
  return {...about, ...typeOf(spec, isOverlay)};
}

function typeOf(spec: FieldSpec, isOverlay: boolean): JsonSchema {
  switch (spec.type) {
    case 'string':
      return {
        type: 'string',
        ...(spec.pattern ? {anyOf: [{pattern: spec.pattern.source}, {pattern: '\\$\\{secret:'}]} : {}),
        ...(spec.examples ? {examples: spec.examples} : {}),
      };
    case 'identifier':
      return {type: 'string', pattern: identifierPattern.source};
    case 'integer':
    case 'number':
      return {
        type: spec.type,
        ...(spec.min === undefined ? {} : {minimum: spec.min}),
        ...(spec.max === undefined ? {} : {maximum: spec.max}),
      };
    case 'boolean':
      return {type: 'boolean'};
    case 'duration':
      return {anyOf: [{type: 'string', pattern: patterns.duration}, {const: 0}]};
    case 'count':
      return {
        anyOf: [
          {type: 'integer', minimum: 0},
          {type: 'string', pattern: patterns.count},
        ],
      };
    case 'bytes':
    case 'rate':
    case 'share':
      return {type: 'string', pattern: patterns[spec.type]};
    case 'expression':
      return {type: ['string', 'number', 'boolean']};
    case 'path':
    case 'dir':
      return {type: 'string', minLength: 1};
    case 'enum':
      return {enum: [...spec.values]};
    case 'list':
      return listSchema(spec);
    case 'map':
      return {
        type: 'object',
        ...(spec.keys === 'identifier' ? {propertyNames: {pattern: identifierPattern.source}} : {}),
        additionalProperties: optional(schemaOf(spec.of, isOverlay), isOverlay),
      };
    case 'object':
      return objectSchema(spec, isOverlay);
    case 'oneOf':
      return {anyOf: spec.options.map((option) => schemaOf(option, isOverlay))};
    case 'any':
      return {};
  }
}

function listSchema(spec: FieldSpec & {type: 'list'}): JsonSchema {
  // A list is replaced as a whole, so that its items are complete also in an environment.
  const item = schemaOf(spec.of, false);
  const list = {type: 'array', items: item};
  return spec.orOne ? {anyOf: [item, list]} : list;
}

function objectSchema(spec: FieldSpec & {type: 'object'}, isOverlay: boolean): JsonSchema {
  const fields = Object.entries(spec.fields).filter(([, field]) => !field.unavailable);
  const required = isOverlay ? [] : fields.filter(([, field]) => field.required).map(([key]) => key);
  const object: JsonSchema = {
    type: 'object',
    properties: Object.fromEntries(
      fields.map(([key, field]) => [key, optional(schemaOf(field, isOverlay), isOverlay)]),
    ),
    ...(required.length > 0 ? {required} : {}),
    additionalProperties: false,
  };
  return spec.short === undefined ? object : {anyOf: [schemaOf(spec.fields[spec.short]!, isOverlay), object]};
}

const optional = (schema: JsonSchema, isOverlay: boolean): JsonSchema =>
  isOverlay ? {anyOf: [schema, {type: 'null'}]} : schema;
