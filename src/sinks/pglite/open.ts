import {isMainThread} from 'node:worker_threads';
import {PGlite, type Results, type Transaction, types} from '@electric-sql/pglite';
import {PlatformError} from '../../errors.ts';
import type {Lock} from '../../log/lock.ts';
import {damageHint} from '../damage.ts';
import {ownDirectory} from '../directory.ts';
import type {PostgresConnection, PostgresTransaction} from '../postgres/connection.ts';
import {createPostgresSink} from '../postgres/sink.ts';
import {parsers, plain} from '../postgres/values.ts';
import type {Sink, SinkContext} from '../types.ts';

/**
 * The file system's cache stands behind PostgreSQL's own, which is memory of this process: 32 MB of it instead of 128. Raw
 * events with random ids came in faster than with 16, see bench/RESULTS.md.
 */
const startParams = ['-c', 'shared_buffers=32MB'];

/**
 * Options: `dir`. PGlite does not lock its directory, and a second opener would lose data: `<dir>.lock` comes first.
 * Throws LOCKED, SINK_DAMAGED when the database does not open or a table cannot be read.
 */
export async function openPglite(options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const {dir, lock} = await ownDirectory(String(options.dir ?? '.millrace/postgres'), context);
  let database: PGlite | undefined;
  try {
    database = await PGlite.create({
      dataDir: dir,
      startParams: [...PGlite.defaultStartParams, ...startParams],
    });
    await database.exec("SET timezone = 'UTC'; SET client_min_messages = error");
    await check(database);
    const readOnly = context.readOnly === true;
    if (readOnly) await database.exec('SET default_transaction_read_only = on');
    return await createPostgresSink(connect(database, lock), typeName, {readOnly});
  } catch (cause) {
    await database?.close().catch(() => {});
    lock.release();
    if (cause instanceof PlatformError) throw cause;
    throw new PlatformError(
      'SINK_DAMAGED',
      `the database in ${dir} is damaged: ${(cause as Error).message}`,
      {
        cause,
        place: dir,
        hint: damageHint,
      },
    );
  }
}

/** Reads a row of every table: a missing file or a page with a wrong checksum shows here and not in the middle of a run. */
async function check(database: PGlite): Promise<void> {
  const {rows} = await database.query<{name: string}>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
     WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
  );
  for (const {name} of rows) await database.query(`SELECT * FROM ${name} LIMIT 1`);
}

const names = new Map(Object.entries(types).map(([name, oid]) => [oid as number, name.toLowerCase()]));
const typeName = (oid: number): string => names.get(oid) ?? `oid ${oid}`;

function transactionOf(database: PGlite | Transaction): PostgresTransaction {
  return {
    async query(sql, params = []) {
      const result = await alive(database.query(sql, params, {rowMode: 'array', parsers}));
      const {rows, fields} = result as Results<unknown[]>;
      return {
        rows: rows.map((row) => row.map(plain)),
        fields: fields.map(({name, dataTypeID}) => ({name, type: dataTypeID})),
      };
    },
    async copy(target, chunks) {
      const parts: Uint8Array<ArrayBuffer>[] = [];
      for (const chunk of chunks) parts.push(new Uint8Array(chunk));
      await alive(database.query(`COPY ${target} FROM '/dev/blob'`, [], {blob: new Blob(parts)}));
    },
  };
}

function connect(database: PGlite, lock: Lock): PostgresConnection {
  return {
    ...transactionOf(database),
    transaction: <T>(work: (transaction: PostgresTransaction) => Promise<T>): Promise<T> =>
      alive(database.transaction((transaction) => work(transactionOf(transaction)))) as Promise<T>,
    async close() {
      await database.close();
      lock.release();
    },
  };
}

/** After a trap in its WebAssembly the engine is lost for good: the thread ends, and the host opens another. */
async function alive<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const trapped = error instanceof Error && error.name === 'RuntimeError';
    if (trapped && !isMainThread) setImmediate(() => process.exit(1));
    throw error;
  }
}
