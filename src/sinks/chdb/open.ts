import {mkdirSync} from 'node:fs';
import {dirname, resolve} from 'node:path';
import {type ClickHouseClient, createClient} from '@clickhouse/client';
import {type ChdbConnection, createChdbConnection} from 'chdb/connection';
import {PlatformError} from '../../errors.ts';
import type {ClickHouseConnection} from '../clickhouse/connection.ts';
import {codeOf} from '../clickhouse/errors.ts';
import {createClickHouseSink} from '../clickhouse/sink.ts';
import type {Sink, SinkContext} from '../types.ts';

/** chDB types its connection against its own copy of the client's interface. */
type ClientConnection = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['connection']>;

/** Sessions that insert: one runs one statement at a time; measured, a second one takes a third off ten tables, a third nothing. */
const writers = 2;
/** ClickHouse's code when another process has the directory. */
const directoryInUse = 76;

/** Options: `dir`. Throws SINK_DAMAGED when the database does not open or has lost parts of a table. */
export async function openChdb(options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const dir = resolve(context.root, String(options.dir ?? '.millrace/clickhouse'));
  try {
    mkdirSync(dirname(dir), {recursive: true});
    const connection = connect(dir);
    await check(connection.client);
    return await createClickHouseSink(connection);
  } catch (error) {
    if (codeOf(error) === directoryInUse)
      throw new PlatformError('SINK_UNAVAILABLE', `${dir} is in use by another process`, {
        cause: error,
        place: dir,
        hint: 'stop the other platform, or use another directory',
      });
    if (error instanceof PlatformError) throw error;
    if ((error as NodeJS.ErrnoException).syscall !== undefined)
      throw new PlatformError('SINK_REFUSED', (error as Error).message, {
        cause: error,
        place: dir,
        hint: 'make the directory writable, or name another one',
      });
    throw damaged(dir, (error as Error).message, error);
  }
}

const damaged = (dir: string, message: string, cause?: unknown) =>
  new PlatformError('SINK_DAMAGED', `the database in ${dir} is damaged: ${message}`, {
    cause,
    place: dir,
    hint: 'npx millrace rebuild (moves the directory aside and fills a new one from the log)',
  });

/** Parts that ClickHouse set aside as broken when it loaded its tables hold rows that are missing now. */
async function check(client: ClickHouseClient): Promise<void> {
  const found = await client.query({
    query: `SELECT database || '.' || table AS name, any(reason) AS why FROM system.detached_parts
      WHERE reason LIKE 'broken%' OR reason LIKE 'unexpected%' GROUP BY name`,
    format: 'JSONEachRow',
  });
  const [first] = await found.json<{name: string; why: string}>();
  if (first) throw new Error(`table ${first.name} has lost a part (${first.why})`);
}

function connect(dir: string): ClickHouseConnection {
  const sessions: ChdbConnection[] = [];
  const open = () => {
    const session = createChdbConnection({path: dir});
    sessions.push(session);
    return session;
  };
  const client = createClient({connection: open() as unknown as ClientConnection});
  const inserting = Array.from({length: writers}, () => ({session: open(), queued: 0}));
  let reader: Promise<ClickHouseClient> | undefined;
  const openReader = async () => {
    const opened = createClient({connection: open() as unknown as ClientConnection});
    // Settings last for the session; with readonly = 2 nothing can be written, and readonly itself cannot be changed.
    await opened.command({
      query:
        'SET output_format_json_quote_64bit_integers = 1, output_format_json_quote_denormals = 1, readonly = 2',
    });
    return opened;
  };
  return {
    client,
    async insert(table, columns, tsv) {
      const least = inserting.reduce((a, b) => (b.queued < a.queued ? b : a));
      least.queued += 1;
      try {
        await least.session.chdb.rawInsert({
          table,
          columns,
          values: Buffer.from(tsv),
          format: 'TabSeparated',
        });
      } finally {
        least.queued -= 1;
      }
    },
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
    },
  };
}
