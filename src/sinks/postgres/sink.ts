import {fromOffset, revisionOf, tableId} from '../tables.ts';
import type {DeliveryMark, QueryResult, Sink} from '../types.ts';
import type {PostgresConnection} from './connection.ts';
import {createDays} from './days.ts';
import {ensureSchema, ensureTable} from './ddl.ts';
import {queryError, statementError, stateOf} from './errors.ts';
import {markTable, offsetTable, physical, quote, quoteTable} from './names.ts';
import {inOneAtATime} from './order.ts';
import {readRawEvents} from './raw-read.ts';
import {asReader, refuseReaching} from './reach.ts';
import {missingRights} from './rights.ts';
import type {RawTables} from './settings.ts';
import {switchView} from './views.ts';
import {writeRawRows, writeRows} from './write.ts';

export type PostgresSinkOptions = {
  /** Nothing is made, also no tables for marks and offsets. */
  readOnly?: boolean;
  /** Default: no partitions. */
  raw?: RawTables;
  /** Wall clock, epoch ms: partitions are made and dropped by it. */
  now?: () => number;
  /**
   * Looks at the server, before the first statement and again after a failure: a server that is down does not keep the sink from
   * being opened. Without it everything is looked at at once.
   */
  check?: () => Promise<void>;
  /** The way out of damaged pages; default: that of an embedded database. */
  damageHint?: string;
};

/** A check constraint, or a partition that is not there. */
const noPartition = '23514';

/** Ends a user's transaction, so that a SET of his does not outlive it. */
const rollBack = new Error('roll back');

/** The PostgreSQL sink over a connection: upserts by key where the version is greater, raw events by COPY. */
export async function createPostgresSink(
  connection: PostgresConnection,
  typeName: (oid: number) => string,
  {
    readOnly = false,
    raw = {partitionBy: 'none', retentionMs: null},
    now = Date.now,
    check,
    damageHint,
  }: PostgresSinkOptions = {},
): Promise<Sink> {
  let looked: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    await check?.();
    if (!readOnly) await makeBooks(connection);
  };
  const ready = (): Promise<void> => {
    looked ??= look().catch((error) => {
      looked = undefined;
      throw error;
    });
    return looked;
  };
  const guarded = async <T>(place: string, work: () => Promise<T>): Promise<T> => {
    try {
      await ready();
      return await work();
    } catch (error) {
      throw statementError(error, place, damageHint);
    }
  };
  if (!check) await guarded('millrace.delivered', async () => {});
  const days =
    raw.partitionBy === 'day' ? createDays(connection, {retentionMs: raw.retentionMs, now}) : undefined;
  const offsetsOf = async (table: string): Promise<Map<number, number>> => {
    const {rows} = await connection.query(
      `SELECT partition, next_offset FROM ${offsetTable} WHERE table_name = $1`,
      [table],
    );
    return new Map(rows.map(([partition, next]) => [Number(partition), Number(next)]));
  };
  return {
    ensure: (table) =>
      guarded(tableId(table), async () => {
        const ofTable = table.kind === 'raw' ? days : undefined;
        await ensureTable(connection, table, {byDay: ofTable !== undefined});
        await ofTable?.ensure(table);
      }),
    write: (table, batch) => guarded(tableId(table), () => writeRows(connection, table, batch)),
    mark: (marks: DeliveryMark[]) =>
      guarded('millrace.delivered', async () => {
        await connection.query(
          `INSERT INTO ${markTable} AS m SELECT key, max(value::bigint) FROM jsonb_each_text($1::text::jsonb) GROUP BY key
           ON CONFLICT (table_name) DO UPDATE SET epoch = greatest(m.epoch, excluded.epoch)`,
          [JSON.stringify(Object.fromEntries(marks.map(({table, epoch}) => [table, epoch])))],
        );
      }),
    marked: (table) =>
      guarded('millrace.delivered', async () => {
        const {rows} = await connection.query(`SELECT epoch FROM ${markTable} WHERE table_name = $1`, [
          table,
        ]);
        return rows[0] ? Number(rows[0][0]) : undefined;
      }),
    writeRaw: (table, batch) =>
      guarded(tableId(table), async () => {
        const known = (await offsetsOf(tableId(table))).get(batch.partition) ?? 0;
        const fresh = fromOffset(table, batch, known);
        if (!fresh) return;
        try {
          await writeRawRows(connection, table, fresh, days);
        } catch (error) {
          // Somebody dropped a partition: it is made again.
          if (!days || stateOf(error) !== noPartition) throw error;
          days.forget(table);
          await writeRawRows(connection, table, fresh, days);
        }
      }),
    eraseRaw: (table, column, eventIds) =>
      guarded(tableId(table), async () => {
        await connection.query(
          `UPDATE ${physical(table)} SET ${quote(column)} = NULL
           WHERE ${quote('event_id')} IN (SELECT jsonb_array_elements_text($1::text::jsonb)) AND ${quote(column)} IS NOT NULL`,
          [JSON.stringify(eventIds)],
        );
      }),
    readRaw: (table, range, columns) =>
      guarded(tableId(table), () => readRawEvents(connection, table, range, columns)),
    rawOffsets: (table) => guarded(tableId(table), () => offsetsOf(tableId(table))),
    switchView: (table) => guarded(tableId(table), () => switchView(connection, table)),
    revisions: (namespace, query) =>
      guarded(`${namespace}.${query}`, async () => {
        const {rows} = await connection.query('SELECT tablename::text FROM pg_tables WHERE schemaname = $1', [
          namespace,
        ]);
        return rows
          .map(([name]) => revisionOf(String(name)))
          .filter((found) => found?.query === query)
          .map((found) => found!.revision)
          .sort((a, b) => a - b);
      }),
    dropView: (id) =>
      guarded(id, async () => {
        const [namespace, name] = id.split('.') as [string, string];
        await connection.query(`DROP VIEW IF EXISTS ${quoteTable(namespace, name)}`, []);
      }),
    drop: (id) =>
      guarded(id, async () => {
        const [namespace, name] = id.split('.') as [string, string];
        await connection.transaction(async (transaction) => {
          // With the views that read it: a view without its table answers nothing.
          await transaction.query(`DROP TABLE IF EXISTS ${quoteTable(namespace, name)} CASCADE`);
          await transaction.query(`DELETE FROM ${offsetTable} WHERE table_name = $1`, [id]);
        });
      }),
    missingRights: (wanted) => guarded('rights', () => missingRights(connection, wanted)),
    async query(sql): Promise<QueryResult> {
      refuseReaching(sql);
      await guarded('query', async () => {});
      let result: Awaited<ReturnType<PostgresConnection['query']>> | undefined;
      try {
        await connection.transaction(async (transaction) => {
          await asReader(transaction);
          await transaction.query('SET TRANSACTION READ ONLY');
          result = await transaction.query(sql);
          throw rollBack;
        });
      } catch (error) {
        if (error !== rollBack) throw queryError(error);
      }
      const {rows, fields} = result!;
      return {columns: fields.map(({name, type}) => ({name, type: typeName(type)})), rows};
    },
    close() {
      days?.close();
      return connection.close();
    },
  };
}

/** Tables for marks and offsets. */
async function makeBooks(connection: PostgresConnection): Promise<void> {
  const {rows} = await connection.query(
    "SELECT count(*) FROM pg_tables WHERE schemaname = 'millrace' AND tablename IN ('delivered', 'raw_offsets')",
  );
  if (Number(rows[0]![0]) === 2) return;
  await connection.transaction(async (transaction) => {
    await inOneAtATime(transaction);
    await ensureSchema(transaction, 'millrace');
    await transaction.query(
      `CREATE TABLE IF NOT EXISTS ${markTable} (table_name text PRIMARY KEY, epoch bigint NOT NULL)`,
    );
    await transaction.query(
      `CREATE TABLE IF NOT EXISTS ${offsetTable} (table_name text, partition integer, next_offset bigint NOT NULL,
       PRIMARY KEY (table_name, partition))`,
    );
  });
}
