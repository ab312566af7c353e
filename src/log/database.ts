/**
 * The embedded log's file: `log.db`, SQLite in WAL mode.
 *
 *   streams  one row a (topic, partition): where it starts and ends, and the checksums at both ends of its chain of batches
 *   batches  one row a batch; `prev_crc` and `crc` chain a stream's batches (chain.ts)
 *   ids      the ids that a topic remembers, and where their records lie (`place` is the offset); an id goes when its batch is trimmed
 *   progress where each source stands
 *   ledger   the ingest ledger
 *   transformed  the ledger of transforms
 *   meta     one row: the number of commits so far, compared with the witness (witness.ts)
 */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type ErrorCode, PlatformError} from '../errors.ts';
import {transformedSchema} from './transformed.ts';

/** Version of the file format, in SQLite's user_version. */
const formatVersion = 2;
/** "MRLG": tells the file apart from any other SQLite database. */
const applicationId = 0x4d524c47;
/** The fastest of 4 to 32 KiB, both for batches of 64 KiB and for commits of 1 kB. */
export const pageBytes = 16_384;

const schema = `
  CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL) STRICT;
  INSERT INTO meta VALUES (1, 0);
  CREATE TABLE streams (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    partitions INTEGER NOT NULL, start_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL, append_ms INTEGER NOT NULL,
    start_crc INTEGER NOT NULL, end_crc INTEGER NOT NULL, crc INTEGER NOT NULL, UNIQUE (topic, partition)) STRICT;
  CREATE TABLE batches (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, base_offset INTEGER NOT NULL,
    count INTEGER NOT NULL, kind INTEGER NOT NULL, append_ms INTEGER NOT NULL, mark_ms INTEGER NOT NULL,
    prev_crc INTEGER NOT NULL, crc INTEGER NOT NULL, ids BLOB, bytes BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX batches_by_offset ON batches (stream, base_offset);
  CREATE TABLE ids (topic TEXT NOT NULL, id ANY NOT NULL, partition INTEGER, place INTEGER, PRIMARY KEY (topic, id)) STRICT, WITHOUT ROWID;
  CREATE TABLE progress (source TEXT PRIMARY KEY, position TEXT NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE ledger (domain TEXT NOT NULL, event_type TEXT NOT NULL, source TEXT NOT NULL, received INTEGER NOT NULL,
    appended INTEGER NOT NULL, duplicate INTEGER NOT NULL, rejected INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (domain, event_type, source)) STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${formatVersion};
`;

/** Path of the log's database in its directory. */
export const logFile = (dir: string) => join(dir, 'log.db');

/** Path of the log's witness in its directory; see witness.ts. */
export const witnessFile = (dir: string) => join(dir, 'log.head');

/** LOG_CORRUPT: commits that were acknowledged (witness.ts) are not in the database. */
function lost(dir: string, commits: number): PlatformError {
  return new PlatformError(
    'LOG_CORRUPT',
    `the log in ${dir} ends ${commits} commits before the last that was acknowledged`,
    {
      hint: 'restore log.db and log.db-wal from a backup; to accept the loss, delete log.head',
      place: `${logFile(dir)}-wal`,
    },
  );
}

/** Commits in the database. Throws LOG_CORRUPT when they are fewer than were acknowledged. */
export function commitsIn(database: DatabaseSync, dir: string, acknowledged: number): number {
  const {sequence} = database.prepare('SELECT sequence FROM meta').get() as {sequence: number};
  if (sequence < acknowledged) throw lost(dir, acknowledged - sequence);
  return sequence;
}

const resultFull = 13;
const resultIo = 10;
const corruptResults = new Set([11, 26]);

/** What a failure of SQLite or of the file system means for the log; any other error comes back as it is. */
export function logError(error: unknown, place: string): unknown {
  const {errcode, errstr, code, syscall} = error as {
    errcode?: number;
    errstr?: string;
  } & NodeJS.ErrnoException;
  if (error instanceof PlatformError || (errcode === undefined && syscall === undefined)) return error;
  const fail = (kind: ErrorCode, message: string, hint: string) =>
    new PlatformError(kind, `${message} (${errstr ?? code})`, {hint, place, cause: error});
  const result = errcode === undefined ? (code === 'ENOSPC' ? resultFull : resultIo) : errcode & 0xff;
  if (result === resultFull)
    return fail(
      'LOG_DISK_FULL',
      'no space left for the log',
      'free disk space; nothing of this was appended',
    );
  if (corruptResults.has(result))
    return fail(
      'LOG_CORRUPT',
      'the log is damaged',
      'restore the directory from a backup, or start a new log',
    );
  if (result === resultIo || result === 14 || result === 8)
    return fail('LOG_IO', 'the log cannot be read or written', 'check the disk and restart');
  return error;
}

function integerPragma(database: DatabaseSync, name: string): number {
  return Object.values(database.prepare(`PRAGMA ${name}`).get()!)[0] as number;
}

/** No table yet: new, or its creation was cut short before the schema was committed. */
function isEmpty(database: DatabaseSync): boolean {
  const {tables} = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as {tables: number};
  return tables === 0 && integerPragma(database, 'application_id') === 0;
}

function checkFormat(database: DatabaseSync, path: string): void {
  if (integerPragma(database, 'application_id') !== applicationId)
    throw new PlatformError('LOG_CORRUPT', `${path} is not a Millrace log`, {
      hint: 'restore the directory from a backup, or choose another log.embedded.dir',
      place: path,
    });
  const version = integerPragma(database, 'user_version');
  if (version !== formatVersion)
    throw new PlatformError(
      'LOG_FORMAT',
      `${path} has format ${version}, this release reads ${formatVersion}`,
      {
        hint: 'run the release of Millrace that wrote it',
        place: path,
      },
    );
}

/** Opens for the writer; creates the file when there is none. Throws LOG_CORRUPT, LOG_FORMAT, LOG_IO, LOG_DISK_FULL. */
export function openForWriting(dir: string, acknowledged: number): DatabaseSync {
  const path = logFile(dir);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, {timeout: 5_000});
    if (isEmpty(database)) {
      if (acknowledged > 0) throw lost(dir, acknowledged);
      database.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA journal_mode = WAL`);
      database.exec(`BEGIN IMMEDIATE; ${schema} COMMIT`);
    }
    checkFormat(database, path);
    database.exec(transformedSchema);
    // Checkpoints are the writer's own decision: see `writer.ts`.
    database.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
      PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY`);
    return database;
  } catch (error) {
    database?.close();
    throw logError(error, path);
  }
}

const missing = (dir: string, acknowledged: number) =>
  acknowledged > 0
    ? lost(dir, acknowledged)
    : new PlatformError('LOG_MISSING', `there is no log in ${dir}`, {
        hint: 'run the platform once, or check log.embedded.dir',
        place: logFile(dir),
      });

/** Opens for a reader, in any thread or process. Throws LOG_MISSING, LOG_CORRUPT, LOG_FORMAT, LOG_IO. */
export function openForReading(dir: string, acknowledged: number): DatabaseSync {
  const path = logFile(dir);
  if (!existsSync(path)) throw missing(dir, acknowledged);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, {readOnly: true, timeout: 5_000});
    if (isEmpty(database)) throw missing(dir, acknowledged);
    checkFormat(database, path);
    // Batches are read once: a large page cache would only copy them.
    database.exec('PRAGMA cache_size = -2048; PRAGMA query_only = ON');
    return database;
  } catch (error) {
    database?.close();
    throw logError(error, path);
  }
}
