/**
 * Servers beside a platform, in `.millrace/cluster/<name>`: they go on when the command that started them has ended, and are
 * found again by what `state.json` there says of their processes.
 */
import {mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {PlatformError} from '../errors.ts';
import {acquireLock} from '../log/lock.ts';
import type {Progress} from './cache.ts';
import {type Answer, ask} from './http.ts';
import {type LocalName, localKinds, type StartedServer} from './local-kinds.ts';
import {childrenOf, isRunning, type ProcessIdentity, stopProcess} from './process.ts';
import type {WantedPorts} from './single.ts';

/** A server as it was started. */
export type LocalServer = StartedServer & {
  name: LocalName;
  title: string;
  /** When it was started, epoch ms. */
  sinceMs: number;
  dir: string;
};

/** A server of `.millrace/cluster`, and whether it runs. */
export type LocalStatus = LocalServer & {
  /** `part`: some of its processes ended. */
  phase: 'running' | 'part' | 'stopped';
  running: ProcessIdentity[];
  /** Memory of its processes that is theirs alone, with a fair share of what they share; undefined where that cannot be told. */
  memoryBytes: number | undefined;
};

export type UpOptions = {
  brokers?: 1 | 3;
  progress?: (name: LocalName, text: string) => void;
  /** Where it is to listen; default: as the last time, else on free ports. */
  wanted?: WantedPorts | undefined;
  /** What may let in where that was changed in the server since: secrets, by the names under which `settings` ask for them. */
  secrets?: readonly Record<string, string>[];
};

/** `found`: one of `UpOptions.secrets` lets in; `unknown`: nothing that is known does, and the server is told without secrets. */
export type Entrance = 'kept' | 'found' | 'unknown';

/** Names of every server that there is. */
export const localNames = Object.keys(localKinds) as LocalName[];

/**
 * Starts a server unless it runs. What it kept is that of the last time, and so is its address unless another is wanted.
 * @param home `.millrace/cluster`
 * @throws LOCKED while another command starts or stops it; SERVER_MISSING, SERVER_FETCH, SERVER_FAILED
 */
export async function upServer(
  home: string,
  name: LocalName,
  options: UpOptions = {},
): Promise<{server: LocalServer; isNew: boolean; entrance: Entrance}> {
  const dir = join(home, name);
  mkdirSync(dir, {recursive: true, mode: 0o700});
  const lock = acquireLock(join(home, `${name}.lock`), {command: `millrace up ${name}`});
  try {
    const known = readState(dir);
    if (known && phaseOf(known) === 'running') {
      checkBrokers(known, options.brokers);
      checkAddress(known, options.wanted);
      return {isNew: false, ...(await enter(known, options.secrets))};
    }
    if (known) await end(known);
    const progress: Progress = (text) => options.progress?.(name, text);
    const {brokers, wanted} = options;
    const secrets = known?.secrets ?? {};
    const started = await localKinds[name].start({dir, brokers, progress, wanted, secrets});
    const server: LocalServer = {name, title: localKinds[name].title, sinceMs: Date.now(), dir, ...started};
    writeState(dir, server);
    return {isNew: true, ...(await enter(server, options.secrets))};
  } finally {
    lock.release();
  }
}

/** Looks whether the secrets of a server are those of today. */
async function enter(
  server: LocalServer,
  others: UpOptions['secrets'] = [],
): Promise<{server: LocalServer; entrance: Entrance}> {
  const {name, dir} = server;
  let secrets: Record<string, string> | undefined = server.secrets;
  try {
    secrets = await (localKinds[name].entrance?.(server, others) ?? secrets);
  } catch {
    // It runs, and has other reasons to let nobody in just now: nothing is known to be wrong.
    return {server, entrance: 'kept'};
  }
  if (!secrets) return {server: {...server, secrets: {}}, entrance: 'unknown'};
  if (isDeepStrictEqual(secrets, server.secrets)) return {server, entrance: 'kept'};
  const now = {...server, secrets};
  writeState(dir, now);
  return {server: now, entrance: 'found'};
}

function checkBrokers({name, processes, dir}: LocalServer, wanted: number | undefined): void {
  if (name !== 'kafka' || wanted === undefined || wanted === processes.length) return;
  throw new PlatformError(
    'SERVER_FAILED',
    `the Kafka that runs here has ${processes.length === 1 ? 'one broker' : `${processes.length} brokers`}, not ${wanted}`,
    {place: dir, hint: 'remove it with what it keeps first: npx millrace down kafka --wipe'},
  );
}

function checkAddress({name, title, address}: LocalServer, wanted: WantedPorts | undefined): void {
  const ports = [...address.matchAll(/:(\d+)/g)].map(([, port]) => Number(port));
  if (!wanted || wanted.ports.every((port) => ports.includes(port))) return;
  throw new PlatformError(
    'SERVER_FAILED',
    `${title} runs at ${address}, and the configuration names port ${wanted.ports.join(', ')}`,
    {
      place: wanted.place,
      hint: `npx millrace down ${name}, then npx millrace up again: what it keeps stays`,
    },
  );
}

/**
 * Ends a server, if it runs. @param wipe what it kept is removed, too
 * @returns whether there was something to do. @throws LOCKED
 */
export async function downServer(home: string, name: LocalName, wipe: boolean): Promise<boolean> {
  const dir = join(home, name);
  const known = readState(dir);
  if (!known && !(wipe && holds(dir))) return false;
  const lock = acquireLock(join(home, `${name}.lock`), {command: `millrace down ${name}`});
  try {
    const wasRunning = known !== undefined && phaseOf(known) !== 'stopped';
    if (known) await end(known);
    if (wipe) localKinds[name].wipe(dir);
    return wasRunning || wipe;
  } finally {
    lock.release();
  }
}

/** Every server that was ever started here and not wiped. */
export function listServers(home: string): LocalStatus[] {
  return localNames.flatMap((name) => {
    const known = readState(join(home, name));
    if (!known) return [];
    return [
      {
        ...known,
        phase: phaseOf(known),
        running: known.processes.filter(isRunning),
        memoryBytes: memoryOf(known),
      },
    ];
  });
}

/** Variables that say where servers are and how to get in: a secret by its name in capitals, as `secrets: env` looks for it. */
export const variablesOf = (servers: LocalServer[]): Record<string, string> =>
  Object.fromEntries(
    servers.flatMap(({variables, secrets}) => [
      ...Object.entries(variables),
      ...Object.entries(secrets).map(([name, value]) => [name.toUpperCase(), value]),
    ]),
  );

/**
 * Puts what it takes to enter the other servers into a Vault of this machine, where `secrets: vault` looks for it; what else is
 * there stays. @throws SERVER_FAILED
 */
export async function shareSecrets(vault: LocalServer, others: LocalServer[]): Promise<void> {
  const secrets = Object.assign({}, ...others.map((each) => each.secrets)) as Record<string, string>;
  if (Object.keys(secrets).length === 0) return;
  const url = `${vault.address}/v1/secret/data/millrace`;
  const headers = {'X-Vault-Token': vault.secrets.vault_token!};
  const refused = (what: string, {status}: Answer) =>
    new PlatformError('SERVER_FAILED', `Vault does not ${what} secrets: status ${status}`, {place: url});
  const read = await ask(url, {headers});
  // 404: nothing was put there yet. Whatever else it says, what is there must not be written over.
  if (read.status !== 200 && read.status !== 404) throw refused('tell', read);
  const present =
    read.status === 200 ? ((JSON.parse(read.text) as {data: {data: object | null}}).data.data ?? {}) : {};
  const written = await ask(url, {method: 'POST', headers, body: {data: {...present, ...secrets}}});
  if (written.status !== 200) throw refused('take', written);
}

function phaseOf({processes}: LocalServer): LocalStatus['phase'] {
  const running = processes.filter(isRunning).length;
  return running === processes.length ? 'running' : running > 0 ? 'part' : 'stopped';
}

const end = (server: LocalServer) =>
  Promise.all(server.processes.map((each) => stopProcess(each, server.end)));

function holds(dir: string): boolean {
  try {
    return readdirSync(dir).length > 0;
  } catch {
    return false;
  }
}

function readState(dir: string): LocalServer | undefined {
  const path = join(dir, 'state.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text) as LocalServer;
  } catch (cause) {
    throw new PlatformError('SERVER_FAILED', 'what is known of a local server cannot be read', {
      place: path,
      hint: 'end the server yourself, then remove the file',
      cause,
    });
  }
}

/** It holds passwords, and must never be half written. */
function writeState(dir: string, server: LocalServer): void {
  const path = join(dir, 'state.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(server, null, 2)}\n`, {mode: 0o600});
  renameSync(`${path}.new`, path);
}

function memoryOf({processes}: LocalServer): number | undefined {
  const all = processes.filter(isRunning).flatMap((each) => [each, ...childrenOf(each)]);
  let kib = 0;
  for (const {pid} of all) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      kib += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
    } catch {
      // It ended, is another user's, or this system does not tell.
    }
  }
  return kib === 0 ? undefined : kib * 1024;
}
