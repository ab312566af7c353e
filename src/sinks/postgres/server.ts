import {createHash} from 'node:crypto';
import type {Client, ClientConfig} from 'pg';
import type {Value} from '../../expr/types.ts';
import type {PostgresConnection, PostgresTransaction} from './connection.ts';
import {CopyFrom} from './copy.ts';
import {stateOf} from './errors.ts';
import {guardIncoming} from './incoming.ts';
import {createPool} from './pool.ts';
import type {ServerSettings} from './settings.ts';
import {parsers, plain} from './values.ts';

/** A server's own time-out comes first; this one is for a server, or a network, that answers nothing at all. */
const graceMs = 10_000;

/** A transaction of a process that hangs, or whose machine is gone, holds its rows for so long: who takes its sink over waits for them. */
const idleMs = 15_000;

/** Set on every connection: texts of times and numbers are then the same whatever the server's or the user's settings are. */
const session = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1;
  SET bytea_output = 'hex'; SET client_min_messages = error`;

/** A server ends the query of a reader who is gone; by itself it would notice when it has an answer. */
const noticing = "SET client_connection_check_interval = '1s'";

function unlessRefused(error: unknown): void {
  if (stateOf(error) === undefined) throw error;
}

type Limits = {statementTimeoutMs: number};

/** Connections to a server. Nothing connects before the first statement. */
export async function connectServer(
  settings: ServerSettings,
  {readOnly}: {readOnly: boolean},
): Promise<PostgresConnection> {
  const {default: pg} = await import('pg');
  const config: ClientConfig = {
    host: settings.host,
    port: settings.port,
    user: settings.user,
    database: settings.database,
    // Not undefined: then the client would look for one in the environment and in files.
    password: () => settings.password,
    ssl: settings.tls,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: 'millrace',
    types: {getTypeParser: ((oid: number) => parsers[oid] ?? String) as never},
  };
  const make = async (): Promise<Client> => {
    const client = new pg.Client(config);
    // What fails is told to whoever waits for an answer; a connection that fails unused is just gone.
    client.on('error', () => {});
    guardIncoming(client, {host: settings.host, isPlain: settings.tls === false, isOfReader: readOnly});
    try {
      await client.connect();
      const only = readOnly ? '; SET default_transaction_read_only = on' : '';
      const own = `${session}; SET statement_timeout = ${settings.statementTimeoutMs};
        SET idle_in_transaction_session_timeout = ${idleMs}${only}`;
      const patience = {statementTimeoutMs: settings.connectTimeoutMs};
      await answered(client, client.query(own), patience);
      // Not every system lets its server look: then a query of somebody who is gone has its time.
      if (readOnly) await answered(client, client.query(noticing), patience).catch(unlessRefused);
      return client;
    } catch (error) {
      client.end().catch(() => {});
      throw error;
    }
  };
  const limits = {statementTimeoutMs: settings.statementTimeoutMs};
  const pool = createPool(settings.connectionsMax, make, (client, error) => !isUsable(client, error));
  return {
    query: (sql, params) => pool.use((client) => statement(client, sql, params, limits)),
    copy: (target, chunks) => pool.use((client) => copy(client, target, chunks, limits)),
    transaction: (work, {patient = false} = {}) =>
      pool.use((client) => transaction(client, work, patient ? {statementTimeoutMs: 0} : limits)),
    close: () => pool.close(),
  };
}

/** What the client itself knows of its connection; its types leave it out. */
type Inside = Client & {_queryable: boolean; connection: {stream: {destroy(): void}}};

/** A server's error ends a statement and not the connection, other than those that say that it is being ended. */
const isUsable = (client: Client, error: unknown): boolean =>
  (client as Inside)._queryable && !lost.has(client) && !/^(?:57P|25P03)/.test(stateOf(error) ?? '');

/** Connections whose answers are not waited for any more, or whose transaction could not be ended. */
const lost = new WeakSet<Client>();

const names = new Map<string, string>();
/** A statement is parsed and planned once a connection; a new connection does it again, by itself. */
function nameOf(sql: string): string {
  let name = names.get(sql);
  if (name === undefined)
    names.set(sql, (name = `millrace_${createHash('sha256').update(sql).digest('hex').slice(0, 16)}`));
  return name;
}

async function statement(
  client: Client,
  sql: string,
  params: unknown[] | undefined,
  limits: Limits,
): Promise<{rows: Value[][]; fields: {name: string; type: number}[]}> {
  // Extended protocol: what a user writes is one statement, and cannot leave its transaction for another.
  const query = {text: sql, rowMode: 'array' as const, queryMode: 'extended'};
  const result = await answered(
    client,
    params ? client.query({...query, name: nameOf(sql)}, params) : client.query(query),
    limits,
  );
  return {
    rows: (result.rows as unknown[][]).map((row) => row.map(plain)),
    fields: result.fields.map(({name, dataTypeID}) => ({name, type: dataTypeID})),
  };
}

const copy = (client: Client, target: string, chunks: Iterable<Uint8Array>, limits: Limits): Promise<void> =>
  answered(client, client.query(new CopyFrom(`COPY ${target} FROM STDIN`, chunks)).done, limits);

async function transaction<T>(
  client: Client,
  work: (transaction: PostgresTransaction) => Promise<T>,
  limits: Limits,
): Promise<T> {
  const simple = (sql: string) => answered(client, client.query(sql), limits);
  await simple(limits.statementTimeoutMs === 0 ? 'BEGIN; SET LOCAL statement_timeout = 0' : 'BEGIN');
  let result: T;
  try {
    result = await work({
      query: (sql, params) => statement(client, sql, params, limits),
      copy: (target, chunks) => copy(client, target, chunks, limits),
    });
  } catch (error) {
    await simple('ROLLBACK').catch(() => lost.add(client));
    throw error;
  }
  const {command} = await simple('COMMIT');
  if (command !== 'COMMIT') throw new Error('a transaction that had failed was to be committed');
  return result;
}

/** Rejects when nothing answers for much longer than the server itself would let it take; that connection is lost. */
async function answered<T>(client: Client, answer: Promise<T>, {statementTimeoutMs}: Limits): Promise<T> {
  if (statementTimeoutMs === 0) return answer;
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    const ms = statementTimeoutMs + graceMs;
    timer = setTimeout(() => {
      lost.add(client);
      (client as Inside).connection.stream.destroy();
      reject(new Error(`Connection given up: no answer for ${ms / 1000} s`));
    }, ms);
  });
  answer.catch(() => {});
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}
