import type {FieldSpec} from '../../src/config/fields.ts';
import {secretBackends} from '../../src/config/secrets/registry.ts';
import {domainSpec} from '../../src/config/specs/domain.ts';
import {platformSpec} from '../../src/config/specs/platform.ts';
import {sinks} from '../../src/sinks/registry.ts';
import {code, generatedNote, page, prose, table} from './markdown.ts';

type ObjectSpec = FieldSpec & {type: 'object'};
type Section = {path: string; spec: ObjectSpec};

const oneOf = (values: readonly string[]): string =>
  values
    .map(code)
    .join(', ')
    .replace(/, ([^,]*)$/, ' or $1');

/** What may be written for a key, in words; the words are explained in "How values are written". */
function typeText(spec: FieldSpec): string {
  switch (spec.type) {
    case 'string':
      return spec.secret ? 'text, a secret' : 'text';
    case 'identifier':
      return 'name';
    case 'integer':
    case 'number': {
      const {min, max} = spec;
      const kind = spec.type === 'integer' ? 'whole number' : 'number';
      if (min !== undefined && max !== undefined) return `${kind}, ${min} to ${max}`;
      return min === undefined ? kind : `${kind}, at least ${min}`;
    }
    case 'boolean':
      return '`true` or `false`';
    case 'bytes':
      return 'size';
    case 'enum':
      return oneOf(spec.values);
    case 'list':
      return spec.orOne ? `${typeText(spec.of)}, or a list` : `list of ${plural(spec.of)}`;
    case 'map':
      return `map: name to ${spec.of.type === 'object' ? 'map' : typeText(spec.of)}`;
    case 'object':
      return spec.short ? `map, or its \`${spec.short}\` alone` : 'map';
    case 'oneOf':
      return spec.describe;
    default:
      return spec.type;
  }
}

function plural(spec: FieldSpec): string {
  const text = typeText(spec);
  if (spec.type === 'object') return spec.short ? `maps, or of ${spec.short}s` : 'maps';
  return text === 'text' ? 'texts' : `${text}s`;
}

function defaultText(spec: FieldSpec): string {
  if (spec.required) return '**required**';
  const {default: value} = spec;
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : code(JSON.stringify(value));
  return code(String(value));
}

/** Objects that get a table of their own below the one that holds them. */
function sectionsBelow(path: string, spec: FieldSpec): Section[] {
  if (spec.type === 'list' && spec.of.type === 'object') return [{path: `${path}[]`, spec: spec.of}];
  if (spec.type === 'map' && spec.of.type === 'object') return [{path: `${path}.<name>`, spec: spec.of}];
  if (spec.type === 'list' || spec.type === 'map') return sectionsBelow(path, spec.of);
  return [];
}

/** The keys of an object, objects in it by dotted names; lists of maps become sections. */
function flatten(spec: ObjectSpec, prefix: string): {rows: string[][]; below: Section[]; later: string[]} {
  const out = {rows: [] as string[][], below: [] as Section[], later: [] as string[]};
  for (const [key, field] of Object.entries(spec.fields)) {
    const name = prefix + key;
    if (field.unavailable) {
      out.later.push(name);
      continue;
    }
    if (field.type === 'enum' && field.later?.length)
      out.later.push(...field.later.map((value) => `${name}: ${value}`));
    const isPlainObject = field.type === 'object' && field.short === undefined;
    if (!isPlainObject) out.rows.push([code(name), typeText(field), defaultText(field), prose(field.doc)]);
    if (field.type === 'object') {
      const inner = flatten(field, `${name}.`);
      if (isPlainObject && Object.keys(field.fields).length === 0)
        out.rows.push([code(name), 'no options', '', prose(field.doc)]);
      out.rows.push(...inner.rows);
      out.below.push(...inner.below);
      out.later.push(...inner.later);
    } else out.below.push(...sectionsBelow(name, field));
  }
  return out;
}

function sectionText({path, spec}: Section, level: string): string[] {
  const {rows, below, later} = flatten(spec, '');
  const parts = [`${level} \`${path}\``, prose(spec.doc)];
  if (rows.length > 0) parts.push(table(['key', 'value', 'default', 'meaning'], rows));
  // `backend: kafka` and the options under `kafka` are one thing that is missing.
  const missing = later.filter((name) => !later.includes(`backend: ${name}`));
  if (missing.length > 0)
    parts.push(`Part of the language, but not of this version: ${missing.map(code).join(', ')}.`);
  for (const section of below)
    parts.push(...sectionText({...section, path: `${path}.${section.path}`}, `${level}#`));
  return parts;
}

/** A file's top-level keys: scalars in one table, everything else in a section of its own. */
function fileText(spec: ObjectSpec): string[] {
  const isOwn = (field: FieldSpec) => field.type === 'object' || sectionsBelow('', field).length > 0;
  const entries = Object.entries(spec.fields);
  const plain = Object.fromEntries(entries.filter(([, field]) => !isOwn(field)));
  const {rows, later} = flatten({...spec, fields: plain}, '');
  const parts = [table(['key', 'value', 'default', 'meaning'], rows)];
  if (later.length > 0)
    parts.push(`Part of the language, but not of this version: ${later.map(code).join(', ')}.`);
  for (const [key, field] of entries) {
    if (field.type === 'object') parts.push(...sectionText({path: key, spec: field}, '###'));
    for (const section of field.type === 'object' ? [] : sectionsBelow(key, field))
      parts.push(...sectionText({...section, spec: {...section.spec, doc: field.doc}}, '###'));
  }
  return parts;
}

/** The text of docs/reference/configuration.md. */
export const configurationReference = (): string =>
  page([
    '# Configuration',
    generatedNote(
      'src/config/specs/, src/sinks/*/spec.ts, src/config/secrets/ and docs/generate/configuration.ts',
    ),
    introduction,
    values,
    '## `config/platform.yaml`',
    'What the domains run on. Every key has a default; without this file everything is embedded, in `.millrace/`.',
    platformExample,
    ...fileText(platformSpec(sinks, secretBackends)),
    '## `config/domains/<name>.yaml`',
    'A part of the business: its events, and what is computed from them.',
    domainExample,
    ...fileText(domainSpec),
  ]);

const introduction = `A configuration is a directory:

\`\`\`text
config/
├── platform.yaml            what the domains run on
├── environments/prod.yaml   overrides of platform.yaml, chosen with --env or MILLRACE_ENV
└── domains/shop.yaml        events and queries; every file here runs, all at once
\`\`\`

\`environments/<env>.yaml\` is laid over \`platform.yaml\`: maps merge deep, scalars and lists are replaced, \`null\` removes. The
environment \`dev\` is the default and needs no file. A domain may override \`defaults\` for itself.
\`npx millrace explain config\` shows every value, the file and line it comes from, and what it replaced;
\`npx millrace validate\` reports every mistake; \`npx millrace export json-schema\` gives editors the same rules.

A section that can be exchanged names its \`backend\`; a backend's options stand under its own name, so an environment switches
with one line. In the tables \`a.b\` is the key \`b\` in the map \`a\`, and \`list[]\` is each item of the list.`;

const values = `## How values are written

${table(
  ['word', 'meaning', 'examples'],
  [
    [
      'name',
      'a letter, then up to 47 letters, digits and `_`, without `__`; words that Millrace uses itself are refused',
      '`page_view`',
    ],
    ['text', 'quoted where YAML would take it for a number, a boolean or nothing', '`acme`, `"2024"`'],
    ['duration', 'number and ms, s, m, h, d or w', '`250ms`, `10m`, `1.5h`, `0`'],
    ['size', 'number and B, KB, MB, GB, TB, KiB, MiB, GiB or TiB', '`64MiB`, `20GB`'],
    ['count', 'whole number, or one with k, M or G', '`1000`, `5M`'],
    ['rate', 'count and /s, /m or /h', '`10000/s`, `600/m`'],
    ['share', 'per cent', '`5%`, `0.5%`'],
    ['expression', 'SQL expression, see [expressions.md](expressions.md)', '`amount > 0.00`'],
    ['path', 'relative to the file it stands in', '`../lookups/products.csv`'],
    ['dir', 'relative to the directory that holds `config/`', '`.millrace/log`'],
  ],
)}

YAML has two forms, and what is fine on a line of its own may need quotes inside \`{ }\` and \`[ ]\`, where a comma ends the value:

\`\`\`yaml
measures:
  orders: count()
  p50: quantile(price, 0.5)
\`\`\`

is \`measures: {orders: count(), p50: "quantile(price, 0.5)"}\`. A blank follows the colon of a key: \`{orders:count()}\` is one word.

\`\${secret:name}\` may stand in text options of sinks and in \`server.token\`, as the whole text or a part of it. It is resolved
after parsing, by the backend of \`secrets:\`, and shown as \`***\` wherever a value is printed. YAML aliases (\`&day\`, \`*day\`) work; merge keys (\`<<\`), tags and
several documents in a file do not.`;

const platformExample = `\`\`\`yaml
platform: acme
secrets:
  backend: env
  env: {file: .env}
log:
  backend: embedded
  embedded: {dir: .millrace/log, retention: keep, size_max: 20GiB, partitions: 4}
engine:
  backend: embedded
  embedded: {workers: auto, checkpoint_interval: 1s, flush: 25ms}
sinks:
  analytics:
    backend: chdb
    chdb: {dir: .millrace/clickhouse}
  archive:
    backend: file
    file: {dir: archive, format: parquet}
defaults:
  watermark: 10m
  late: correct
  correct_for: 1d
  aggregates: analytics
  raw: archive
  dead_letters: {budget: 5%, after: 1000}
  limits: {groups: 5M, memory: 512MiB}
server: {host: 127.0.0.1, port: 4000, token: "\${secret:token}"}
\`\`\``;

const domainExample = `\`\`\`yaml
domain: shop
event_types:
  - name: page_view
    attributes: [user_id, page]              # a name alone is a nullable string
    dimensions: [country]
  - name: purchase
    key: user_id                             # events of one user stay in order
    attributes:
      - user_id
      - product_id
      - {name: coupon, doc: Code of a voucher., aliases: [voucher]}
    dimensions: [country, {name: device, type: enum, symbols: [phone, desktop]}]
    metrics:
      - {name: amount, type: money}
      - {name: quantity, type: long}
    derive:
      basket: "case when amount >= 100.00 then 'large' else 'small' end"
    enrich:
      - {lookup: products, on: product_id, take: {brand: brand}}
    checks:
      amount_is_positive: amount > 0.00
lookups:
  - {name: products, key: product_id, columns: {brand: string}, from: {csv: ../lookups/products.csv}, refresh: 5m}
aggregations:
  - name: revenue_per_minute
    from: purchase
    where: quantity > 0
    window: {type: tumbling, size: 1m}
    group_by: [country, brand]
    measures:
      orders: count()
      revenue: sum(amount)                   # column revenue_cents
      buyers: distinct(user_id)
      large: count(basket = 'large')
      large_share: large / orders
  - name: rate_per_day
    from: [page_view, purchase]
    window: {type: calendar, unit: day, timezone: America/New_York}
    group_by: country
    measures:
      views: count(event_type = 'page_view')
      orders: count(event_type = 'purchase')
      rate: orders / views
    late: topic
  - name: visits
    from: page_view
    window: {type: session, gap: 30m}
    group_by: user_id
    measures: {pages: count()}
    emit: close
  - name: busy
    from: page_view
    window: {type: sliding, size: 1h, slide: 10m}
    measures: {views: count()}
    limits: {memory: 64MiB}
inputs:
  - name: orders
    event_type: purchase
    format: csv
    rate: 10000/s
    null: [NA, ""]
    timestamp: ordered_at
    timestamp_format: "%d.%m.%Y %H:%M"
    timezone: Europe/Berlin
    map: {user_id: customer}
defaults: {watermark: 2m}
\`\`\``;
