/**
 * The keys of values and of dead letters: `keys.db` beside the log, SQLite with every commit on disk and deleted bytes overwritten.
 * A key that is deleted is gone for good; that is how values are forgotten.
 */
import {randomBytes, timingSafeEqual} from 'node:crypto';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {logError} from '../log/database.ts';
import {openSqliteReader, openSqliteWriter, type SqliteFile} from '../log/sqlite.ts';
import type {MasterKeys} from './values.ts';

/** Path of the keys in the log's directory. */
export const keysFile = (dir: string): string => join(dir, 'keys.db');

const applicationId = 0x4d524b59;
const formatVersion = 1;

const fileOf = (dir: string): SqliteFile => {
  const path = keysFile(dir);
  return {
    path,
    applicationId,
    version: formatVersion,
    pageBytes: 4096,
    schema: `
      CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, proof BLOB) STRICT;
      INSERT INTO meta VALUES (1, 0, NULL);
      CREATE TABLE keys (name BLOB PRIMARY KEY, key BLOB NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE forgotten (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL,
        attribute TEXT NOT NULL, name BLOB NOT NULL, counts TEXT NOT NULL) STRICT;
    `,
    autoCheckpointPages: 1000,
    readerCacheKiB: 2048,
    check(id, version) {
      if (id === applicationId && version === formatVersion) return;
      throw new PlatformError('PII_KEYS', `${path} does not hold the keys of this release`, {
        hint: 'restore it from a backup; without it what was protected reads NULL',
        place: path,
      });
    },
    explain: (error) => logError(error, path),
  };
};

/** What `millrace forget` did, as it is kept: never the value. */
export type Forgotten = {
  atMs: number;
  actor: string;
  attribute: string;
  /** Name of the key, hex. */
  key: string;
  counts: Record<string, number>;
};

function prove(database: DatabaseSync, keys: MasterKeys, dir: string): boolean {
  const {proof} = database.prepare('SELECT proof FROM meta').get() as {proof: Uint8Array | null};
  if (proof === null) return false;
  if (timingSafeEqual(proof, keys.check)) return true;
  const {count} = database.prepare('SELECT count(*) AS count FROM keys').get() as {count: number};
  throw new PlatformError(
    'PII_KEY_OTHER',
    `the key of pii: is not the one that ${count} protected values and records in the log were written with; with this one they would all read NULL`,
    {
      hint: 'give the old key back: keys cannot be changed while the log holds what they protect',
      place: keysFile(dir),
    },
  );
}

/** The writing side; one thread holds it. */
export class KeyWriter {
  readonly #database: DatabaseSync;
  readonly #dir: string;
  readonly #get;
  readonly #put;

  /** @throws PII_KEY_OTHER, PII_KEYS, LOG_CORRUPT, LOG_IO, LOG_DISK_FULL */
  constructor(dir: string, keys: MasterKeys) {
    mkdirSync(dir, {recursive: true});
    this.#dir = dir;
    this.#database = openSqliteWriter(
      fileOf(dir),
      () => {},
      (database) => {
        database.exec('PRAGMA secure_delete = ON');
        if (!prove(database, keys, dir)) database.prepare('UPDATE meta SET proof = ?').run(keys.check);
        return database;
      },
    );
    this.#get = this.#database.prepare('SELECT key FROM keys WHERE name = ?');
    this.#put = this.#database.prepare('INSERT INTO keys VALUES (?, ?)');
  }

  /** The key of this name, made if there is none: durable from the next `commit` on. */
  keyOf(name: Buffer): Uint8Array {
    try {
      const known = this.#get.get(name) as {key: Uint8Array} | undefined;
      if (known) return known.key;
      const key = randomBytes(32);
      if (!this.#database.isTransaction) this.#database.exec('BEGIN IMMEDIATE');
      this.#put.run(name, key);
      return key;
    } catch (error) {
      throw logError(error, keysFile(this.#dir));
    }
  }

  /** Whether keys were made since the last commit. */
  get pending(): boolean {
    return this.#database.isTransaction;
  }

  /** Resolves nothing, returns when it is on disk. @throws LOG_DISK_FULL, LOG_IO: the keys since the last commit are gone */
  commit(): void {
    if (!this.#database.isTransaction) return;
    try {
      failpoint('keys.before-commit');
      this.#database.exec('COMMIT');
      failpoint('keys.after-commit');
    } catch (error) {
      this.rollBack();
      throw logError(error, keysFile(this.#dir));
    }
  }

  rollBack(): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
  }

  /** Deletes keys for good: also the write-ahead log does not hold them any more. @returns how many there were */
  destroy(names: readonly Buffer[]): number {
    this.commit();
    try {
      const remove = this.#database.prepare('DELETE FROM keys WHERE name = ?');
      this.#database.exec('BEGIN IMMEDIATE');
      let count = 0;
      for (const name of names) count += Number(remove.run(name).changes);
      this.#database.exec('UPDATE meta SET epoch = epoch + 1');
      failpoint('forget.before-commit');
      this.#database.exec('COMMIT');
      failpoint('forget.after-commit');
      this.truncate();
      return count;
    } catch (error) {
      this.rollBack();
      throw logError(error, keysFile(this.#dir));
    }
  }

  /** Empties the write-ahead log, where deleted keys may still be. @throws PII_KEYS while a reader holds it */
  truncate(): void {
    const {busy} = this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as {busy: number};
    if (busy !== 0)
      throw new PlatformError(
        'PII_KEYS',
        'the keys are deleted, and a reader still holds the file that they were in',
        {
          hint: 'run the command again',
          place: keysFile(this.#dir),
        },
      );
  }

  record({atMs, actor, attribute, key, counts}: Forgotten): void {
    this.#database
      .prepare('INSERT INTO forgotten (at_ms, actor, attribute, name, counts) VALUES (?, ?, ?, ?, ?)')
      .run(atMs, actor, attribute, Buffer.from(key, 'hex'), JSON.stringify(counts));
  }

  close(): void {
    this.rollBack();
    this.#database.close();
  }
}

/** The reading side, in any thread. */
export class KeyReader {
  readonly #dir: string;
  readonly #keys: MasterKeys;
  #database: DatabaseSync | undefined;
  #get: ReturnType<DatabaseSync['prepare']> | undefined;

  constructor(dir: string, keys: MasterKeys) {
    this.#dir = dir;
    this.#keys = keys;
  }

  /** Undefined while nothing was ever protected here. @throws PII_KEY_OTHER, PII_KEYS, LOG_CORRUPT, LOG_IO */
  #open(): DatabaseSync | undefined {
    if (this.#database) return this.#database;
    const database = openSqliteReader(fileOf(this.#dir));
    if (!database) return undefined;
    try {
      prove(database, this.#keys, this.#dir);
    } catch (error) {
      database.close();
      throw error;
    }
    this.#get = database.prepare('SELECT key FROM keys WHERE name = ?');
    this.#database = database;
    return database;
  }

  keyOf(name: Buffer): Uint8Array | undefined {
    if (!this.#open()) return undefined;
    return (this.#get!.get(name) as {key: Uint8Array} | undefined)?.key;
  }

  /** Grows with everything that is forgotten. */
  epoch(): number {
    const row = this.#open()?.prepare('SELECT epoch FROM meta').get() as {epoch: number} | undefined;
    return row?.epoch ?? 0;
  }

  /** What was forgotten here, oldest first. */
  forgotten(): Forgotten[] {
    const rows = this.#open()?.prepare('SELECT * FROM forgotten ORDER BY id').all() ?? [];
    return rows.map((row) => ({
      atMs: Number(row.at_ms),
      actor: String(row.actor),
      attribute: String(row.attribute),
      key: Buffer.from(row.name as Uint8Array).toString('hex'),
      counts: JSON.parse(String(row.counts)) as Record<string, number>,
    }));
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }
}
