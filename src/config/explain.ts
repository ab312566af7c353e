import {type Path, pathText} from './diagnostics.ts';
import type {FieldSpec} from './fields.ts';
import type {LoadedConfig} from './load.ts';
import {type ConfigNode, child} from './nodes.ts';
import {domainSpec} from './specs/domain.ts';
import {defaultsSpec, platformSpec} from './specs/platform.ts';

/** A value as written, and where. */
export type Written = {value: unknown; file: string; line: number; column: number};

/** One leaf of the configuration. Without `origin` it is a default of Millrace. */
export type ExplainedValue = {
  /** `sinks.analytics.backend`, `domains.flights.defaults.watermark` */
  path: string;
  /** As written; secrets are `***`. */
  value: unknown;
  origin?: {file: string; line: number; column: number};
  /** What stood here in the files before, the newest first. */
  replaced: Written[];
};

const hidden = '***';

/**
 * Every value of a configuration with its origin and what it replaced, in the order of the files; `under` keeps those at or
 * below a path.
 */
export function explainConfig(config: LoadedConfig, under?: string): ExplainedValue[] {
  const out: ExplainedValue[] = [];
  const spec = platformSpec(config.sinkSpecs, config.secretSpecs);
  walk(config.platform.node, spec, [], true, out);
  for (const {values, node, defaults} of config.domains) {
    const at: Path = ['domains', String(values.domain ?? '')];
    walk(node, without(domainSpec, 'defaults'), at, false, out);
    walk(defaults.node, defaultsSpec, [...at, 'defaults'], true, out);
  }
  return under === undefined
    ? out
    : out.filter(({path}) => path === under || path.startsWith(`${under}.`) || path.startsWith(`${under}[`));
}

function without(spec: FieldSpec & {type: 'object'}, key: string): FieldSpec {
  const {[key]: _, ...fields} = spec.fields;
  return {...spec, fields};
}

/** @param withDefaults whether absent keys are told, too. */
function walk(
  node: ConfigNode,
  spec: FieldSpec | undefined,
  path: Path,
  withDefaults: boolean,
  out: ExplainedValue[],
): void {
  if (node.kind === 'map') {
    const isObject = spec?.type === 'object';
    for (const [key, {value}] of node.entries) {
      const inner = isObject
        ? Object.hasOwn(spec.fields, key)
          ? spec.fields[key]
          : undefined
        : spec?.type === 'map'
          ? spec.of
          : undefined;
      // A domain's own `defaults` are told merged with the platform's.
      if (isObject && !inner && key === 'defaults') continue;
      walk(value, inner, [...path, key], withDefaults, out);
    }
    if (isObject && withDefaults) tellDefaults(node, spec, path, out);
  } else if (node.kind === 'list' && node.items.some(({kind}) => kind !== 'scalar')) {
    const inner = spec?.type === 'list' ? spec.of : undefined;
    for (const [index, item] of node.items.entries()) walk(item, inner, [...path, index], withDefaults, out);
  } else if (node.kind === 'list' || node.value !== null || node.replaced)
    out.push(explain(node, spec, path));
}

function explain(node: ConfigNode, spec: FieldSpec | undefined, path: Path): ExplainedValue {
  const replaced: Written[] = [];
  for (let before = node.replaced; before; before = before.replaced)
    replaced.push({value: shown(before, spec), ...originOf(before)});
  return {path: pathText(path), value: shown(node, spec), origin: originOf(node), replaced};
}

const originOf = ({place: {file, start}}: ConfigNode): {file: string; line: number; column: number} => ({
  file: file.shown,
  ...file.position(start),
});

/** A value for people; nothing of a secret, and no password of a URL. */
function shown(node: ConfigNode, spec: FieldSpec | undefined): unknown {
  if (node.kind === 'list')
    return node.items.map((item) => shown(item, spec?.type === 'list' ? spec.of : spec));
  if (node.kind === 'map')
    return Object.fromEntries(
      [...node.entries].map(([key, {value}]) => [key, shown(value, fieldOf(spec, key))]),
    );
  if (typeof node.value !== 'string') return spec?.secret ? hidden : node.value;
  if (spec?.secret || node.value.includes('${secret:')) return hidden;
  return node.value.replace(/(:\/\/[^/?#\s:@]*:)[^/?#\s@]*@/g, `$1${hidden}@`);
}

const fieldOf = (spec: FieldSpec | undefined, key: string): FieldSpec | undefined =>
  spec?.type === 'object' && Object.hasOwn(spec.fields, key)
    ? spec.fields[key]
    : spec?.type === 'map'
      ? spec.of
      : undefined;

/** Defaults of the keys that are absent; of backends only the chosen one's options. */
function tellDefaults(
  node: ConfigNode | undefined,
  spec: FieldSpec & {type: 'object'},
  path: Path,
  out: ExplainedValue[],
): void {
  const {backend} = spec.fields;
  const written = child(node, 'backend');
  const chosen = written?.kind === 'scalar' ? written.value : backend?.default;
  const backends = backend?.type === 'enum' ? [...backend.values, ...(backend.later ?? [])] : [];
  for (const [key, field] of Object.entries(spec.fields)) {
    if (child(node, key) || field.unavailable || (backends.includes(key) && key !== chosen)) continue;
    if (field.type === 'object') tellDefaults(undefined, field, [...path, key], out);
    else if (field.default !== undefined)
      out.push({path: pathText([...path, key]), value: field.default, replaced: []});
  }
}

/** One line for each value: what it is, where it comes from, what it replaced. */
export function formatExplained(values: ExplainedValue[]): string {
  const rows = values.map(({path, value, origin, replaced}): [string, string, string] => [
    path,
    text(value),
    [
      origin ? place(origin) : 'default',
      ...replaced.map((before) => `replaced ${text(before.value)} of ${place(before)}`),
    ].join(', '),
  ]);
  const widths = [0, 1].map((column) => Math.min(48, Math.max(0, ...rows.map((row) => row[column]!.length))));
  return rows
    .map(([path, value, from]) => `${path.padEnd(widths[0]!)}  ${value.padEnd(widths[1]!)}  ${from}`)
    .join('\n');
}

const text = (value: unknown): string =>
  typeof value === 'string' ? value.replace(/\s+/g, ' ') : JSON.stringify(value);
const place = ({file, line, column}: {file: string; line: number; column: number}): string =>
  `${file}:${line}:${column}`;
