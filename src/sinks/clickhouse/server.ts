import type {Agent as HttpAgent} from 'node:http';
import type {ClickHouseClient} from '@clickhouse/client';
import type {Clock} from '../../clock.ts';
import {PlatformError} from '../../errors.ts';
import type {Telemetry} from '../../telemetry.ts';
import {tableId} from '../tables.ts';
import {createAgent} from './agent.ts';
import type {ClickHouseConnection} from './connection.ts';
import {quote, quoteTable} from './names.ts';
import {encodeNative} from './native.ts';
import {createPace} from './pace.ts';
import {createPost} from './post.ts';
import type {ServerSettings, ServerValues} from './settings.ts';

/** A server that does not answer a first question in this time is down: a start waits for nobody longer. */
const checkTimeoutMs = 5_000;
/** A column of a large table may be rewritten for so long. */
const patientTimeoutMs = 3_600_000;
const connectionsMax = 16;
/** A whole exchange may take so many times as long as a server may be silent in it. */
const totalShare = 4;
/** Of an answer on its way. */
const answerBytesMax = 256 * 2 ** 20;
/** Below what servers close after (10 s by default since 23.11, 3 s before). */
const idleMs = 2_500;

/** Of our inserts: a row is durable when it is acknowledged, and an insert is one block. */
const insertValues: ServerValues = {
  async_insert: 0,
  // Errors come with their status, before anything else was sent.
  wait_end_of_query: 1,
};
/** Of users' queries: 64-bit integers whole, no way to change anything, and no work for somebody who is gone. */
const readValues: ServerValues = {
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_denormals: 1,
  readonly: '2',
  cancel_http_readonly_queries_on_client_close: 1,
};

/** Of an answer to somebody who asks to see it: all of it is kept, and again as text. */
const readerBytesMax = 64 * 2 ** 20;
/** The server's own count of it, which knows nothing of texts. */
const readerValues: ServerValues = {
  max_result_rows: '1000000',
  max_result_bytes: String(readerBytesMax),
  result_overflow_mode: 'throw',
};

/** The last inserts of a raw table are remembered by their token, so that one whose answer was lost is not made twice. */
const rawSettings = ['non_replicated_deduplication_window = 1000'];

/** A server over HTTP. Nothing connects before the first statement. */
export async function connectServer(
  settings: ServerSettings,
  {name, clock, telemetry, readOnly}: {name: string; clock: Clock; telemetry: Telemetry; readOnly: boolean},
): Promise<ClickHouseConnection> {
  const {createClient, ClickHouseLogLevel} = await import('@clickhouse/client');
  const {origin, pathname, database, username, password, codec, cluster, values} = settings;
  const agentOptions = {keepAlive: true, keepAliveMsecs: 10_000, maxSockets: connectionsMax, ...settings.tls};
  const agents: HttpAgent[] = [];
  const newAgent = (silenceMs: number) => {
    const limits = {
      totalMs: silenceMs * totalShare,
      bytesMax: readOnly ? readerBytesMax : answerBytesMax,
      isPacked: codec !== undefined,
    };
    const agent = createAgent(origin, agentOptions, limits);
    agents.push(agent);
    return agent;
  };
  const client = (requestTimeoutMs: number): ClickHouseClient =>
    createClient({
      url: origin,
      pathname,
      database,
      username,
      password,
      application: 'millrace',
      http_agent: newAgent(requestTimeoutMs),
      request_timeout: requestTimeoutMs,
      keep_alive: {enabled: true, idle_socket_ttl: idleMs, eagerly_destroy_stale_sockets: true},
      compression: codec ? {request: {codec}, response: {codec}} : {},
      clickhouse_settings: values,
      use_multipart_params_auto: true,
      // What goes wrong is an error that we tell; its own lines would hold statements.
      log: {level: ClickHouseLogLevel.OFF},
    });
  const quick = client(settings.requestTimeoutMs);
  const patient = client(patientTimeoutMs);
  const first = client(Math.min(checkTimeoutMs, settings.requestTimeoutMs));
  const pace = createPace({
    sinkName: name,
    partsMax: settings.partsMax,
    count: (tables) => countParts(quick, tables),
    clock,
    telemetry,
  });
  // The client closes connections in time that it let go itself; one that an insert used would be closed by the server as it is used.
  const post = createPost(settings, newAgent(settings.requestTimeoutMs));
  const insert = (
    table: string,
    columns: string[],
    format: string,
    data: Uint8Array[],
    more: ServerValues,
  ) => {
    const [namespace, ...rest] = table.split('.') as [string, ...string[]];
    return post(
      `INSERT INTO ${quoteTable(namespace, rest.join('.'))} (${columns.map(quote).join(', ')}) FORMAT ${format}`,
      data,
      {...values, ...insertValues, ...more},
    );
  };
  return {
    client: quick,
    patient,
    ...(cluster ? {cluster} : {}),
    tableSettings: (kind) => (kind === 'raw' && !cluster?.replicated ? rawSettings : []),
    check: () => checkServer(first, cluster?.name),
    async insert(table, batch, token) {
      const id = tableId(table);
      await pace.wait(id);
      await insert(
        id,
        table.columns.map((column) => column.name),
        'Native',
        encodeNative(table, batch),
        token === undefined ? {} : {insert_deduplication_token: token},
      );
      pace.inserted(id);
    },
    insertText: (table, columns, tsv) => insert(table, columns, 'TabSeparated', [Buffer.from(tsv)], {}),
    async read(sql) {
      const result = await quick.query({
        query: sql,
        format: 'JSONCompactEachRowWithNamesAndTypes',
        clickhouse_settings: {...(readOnly ? readerValues : {}), ...settings.queryValues, ...readValues},
      });
      return result.text();
    },
    async close() {
      pace.close();
      await Promise.all([quick.close(), patient.close(), first.close()]);
      for (const agent of agents) agent.destroy();
    },
  };
}

async function rowsOf<T>(
  client: ClickHouseClient,
  query: string,
  query_params: Record<string, unknown> = {},
): Promise<T[]> {
  return (await client.query({query, query_params, format: 'JSONEachRow'})).json<T>();
}

/** Active parts of the largest partition of each table. */
async function countParts(client: ClickHouseClient, tables: string[]): Promise<Map<string, number>> {
  const rows = await rowsOf<{id: string; parts: string | number}>(
    client,
    `SELECT id, max(parts) AS parts FROM (
       SELECT concat(database, '.', table) AS id, partition_id, count() AS parts FROM system.parts
       WHERE active AND database IN {databases:Array(String)} AND id IN {tables:Array(String)}
       GROUP BY id, partition_id
     ) GROUP BY id`,
    {tables, databases: [...new Set(tables.map((table) => table.split('.')[0]))]},
  );
  return new Map(rows.map(({id, parts}) => [id, Number(parts)]));
}

const versionMin = [23, 8] as const;

/** @throws SINK_REFUSED for a server that is too old, and a cluster that is not there or has shards */
async function checkServer(client: ClickHouseClient, cluster: string | undefined): Promise<void> {
  const [found] = await rowsOf<{version?: unknown} | null>(client, 'SELECT version() AS version');
  const version = String(found?.version).slice(0, 50);
  const [year = 0, month = 0] = version.split('.').map(Number);
  if (!(year > versionMin[0] || (year === versionMin[0] && month >= versionMin[1])))
    throw new PlatformError('SINK_REFUSED', `the server is ClickHouse ${version}`, {
      hint: `upgrade it to ${versionMin.join('.')} or newer, then: npx millrace resume`,
    });
  // A macro is known to the servers alone.
  if (cluster === undefined || cluster.includes('{')) return;
  const clusters = await rowsOf<{cluster: string; shards: string | number}>(
    client,
    'SELECT cluster, uniqExact(shard_num) AS shards FROM system.clusters GROUP BY cluster ORDER BY cluster',
  );
  const own = clusters.find((each) => each.cluster === cluster);
  if (!own)
    throw new PlatformError('SINK_REFUSED', `the server knows no cluster "${cluster}"`, {
      hint:
        clusters.length === 0
          ? 'it knows none; on a single server leave cluster out'
          : `it knows ${clusters.map((each) => each.cluster).join(', ')}`,
    });
  if (Number(own.shards) > 1)
    throw new PlatformError(
      'SINK_REFUSED',
      `cluster "${cluster}" has ${own.shards} shards: a key could be in several, and be counted twice`,
      {hint: 'name a cluster of one shard with its replicas'},
    );
}
