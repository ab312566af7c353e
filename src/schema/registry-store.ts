/** What the embedded registry keeps: one SQLite file beside the log. Everything here is synchronous and small. */
import {existsSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {DatabaseSync, type SQLInputValue, type StatementSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';
import {checksum} from './registry-document.ts';
import {damaged, failure, missing} from './registry-failure.ts';
import {migrate, versionMax} from './registry-layout.ts';

/** A named type in the schema of another subject. */
export type SchemaReference = {name: string; subject: string; version: number};

/** What a schema says, without where it is registered. */
export type Document = {
  /** As it was registered, without white space; referenced types by name. */
  text: string;
  /** The same with the referenced types in it; what data is read and compared with. */
  whole: string;
  references: SchemaReference[];
  /** Confluent's metadata and rules, as JSON; null for none. */
  metadata: string | null;
  ruleSet: string | null;
  /** Equal for schemas that are the same. */
  identity: string;
  guid: string;
};

/** A version of a subject. */
export type Registration = Document & {
  subject: string;
  version: number;
  id: number;
  deleted: boolean;
  /** When it was registered, epoch ms. */
  timestampMs: number;
};

export type Settings = {config: string | null; mode: string | null};

export type Store = {
  /** Everything or nothing, and nobody else writes meanwhile. */
  transaction<T>(work: () => T): T;
  /** Oldest first, deleted ones too. */
  versions(subject: string): Registration[];
  version(subject: string, version: number): Registration | undefined;
  /** Of all subjects that begin with `prefix`, by subject and version, deleted ones too. */
  all(prefix: string): Registration[];
  /** Where an id is registered, by subject and version, deleted ones too. */
  ofId(id: number): Registration[];
  /** A schema by its id, whether or not a version still has it. */
  document(id: number): Registration | undefined;
  idsOf(column: 'identity' | 'guid', value: string): number[];
  /** A subject and whether all its versions are deleted, in alphabetical order. */
  subjects(prefix: string): {subject: string; deleted: boolean}[];
  /** Ids of the schemas that reference a version, ascending. */
  referrers(subject: string, version: number): number[];
  /** @param id the one to give it; undefined: the next. @returns the id. */
  addDocument(document: Document, first: {subject: string; version: number}, id?: number): number;
  addVersion(row: {subject: string; version: number; id: number; timestampMs: number}): void;
  markDeleted(subject: string, version: number): void;
  /** Takes a version away, and its schema when no version is left of it. */
  remove(subject: string, version: number): void;
  idMax(): number;
  settings(subject: string): Settings;
  putSettings(subject: string, settings: Settings): void;
  /** Subjects with settings of their own; '' is the global one. */
  settingsOfAll(): ({subject: string} & Settings)[];
  /** Whether the platform itself writes with a version of this schema; `claim` notes that it does. */
  isOwn(subject: string, id: number): boolean;
  claim(subject: string, id: number): void;
  ownIds(): number[];
  close(): void;
};

/**
 * Opens `<dir>/registry.db`. @throws PlatformError REGISTRY_MISSING when it is to be read only and is not there;
 * REGISTRY_CORRUPT when it is damaged, REGISTRY_UNAVAILABLE when SQLite cannot open it or a newer release wrote it.
 */
export function openStore(dir: string, readOnly: boolean): {store: Store; path: string} {
  const path = join(dir, 'registry.db');
  if (readOnly && !existsSync(path)) throw missing(path);
  if (!readOnly) mkdirSync(dir, {recursive: true});
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, {readOnly, timeout: 5_000});
    if (!readOnly) db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    const {user_version: version} = db.prepare('PRAGMA user_version').get() as {user_version: number};
    if (version > versionMax)
      throw new PlatformError('REGISTRY_UNAVAILABLE', 'a newer release of millrace wrote the registry', {
        place: path,
        hint: 'run that release, or put a backup of before its first start back',
      });
    if (version < versionMax) {
      if (readOnly) throw missing(path);
      migrate(db);
    }
    return {store: storeOf(db, path), path};
  } catch (cause) {
    db?.close();
    throw failure(path, cause);
  }
}

type Row = Omit<Registration, 'references' | 'deleted'> & {refs: string; deleted: number; sha256: string};

const columns =
  'd.id, d.text, d.whole, d.refs, d.metadata, d.rule_set AS ruleSet, d.identity, d.guid, d.sha256';
const registered = `SELECT r.subject, r.version, r.deleted, r.timestamp_ms AS timestampMs, ${columns}
  FROM registrations r JOIN documents d ON d.id = r.id`;

function storeOf(db: DatabaseSync, path: string): Store {
  const statements = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    let found = statements.get(sql);
    if (!found) statements.set(sql, (found = db.prepare(sql)));
    return found;
  };
  const all = (sql: string, ...values: SQLInputValue[]) => statement(sql).all(...values) as unknown[];
  const run = (sql: string, ...values: SQLInputValue[]) => statement(sql).run(...values);

  const read = (row: unknown): Registration => {
    const {refs, deleted, sha256, ...rest} = row as Row;
    if (checksum(rest.text, rest.whole) !== sha256)
      throw damaged(path, `schema ${rest.id} differs from its checksum`);
    return {...rest, references: JSON.parse(refs) as SchemaReference[], deleted: deleted !== 0};
  };
  const rows = (sql: string, ...values: SQLInputValue[]) => all(sql, ...values).map(read);

  return {
    transaction(work) {
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        // A failed COMMIT can have rolled back by itself.
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error;
      }
    },
    versions: (subject) => rows(`${registered} WHERE r.subject = ? ORDER BY r.version`, subject),
    version: (subject, version) =>
      rows(`${registered} WHERE r.subject = ? AND r.version = ?`, subject, version)[0],
    all: (prefix) =>
      rows(`${registered} WHERE substr(r.subject, 1, length(?1)) = ?1 ORDER BY r.subject, r.version`, prefix),
    ofId: (id) => rows(`${registered} WHERE r.id = ? ORDER BY r.subject, r.version`, id),
    document: (id) =>
      rows(
        `SELECT d.subject, d.version, 0 AS deleted, 0 AS timestampMs, ${columns} FROM documents d WHERE d.id = ?`,
        id,
      )[0],
    idsOf: (column, value) =>
      (all(`SELECT id FROM documents WHERE ${column} = ? ORDER BY id`, value) as {id: number}[]).map(
        ({id}) => id,
      ),
    subjects: (prefix) =>
      (
        all(
          `SELECT subject, min(deleted) AS deleted FROM registrations
           WHERE substr(subject, 1, length(?1)) = ?1 GROUP BY subject ORDER BY subject`,
          prefix,
        ) as {subject: string; deleted: number}[]
      ).map(({subject, deleted}) => ({subject, deleted: deleted !== 0})),
    referrers: (subject, version) =>
      (
        all('SELECT id FROM links WHERE subject = ? AND version = ? ORDER BY id', subject, version) as {
          id: number;
        }[]
      ).map(({id}) => id),
    addDocument(document, first, id) {
      const {text, whole, references, metadata, ruleSet, identity, guid} = document;
      const {lastInsertRowid} = run(
        `INSERT INTO documents (id, text, whole, refs, metadata, rule_set, identity, guid, sha256, subject, version)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id ?? null,
        text,
        whole,
        JSON.stringify(references),
        metadata,
        ruleSet,
        identity,
        guid,
        checksum(text, whole),
        first.subject,
        first.version,
      );
      const given = Number(lastInsertRowid);
      for (const {subject, version} of references)
        run('INSERT OR IGNORE INTO links (id, subject, version) VALUES (?, ?, ?)', given, subject, version);
      return given;
    },
    addVersion: ({subject, version, id, timestampMs}) =>
      void run(
        'INSERT INTO registrations (subject, version, id, deleted, timestamp_ms) VALUES (?, ?, ?, 0, ?)',
        subject,
        version,
        id,
        timestampMs,
      ),
    markDeleted: (subject, version) =>
      void run('UPDATE registrations SET deleted = 1 WHERE subject = ? AND version = ?', subject, version),
    remove(subject, version) {
      const [row] = all('SELECT id FROM registrations WHERE subject = ? AND version = ?', subject, version);
      run('DELETE FROM registrations WHERE subject = ? AND version = ?', subject, version);
      const {id} = row as {id: number};
      if (all('SELECT 1 FROM registrations WHERE id = ? LIMIT 1', id).length > 0) return;
      run('DELETE FROM links WHERE id = ?', id);
      run('DELETE FROM documents WHERE id = ?', id);
    },
    idMax: () => (all('SELECT coalesce(max(id), 0) AS id FROM documents')[0] as {id: number}).id,
    settings: (subject) =>
      (all('SELECT config, mode FROM settings WHERE subject = ?', subject)[0] as Settings | undefined) ?? {
        config: null,
        mode: null,
      },
    putSettings: (subject, {config, mode}) =>
      void (config === null && mode === null
        ? run('DELETE FROM settings WHERE subject = ?', subject)
        : run(
            'INSERT OR REPLACE INTO settings (subject, config, mode) VALUES (?, ?, ?)',
            subject,
            config,
            mode,
          )),
    settingsOfAll: () =>
      all('SELECT subject, config, mode FROM settings ORDER BY subject') as ({subject: string} & Settings)[],
    isOwn: (subject, id) =>
      all('SELECT 1 FROM own_schemas WHERE subject = ? AND id = ?', subject, id).length > 0,
    claim: (subject, id) =>
      void run('INSERT OR IGNORE INTO own_schemas (subject, id) VALUES (?, ?)', subject, id),
    ownIds: () =>
      (all('SELECT DISTINCT id FROM own_schemas ORDER BY id') as {id: number}[]).map(({id}) => id),
    close: () => db.close(),
  };
}
