import type {Value} from '../../expr/types.ts';
import type {LookupSnapshot} from '../types.ts';

/** The snapshots that one query's kernel sees. A switch takes effect between two batches. */
export type LookupSet = {
  /** Value of a lookup's column for a key; NULL when the key is missing or NULL, or there is no snapshot. */
  value(lookup: string, key: Value, column: string): Value;
  set(snapshot: LookupSnapshot): void;
  /** Id of a lookup's snapshot; undefined when there is none. */
  id(lookup: string): string | undefined;
};

export function createLookupSet(snapshots: Iterable<LookupSnapshot> = []): LookupSet {
  const known = new Map<string, {snapshot: LookupSnapshot; places: Map<string, number>}>();
  const lookups: LookupSet = {
    value(lookup, key, column) {
      const found = known.get(lookup);
      if (!found || key === null) return null;
      const place = found.places.get(column);
      return place === undefined ? null : (found.snapshot.rows.get(key)?.[place] ?? null);
    },
    set(snapshot) {
      const places = new Map(snapshot.columns.map((column, index) => [column, index]));
      known.set(snapshot.name, {snapshot, places});
    },
    id: (lookup) => known.get(lookup)?.snapshot.id,
  };
  for (const snapshot of snapshots) lookups.set(snapshot);
  return lookups;
}
