/** What tests of PostgreSQL servers share. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {describe} from 'node:test';
import pg from 'pg';
import {type Postgres, type PostgresOptions, startPostgres} from '../../src/cluster/postgres.ts';
import type {Value} from '../../src/expr/types.ts';
import type {BackendChoice, Column} from '../../src/model/types.ts';
import {dateDays} from '../../src/sinks/tables.ts';
import type {Subject} from '../conformance/sink.ts';

/** Runs tests of a server; where none is installed they are skipped, by this name, and in CI they fail. */
export function describeWithPostgres(name: string, body: () => void): void {
  const programs = [
    '/usr/lib/postgresql',
    ...(process.env.PATH ?? '').split(':').map((dir) => join(dir, 'postgres')),
  ];
  const isThere =
    process.env.CI !== undefined ||
    process.platform === 'darwin' ||
    programs.some((path) => existsSync(path));
  describe(name, {skip: isThere ? false : 'needs a PostgreSQL server'}, body);
}

export const password = 'correct-horse-battery';

export type TestServer = Postgres & {
  /** The sink over it. @param more options beside URL and password */
  choice(more?: Record<string, unknown>): BackendChoice;
  /** Runs statements, as the superuser of the server. @param of another database of it @returns rows of the last one */
  sql(text: string, of?: string): Promise<Value[][]>;
};

/** A server on a free port; call `stop` at the end. */
export async function postgresServer(options: PostgresOptions = {}): Promise<TestServer> {
  const {settings = {}, ...more} = options;
  const server = await startPostgres({
    password,
    ...more,
    settings: {shared_buffers: '64MB', max_wal_size: '2GB', ...settings},
  });
  const {host, port, user, database} = server;
  return Object.assign(server, {
    choice: (chosen: Record<string, unknown> = {}) => ({
      backend: 'postgres',
      options: {url: `postgres://${user}@${host}:${port}/${database}`, password, ...chosen},
    }),
    async sql(text: string, of = database): Promise<Value[][]> {
      const tls = server.certificates ? {ssl: {ca: server.certificates.ca, host}} : {};
      const client = new pg.Client({host, port, user, database: of, password, ...tls});
      // A server that is killed meanwhile fails the statement; the connection's own loss is nothing more to say.
      client.on('error', () => {});
      await client.connect();
      try {
        const results = await client.query({text, rowMode: 'array'});
        return ([results].flat().at(-1) as unknown as {rows: Value[][]}).rows;
      } finally {
        await client.end();
      }
    },
  });
}

/** How the conformance suite reads a PostgreSQL, whichever. */
export const postgresSubject: Pick<Subject, 'latest' | 'count' | 'stored' | 'reaching'> = {
  // PostgreSQL has no U+0000 in texts.
  stored: (text) => text.replaceAll('\u0000', '\uFFFD'),
  async latest(sink, _, table) {
    const hide = table.kind === 'query' ? 'WHERE NOT deleted' : '';
    const {rows} = await sink.query!(
      `SELECT ${table.columns.map(({name}) => `"${name}"`).join(', ')} FROM ${table.namespace}.${table.name} ${hide}`,
    );
    return rows.map((row) =>
      Object.fromEntries(table.columns.map((column, index) => [column.name, fromText(column, row[index]!)])),
    );
  },
  async count(sink, _, table) {
    const {rows} = await sink.query!(`SELECT count(*) FROM ${table.namespace}.${table.name}`);
    return Number(rows[0]![0]);
  },
  reaching: [
    "COPY (SELECT 1) TO '/dev/null'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "/* /* */ SELECT */ COPY (SELECT 1) TO '/dev/null'",
    "-- SELECT\n(;COPY (SELECT 1) TO '/dev/null'",
    "DO 'BEGIN PERFORM 1; END'",
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('PG_VERSION')",
    'SELECT rolpassword FROM pg_authid',
    'SELECT pg_advisory_lock(7245913860)',
    'SELECT pg_try_advisory_lock_shared(1)',
    'SELECT "pg_terminate_backend"(pg_backend_pid() + 1)',
    "SELECT set_config('role', 'none', true), query_to_xml('SELECT pg_read_file(''PG_VERSION'')', true, true, '')",
    `SELECT U&"set\\005fconfig"('role', 'none', true), query_to_xml('SELECT pg_read_file(''PG_VERSION'')', true, true, '')`,
  ],
};

/** Times come as `2026-01-31 12:00:00.000`. */
function fromText({type}: Column, value: Value): Value {
  if (value === null) return null;
  if (type === 'timestamp') return Date.parse(`${String(value).replace(' ', 'T')}Z`);
  return type === 'date' ? dateDays(String(value)) : value;
}
