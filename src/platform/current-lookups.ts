import type {Lookup} from '../model/types.ts';
import type {LookupSnapshot} from '../process/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {LookupStore} from './lookups.ts';

/** What the files and tables of lookups say, told when it changes. */
export type CurrentLookups = {
  /**
   * What the file or table says now; the last good snapshot when that is nothing, with an alert that is told once for a failure.
   * @throws LOOKUP_INVALID when there never was a good one
   */
  read(lookup: Lookup): Promise<LookupSnapshot>;
  /** What the file or table says now, when that is something else than what was read last. Never rejects: what is wrong was told. */
  changed(lookup: Lookup): Promise<LookupSnapshot | undefined>;
};

export function createCurrentLookups(store: LookupStore, telemetry: Telemetry): CurrentLookups {
  /** By lookup: what was read last, and what is wrong with what is there now. */
  const ids = new Map<string, string>();
  const trouble = new Map<string, string>();

  async function read(lookup: Lookup): Promise<LookupSnapshot> {
    const {domain, name} = lookup;
    const key = `${domain}.${name}`;
    try {
      const snapshot = (await store.get(lookup, null))!;
      if (trouble.delete(key) || ids.get(key) !== snapshot.id)
        telemetry.emit('LookupAccepted', {domain, lookup: name, rows: snapshot.rows.size});
      ids.set(key, snapshot.id);
      return snapshot;
    } catch (error) {
      const last = await store.last(lookup);
      const {message} = error as Error;
      if (trouble.get(key) !== message) {
        telemetry.emit('LookupRefused', {domain, lookup: name, message, hasLast: last !== undefined});
        if (last)
          telemetry.emit('Log', {
            level: 'warn',
            message: `${message}; the last good snapshot stays in use until that is mended`,
          });
      }
      trouble.set(key, message);
      if (!last) throw error;
      ids.set(key, last.id);
      return last;
    }
  }

  return {
    read,
    async changed(lookup) {
      const before = ids.get(`${lookup.domain}.${lookup.name}`);
      const snapshot = await read(lookup).catch(() => undefined);
      return snapshot?.id === before ? undefined : snapshot;
    },
  };
}
