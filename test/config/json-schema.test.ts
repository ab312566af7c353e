import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {parse as parseYaml} from 'yaml';
import {type JsonSchema, jsonSchema} from '../../src/config/json-schema.ts';
import {secretBackends} from '../../src/config/secrets/registry.ts';
import {ecommerce} from '../support/ecommerce.ts';
import {sinkSpecs} from './directory.ts';

// Keys are words: `null:` is a key of inputs.
const parse = (text: string): unknown => parseYaml(text, {stringKeys: true});
const backends = {sinks: sinkSpecs, secrets: secretBackends};
const schemas = {
  platform: jsonSchema('platform', backends),
  environment: jsonSchema('environment', backends),
  domain: jsonSchema('domain', backends),
};

/** Keywords that the schemas use; another one would be a keyword that this test does not check. */
const annotations = new Set(['$schema', 'title', 'description', 'default', 'examples']);

/** The part of draft 2020-12 that the schemas use, by the book. */
function isValid(schema: JsonSchema, value: unknown): boolean {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return Object.entries(schema).every(([keyword, wanted]) => {
    switch (keyword) {
      case 'type':
        return [wanted]
          .flat()
          .some((type) => type === typeName(value) || (type === 'number' && typeName(value) === 'integer'));
      case 'enum':
        return (wanted as unknown[]).includes(value);
      case 'const':
        return value === wanted;
      case 'anyOf':
        return (wanted as JsonSchema[]).some((option) => isValid(option, value));
      case 'pattern':
        return typeof value !== 'string' || new RegExp(wanted as string, 'u').test(value);
      case 'minLength':
        return typeof value !== 'string' || value.length >= (wanted as number);
      case 'minimum':
        return typeof value !== 'number' || value >= (wanted as number);
      case 'maximum':
        return typeof value !== 'number' || value <= (wanted as number);
      case 'items':
        return !Array.isArray(value) || value.every((item) => isValid(wanted as JsonSchema, item));
      case 'required':
        return !isObject || (wanted as string[]).every((key) => Object.hasOwn(value, key));
      case 'propertyNames':
        return !isObject || Object.keys(value).every((key) => isValid(wanted as JsonSchema, key));
      case 'properties':
        return (
          !isObject ||
          Object.entries(wanted as Record<string, JsonSchema>).every(
            ([key, part]) =>
              !Object.hasOwn(value, key) || isValid(part, (value as Record<string, unknown>)[key]),
          )
        );
      case 'additionalProperties': {
        if (!isObject) return true;
        const known = Object.keys((schema.properties as object | undefined) ?? {});
        const rest = Object.entries(value).filter(([key]) => !known.includes(key));
        return wanted === false
          ? rest.length === 0
          : rest.every(([, item]) => isValid(wanted as JsonSchema, item));
      }
      default:
        assert.ok(annotations.has(keyword), `the test does not know the keyword ${keyword}`);
        return true;
    }
  });
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

const root = join(import.meta.dirname, '../..');
const platform = `platform: acme
secrets: {backend: env, env: {file: .env}}
log: {backend: embedded, embedded: {dir: .millrace/log, retention: keep, size_max: 20GiB, partitions: 4}}
registry: {backend: embedded}
engine: {backend: embedded, embedded: {workers: auto, checkpoint_interval: 1s, checkpoints: .millrace/state, flush: 25ms}}
sinks:
  analytics: {backend: chdb, chdb: {dir: .millrace/clickhouse}}
  records: {backend: pglite, pglite: {dir: .millrace/postgres}}
defaults: {watermark: 10m, late: correct, correct_for: 1d, aggregates: analytics, raw: records}
server: {host: 127.0.0.1, port: 4000}
plugins: [./plugins/my-sink.ts]
`;

test('the schemas accept the examples of the language and of this repository', () => {
  assert.ok(isValid(schemas.platform, parse(platform)));
  assert.ok(isValid(schemas.domain, parse(ecommerce)));
  assert.ok(isValid(schemas.platform, parse(readFileSync(join(root, 'config/platform.yaml'), 'utf8'))));
  assert.ok(isValid(schemas.domain, parse(readFileSync(join(root, 'config/domains/flights.yaml'), 'utf8'))));
  assert.ok(
    isValid(schemas.domain, {
      event_types: [{name: 'player_action', attributes: ['action_type'], dimensions: ['platform']}],
    }),
  );
});

test('the schemas refuse misspelt keys and wrong values', () => {
  const wrong: [keyof typeof schemas, string, string, string][] = [
    ['platform', platform, 'server:', 'serber:'],
    ['platform', platform, 'port: 4000', 'port: 70000'],
    ['platform', platform, 'watermark: 10m', 'watermark: 10'],
    ['platform', platform, 'backend: chdb', 'backend: kafka'],
    ['platform', platform, 'chdb: {dir', 'chdb: {dri'],
    ['platform', platform, 'workers: auto', 'workers: many'],
    ['platform', platform, 'retention: keep', 'retention: kept'],
    ['domain', ecommerce, 'group_by:', 'groupby:'],
    ['domain', ecommerce, 'type: tumbling', 'type: tumbled'],
    ['domain', ecommerce, 'type: money}', 'type: mony}'],
    ['domain', ecommerce, 'name: purchase', 'name: pur chase'],
    ['domain', ecommerce, 'orders: count()', 'or__ders: count()'],
    ['domain', ecommerce, 'refresh: 5m', 'refresh: often'],
    ['domain', ecommerce, 'domain: ecommerce', 'domain: ecommerce\nquality: {rows: 1}'],
  ];
  for (const [kind, text, from, to] of wrong) {
    assert.ok(text.includes(from), from);
    assert.equal(isValid(schemas[kind], parse(text.replace(from, to))), false, to);
  }
});

test('an environment may set a part of anything and remove with null', () => {
  const overlay = {sinks: {analytics: {chdb: {dir: 'x'}}, records: null}, defaults: {raw: null}};
  assert.ok(isValid(schemas.environment, overlay));
  assert.ok(!isValid(schemas.platform, overlay));
  assert.ok(!isValid(schemas.environment, {sink: {}}));
});

test('every key of the schemas is documented', () => {
  const undocumented: string[] = [];
  const visit = (schema: JsonSchema, path: string) => {
    for (const [key, part] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)) {
      if (!part.description) undocumented.push(`${path}.${key}`);
      visit(part, `${path}.${key}`);
    }
    for (const part of [schema.items, schema.additionalProperties, ...((schema.anyOf ?? []) as JsonSchema[])])
      if (typeof part === 'object') visit(part as JsonSchema, `${path}[]`);
  };
  visit(schemas.platform, 'platform');
  visit(schemas.domain, 'domain');
  assert.deepEqual(undocumented, []);
});
