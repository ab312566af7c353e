/** The schema registry: ids for schemas, versions for subjects. The embedded one is a SQLite file beside the log. */
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../errors.ts';
import type {Compatibility, Platform} from '../model/types.ts';
import {avroSchema, normalForm} from './avro.ts';
import {type CompatibilityReason, checkCompatibility} from './compatibility.ts';
import {replayEntrySchema, replayEventSchema, replayJournalTopic, replayTopic} from './replay.ts';
import {deadLetterSchema, lateSchema} from './side.ts';
import type {AvroSchema, RegisteredSchema} from './types.ts';

export type SchemaRegistry = {
  /**
   * Registers a schema under a subject, or finds it there. The same schema (see `normalForm`) has one id in all subjects.
   * @param mode the rule towards the subject's earlier versions, backward by default.
   * @throws PlatformError SCHEMA_INCOMPATIBLE with every reason.
   */
  register(subject: string, schema: AvroSchema, mode?: Compatibility): Promise<RegisteredSchema>;
  /** The schema of an id, with the first subject and version that it was registered as; undefined when there is none. */
  byId(id: number): Promise<RegisteredSchema | undefined>;
  latest(subject: string): Promise<RegisteredSchema | undefined>;
  /** Of a subject, oldest first. */
  versions(subject: string): Promise<RegisteredSchema[]>;
  /** In alphabetical order. */
  subjects(): Promise<string[]>;
  /** What `register` would object to; an empty list: nothing. */
  check(subject: string, schema: AvroSchema, mode?: Compatibility): Promise<CompatibilityReason[]>;
  close(): void;
};

type Row = {id: number; subject: string; version: number; text: string; sha256: string};

const tables = `
  CREATE TABLE IF NOT EXISTS schemas (id INTEGER PRIMARY KEY AUTOINCREMENT, normal TEXT NOT NULL UNIQUE, text TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS versions (subject TEXT NOT NULL, version INTEGER NOT NULL, id INTEGER NOT NULL REFERENCES schemas, PRIMARY KEY (subject, version), UNIQUE (subject, id)) STRICT, WITHOUT ROWID;
`;
const select =
  'SELECT s.id, v.subject, v.version, s.text, s.sha256 FROM versions v JOIN schemas s USING (id)';

/**
 * Opens `<dir>/registry.db`. One thread or process writes at a time (SQLite's lock, 5 s); any number read.
 * @throws PlatformError REGISTRY_MISSING when it is to be read only and is not there; REGISTRY_CORRUPT when it is damaged, REGISTRY_UNAVAILABLE when SQLite cannot open it.
 */
export function openEmbeddedRegistry(dir: string, options: {readOnly?: boolean} = {}): SchemaRegistry {
  const path = join(dir, 'registry.db');
  const readOnly = options.readOnly ?? false;
  if (readOnly && !existsSync(path)) throw missing(path);
  if (!readOnly) mkdirSync(dir, {recursive: true});
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, {readOnly, timeout: 5_000});
    if (!readOnly) db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${tables}`);
    return embeddedRegistry(db, path);
  } catch (cause) {
    db?.close();
    throw failure(path, cause);
  }
}

const notADatabase = 26;
const corrupt = 11;
const noSuchTable = 1;

/** SQLite's failure as the operator's; anything else is passed on. */
function failure(path: string, cause: unknown): unknown {
  const {code, errcode, message} = cause as {code?: string; errcode?: number; message: string};
  if (code !== 'ERR_SQLITE_ERROR' || errcode === undefined) return cause;
  const primary = errcode & 255;
  // A reader can open the file between its creation and that of its tables.
  if (primary === noSuchTable) return missing(path);
  return primary === notADatabase || primary === corrupt
    ? damaged(path, message, cause)
    : new PlatformError('REGISTRY_UNAVAILABLE', `the schema registry cannot be used: ${message}`, {
        place: path,
        hint: 'see whether the disk is full or another process holds the file',
        cause,
      });
}

const missing = (path: string): PlatformError =>
  new PlatformError('REGISTRY_MISSING', 'there is no schema registry yet', {
    place: path,
    hint: 'start the platform once: it registers the schemas of its event types',
  });

const damaged = (path: string, message: string, cause?: unknown): PlatformError =>
  new PlatformError('REGISTRY_CORRUPT', message, {
    place: path,
    hint: 'put the file back from a backup: without it the log cannot be decoded',
    cause,
  });

function embeddedRegistry(db: DatabaseSync, path: string): SchemaRegistry {
  const bySubject = db.prepare(`${select} WHERE v.subject = ? ORDER BY v.version`);
  const firstOfId = db.prepare(`${select} WHERE s.id = ? ORDER BY v.subject, v.version LIMIT 1`);
  const allSubjects = db.prepare('SELECT DISTINCT subject FROM versions ORDER BY subject');
  const idOf = db.prepare('SELECT id FROM schemas WHERE normal = ?');
  // What an id means never changes, so it is read and checked once.
  const known = new Map<number, RegisteredSchema>();

  const read = (row: Row): RegisteredSchema => {
    const {id, subject, version} = row;
    if (sha256(row.text) !== row.sha256) throw damaged(path, `schema ${id} differs from its checksum`);
    return {id, subject, version, schema: JSON.parse(row.text) as AvroSchema};
  };
  const versions = (subject: string) => (bySubject.all(subject) as unknown as Row[]).map(read);
  const reasons = (schema: AvroSchema, mode: Compatibility, earlier: RegisteredSchema[]) =>
    checkCompatibility(
      mode,
      schema,
      earlier.map((version) => version.schema),
    );

  const register = (subject: string, schema: AvroSchema, mode: Compatibility): RegisteredSchema => {
    const normal = normalForm(schema);
    const earlier = versions(subject);
    const same = earlier.find((version) => normalForm(version.schema) === normal);
    if (same) return same;
    const wrong = reasons(schema, mode, earlier);
    if (wrong.length > 0) throw incompatible(subject, mode, earlier, wrong);
    let id = (idOf.get(normal) as {id: number} | undefined)?.id;
    if (id === undefined) {
      const text = JSON.stringify(schema);
      const insert = db.prepare('INSERT INTO schemas (normal, text, sha256) VALUES (?, ?, ?)');
      id = Number(insert.run(normal, text, sha256(text)).lastInsertRowid);
    }
    const version = (earlier.at(-1)?.version ?? 0) + 1;
    db.prepare('INSERT INTO versions (subject, version, id) VALUES (?, ?, ?)').run(subject, version, id);
    return {id, subject, version, schema};
  };

  const guarded = async <T>(work: () => T): Promise<T> => {
    try {
      return work();
    } catch (cause) {
      throw failure(path, cause);
    }
  };
  return {
    register: (subject, schema, mode = 'backward') =>
      guarded(() => {
        // The versions that the check saw are the ones that the insert follows, also with another writer about.
        db.exec('BEGIN IMMEDIATE');
        try {
          const registered = register(subject, schema, mode);
          db.exec('COMMIT');
          return registered;
        } catch (error) {
          // A failed COMMIT can have rolled back by itself.
          if (db.isTransaction) db.exec('ROLLBACK');
          throw error;
        }
      }),
    byId: (id) =>
      guarded(() => {
        const before = known.get(id);
        if (before) return before;
        const row = firstOfId.get(id) as unknown as Row | undefined;
        if (!row) return undefined;
        const registered = read(row);
        known.set(id, registered);
        return registered;
      }),
    latest: (subject) => guarded(() => versions(subject).at(-1)),
    versions: (subject) => guarded(() => versions(subject)),
    subjects: () => guarded(() => (allSubjects.all() as {subject: string}[]).map((row) => row.subject)),
    check: (subject, schema, mode = 'backward') => guarded(() => reasons(schema, mode, versions(subject))),
    close: () => db.close(),
  };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function incompatible(
  subject: string,
  mode: Compatibility,
  earlier: RegisteredSchema[],
  reasons: CompatibilityReason[],
): PlatformError {
  const lines = reasons.map(({code, path, message, previous, reader}) => {
    const version = earlier[previous]!.version;
    const which = reader === 'next' ? `data of version ${version}` : `new data with version ${version}`;
    return `  ${path}: ${code} reading ${which}: ${message}`;
  });
  return new PlatformError(
    'SCHEMA_INCOMPATIBLE',
    `the schema of ${subject} cannot follow its earlier versions (${mode})\n${lines.join('\n')}`,
    {
      place: subject,
      hint: 'make a new field optional (required: false), name renamed fields in aliases, or set defaults.compatibility',
    },
  );
}

/** Subject of a topic's values. */
export const subjectOf = (topic: string): string => `${topic}-value`;

/**
 * Registers the schemas of everything that the platform writes to its log: event types, dead letters, late events, replays.
 * @returns topic -> its schema. @throws PlatformError SCHEMA_INCOMPATIBLE, SCHEMA_NAME_INVALID.
 */
export async function ensureSubjects(
  registry: SchemaRegistry,
  platform: Platform,
): Promise<Map<string, RegisteredSchema>> {
  const registered = new Map<string, RegisteredSchema>();
  for (const domain of platform.domains) {
    const mode = domain.defaults.compatibility;
    for (const eventType of domain.eventTypes)
      registered.set(
        eventType.topic,
        await registry.register(subjectOf(eventType.topic), avroSchema(eventType), mode),
      );
    const sides: [string, AvroSchema][] = [
      [`dlq.${domain.name}`, deadLetterSchema],
      [replayJournalTopic(domain.name), replayEntrySchema],
    ];
    for (const {name} of domain.aggregations) {
      sides.push([`late.${domain.name}.${name}`, lateSchema]);
      sides.push([replayTopic(`${domain.name}.${name}`), replayEventSchema]);
    }
    for (const [topic, schema] of sides)
      registered.set(topic, await registry.register(subjectOf(topic), schema, 'backward'));
  }
  return registered;
}
