import {PlatformError} from '../../errors.ts';
import type {Value} from '../../expr/types.ts';
import type {Table} from '../../model/types.ts';
import {fromOffset, int64, revisionOf, tableId} from '../tables.ts';
import type {DeliveryMark, QueryResult, RawBatch, Sink} from '../types.ts';
import type {ClickHouseConnection} from './connection.ts';
import {ensureMarks, ensureTable, switchView} from './ddl.ts';
import {queryError, statementError} from './errors.ts';
import {alterOn, on, physical, quote, quoteTable} from './names.ts';
import {readRawEvents} from './raw-read.ts';
import {refuseReaching} from './reach.ts';
import {grantsOf, missingGrants} from './rights.ts';

const markTable = quoteTable('millrace', 'delivered');

/**
 * The ClickHouse sink over a connection. Rows are inserted as they are: ReplacingMergeTree keeps the highest version of a key,
 * views read with FINAL. An insert is one block and so one part: it is there wholly or not at all, and the offsets that a raw
 * table holds are those of its rows. Nothing is asked of the database before the first call, so that one that is down is a
 * failure of that call. `readOnly`: nothing is made, also no table for marks.
 */
export function createClickHouseSink(
  connection: ClickHouseConnection,
  {readOnly = false}: {readOnly?: boolean} = {},
): Sink {
  const {client} = connection;
  const offsets = new Map<string, Map<number, number>>();
  let prepared: Promise<void> | undefined;
  const prepare = (): Promise<void> => {
    prepared ??= (async () => {
      await connection.check?.();
      if (!readOnly) await ensureMarks(connection);
    })().catch((error) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  };
  const guarded = async <T>(place: string, work: () => Promise<T>): Promise<T> => {
    try {
      await prepare();
      return await work();
    } catch (error) {
      throw statementError(error, place);
    }
  };
  const select = async <T>(query: string, query_params: Record<string, string>): Promise<T[]> =>
    (await client.query({query, query_params, format: 'JSONEachRow'})).json<T>();
  const offsetsOf = async (table: Table): Promise<Map<number, number>> => {
    const known = offsets.get(tableId(table));
    if (known) return known;
    const rows = await select<{partition: number; next: string}>(
      `SELECT _partition AS partition, toString(max(_offset) + 1) AS next FROM ${physical(table)} GROUP BY _partition`,
      {},
    );
    const found = new Map(rows.map(({partition, next}) => [partition, Number(next)]));
    offsets.set(tableId(table), found);
    return found;
  };
  return {
    ensure: (table) => guarded(tableId(table), () => ensureTable(connection, table)),
    async write(table, batch) {
      if (batch.count > 0) await guarded(tableId(table), () => connection.insert(table, batch));
    },
    mark: (marks: DeliveryMark[]) =>
      guarded('millrace.delivered', () =>
        connection.insertText(
          'millrace.delivered',
          ['table', 'epoch'],
          marks.map(({table, epoch}) => `${table}\t${epoch}\n`).join(''),
        ),
      ),
    marked: (table) =>
      guarded('millrace.delivered', async () => {
        const [found] = await select<{epoch: string; count: string}>(
          `SELECT toString(max(epoch)) AS epoch, toString(count()) AS count FROM ${markTable} WHERE table = {table:String}`,
          {table},
        );
        return found && found.count !== '0' ? Number(found.epoch) : undefined;
      }),
    writeRaw: (table, batch) =>
      guarded(tableId(table), async () => {
        const known = await offsetsOf(table);
        const fresh = fromOffset(table, batch, known.get(batch.partition) ?? 0);
        if (!fresh) return;
        try {
          if (fresh.count > 0) await connection.insert(table, fresh, tokenOf(fresh));
          known.set(batch.partition, Math.max(known.get(batch.partition) ?? 0, batch.toOffset));
        } catch (error) {
          // Whether the rows are in is not known: the table says.
          offsets.delete(tableId(table));
          throw error;
        }
      }),
    eraseRaw: (table, column, ids) =>
      guarded(tableId(table), async () => {
        await connection.patient.command({
          query: `ALTER TABLE ${physical(table)}${alterOn(connection)} UPDATE ${quote(column)} = NULL
            WHERE ${quote('event_id')} IN ({ids:Array(String)}) SETTINGS mutations_sync = 2`,
          query_params: {ids},
        });
      }),
    readRaw: (table, range, columns) =>
      guarded(tableId(table), () =>
        readRawEvents(async (sql) => parseResult(await connection.read(sql)), table, range, columns),
      ),
    rawOffsets: (table) => guarded(tableId(table), async () => new Map(await offsetsOf(table))),
    switchView: async (table) => {
      await guarded(tableId(table), () => switchView(connection, table));
    },
    revisions: (namespace, query) =>
      guarded(`${namespace}.${query}`, async () => {
        const rows = await select<{name: string}>(
          'SELECT name FROM system.tables WHERE database = {namespace:String}',
          {namespace},
        );
        return rows
          .map(({name}) => revisionOf(name))
          .filter((found) => found?.query === query)
          .map((found) => found!.revision)
          .sort((a, b) => a - b);
      }),
    dropView: (id) =>
      guarded(id, async () => {
        const [namespace, name] = id.split('.') as [string, string];
        await client.command({
          query: `DROP VIEW IF EXISTS ${quoteTable(namespace, name)}${on(connection)} SYNC`,
        });
      }),
    drop: (id) =>
      guarded(id, async () => {
        const [namespace, name] = id.split('.') as [string, string];
        offsets.delete(id);
        await client.command({
          query: `DROP TABLE IF EXISTS ${quoteTable(namespace, name)}${on(connection)} SYNC`,
        });
      }),
    missingRights: (wanted) =>
      guarded('rights', () => missingGrants(client, grantsOf(wanted, connection.cluster !== undefined))),
    async query(sql) {
      let text: string;
      try {
        refuseReaching(sql);
        await prepare();
        text = await connection.read(sql);
      } catch (error) {
        throw queryError(error);
      }
      return parseResult(text);
    },
    close: () => connection.close(),
  };
}

/**
 * The same rows have the same one, also when their insert is repeated because its answer was lost. Rows that are written again say
 * nothing of a range.
 */
const tokenOf = ({table, partition, fromOffset, toOffset, count, again}: RawBatch): string | undefined =>
  again ? undefined : `${table} ${partition} ${fromOffset} ${toOffset} ${count}`;

/** @throws SINK_QUERY for what is no list: why the server broke off, or an answer in another format, to another statement before it */
function listOf(line: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {}
  if (Array.isArray(value)) return value;
  const [, said] = /\bDB::Exception: (.{1,1000}?)(?:"\}?)?$/.exec(line) ?? [];
  if (said !== undefined) throw queryError(new Error(said));
  throw new PlatformError('SINK_QUERY', 'the answer cannot be read: it is not that of one statement', {
    hint: 'send one statement, without a FORMAT of its own',
  });
}

/** Lines of JSONCompactEachRowWithNamesAndTypes; 64-bit integers come quoted. A statement without a result gives no lines. */
function parseResult(text: string): QueryResult {
  const lines = text.split('\n').filter((line) => line !== '');
  if (lines.length < 2) return {columns: [], rows: []};
  const [names, types] = [lines[0]!, lines[1]!].map(listOf) as [string[], string[]];
  const wide = types.map((type) => /^(?:Nullable\()?U?Int64\b/.test(type));
  const floating = types.map((type) => /^(?:Nullable\()?Float/.test(type));
  const rows = lines.slice(2).map((line) =>
    listOf(line).map((value, index): Value => {
      if (typeof value === 'string' && wide[index]) return int64(value);
      if (typeof value === 'string' && floating[index]) return Number(value.replace('inf', 'Infinity'));
      return typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as Value);
    }),
  );
  return {columns: names.map((name, index) => ({name, type: types[index]!})), rows};
}
