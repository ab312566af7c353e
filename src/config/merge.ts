import type {ConfigNode, MapNode} from './nodes.ts';

/**
 * `over` on top of `under`: maps merge deep, scalars and lists are replaced, null removes (and is kept as a null, so that a
 * third layer may set the value again). What is replaced is remembered. Neither argument changes.
 */
export function merge(under: ConfigNode | undefined, over: ConfigNode | undefined): ConfigNode {
  if (!under || !over) return (over ?? under)!;
  if (under.kind !== 'map' || over.kind !== 'map') return {...over, replaced: under};
  const entries: MapNode['entries'] = new Map(under.entries);
  for (const [key, entry] of over.entries) {
    const known = entries.get(key);
    entries.set(key, known ? {key: entry.key, value: merge(known.value, entry.value)} : entry);
  }
  return {...over, entries};
}
