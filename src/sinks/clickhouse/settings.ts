import type {AgentOptions} from 'node:https';
import {hideSecret, PlatformError} from '../../errors.ts';
import {readPlain} from '../../plain-file.ts';
import type {ClickHouseCluster} from './connection.ts';

/** Settings of ClickHouse, by name, as its client takes them. */
export type ServerValues = Record<string, string | number>;

/** Where and how to connect. */
export type ServerSettings = {
  /** Scheme, host and port. */
  origin: string;
  /** Behind a proxy; without slashes at its ends, '' for none. */
  pathname: string;
  database: string;
  username: string;
  /** Never printed. */
  password: string;
  tls: Pick<AgentOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized'>;
  requestTimeoutMs: number;
  codec: 'gzip' | 'zstd' | undefined;
  partsMax: number;
  cluster: ClickHouseCluster | undefined;
  /** For every statement of ours. */
  values: ServerValues;
  /** For queries of users, beside those. */
  queryValues: ServerValues;
};

const defaultTimeoutMs = 30_000;
const defaultParts = 300;

type Options = {
  tls?: {ca?: string; cert?: string; key?: string; insecure?: boolean};
  cluster?: {name?: string; replicated?: boolean};
  settings?: Record<string, unknown>;
};

type Wrong = (message: string, hint: string) => PlatformError;

/** @throws SINK_REFUSED for options that contradict each other, and for files that cannot be read */
export function settingsOf(options: Record<string, unknown>): ServerSettings {
  const url = new URL(String(options.url));
  const password = String(options.password ?? '');
  hideSecret(password);
  const wrong: Wrong = (message, hint) =>
    new PlatformError('SINK_REFUSED', message, {place: url.origin, hint});
  if (url.username !== '' || url.password !== '')
    throw wrong(
      'the URL of the server holds a user',
      'write username: and password: "${secret:name}" beside the URL',
    );
  if (url.search !== '' || url.hash !== '')
    throw wrong('the URL of the server has parameters', 'use the options beside it: database, settings, ...');
  const {tls = {}, cluster, settings = {}} = options as Options;
  if (url.protocol !== 'https:' && Object.values(tls).some((value) => value !== undefined && value !== false))
    throw wrong(
      'tls is given, and the URL begins with http:',
      'write https:// and the port of the server’s HTTPS (8443)',
    );
  const placed =
    cluster?.name === undefined ? undefined : {name: cluster.name, replicated: cluster.replicated ?? true};
  return {
    origin: url.origin,
    pathname: url.pathname.replace(/^\/+|\/+$/g, ''),
    database: String(options.database ?? 'default'),
    username: String(options.username ?? 'default'),
    password,
    tls: tlsOf(tls, wrong),
    requestTimeoutMs: Number(options.request_timeout ?? defaultTimeoutMs),
    codec: codecOf(String(options.compression ?? 'auto'), url.hostname),
    partsMax: Number(options.parts ?? defaultParts),
    cluster: placed,
    ...valuesOf(settings, placed),
  };
}

/** To this machine compressing costs more than it saves. */
function codecOf(compression: string, host: string): ServerSettings['codec'] {
  if (compression === 'gzip' || compression === 'zstd') return compression;
  const isLocal = host === 'localhost' || host === '[::1]' || /^127\./.test(host);
  return compression === 'none' || isLocal ? undefined : 'zstd';
}

const seconds = (ms: unknown): number => Math.max(1, Math.ceil(Number(ms) / 1000));

/** How a setting of the configuration becomes ClickHouse's. */
const asServerTakes: Record<string, (value: unknown) => string | number> = {
  insert_quorum: (value) => value as string | number,
  insert_quorum_timeout: Number,
  distributed_ddl_task_timeout: seconds,
  max_memory_usage: Number,
  max_execution_time: seconds,
  max_rows_to_read: Number,
  max_threads: Number,
};
/** Those that are meant for what users ask, and would stop our own reads. */
const ofQueries = new Set(['max_execution_time', 'max_rows_to_read']);

function valuesOf(
  settings: Record<string, unknown>,
  cluster: ClickHouseCluster | undefined,
): Pick<ServerSettings, 'values' | 'queryValues'> {
  // What one replica alone has is gone with its disk, and our checkpoint has passed it.
  const values: ServerValues = cluster?.replicated ? {insert_quorum: 'auto'} : {};
  const queryValues: ServerValues = {};
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || value === null) continue;
    (ofQueries.has(name) ? queryValues : values)[name] = asServerTakes[name]!(value);
  }
  return {values, queryValues};
}

function tlsOf({ca, cert, key, insecure}: NonNullable<Options['tls']>, wrong: Wrong): ServerSettings['tls'] {
  if ((cert === undefined) !== (key === undefined))
    throw wrong(
      'an own certificate needs its key, and a key its certificate',
      'name both tls.cert and tls.key',
    );
  const read = (what: string, path: string | undefined): Record<string, Buffer> => {
    if (path === undefined) return {};
    try {
      return {[what]: Buffer.from(readPlain(path))};
    } catch (error) {
      throw wrong(`tls.${what} cannot be read: ${(error as Error).message}`, 'name a PEM file that is there');
    }
  };
  return {
    ...read('ca', ca),
    ...read('cert', cert),
    ...read('key', key),
    rejectUnauthorized: insecure !== true,
  };
}
