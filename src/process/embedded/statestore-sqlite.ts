import type {DatabaseSync, StatementSync} from 'node:sqlite';
import {fenced, type Holder} from './state-lease.ts';
import type {StateReader} from './statestore.ts';
import {
  type CheckpointRow,
  checkpointCrc,
  corruptCheckpoint,
  journalCrc,
  openStateForReading,
  stateCrc,
  stateError,
} from './statestore-file.ts';

const journalHint =
  "put the state directory back from a backup; without one, rename the query: it then begins with today's lookups";

/** Reads the file of a store, by a connection of its own that is opened when it is first asked. */
export class SqliteStateReader implements StateReader {
  readonly #dir: string;
  #database: DatabaseSync | undefined;
  readonly #prepared = new Map<string, StatementSync>();

  readonly #lease: number | undefined;

  /**
   * @param lease epoch of the lease under which its reader owns the store: what an owner reads must be what it wrote itself, and a
   * later owner's is refused with FENCED. Undefined: whatever is there.
   */
  constructor(dir: string, lease?: number) {
    this.#dir = dir;
    this.#lease = lease;
  }

  /** In one snapshot of the file: the writer, or another owner, may commit between two statements. */
  #snapshot<T>(body: () => T): T {
    this.#all('BEGIN');
    try {
      if (this.#lease !== undefined) this.#checkLease(this.#lease);
      return body();
    } finally {
      this.#all('COMMIT');
    }
  }

  #checkLease(lease: number): void {
    const [row] = this.#all('SELECT lease, holder FROM meta') as {lease: number; holder: string | null}[];
    if (row && row.lease !== lease)
      throw fenced(this.#dir, row.holder === null ? null : (JSON.parse(row.holder) as Holder));
  }

  #all(sql: string, ...values: (string | number)[]): Record<string, unknown>[] {
    try {
      const database = (this.#database ??= openStateForReading(this.#dir));
      if (!database) return [];
      let statement = this.#prepared.get(sql);
      if (!statement) this.#prepared.set(sql, (statement = database.prepare(sql)));
      return statement.all(...values);
    } catch (error) {
      throw stateError(error, this.#dir);
    }
  }

  #checkpoint(query: string): CheckpointRow | undefined {
    const [row] = this.#all(
      'SELECT id, query, epoch, meta, rows, bytes, rows_crc AS rowsCrc, crc FROM checkpoints WHERE query = ?',
      query,
    ) as (CheckpointRow & {crc: number})[];
    if (row && checkpointCrc(row) !== row.crc) throw corruptCheckpoint(query, 'its checksum differs');
    return row;
  }

  load(query: string): {meta: string; epoch: number} | undefined {
    return this.#snapshot(() => this.#load(query));
  }

  #load(query: string): {meta: string; epoch: number} | undefined {
    const checkpoint = this.#checkpoint(query);
    if (!checkpoint) return undefined;
    const rows = this.#all('SELECT crc FROM state WHERE query = ?', checkpoint.id) as {crc: number}[];
    if (rows.length !== checkpoint.rows)
      throw corruptCheckpoint(query, `it has ${rows.length} rows of ${checkpoint.rows}`);
    if (rows.reduce((sum, {crc}) => (sum ^ crc) >>> 0, 0) !== checkpoint.rowsCrc)
      throw corruptCheckpoint(query, 'its rows are not those of the checkpoint');
    return {meta: checkpoint.meta, epoch: checkpoint.epoch};
  }

  get(query: string, key: string): Uint8Array | undefined {
    const [row] = this.#snapshot(() =>
      this.#all(
        'SELECT crc, bytes FROM state WHERE query = (SELECT id FROM checkpoints WHERE query = ?) AND key = ?',
        query,
        key,
      ),
    ) as {crc: number; bytes: Uint8Array}[];
    if (row && stateCrc(query, key, row.bytes) !== row.crc)
      throw corruptCheckpoint(query, `the checksum of ${key} differs`);
    return row?.bytes;
  }

  keys(query: string): string[] {
    return this.#snapshot(() =>
      this.#all(
        'SELECT key FROM state WHERE query = (SELECT id FROM checkpoints WHERE query = ?) ORDER BY key',
        query,
      ),
    ).map(({key}) => key as string);
  }

  journal(query: string): string[] {
    const rows = this.#snapshot(() =>
      this.#all('SELECT number, entry, crc FROM journal WHERE query = ? ORDER BY number', query),
    );
    return (rows as {number: number; entry: string; crc: number}[]).map(({number, entry, crc}, index) => {
      if (number !== index || journalCrc(query, number, entry) !== crc)
        throw corruptCheckpoint(query, `entry ${index} of its lookup journal differs`, journalHint);
      return entry;
    });
  }

  queries(): string[] {
    return this.#all('SELECT query FROM checkpoints ORDER BY query').map(({query}) => query as string);
  }

  sizeBytes(query: string): number {
    return this.#checkpoint(query)?.bytes ?? 0;
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
    this.#prepared.clear();
  }
}
