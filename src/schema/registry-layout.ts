/** Tables of the registry's file, and how the files of earlier releases become such. */
import {createHash} from 'node:crypto';
import type {DatabaseSync} from 'node:sqlite';
import {checksum, documentOf} from './registry-document.ts';

/** The layout that this release writes; SQLite's `user_version`. */
export const versionMax = 2;

// Ids are never given twice (AUTOINCREMENT), also after the schema of the highest one was deleted for good.
const tables = `
  CREATE TABLE documents (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, whole TEXT NOT NULL, refs TEXT NOT NULL,
    metadata TEXT, rule_set TEXT, identity TEXT NOT NULL, guid TEXT NOT NULL, sha256 TEXT NOT NULL,
    subject TEXT NOT NULL, version INTEGER NOT NULL) STRICT;
  CREATE INDEX documents_identity ON documents (identity);
  CREATE INDEX documents_guid ON documents (guid);
  CREATE TABLE registrations (subject TEXT NOT NULL, version INTEGER NOT NULL, id INTEGER NOT NULL REFERENCES documents,
    deleted INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL, PRIMARY KEY (subject, version)) STRICT, WITHOUT ROWID;
  CREATE INDEX registrations_id ON registrations (id);
  CREATE TABLE links (subject TEXT NOT NULL, version INTEGER NOT NULL, id INTEGER NOT NULL REFERENCES documents,
    PRIMARY KEY (subject, version, id)) STRICT, WITHOUT ROWID;
  CREATE TABLE settings (subject TEXT PRIMARY KEY, config TEXT, mode TEXT) STRICT, WITHOUT ROWID;
  CREATE TABLE own_schemas (subject TEXT NOT NULL, id INTEGER NOT NULL REFERENCES documents, PRIMARY KEY (subject, id)) STRICT, WITHOUT ROWID;
`;

/** Makes the tables; what a first release wrote (`schemas`, `versions`) is taken over with its ids. */
export function migrate(db: DatabaseSync): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    const {user_version: version} = db.prepare('PRAGMA user_version').get() as {user_version: number};
    // Another process may have been faster.
    if (version < versionMax) {
      db.exec(tables);
      if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schemas'").get()) takeOver(db);
      db.exec(`PRAGMA user_version = ${versionMax}`);
    }
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function takeOver(db: DatabaseSync): void {
  const old = db.prepare(
    'SELECT s.id, s.text, s.sha256, v.subject, v.version FROM versions v JOIN schemas s USING (id) ORDER BY s.id, v.subject, v.version',
  );
  const document = db.prepare(
    "INSERT OR IGNORE INTO documents VALUES (?, ?, ?, '[]', NULL, NULL, ?, ?, ?, ?, ?)",
  );
  const version = db.prepare('INSERT INTO registrations VALUES (?, ?, ?, 0, 0)');
  const own = db.prepare('INSERT INTO own_schemas VALUES (?, ?)');
  for (const row of old.all() as {
    id: number;
    text: string;
    sha256: string;
    subject: string;
    version: number;
  }[]) {
    const {id, text, subject} = row;
    // A damaged text is left to be found when it is read: its checksum stays wrong.
    const sound = createHash('sha256').update(text).digest('hex') === row.sha256;
    const made = sound
      ? documentOf({text}, () => undefined, {checkDefaults: false, normal: false})
      : {text, whole: text, identity: '', guid: ''};
    const sum = sound ? checksum(made.text, made.whole) : row.sha256;
    document.run(id, made.text, made.whole, made.identity, made.guid, sum, subject, row.version);
    version.run(subject, row.version, id);
    own.run(subject, id);
  }
  db.exec('DROP TABLE versions; DROP TABLE schemas');
}
