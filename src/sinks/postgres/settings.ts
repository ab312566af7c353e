import type {ConnectionOptions} from 'node:tls';
import {hideSecret, PlatformError} from '../../errors.ts';
import {readPlain} from '../../plain-file.ts';

/** Where and how to connect. */
export type ServerSettings = {
  host: string;
  port: number;
  user: string;
  database: string;
  /** Empty: none. Never printed. */
  password: string;
  tls: ConnectionOptions | false;
  connectionsMax: number;
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  raw: RawTables;
};

/** How tables of raw events are kept. */
export type RawTables = {
  partitionBy: 'day' | 'none';
  /** Null: for ever. */
  retentionMs: number | null;
};

type TlsOptions = {mode?: string; ca?: string; cert?: string; key?: string};

/** @throws SINK_REFUSED for options that contradict each other, and for files that cannot be read */
export function settingsOf(options: Record<string, unknown>): ServerSettings {
  const url = new URL(String(options.url));
  const password = String(options.password ?? '');
  hideSecret(password);
  const wrong = (message: string, hint: string) =>
    new PlatformError('SINK_REFUSED', message, {place: serverName(settings), hint});
  const {raw = {}, tls = {}} = options as {raw?: Record<string, unknown>; tls?: TlsOptions};
  const settings: ServerSettings = {
    host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1') || 'localhost',
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    database: decodeURIComponent(url.pathname.slice(1)),
    password,
    tls: false,
    connectionsMax: Number(options.pool ?? 4),
    connectTimeoutMs: Number(options.connect_timeout ?? 10_000),
    statementTimeoutMs: Number(options.statement_timeout ?? 60_000),
    raw: {
      partitionBy: raw.partition_by === 'none' ? 'none' : 'day',
      retentionMs: typeof raw.retention === 'number' ? raw.retention : null,
    },
  };
  if (url.password !== '')
    throw wrong('the URL of the server holds a password', 'write password: "${secret:name}" beside the URL');
  if (settings.user === '' || settings.database === '')
    throw wrong(
      `the URL of the server names no ${settings.user === '' ? 'user' : 'database'}`,
      'write postgres://user@host:5432/database',
    );
  if (url.search !== '')
    throw wrong(
      'the URL of the server has parameters',
      'use the options beside it: tls, connect_timeout, ...',
    );
  if (settings.raw.partitionBy === 'none' && settings.raw.retentionMs !== null)
    throw wrong('raw.retention drops partitions, and there are none', 'write raw: {partition_by: day, ...}');
  return {...settings, tls: tlsOf(tls, settings.host, wrong)};
}

/** `user@host:port/database`, for messages. */
export const serverName = ({user, host, port, database}: ServerSettings): string =>
  `${user}@${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;

function tlsOf(
  {mode, ca, cert, key}: TlsOptions,
  host: string,
  wrong: (message: string, hint: string) => PlatformError,
): ConnectionOptions | false {
  const files = ca !== undefined || cert !== undefined || key !== undefined;
  const chosen = mode ?? (files ? 'verify-full' : 'off');
  if (chosen === 'off') {
    if (files) throw wrong('tls names files, and its mode is off', 'write mode: verify-full');
    return false;
  }
  if ((cert === undefined) !== (key === undefined))
    throw wrong(
      'an own certificate needs its key, and a key its certificate',
      'name both tls.cert and tls.key',
    );
  const read = (what: string, path: string): Buffer => {
    try {
      return Buffer.from(readPlain(path));
    } catch (error) {
      throw wrong(`tls.${what} cannot be read: ${(error as Error).message}`, 'name a PEM file that is there');
    }
  };
  return {
    rejectUnauthorized: chosen !== 'require',
    host,
    ...(ca === undefined ? {} : {ca: read('ca', ca)}),
    ...(cert === undefined ? {} : {cert: read('cert', cert)}),
    ...(key === undefined ? {} : {key: read('key', key)}),
    // The chain is proven, the name is not looked at.
    ...(chosen === 'verify-ca' ? {checkServerIdentity: () => undefined} : {}),
  };
}
