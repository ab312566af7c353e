import type {Path} from './diagnostics.ts';
import type {Place} from './source.ts';

/**
 * A configuration as a tree with places. Aliases share their node; merging makes new ones. `replaced` is the value that stood
 * here in the file before (and that one's before it).
 */
export type ConfigNode = ScalarNode | ListNode | MapNode;
export type ScalarNode = {
  kind: 'scalar';
  value: string | number | boolean | null;
  /** As written, without quotes: `10` of 10, `0.10` of 0.10. */
  text: string;
  style: 'plain' | 'single' | 'double' | 'block';
  place: Place;
  replaced?: ConfigNode;
};
export type ListNode = {kind: 'list'; items: ConfigNode[]; place: Place; replaced?: ConfigNode};
export type MapNode = {
  kind: 'map';
  /** A null is kept: it says that what stood here is removed. */
  entries: Map<string, {key: Place; value: ConfigNode}>;
  place: Place;
  replaced?: ConfigNode;
};

/** The node at a path, or the nearest one above it that exists. `key` is where its key stands. */
export function nodeAt(
  root: ConfigNode,
  path: Path,
): {node: ConfigNode; key: Place | undefined; found: boolean} {
  let node = root;
  let key: Place | undefined;
  for (const part of path) {
    let next: ConfigNode | undefined;
    let nextKey: Place | undefined;
    if (node.kind === 'map' && typeof part === 'string') {
      const entry = node.entries.get(part);
      next = entry?.value;
      nextKey = entry?.key;
    } else if (node.kind === 'list' && typeof part === 'number') next = node.items[part];
    else if (part === 0) continue; // one value that stands for a list of one
    if (!next) return {node, key, found: false};
    node = next;
    key = nextKey;
  }
  return {node, key, found: true};
}

/** The child of a map, undefined when absent or removed by null. */
export function child(node: ConfigNode | undefined, key: string): ConfigNode | undefined {
  const value = node?.kind === 'map' ? node.entries.get(key)?.value : undefined;
  return value?.kind === 'scalar' && value.value === null ? undefined : value;
}

/** What a kind of node is called in a message. */
export function describeNode(node: ConfigNode): string {
  if (node.kind === 'list') return 'a list';
  if (node.kind === 'map') return 'a map';
  const {value} = node;
  if (value === null) return 'nothing';
  if (typeof value === 'string') return `the text ${quote(value)}`;
  if (typeof value === 'boolean') return `${value}`;
  return `the number ${node.text}`;
}

/** A word of the user's as messages quote it, shortened. */
export const quote = (text: string): string =>
  JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);

/**
 * Where a part of a scalar's value stands in its file. Follows quotes, escapes, folded lines and the indentation of block
 * scalars.
 * @param offset, length UTF-16 units of the value.
 */
export function placeInside(node: ScalarNode, offset: number, length: number): Place {
  if (typeof node.value !== 'string') return node.place;
  const {file, end: sourceEnd} = node.place;
  const {text} = file;
  const value = node.value;
  let at = node.place.start;
  if (node.style === 'single' || node.style === 'double') at++;
  else if (node.style === 'block') at = text.indexOf('\n', at) + 1 || sourceEnd;
  let start = at;
  let end = at;
  for (let i = 0; i <= value.length && i <= offset + length; i++) {
    at = skipTo(text, at, sourceEnd, value[i], node.style);
    if (i === offset) start = at;
    // The end is where the last marked character ends, not where the next one begins on another line.
    if (i === offset + length) end = i === offset ? at : end;
    if (i < value.length) {
      at = Math.min(sourceEnd, at + unitLength(text, at, node.style));
      if (i < offset + length) end = at;
    }
  }
  return {file, start: Math.min(start, sourceEnd), end: Math.max(end, start)};
}

/** Moves over what the value does not have: indentation, the line break's neighbours. */
function skipTo(
  text: string,
  from: number,
  end: number,
  wanted: string | undefined,
  style: ScalarNode['style'],
): number {
  let at = from;
  while (at < end && text[at] !== wanted) {
    if (wanted === ' ' && text[at] === '\n') break; // a folded line
    if (style === 'double' && text[at] === '\\') {
      if (text[at + 1] !== '\n') break;
      at += 2;
    } else if (/\s/.test(text[at]!)) at++;
    else break;
  }
  return at;
}

/** Length in the file of one unit of the value. */
function unitLength(text: string, at: number, style: ScalarNode['style']): number {
  if (style === 'single' && text[at] === "'") return 2;
  if (style !== 'double' || text[at] !== '\\') return 1;
  const digits = {x: 2, u: 4, U: 8}[text[at + 1] ?? ''];
  return 2 + (digits ?? 0);
}
