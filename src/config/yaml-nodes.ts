import {type Document, isAlias, isMap, isPair, isScalar, isSeq, Scalar} from 'yaml';
import type {Diagnostics} from './diagnostics.ts';
import {type ConfigNode, type MapNode, quote} from './nodes.ts';
import {type Place, placeAt, type SourceFile} from './source.ts';
import {mendFlowMap, type Pairs} from './yaml-flow.ts';

/** Limits on one file: size in bytes, nested collections, aliases, nodes after aliases are followed, mistakes told. */
export const yamlLimits = {
  bytesMax: 1 << 20,
  depthMax: 64,
  aliasesMax: 1000,
  nodesMax: 200_000,
  errorsMax: 20,
} as const;

/** Never keys: they would reach the prototype of an object somewhere down the way. */
const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype']);

/** What converting keeps: anchors in the order of the text, and how many nodes each stands for once aliases are followed. */
type Conversion = {
  file: SourceFile;
  diagnostics: Diagnostics;
  anchors: Map<string, ConfigNode | 'open'>;
  sizes: Map<ConfigNode, {nodes: number; depth: number}>;
  ok: boolean;
};

/** A composed document -> tree with places; undefined when there was a mistake. Limits hold after aliases are followed. */
export function convertDocument(
  file: SourceFile,
  document: Document.Parsed | undefined,
  diagnostics: Diagnostics,
): ConfigNode | undefined {
  const conversion: Conversion = {file, diagnostics, anchors: new Map(), sizes: new Map(), ok: true};
  const contents = document?.contents;
  const isEmpty = !contents || (isScalar(contents) && contents.value === null);
  if (isEmpty) return {kind: 'map', entries: new Map(), place: placeAt(file, 0, 0)};
  const node = convert(conversion, contents);
  const {nodes, depth} = conversion.sizes.get(node) ?? {nodes: 1, depth: 1};
  if (nodes > yamlLimits.nodesMax)
    fail(
      conversion,
      node.place,
      'YAML_ALIASES',
      `followed to the end, the aliases make more than ${yamlLimits.nodesMax} values`,
    );
  if (depth > yamlLimits.depthMax)
    fail(
      conversion,
      node.place,
      'YAML_TOO_DEEP',
      `followed to the end, the aliases nest more than ${yamlLimits.depthMax} levels`,
    );
  return conversion.ok ? node : undefined;
}

function fail(
  conversion: Conversion,
  place: Place,
  code: Parameters<Diagnostics['error']>[1],
  message: string,
  hint?: string,
): void {
  conversion.ok = false;
  conversion.diagnostics.error(place, code, message, hint ? {hint} : {});
}

function placeOf(conversion: Conversion, node: unknown): Place {
  const range = (node as {range?: [number, number, number] | null} | null)?.range;
  return placeAt(conversion.file, range?.[0] ?? 0, range?.[1] ?? 0);
}

/** Depth is bounded by the tokens' depth, so that recursion is safe. */
function convert(conversion: Conversion, source: unknown): ConfigNode {
  const place = placeOf(conversion, source);
  if (isAlias(source)) return convertAlias(conversion, source.source, place);
  const anchor = (source as {anchor?: string} | null)?.anchor;
  if (anchor) conversion.anchors.set(anchor, 'open');
  const node = isMap(source)
    ? convertMap(
        conversion,
        source.flow ? mendFlowMap(conversion.file, source.items, conversion.diagnostics) : source.items,
        place,
      )
    : isSeq(source)
      ? convertList(conversion, source.items, place)
      : convertScalar(conversion, source, place);
  if (anchor) conversion.anchors.set(anchor, node);
  return node;
}

function convertAlias(conversion: Conversion, name: string, place: Place): ConfigNode {
  const target = conversion.anchors.get(name);
  if (target !== undefined && target !== 'open') return target;
  const message =
    target === 'open' ? `*${name} refers to what it stands in` : `no anchor &${name} stands before this`;
  fail(conversion, place, 'YAML_ALIASES', message);
  return {kind: 'scalar', value: null, text: '', style: 'plain', place};
}

function convertList(conversion: Conversion, items: unknown[], place: Place): ConfigNode {
  const children = items.map((item) => {
    // `[a: 1]` is a pair in a list: a map of one key.
    if (isPair(item)) return convertMap(conversion, [item], placeOf(conversion, item.key));
    return convert(conversion, item);
  });
  const node: ConfigNode = {kind: 'list', items: children, place};
  measure(conversion, node, children);
  return node;
}

function convertMap(conversion: Conversion, items: Pairs, place: Place): ConfigNode {
  const entries: MapNode['entries'] = new Map();
  const children: ConfigNode[] = [];
  for (const {key, value} of items) {
    const keyPlace = placeOf(conversion, key);
    const node = value === null ? nothing(keyPlace) : convert(conversion, value);
    children.push(node);
    const name = keyText(conversion, key, keyPlace);
    if (name === undefined) continue;
    const known = entries.get(name);
    if (known) {
      const {line} = known.key.file.position(known.key.start);
      fail(
        conversion,
        keyPlace,
        'YAML_DUPLICATE_KEY',
        `${quote(name)} stands here a second time`,
        `the first is on line ${line}; keep one`,
      );
    } else entries.set(name, {key: keyPlace, value: node});
  }
  const node: ConfigNode = {kind: 'map', entries, place};
  measure(conversion, node, children);
  return node;
}

function measure(conversion: Conversion, node: ConfigNode, children: ConfigNode[]): void {
  const total = {nodes: 1, depth: 1};
  for (const item of children) {
    const {nodes, depth} = conversion.sizes.get(item) ?? {nodes: 1, depth: 1};
    total.nodes += nodes;
    total.depth = Math.max(total.depth, depth + 1);
  }
  conversion.sizes.set(node, total);
}

const nothing = (place: Place): ConfigNode => ({
  kind: 'scalar',
  value: null,
  text: '',
  style: 'plain',
  place,
});

/** A key as it is written: `null:` and `true:` are the words, not the values. */
function keyText(conversion: Conversion, key: unknown, place: Place): string | undefined {
  if (!isScalar(key)) {
    fail(conversion, place, 'YAML_KEY', 'a key must be plain text');
    return undefined;
  }
  const plain = key.type === Scalar.PLAIN ? (key.source ?? '') : String(key.value);
  if (plain === '<<')
    fail(
      conversion,
      place,
      'YAML_MERGE_KEY',
      'merge keys (<<) are not allowed',
      'write the keys out, or refer to the whole value with an alias',
    );
  else if (forbiddenKeys.has(plain))
    fail(conversion, place, 'YAML_KEY', `${quote(plain)} is never allowed as a key`);
  else if (plain === '') fail(conversion, place, 'YAML_KEY', 'a key is empty');
  else if (plain.includes('${secret:'))
    fail(conversion, place, 'SECRET_NOT_HERE', 'a secret cannot stand in a key');
  else return plain;
  return undefined;
}

function convertScalar(conversion: Conversion, source: unknown, place: Place): ConfigNode {
  if (!isScalar(source)) return nothing(place);
  const {value, type, source: text} = source;
  const known = value === null || ['string', 'number', 'boolean'].includes(typeof value);
  if (!known) fail(conversion, place, 'TYPE_WRONG', 'a value that is no text, number, true, false or null');
  const style =
    type === Scalar.QUOTE_SINGLE
      ? 'single'
      : type === Scalar.QUOTE_DOUBLE
        ? 'double'
        : type === Scalar.PLAIN
          ? 'plain'
          : 'block';
  return {
    kind: 'scalar',
    value: known ? (value as string | number | boolean | null) : null,
    text: text ?? '',
    style,
    place,
  };
}
