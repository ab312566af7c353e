import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {type LocalStatus, localNames} from '../cluster/local.ts';
import type {LocalName} from '../cluster/local-kinds.ts';
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

/**
 * What an environment runs on, by the backends that its files name. Mistakes in them are not looked for here.
 * @param chosen undefined: `single`, and Kafka and PostgreSQL where there is no such environment yet
 * @throws CONFIG_INVALID for an environment that is chosen and not there
 */
export function neededServers(root: string, chosen: string | undefined): LocalName[] {
  const env = chosen ?? 'single';
  const file = join(root, 'config', 'environments', `${env}.yaml`);
  if (env !== 'dev' && !existsSync(file)) {
    if (chosen === undefined) return ['kafka', 'postgres'];
    throw new PlatformError('CONFIG_INVALID', `there is no environment "${env}"`, {
      place: file,
      hint: 'name servers instead: npx millrace up kafka postgres',
    });
  }
  const {platform, environment} = readLayers(root, env, new Diagnostics());
  const node = merge(platform?.node, environment?.node);
  const backend = (section: ConfigNode | undefined) => textOf(child(section, 'backend'));
  const sinks = child(node, 'sinks');
  const sinkBackends =
    sinks?.kind === 'map' ? [...sinks.entries.values()].map(({value}) => backend(value)) : [];
  const checkpoints = textOf(child(child(child(node, 'engine'), 'embedded'), 'checkpoints'));
  const needs: Record<LocalName, boolean> = {
    kafka: backend(child(node, 'log')) === 'kafka',
    registry: backend(child(node, 'registry')) === 'confluent',
    clickhouse: sinkBackends.includes('clickhouse'),
    postgres: sinkBackends.includes('postgres'),
    vault: backend(child(node, 'secrets')) === 'vault',
    s3: checkpoints?.startsWith('s3://') === true,
    prometheus: false,
  };
  return localNames.filter((name) => needs[name]);
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
