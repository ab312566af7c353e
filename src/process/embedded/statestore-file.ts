/**
 * The file of the checkpoint store: `state.db`, SQLite in WAL mode.
 *
 *   checkpoints  one row a query: epoch, meta, and number, size and combined checksum of its state rows
 *   state        the state rows of a query, by key
 *   journal      entries that outlive the state (switches of lookups), in order
 *   meta         one row: the number of commits so far, compared with the witness (src/log/witness.ts); who holds the lease;
 *                of a copy of an object store: of which history it is one
 *   files        of such a copy: the files beside it that the object store has, by the hash of their content
 *
 * Every row carries a CRC. The combined checksum (XOR of the rows' CRCs) is the checkpoint's own word for which rows belong to
 * it, so that a row that is lost, left over or of another epoch is noticed as well as one that was altered.
 */
import {join} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {crc32} from 'node:zlib';
import {type ErrorCode, PlatformError} from '../../errors.ts';
import {openSqliteReader, openSqliteWriter, type SqliteFile, troubleOf} from '../../log/sqlite.ts';

/** Version of the file format, in SQLite's user_version. 1 knew no leases: the one who writes alters it, readers read both. */
const formatVersion = 2;
/** "MRST": tells the file apart from any other SQLite database. */
const applicationId = 0x4d525354;

/** What version 2 added. `stamp` changes with every renewal; `history` is empty but in a copy of an object store. */
const leases = `
  ALTER TABLE meta ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE meta ADD COLUMN holder TEXT;
  ALTER TABLE meta ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE meta ADD COLUMN history TEXT NOT NULL DEFAULT '';
  CREATE TABLE files (path TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;

const schema = `
  CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL) STRICT;
  INSERT INTO meta VALUES (1, 0);
  ${leases}
  CREATE TABLE checkpoints (id INTEGER PRIMARY KEY, query TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL, meta TEXT NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, rows_crc INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE state (id INTEGER PRIMARY KEY, query INTEGER NOT NULL, key TEXT NOT NULL, crc INTEGER NOT NULL,
    bytes BLOB NOT NULL, UNIQUE (query, key)) STRICT;
  CREATE TABLE journal (query TEXT NOT NULL, number INTEGER NOT NULL, entry TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (query, number)) STRICT, WITHOUT ROWID;
`;

/** Path of the store's database in its directory. */
export const stateFile = (dir: string) => join(dir, 'state.db');

/** Path of the store's witness in its directory. */
export const stateWitness = (dir: string) => join(dir, 'state.head');

/** A row of `checkpoints`. */
export type CheckpointRow = {
  id: number;
  query: string;
  epoch: number;
  meta: string;
  rows: number;
  bytes: number;
  rowsCrc: number;
};

/** CRC of a row of `checkpoints`. */
export const checkpointCrc = ({query, epoch, meta, rows, bytes, rowsCrc}: Omit<CheckpointRow, 'id'>) =>
  crc32(JSON.stringify([query, epoch, meta, rows, bytes, rowsCrc]));

/** CRC of a row of `state`. */
export const stateCrc = (query: string, key: string, bytes: Uint8Array) =>
  crc32(bytes, crc32(JSON.stringify([query, key])));

/** CRC of a row of `journal`. */
export const journalCrc = (query: string, number: number, entry: string) =>
  crc32(JSON.stringify([query, number, entry]));

/**
 * CHECKPOINT_CORRUPT of one query: its state can be dropped and read again from the log.
 * @param hint the way out where a rebuild needs what is damaged
 */
export const corruptCheckpoint = (query: string, what: string, hint?: string) =>
  new PlatformError('CHECKPOINT_CORRUPT', `the checkpoint of ${query} is damaged: ${what}`, {
    hint: hint ?? `make its rows again from the log: npx millrace rebuild ${query.replace(/\/r\d+$/, '')}`,
    place: query,
  });

/** What a failure of SQLite or of the file system means for the store; any other error comes back as it is. */
export function stateError(error: unknown, place: string): unknown {
  const trouble = troubleOf(error);
  if (!trouble) return error;
  const fail = (kind: ErrorCode, message: string, hint: string) =>
    new PlatformError(kind, `${message} (${trouble.words})`, {hint, place, cause: error});
  if (trouble.kind === 'full')
    return fail(
      'CHECKPOINT_DISK_FULL',
      'no space left for checkpoints',
      'make room: what runs is tried again by itself',
    );
  if (trouble.kind === 'corrupt')
    return fail(
      'CHECKPOINT_CORRUPT',
      'the checkpoint store is damaged',
      'move the directory away: state is read again from the log',
    );
  return fail('CHECKPOINT_IO', 'the checkpoint store cannot be used', 'check the disk and restart');
}

const fileOf = (dir: string): SqliteFile => {
  const path = stateFile(dir);
  return {
    path,
    applicationId,
    version: formatVersion,
    pageBytes: 8192,
    schema,
    autoCheckpointPages: 2000,
    readerCacheKiB: 4096,
    check(id, version) {
      if (id !== applicationId || version < 1)
        throw new PlatformError('CHECKPOINT_CORRUPT', `${path} is not a Millrace checkpoint store`, {
          hint: 'move the file away: state is read again from the log',
          place: path,
        });
      if (version > formatVersion)
        throw new PlatformError(
          'CHECKPOINT_NEWER',
          `${path} has format ${version}, this release reads up to ${formatVersion}`,
          {hint: 'run the release of Millrace that wrote it', place: path},
        );
    },
    explain: (error) => stateError(error, path),
  };
};

const lost = (path: string, commits: number) =>
  new PlatformError('CHECKPOINT_CORRUPT', `${path} lost ${commits} commits that were acknowledged`, {
    hint: 'move the directory away: state is read again from the log',
    place: `${path}-wal`,
  });

/**
 * Opens for the writer; creates the file when there is none. Throws CHECKPOINT_CORRUPT, also when commits that were
 * acknowledged are missing, CHECKPOINT_NEWER, CHECKPOINT_IO, CHECKPOINT_DISK_FULL.
 */
export function openStateForWriting(
  dir: string,
  acknowledged: number,
): {database: DatabaseSync; sequence: number} {
  const path = stateFile(dir);
  return openSqliteWriter(
    fileOf(dir),
    () => {
      // A store whose very schema went with the write-ahead log is damaged, not new.
      if (acknowledged > 0) throw lost(path, acknowledged);
    },
    (database) => {
      addLeases(database);
      const {sequence} = database.prepare('SELECT sequence FROM meta').get() as {sequence: number};
      if (sequence < acknowledged) throw lost(path, acknowledged - sequence);
      return {database, sequence};
    },
  );
}

/** A file of an older release becomes one of this. Two who do it at once: the second finds it done. */
function addLeases(database: DatabaseSync): void {
  const version = () =>
    (database.prepare('PRAGMA user_version').get() as {user_version: number}).user_version;
  if (version() !== 1) return;
  database.exec('BEGIN IMMEDIATE');
  if (version() === 1) database.exec(`${leases} PRAGMA user_version = ${formatVersion}`);
  database.exec('COMMIT');
}

/** Opens for a reader; undefined when there is no store yet. Throws CHECKPOINT_CORRUPT, CHECKPOINT_NEWER, CHECKPOINT_IO. */
export const openStateForReading = (dir: string): DatabaseSync | undefined => openSqliteReader(fileOf(dir));
