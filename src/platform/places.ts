import {createHash, randomBytes} from 'node:crypto';
import {chmodSync, mkdirSync, readFileSync, realpathSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {isAbsolute, join, relative} from 'node:path';
import {revealSecrets} from '../config/secrets/secret.ts';
import type {TlsFiles} from '../config/tls.ts';
import {kafkaSettingsOf} from '../log/kafka/configured.ts';
import type {LogSource} from '../log/open.ts';
import {logDirOf} from '../model/log.ts';
import type {consoleRole, Role} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import type {PrivacySetting} from '../privacy/opener.ts';
import type {RegistryServer, RegistrySource} from '../schema/registry-open.ts';

export type PlacedPlatform = {root: string; roles?: readonly (Role | typeof consoleRole)[]};

/** Where a platform keeps what, all below `<root>/.millrace` unless the configuration says otherwise. */
export type Places = {home: string; lock: string; token: string; controlSocket: string};

export function placesOf({root, roles}: PlacedPlatform): Places {
  // Processes of several roles stand beside each other.
  const own = roles ? ['.millrace', roles.join('+')] : ['.millrace'];
  const home = join(root, ...own);
  const real = join(realPath(root), ...own);
  const socket = join(real, 'control.sock');
  const short = createHash('sha256').update(real).digest('hex').slice(0, 16);
  return {
    home,
    lock: join(home, 'lock'),
    token: join(home, 'token'),
    // A socket's path may have 107 bytes at most; a deep root gets a short name that both sides can work out.
    controlSocket: Buffer.byteLength(socket) <= 100 ? socket : join(tmpdir(), `millrace-${short}.sock`),
  };
}

/** The same for everybody who comes by a symbolic link. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** What a request has to carry, for one that does not: whose file or setting, and no path of the machine. */
export function accessText(platform: PlacedPlatform & {server: {token?: unknown}}): string {
  const file = relative(platform.root, placesOf(platform).token);
  const token =
    platform.server.token === undefined ? `the text of ${file}` : 'server.token of the configuration';
  return `Authorization: Bearer <${token}>`;
}

/** Makes a new access token for this run, readable by its owner alone. */
export function createToken(path: string): string {
  const token = randomBytes(24).toString('base64url');
  writeFileSync(path, `${token}\n`, {mode: 0o600});
  chmodSync(path, 0o600);
  return token;
}

export function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

export function ensureHome(places: Places): void {
  mkdirSync(places.home, {recursive: true, mode: 0o700});
}

/** Directories of the durable parts, absolute. */
export type PlatformDirs = {
  log: string;
  /** Holds the password of a registry that is a server: never print it. */
  registry: RegistrySource;
  state: string;
  revisions: string;
  temp: string;
  /** The log as readers open it; its `dir` is `log`. */
  source: LogSource;
};

export function dirsOf(platform: Platform): PlatformDirs {
  const absolute = (dir: string) => (isAbsolute(dir) ? dir : join(platform.root, dir));
  const shared = absolute(logDirOf(platform));
  const {home} = placesOf(platform);
  const log = platform.roles ? join(home, 'log') : shared;
  const state = absolute(platform.engine.checkpointsDir);
  const kafka = kafkaSettingsOf(platform);
  return {
    log,
    registry: registryOf(platform, shared),
    state,
    revisions: join(state, 'revisions.json'),
    temp: join(home, 'tmp'),
    source: {dir: log, ...(kafka ? {kafka} : {})},
  };
}

/** The embedded registry lies beside the log. */
function registryOf({registry: {backend, options}}: Platform, log: string): RegistrySource {
  if (backend === 'embedded') return {dir: log};
  const {url, username, password, token, tls, timeout, patience, cache} = revealSecrets(options) as {
    url: string[];
    username?: string;
    password?: string;
    token?: string;
    tls?: TlsFiles;
    timeout: number;
    patience: number;
    cache: string;
  };
  const server: RegistryServer = {
    urls: url,
    ...(username === undefined ? {} : {username}),
    ...(password === undefined ? {} : {password}),
    ...(token === undefined ? {} : {token}),
    ...(tls === undefined ? {} : {tls}),
    timeoutMs: timeout,
    patienceMs: patience,
  };
  return {dir: cache, server};
}

/** The key of what is protected, and where its keys are; undefined without one. */
export const privacyOf = ({pii}: Platform, {log}: PlatformDirs): PrivacySetting | undefined =>
  pii && {dir: log, key: pii.key.reveal()};
