/** How a SQLite file of ours is opened: the log's, the checkpoint store's. */
import {existsSync} from 'node:fs';
import {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';

/** What one kind of file is. */
export type SqliteFile = {
  path: string;
  /** Tells the file apart from any other SQLite database. */
  applicationId: number;
  /** Version of its format, in SQLite's user_version. */
  version: number;
  pageBytes: number;
  /** Statements that make its tables. */
  schema: string;
  /** The WAL's pages after which a commit moves them into the file; 0: the writer says when. */
  autoCheckpointPages: number;
  /** Page cache of a reader, KiB. */
  readerCacheKiB: number;
  /** @throws when the file is none of its kind, or of a version that is not read */
  check(applicationId: number, version: number): void;
  /** What a failure of SQLite or of the file system means for it. */
  explain(error: unknown): unknown;
};

/** How long another connection's lock is waited for, ms. */
const lockMs = 5_000;

function integerPragma(database: DatabaseSync, name: string): number {
  return Object.values(database.prepare(`PRAGMA ${name}`).get()!)[0] as number;
}

/** No table yet: new, or its creation was cut short before the schema was committed. */
function isEmpty(database: DatabaseSync): boolean {
  const {tables} = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as {tables: number};
  return tables === 0 && integerPragma(database, 'application_id') === 0;
}

const check = (file: SqliteFile, database: DatabaseSync): void =>
  file.check(integerPragma(database, 'application_id'), integerPragma(database, 'user_version'));

/**
 * Opens for the one writer, in WAL mode with every commit on disk; makes the tables when there are none. A commit that was
 * acknowledged is there after a power cut.
 * @param onNew before the tables are made: throws when there should be some
 * @param onOpen the last step; what it throws is explained, too
 */
export function openSqliteWriter<T>(
  file: SqliteFile,
  onNew: () => void,
  onOpen: (database: DatabaseSync) => T,
): T {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file.path, {timeout: lockMs});
    if (isEmpty(database)) {
      onNew();
      database.exec(`PRAGMA page_size = ${file.pageBytes}; PRAGMA journal_mode = WAL`);
      database.exec(`BEGIN IMMEDIATE; ${file.schema}
        PRAGMA application_id = ${file.applicationId}; PRAGMA user_version = ${file.version}; COMMIT`);
    }
    check(file, database);
    database.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = ${file.autoCheckpointPages};
      PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY`);
    return onOpen(database);
  } catch (error) {
    database?.close();
    throw file.explain(error);
  }
}

/** Opens for a reader, in any thread or process; undefined when there is no such file or no table in it yet. */
export function openSqliteReader(file: SqliteFile): DatabaseSync | undefined {
  if (!existsSync(file.path)) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file.path, {readOnly: true, timeout: lockMs});
    if (isEmpty(database)) {
      database.close();
      return undefined;
    }
    check(file, database);
    database.exec(`PRAGMA cache_size = -${file.readerCacheKiB}; PRAGMA query_only = ON`);
    return database;
  } catch (error) {
    database?.close();
    throw file.explain(error);
  }
}

/** What a failure of SQLite or of the file system is; undefined for any other error, and for one that is explained already. */
export type SqliteTrouble = {
  /** `corrupt` also for a file that is no database; `other`: SQLite's, for a reason of its own. */
  kind: 'full' | 'corrupt' | 'io' | 'other';
  /** The system's own words. */
  words: string;
};

const resultFull = 13;
const kinds: Record<number, SqliteTrouble['kind']> = {
  [resultFull]: 'full',
  11: 'corrupt',
  26: 'corrupt',
  10: 'io',
  14: 'io',
  8: 'io',
};

/** @returns undefined for an error that comes from neither SQLite nor the file system */
export function troubleOf(error: unknown): SqliteTrouble | undefined {
  const {errcode, errstr, code, syscall} = error as {
    errcode?: number;
    errstr?: string;
  } & NodeJS.ErrnoException;
  if (error instanceof PlatformError || (errcode === undefined && syscall === undefined)) return undefined;
  const words = String(errstr ?? code);
  if (errcode === undefined) return {kind: code === 'ENOSPC' ? 'full' : 'io', words};
  return {kind: kinds[errcode & 0xff] ?? 'other', words};
}
