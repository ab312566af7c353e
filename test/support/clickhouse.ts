/** What tests of chDB and of ClickHouse servers share. */
import type {TestContext} from 'node:test';
import {type ClickHouseFront, startClickHouse} from '../../src/cluster/clickhouse.ts';
import type {FrontOptions} from '../../src/cluster/clickhouse-front.ts';
import type {Value} from '../../src/expr/types.ts';
import type {BackendChoice, Column} from '../../src/model/types.ts';
import {dateDays} from '../../src/sinks/tables.ts';
import type {Subject} from '../conformance/sink.ts';
import {scratchDir} from './scratch.ts';

/** How the conformance suite reads a ClickHouse, whichever. */
export const clickHouseSubject: Pick<Subject, 'latest' | 'count' | 'reaching'> = {
  async latest(sink, _, table) {
    const hide = table.kind === 'query' ? 'WHERE deleted = 0' : '';
    const {rows} = await sink.query!(
      `SELECT ${table.columns.map(({name}) => `"${name}"`).join(', ')} FROM ${table.namespace}.${table.name} FINAL ${hide}`,
    );
    return rows.map((row) =>
      Object.fromEntries(table.columns.map((column, index) => [column.name, fromText(column, row[index]!)])),
    );
  },
  async count(sink, _, table) {
    const {rows} = await sink.query!(`SELECT count() FROM ${table.namespace}.${table.name}`);
    return Number(rows[0]![0]);
  },
  reaching: [
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM default.`/etc/passwd`',
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM `f\\x69le`('/etc/passwd', 'LineAsString')",
    "SELECT * FROM \u201cfile\u201d/**/('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file\u200b('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file // x\n('/etc/passwd', 'LineAsString')",
    "SELECT 'x' IN file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT 1 INTO/**/OUTFILE '/dev/shm/millrace-never'",
    "SELECT 1; SELECT 1 INTO OUTFILE '/dev/shm/millrace-never'",
    'KILL QUERY WHERE 1',
    'KILL/**/MUTATION WHERE 1',
    'CREATE TEMPORARY TABLE own AS SELECT 1',
  ],
};

/** ClickHouse prints times as `2026-01-31 12:00:00.000`. */
function fromText({type, name}: Column, value: Value): Value {
  if (value === null) return null;
  if (type === 'timestamp') return Date.parse(`${String(value).replace(' ', 'T')}Z`);
  if (type === 'date') return dateDays(String(value));
  return name === 'deleted' ? value === 1 : value;
}

export const user = 'app';
export const password = 'correct horse battery staple';

export type TestServer = {
  url: string;
  dir: string;
  /** The sink over it. @param more options beside URL and user */
  choice(more?: Record<string, unknown>): BackendChoice;
  kill(): Promise<void>;
  /** Starts it again after `kill`, with its data, on the same port. */
  start(): Promise<void>;
};

/** ClickHouse's protocol in front of chDB, on a free port and a new directory; call `kill` at the end. */
export async function clickHouseServer(options: Partial<FrontOptions> = {}): Promise<TestServer> {
  const dir = scratchDir('clickhouse');
  const start = (port: number) => startClickHouse({dir, users: {[user]: password}, ...options, port});
  let front: ClickHouseFront = await start(0);
  const {url, port} = front;
  return {
    url,
    dir,
    choice: (more = {}) => ({backend: 'clickhouse', options: {url, username: user, password, ...more}}),
    kill: () => front.kill(),
    async start() {
      front = await start(port);
    },
  };
}

/** The same for one test: ends with it. */
export async function clickHouseServerFor(
  t: TestContext,
  options: Partial<FrontOptions> = {},
): Promise<TestServer> {
  const server = await clickHouseServer(options);
  t.after(() => server.kill());
  return server;
}
