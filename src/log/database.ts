/**
 * The embedded log's file: `log.db`, SQLite in WAL mode.
 *
 *   streams  one row a (topic, partition): where it starts and ends, and the checksums at both ends of its chain of batches
 *   batches  one row a batch; `prev_crc` and `crc` chain a stream's batches (chain.ts)
 *   id_*     the ids that a topic remembers, and where their records lie (ids/remember.ts); an id goes when its batch is trimmed
 *   progress where each source stands
 *   ledger   the ingest ledger
 *   transformed  the ledger of transforms
 *   meta     one row: the number of commits so far, compared with the witness (witness.ts), and the checksum of the index of ids
 */
import {join} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {type ErrorCode, PlatformError} from '../errors.ts';
import {emptyIndexCrc, idsSchema} from './ids/store.ts';
import {openSqliteReader, openSqliteWriter, type SqliteFile, troubleOf} from './sqlite.ts';
import {transformedSchema} from './transformed.ts';

/** Version of the file format, in SQLite's user_version. */
const formatVersion = 3;
/** "MRLG": tells the file apart from any other SQLite database. */
const applicationId = 0x4d524c47;
/** The fastest of 4 to 32 KiB, both for batches of 64 KiB and for commits of 1 kB. */
export const pageBytes = 16_384;

const schema = `
  CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, ids_crc INTEGER NOT NULL) STRICT;
  INSERT INTO meta VALUES (1, 0, ${emptyIndexCrc});
  CREATE TABLE streams (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    partitions INTEGER NOT NULL, start_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL, append_ms INTEGER NOT NULL,
    start_crc INTEGER NOT NULL, end_crc INTEGER NOT NULL, crc INTEGER NOT NULL, UNIQUE (topic, partition)) STRICT;
  CREATE TABLE batches (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, base_offset INTEGER NOT NULL,
    count INTEGER NOT NULL, kind INTEGER NOT NULL, append_ms INTEGER NOT NULL, mark_ms INTEGER NOT NULL,
    prev_crc INTEGER NOT NULL, crc INTEGER NOT NULL, ids BLOB, bytes BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX batches_by_offset ON batches (stream, base_offset);
  CREATE TABLE progress (source TEXT PRIMARY KEY, position TEXT NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE ledger (domain TEXT NOT NULL, event_type TEXT NOT NULL, source TEXT NOT NULL, received INTEGER NOT NULL,
    appended INTEGER NOT NULL, duplicate INTEGER NOT NULL, rejected INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (domain, event_type, source)) STRICT, WITHOUT ROWID;
  ${idsSchema}
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

/** What a failure of SQLite or of the file system means for the log; any other error comes back as it is. */
export function logError(error: unknown, place: string): unknown {
  const trouble = troubleOf(error);
  if (!trouble || trouble.kind === 'other') return error;
  const fail = (kind: ErrorCode, message: string, hint: string) =>
    new PlatformError(kind, `${message} (${trouble.words})`, {hint, place, cause: error});
  if (trouble.kind === 'full')
    return fail(
      'LOG_DISK_FULL',
      'no space left for the log',
      'free disk space; nothing of this was appended',
    );
  if (trouble.kind === 'corrupt')
    return fail(
      'LOG_CORRUPT',
      'the log is damaged',
      'restore the directory from a backup, or start a new log',
    );
  return fail('LOG_IO', 'the log cannot be read or written', 'check the disk and restart');
}

const fileOf = (dir: string): SqliteFile => {
  const path = logFile(dir);
  return {
    path,
    applicationId,
    version: formatVersion,
    pageBytes,
    schema,
    // Checkpoints are the writer's own decision: see `writer.ts`.
    autoCheckpointPages: 0,
    // Batches are read once: a large page cache would only copy them.
    readerCacheKiB: 2048,
    check(id, version) {
      if (id !== applicationId)
        throw new PlatformError('LOG_CORRUPT', `${path} is not a Millrace log`, {
          hint: 'restore the directory from a backup, or choose another log.embedded.dir',
          place: path,
        });
      if (version !== formatVersion)
        throw new PlatformError(
          'LOG_FORMAT',
          `${path} has format ${version}, this release reads ${formatVersion}`,
          {hint: 'run the release of Millrace that wrote it', place: path},
        );
    },
    explain: (error) => logError(error, path),
  };
};

/** Opens for the writer; creates the file when there is none. Throws LOG_CORRUPT, LOG_FORMAT, LOG_IO, LOG_DISK_FULL. */
export const openForWriting = (dir: string, acknowledged: number): DatabaseSync =>
  openSqliteWriter(
    fileOf(dir),
    () => {
      if (acknowledged > 0) throw lost(dir, acknowledged);
    },
    (database) => {
      database.exec(transformedSchema);
      return database;
    },
  );

/** Opens for a reader, in any thread or process. Throws LOG_MISSING, LOG_CORRUPT, LOG_FORMAT, LOG_IO. */
export function openForReading(dir: string, acknowledged: number): DatabaseSync {
  const database = openSqliteReader(fileOf(dir));
  if (database) return database;
  if (acknowledged > 0) throw lost(dir, acknowledged);
  throw new PlatformError('LOG_MISSING', `there is no log in ${dir}`, {
    hint: 'run the platform once, or check log.embedded.dir',
    place: logFile(dir),
  });
}
