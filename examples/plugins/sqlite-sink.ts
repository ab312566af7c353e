/**
 * A sink that upserts, in about fifty lines: one SQLite file, one row for each key, the highest version of it.
 *
 *   platform.yaml:   plugins: [./plugins/sqlite-sink.ts]
 *                    sinks: {reports: {backend: sqlite, sqlite: {file: reports.db}}}
 */
import {DatabaseSync} from 'node:sqlite';
import type {Value, ValueType} from '../../src/expr/types.ts';
import type {Table} from '../../src/model/types.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';

// Names were checked when the configuration was read: letters, digits and `_`.
const quoted = (name: string) => `"${name}"`;
const tableOf = ({namespace, name}: Table) => quoted(`${namespace}.${name}`);

const typeOf = (type: ValueType) =>
  type === 'double' ? 'REAL' : ['string', 'uuid', 'enum'].includes(type) ? 'TEXT' : 'INTEGER';

// SQLite holds NULLs of a unique index apart; here NULL is one group, distinct from '' and 0.
const keyOf = ({key}: Table) =>
  key.map((name) => `${quoted(name)} IS NULL, ifnull(${quoted(name)}, 0)`).join(', ');

const stored = (value: Value) => (typeof value === 'boolean' ? Number(value) : value);

const sqlite: SinkSpec = {
  name: 'sqlite',
  summary: 'One row for each key in a SQLite file, always its highest version.',
  fields: {file: {type: 'dir', doc: 'File of the database.', required: true}},
  // A thread of its own: SQLite's calls block the thread that makes them.
  capabilities: {isolation: 'worker', upsert: true, raw: false, query: false, views: false, durable: true},
  async open(options) {
    const database = new DatabaseSync(String(options.file));
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS delivered ("table" TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT`);
    return {
      async ensure(table) {
        const columns = table.columns.map(({name, type}) => `${quoted(name)} ${typeOf(type)}`);
        database.exec(`CREATE TABLE IF NOT EXISTS ${tableOf(table)} (${columns.join(', ')}) STRICT;
          CREATE UNIQUE INDEX IF NOT EXISTS ${quoted(`${table.namespace}.${table.name} key`)}
            ON ${tableOf(table)} (${keyOf(table)})`);
      },
      async write(table, {count, columns}) {
        const names = table.columns.map(({name}) => quoted(name));
        const upsert =
          database.prepare(`INSERT INTO ${tableOf(table)} VALUES (${names.map(() => '?').join(', ')})
          ON CONFLICT (${keyOf(table)}) DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join(', ')}
          WHERE excluded.version > version`);
        database.exec('BEGIN');
        try {
          for (let row = 0; row < count; row++) upsert.run(...columns.map((values) => stored(values[row]!)));
          database.exec('COMMIT');
        } catch (error) {
          database.exec('ROLLBACK');
          throw error;
        }
      },
      async mark(marks) {
        const upsert = database.prepare(`INSERT INTO delivered VALUES (?, ?)
          ON CONFLICT ("table") DO UPDATE SET epoch = max(epoch, excluded.epoch)`);
        for (const {table, epoch} of marks) upsert.run(table, epoch);
      },
      async marked(table) {
        const row = database.prepare('SELECT epoch FROM delivered WHERE "table" = ?').get(table);
        return row?.epoch as number | undefined;
      },
      close: async () => database.close(),
    };
  },
};

export const sinks = [sqlite];
