import type {Path} from './diagnostics.ts';
import type {FieldSpec} from './fields.ts';
import {nameHint, nameProblem} from './names.ts';
import {nearest, suggest} from './nearest.ts';
import {type ConfigNode, child, describeNode, type MapNode, quote} from './nodes.ts';
import {mismatch, type ReadContext, readAny, readLeaf, report} from './read-leaf.ts';
import {describeSpec, readScalar} from './scalars.ts';
import type {Place} from './source.ts';

type ObjectSpec = FieldSpec & {type: 'object'};

/**
 * A tree by its specification -> plain values in the units of `FieldSpec`, defaults filled in; maps with keys of the user have
 * no prototype. Every mistake is reported with its place; its value is undefined.
 */
export function read(node: ConfigNode, spec: FieldSpec, path: Path, context: ReadContext): unknown {
  switch (spec.type) {
    case 'object':
      return readObject(node, spec, path, context);
    case 'map':
      return readMap(node, spec, path, context);
    case 'list':
      return readList(node, spec, path, context);
    case 'oneOf':
      return readOneOf(node, spec, path, context);
    case 'any':
      return readAny(node, path, context);
    default:
      return readLeaf(node, spec, path, context);
  }
}

const isNull = (node: ConfigNode): boolean => node.kind === 'scalar' && node.value === null;

/** Keys whose sections are options of a backend: read only as far as they can be checked unless the backend is chosen. */
function backendOf(
  map: MapNode | undefined,
  spec: ObjectSpec,
): {names: readonly string[]; chosen: string | undefined} | undefined {
  const backend = spec.fields.backend;
  if (backend?.type !== 'enum') return undefined;
  const node = child(map, 'backend');
  const written = node?.kind === 'scalar' ? String(node.value) : undefined;
  return {
    names: [...backend.values, ...(backend.later ?? [])],
    chosen: written ?? (backend.default as string | undefined),
  };
}

function readObject(node: ConfigNode, spec: ObjectSpec, path: Path, context: ReadContext): unknown {
  const isShort = node.kind === 'scalar' && spec.short !== undefined && node.value !== null;
  if (node.kind !== 'map' && !isShort) return mismatch(node, spec, path, context);
  const map = node.kind === 'map' ? node : undefined;
  const backend = backendOf(map, spec);
  if (map) for (const [key, entry] of map.entries) checkKey(key, entry, spec, backend?.chosen, path, context);
  const out: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(spec.fields)) {
    let value = isShort ? (key === spec.short ? node : undefined) : child(map, key);
    // The chosen backend's options are read even when none is written: some may be required.
    if (!value && key === backend?.chosen && field.type === 'object')
      value = {kind: 'map', entries: new Map(), place: node.place};
    const isUnused = backend?.names.includes(key) === true && key !== backend.chosen;
    if (value && field.unavailable) {
      // `backend: kafka` was refused already; its options are part of the same mistake.
      if (key !== backend?.chosen)
        refuseUnavailable(map?.entries.get(key)?.key ?? value.place, key, isUnused, [...path, key], context);
      continue;
    }
    const inner: ReadContext =
      isUnused && context.secrets !== 'none' ? {...context, secrets: 'unused'} : context;
    const result = value
      ? read(value, field, [...path, key], inner)
      : isUnused
        ? undefined
        : fill(node, key, field, path, context);
    if (result !== undefined) out[key] = result;
  }
  return out;
}

function checkKey(
  key: string,
  entry: {key: Place; value: ConfigNode},
  spec: ObjectSpec,
  chosen: string | undefined,
  path: Path,
  context: ReadContext,
): void {
  if (Object.hasOwn(spec.fields, key)) return;
  const options =
    chosen !== undefined && Object.hasOwn(spec.fields, chosen) ? spec.fields[chosen] : undefined;
  const below = options?.type === 'object' && Object.hasOwn(options.fields, key);
  const known = Object.keys(spec.fields).filter((name) => !spec.fields[name]!.unavailable);
  const elsewhere = path.length === 0 ? context.elsewhere?.(key) : undefined;
  const hint =
    elsewhere ?? (below ? `write it under ${chosen}: ${chosen}: {${key}: ...}` : suggest(key, known));
  report(context, entry.key, 'KEY_UNKNOWN', `unknown key ${quote(key)}`, [...path, key], hint);
}

function refuseUnavailable(
  place: Place,
  key: string,
  isUnused: boolean,
  path: Path,
  context: ReadContext,
): void {
  const message = `${quote(key)} is not part of this version of Millrace yet`;
  // Options of a backend that is not chosen change nothing, so that they may stay for the day it is.
  if (isUnused)
    context.diagnostics.warn(place, 'NOT_AVAILABLE', `${message}; it is not chosen and changes nothing`, {
      path,
    });
  else report(context, place, 'NOT_AVAILABLE', message, path, 'remove it');
}

/** The value of a key that is absent: its default, or what the defaults inside it make. */
function fill(node: ConfigNode, key: string, field: FieldSpec, path: Path, context: ReadContext): unknown {
  const {file, start, end} = node.place;
  if (field.required && context.secrets !== 'unused') {
    const place = node.kind === 'scalar' ? node.place : {file, start, end: Math.min(end, start + 1)};
    return report(
      context,
      place,
      'KEY_MISSING',
      `the key ${quote(key)} is missing`,
      path,
      `add ${key}: ${exampleOf(field) ?? `it is ${describeSpec(field)}`}`,
    );
  }
  return defaultOf(field, context);
}

/** What could stand there; of a list an item. */
function exampleOf(field: FieldSpec): string | undefined {
  const text = field.type === 'list' ? field.of : field;
  const example = text.type === 'string' ? text.examples?.[0] : undefined;
  return example === undefined ? undefined : `for example ${example}`;
}

/** Defaults are written as in YAML and read in the same way. */
export function defaultOf(field: FieldSpec, context: ReadContext): unknown {
  const {default: value} = field;
  if (value === undefined || value === null) {
    if (field.type !== 'object' || field.unavailable) return undefined;
    if (Object.values(field.fields).some(({required}) => required)) return undefined;
    const inner = Object.entries(field.fields).map(([key, spec]) => [key, defaultOf(spec, context)] as const);
    return Object.fromEntries(inner.filter(([, item]) => item !== undefined));
  }
  if (typeof value !== 'string' || field.type === 'string' || field.type === 'path') return value;
  const place = {file: {path: context.root} as Place['file'], start: 0, end: 0};
  const specs = field.type === 'oneOf' ? field.options : [field];
  for (const spec of specs) {
    const result = readScalar(
      {kind: 'scalar', value, text: value, style: 'plain', place},
      spec,
      context.root,
    );
    if (result.ok) return result.value;
  }
  return value;
}

function readMap(
  node: ConfigNode,
  spec: FieldSpec & {type: 'map'},
  path: Path,
  context: ReadContext,
): unknown {
  if (node.kind !== 'map') return mismatch(node, spec, path, context);
  const out: Record<string, unknown> = Object.create(null);
  for (const [key, entry] of node.entries) {
    const problem = spec.keys === 'identifier' ? nameProblem(key) : undefined;
    if (problem)
      report(context, entry.key, 'NAME_INVALID', `${quote(key)} ${problem}`, [...path, key], nameHint(key));
    if (isNull(entry.value)) {
      // A null that replaced something removes it; one that did not is a value that someone forgot.
      if (!entry.value.replaced)
        report(
          context,
          entry.key,
          'TYPE_WRONG',
          `${quote(key)} has no value`,
          [...path, key],
          `expected ${describeSpec(spec.of)}`,
        );
      continue;
    }
    const value = read(entry.value, spec.of, [...path, key], context);
    if (value !== undefined && !problem) out[key] = value;
  }
  return out;
}

function readList(
  node: ConfigNode,
  spec: FieldSpec & {type: 'list'},
  path: Path,
  context: ReadContext,
): unknown {
  if (node.kind === 'list' && node.items.length === 0 && spec.required)
    return report(context, node.place, 'VALUE_INVALID', 'at least one is needed', path, exampleOf(spec));
  if (node.kind === 'list')
    return node.items.map((item, index) => read(item, spec.of, [...path, index], context));
  if (!spec.orOne) return mismatch(node, spec, path, context);
  return [read(node, spec.of, path, context)];
}

function readOneOf(
  node: ConfigNode,
  spec: FieldSpec & {type: 'oneOf'},
  path: Path,
  context: ReadContext,
): unknown {
  for (const option of spec.options) {
    if (node.kind !== 'scalar') continue;
    const result = readScalar(node, option, context.root);
    if (result.ok) return result.value;
  }
  const words = spec.options.flatMap((option) => (option.type === 'enum' ? option.values : []));
  const close =
    node.kind === 'scalar' && typeof node.value === 'string' ? nearest(node.value, words) : undefined;
  const message = `expected ${spec.describe}, not ${describeNode(node)}`;
  return report(
    context,
    node.place,
    'VALUE_INVALID',
    message,
    path,
    close ? `did you mean ${close}?` : undefined,
  );
}
