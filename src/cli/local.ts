import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {type LocalStatus, localNames} from '../cluster/local.ts';
import type {LocalName} from '../cluster/local-kinds.ts';
import type {WantedPorts} from '../cluster/single.ts';
import {Diagnostics} from '../config/diagnostics.ts';
import {findRoot, readLayers} from '../config/files.ts';
import {merge} from '../config/merge.ts';
import {type ConfigNode, child} from '../config/nodes.ts';
import {PlatformError} from '../errors.ts';
import {formatBytes} from '../quantity.ts';
import type {CommandCall} from './command.ts';
import {unknownName} from './context.ts';
import {type Cell, formatTable} from './output.ts';

/** Root of the platform, and where its local servers are. @throws CONFIG_INVALID outside of a platform */
export function localPlace({options, io}: CommandCall): {root: string; home: string} {
  const root = findRoot(options.config ?? io.cwd);
  if (root === undefined)
    throw new PlatformError(
      'CONFIG_INVALID',
      `there is no config/ in ${options.config ?? io.cwd} or above it`,
      {
        hint: 'npx millrace init',
      },
    );
  return {root, home: localHome(root)};
}

export const localHome = (root: string): string => join(root, '.millrace', 'cluster');

/** Names of servers as they were typed. @throws NAME_UNKNOWN */
export function localNamesOf(typed: string[]): LocalName[] {
  for (const name of typed)
    if (!(localNames as string[]).includes(name)) throw unknownName('local server', name, localNames);
  return localNames.filter((name) => typed.includes(name));
}

/** A server that an environment runs on. */
export type NeededServer = {
  name: LocalName;
  /** The ports of this machine that its files name for it; undefined: none, so any will do. */
  wanted: WantedPorts | undefined;
  /** An address there that is none of this machine's: somebody else runs that server. */
  elsewhere: string | undefined;
};

/**
 * What an environment runs on, by the backends and addresses that its files name. Mistakes in them are not looked for here.
 * @param chosen undefined: `single`, and Kafka and PostgreSQL where there is no such environment yet
 * @throws CONFIG_INVALID for an environment that is chosen and not there
 */
export function neededServers(root: string, chosen: string | undefined): NeededServer[] {
  const env = chosen ?? 'single';
  const file = join(root, 'config', 'environments', `${env}.yaml`);
  if (env !== 'dev' && !existsSync(file)) {
    if (chosen === undefined)
      return (['kafka', 'postgres'] as const).map((name) => ({
        name,
        wanted: undefined,
        elsewhere: undefined,
      }));
    throw new PlatformError('CONFIG_INVALID', `there is no environment "${env}"`, {
      place: file,
      hint: 'write that file, or name servers without an environment: npx millrace up kafka postgres',
    });
  }
  const {platform, environment} = readLayers(root, env, new Diagnostics());
  const node = merge(platform?.node, environment?.node);
  const addresses = addressesOf(node);
  return localNames.flatMap((name) => {
    const nodes = addresses[name];
    return nodes ? [{name, ...placesOf(name, nodes)}] : [];
  });
}

/** Where the addresses of each server stand, which may be nowhere; undefined for one that is not used. */
function addressesOf(node: ConfigNode | undefined): Partial<Record<LocalName, (ConfigNode | undefined)[]>> {
  const at = (from: ConfigNode | undefined, ...path: string[]) =>
    path.reduce<ConfigNode | undefined>((found, key) => child(found, key), from);
  const sinks = at(node, 'sinks');
  const sinkOf = (backend: string) =>
    sinks?.kind === 'map'
      ? [...sinks.entries.values()].filter(({value}) => textOf(child(value, 'backend')) === backend)
      : [];
  const urls = (backend: string) => {
    const found = sinkOf(backend).map(({value}) => at(value, backend, 'url'));
    return found.length > 0 ? {[backend]: found} : {};
  };
  const brokers = at(node, 'log', 'kafka', 'brokers');
  const embedded = at(node, 'engine', 'embedded');
  return {
    ...(textOf(at(node, 'log', 'backend')) === 'kafka'
      ? {kafka: brokers?.kind === 'list' ? brokers.items : [brokers]}
      : {}),
    ...(textOf(at(node, 'registry', 'backend')) === 'confluent'
      ? {registry: [at(node, 'registry', 'confluent', 'url')]}
      : {}),
    ...urls('clickhouse'),
    ...urls('postgres'),
    ...(textOf(at(node, 'secrets', 'backend')) === 'vault'
      ? {vault: [at(node, 'secrets', 'vault', 'url')]}
      : {}),
    ...(textOf(child(embedded, 'checkpoints'))?.startsWith('s3://')
      ? {s3: [at(embedded, 's3', 'endpoint')]}
      : {}),
  };
}

const usualPorts: Partial<Record<LocalName, number>> = {kafka: 9092, clickhouse: 8123, postgres: 5432};

/** Which of the addresses are this machine's. Several sinks may name one server. */
function placesOf(
  name: LocalName,
  nodes: (ConfigNode | undefined)[],
): Pick<NeededServer, 'wanted' | 'elsewhere'> {
  const ports = new Set<number>();
  let place: string | undefined;
  let elsewhere: string | undefined;
  for (const node of nodes) {
    const text = textOf(node);
    if (node === undefined || text === undefined) continue;
    const [, host, port] =
      /^(?:[a-z0-9+]+:\/\/)?(?:[^@/]*@)?(\[[^\]]*\]|[^:/?]+)(?::(\d+))?(?:[/?]|$)/.exec(text) ?? [];
    // What a variable or a secret says is not looked for.
    if (host === undefined || host.includes('$')) continue;
    if (!/^(localhost|127(\.\d+){3}|\[::1\])$/.test(host)) {
      elsewhere ??= port === undefined ? host : `${host}:${port}`;
      continue;
    }
    const named = port === undefined ? usualPorts[name] : Number(port);
    if (named === undefined) continue;
    ports.add(named);
    const {file, start} = node.place;
    place ??= `${file.shown}:${file.position(start).line}`;
  }
  return {
    wanted: place === undefined ? undefined : {ports: [...ports], place},
    elsewhere: place === undefined ? elsewhere : undefined,
  };
}

const textOf = (node: ConfigNode | undefined): string | undefined =>
  node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;

/** Servers as `up` and `status` show them. */
export function localTable(servers: LocalStatus[]): string {
  const rows = servers.map((server): Cell[] => {
    const isRunning = server.phase === 'running';
    return [
      server.name,
      {running: 'running', part: 'in part', stopped: 'stopped'}[server.phase],
      server.running.map(({pid}) => pid).join(' '),
      server.address,
      isRunning ? new Date(server.sinceMs).toISOString().slice(0, 19).replace('T', ' ') : '',
      server.memoryBytes === undefined ? '' : formatBytes(server.memoryBytes),
    ];
  });
  return formatTable(['SERVER', 'STATE', 'PID', 'ADDRESS', 'UP SINCE (UTC)', 'MEMORY'], rows, 80);
}

/** Servers as `--json` has them: without passwords, which `up --json` tells as variables. */
export const localJson = (servers: LocalStatus[]): object[] =>
  servers.map(({name, title, phase, running, address, sinceMs, logs, memoryBytes}) => ({
    name,
    title,
    phase,
    pids: running.map(({pid}) => pid),
    address,
    since: new Date(sinceMs).toISOString(),
    logs,
    memory_bytes: memoryBytes ?? null,
  }));
