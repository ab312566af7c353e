import {type ClickHouseClient, createClient} from '@clickhouse/client';
import {type ChdbConnection, createChdbConnection} from 'chdb/connection';
import {PlatformError} from '../../errors.ts';
import type {Lock} from '../../log/lock.ts';
import type {Table} from '../../model/types.ts';
import type {ClickHouseConnection} from '../clickhouse/connection.ts';
import {physical, quote, quoteTable} from '../clickhouse/names.ts';
import {encodeNative} from '../clickhouse/native.ts';
import {createClickHouseSink} from '../clickhouse/sink.ts';
import {encodeText} from '../clickhouse/text.ts';
import {damageHint} from '../damage.ts';
import {ownDirectory} from '../directory.ts';
import {tableId} from '../tables.ts';
import type {RowBatch, Sink, SinkContext} from '../types.ts';
import {openBlocks} from './blocks.ts';

/** Nobody waits longer for an answer, and nobody can stop a query. */
const querySecondsMax = 300;

/** chDB types its connection against its own copy of the client's interface. */
type ClientConnection = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['connection']>;

/** Sessions that insert: one runs one statement at a time; measured, a second one takes a third off ten tables, a third nothing. */
const writers = 2;
/** Rows of a flush are few: threads for parsing and inserting them cost a tenth of the insert, and gain nothing with 50,000. */
const insertSettings = 'SET max_threads = 1, max_insert_threads = 1, input_format_parallel_parsing = 0';
/**
 * A part in eight files instead of ten: of a small insert most is the making of files. What is left out serves sparse columns
 * and reads of single substreams.
 */
const tableSettings = [
  'ratio_of_defaults_for_sparse_serialization = 1',
  "serialization_info_version = 'basic'",
  'write_marks_for_substreams_in_compact_parts = 0',
];
/**
 * From so many rows on they go as a Native block, which chDB reads from a file alone, in a third of the time of text; below it the file
 * costs more than it saves.
 */
const blockRowsMin = 600;

/**
 * Options: `dir`; `<dir>.lock` names its owner to a second opener, which chDB itself refuses without a reason.
 * Throws LOCKED, SINK_DAMAGED when the database does not open or has lost parts of a table.
 */
export async function openChdb(options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const {dir, lock} = await ownDirectory(String(options.dir ?? '.millrace/clickhouse'), context);
  let connection: ClickHouseConnection | undefined;
  try {
    const readOnly = context.readOnly === true;
    connection = await connect(dir, lock, readOnly);
    await check(connection.client);
    return createClickHouseSink(connection, {readOnly});
  } catch (error) {
    await connection?.close();
    lock.release();
    if (error instanceof PlatformError) throw error;
    throw damaged(dir, (error as Error).message, error);
  }
}

const damaged = (dir: string, message: string, cause?: unknown) =>
  new PlatformError('SINK_DAMAGED', `the database in ${dir} is damaged: ${message}`, {
    cause,
    place: dir,
    hint: damageHint,
  });

/**
 * Parts that ClickHouse set aside as broken when it loaded its tables hold rows that are missing now; then one row of every
 * table is read.
 */
async function check(client: ClickHouseClient): Promise<void> {
  const rows = async <T>(query: string) => (await client.query({query, format: 'JSONEachRow'})).json<T>();
  const [lost] = await rows<{name: string; why: string}>(
    `SELECT database || '.' || table AS name, any(reason) AS why FROM system.detached_parts
     WHERE reason LIKE 'broken%' OR reason LIKE 'unexpected%' GROUP BY name`,
  );
  if (lost) throw new Error(`table ${lost.name} has lost a part (${lost.why})`);
  const tables = await rows<{database: string; name: string}>(
    "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree' AND database != 'system'",
  );
  for (const {database, name} of tables)
    await (await client.query({query: `SELECT * FROM ${quoteTable(database, name)} LIMIT 1`})).text();
}

/** @param readOnly no session that could write is opened */
async function connect(dir: string, lock: Lock, readOnly: boolean): Promise<ClickHouseConnection> {
  const sessions: ChdbConnection[] = [];
  const open = () => {
    const session = createChdbConnection({path: dir});
    sessions.push(session);
    return session;
  };
  const client = createClient({connection: open() as unknown as ClientConnection});
  if (readOnly) await client.command({query: 'SET readonly = 2'});
  const openWriter = async () => {
    const session = open();
    await createClient({connection: session as unknown as ClientConnection}).command({query: insertSettings});
    return session;
  };
  const inserting: {session: ChdbConnection; queued: number}[] = [];
  for (let writer = 0; writer < (readOnly ? 0 : writers); writer++)
    inserting.push({session: await openWriter(), queued: 0});
  let reader: Promise<ClickHouseClient> | undefined;
  const openReader = async () => {
    const opened = createClient({connection: open() as unknown as ClientConnection});
    // Settings last for the session. With readonly = 2 a query could read the files of this machine: SELECT * FROM '/etc/passwd'.
    await opened.command({
      query: `SET output_format_json_quote_64bit_integers = 1, output_format_json_quote_denormals = 1, max_execution_time = ${querySecondsMax}, readonly = 1`,
    });
    return opened;
  };
  const use = async <T>(work: (session: ChdbConnection) => Promise<T>): Promise<T> => {
    const least = inserting.reduce((a, b) => (b.queued < a.queued ? b : a));
    least.queued += 1;
    try {
      return await work(least.session);
    } finally {
      least.queued -= 1;
    }
  };
  const insertText = (table: string, columns: string[], tsv: string): Promise<void> =>
    use(async ({chdb}) => {
      await chdb.rawInsert({table, columns, values: Buffer.from(tsv), format: 'TabSeparated'});
    });
  const blocks = openBlocks(`${dir}.inserts`, readOnly);
  const insertBlock = (table: Table, batch: RowBatch): Promise<void> =>
    blocks.with(encodeNative(table, batch), (path) =>
      use(async ({chdb}) => {
        const columns = table.columns.map(({name}) => quote(name)).join(', ');
        const file = `'${path.replace(/[\\']/g, '\\$&')}'`;
        await chdb.queryAsync(
          `INSERT INTO ${physical(table)} (${columns}) FROM INFILE ${file} COMPRESSION 'none' FORMAT Native`,
          {format: 'Null'},
        );
      }),
    );
  return {
    client,
    patient: client,
    tableSettings: () => tableSettings,
    insert: (table, batch) =>
      batch.count >= blockRowsMin
        ? insertBlock(table, batch)
        : insertText(
            tableId(table),
            table.columns.map(({name}) => name),
            encodeText(table, batch),
          ),
    insertText,
    async read(sql) {
      reader ??= openReader();
      const current = reader;
      try {
        const result = await (await current).query({
          query: sql,
          format: 'JSONCompactEachRowWithNamesAndTypes',
        });
        return await result.text();
      } catch (error) {
        // What a failed statement left in the session would show in the next answer.
        if (reader === current) reader = undefined;
        await (await current.catch(() => undefined))?.close();
        throw error;
      }
    },
    async close() {
      for (const session of sessions) await session.close();
      blocks.close();
      lock.release();
    },
  };
}
