import {randomBytes} from 'node:crypto';
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {Progress} from './cache.ts';
import {freePorts, isFree, listenerOf} from './ports.ts';
import {
  awaitReady,
  type ProcessIdentity,
  release,
  type ServerCommand,
  signalProcess,
  startProcess,
  stopProcess,
  tailOf,
} from './process.ts';
import {removeAtEnd} from './watchdog.ts';

/** Where a server is to listen, since somebody wrote that down. */
export type WantedPorts = {
  /** Of its first ports; it gets free ones beside them. */
  ports: number[];
  /** Where that stands. */
  place: string;
};

/** What every local server takes. */
export type ServerOptions = {
  /** Default: the ports of the last time in a directory that is kept, else free ones. */
  wanted?: WantedPorts | undefined;
  /** Where everything is kept and found again; default: a temporary directory that `stop` removes. */
  dir?: string;
  /** The server goes on when this process ends; default: it ends with it. */
  detached?: boolean;
  progress?: Progress;
};

/** A server of one process that runs. */
export type SingleServer = {
  readonly pid: number;
  readonly process: ProcessIdentity;
  /** The file that takes what it prints. */
  log: string;
  dir: string;
  /** What lets it end in good order, and how long that may take. */
  end: SinglePlan['end'];
  /** Sends it a signal; default SIGKILL, after which it is gone with all its processes. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again at the same address, after it has ended in good order if it still runs; waits until it serves. */
  restart(): Promise<void>;
  /** Ends it and, where the directory was a temporary one, removes that. */
  stop(): Promise<void>;
};

/** How a server is started in a directory; made anew for every attempt. */
export type SinglePlan = Omit<ServerCommand, 'log'> & {
  /** Throws or answers false while it does not serve. */
  ready(): Promise<boolean>;
  readyMsMax: number;
  /** What lets it end in good order, and how long that may take. */
  end: {signal: NodeJS.Signals; graceMs: number};
};

const portsFile = 'ports.json';
/** How often a server is tried on other ports when somebody takes one between our look and its start. */
const clashTriesMax = 3;
const clash = /address already in use|EADDRINUSE|Address in use|already bound|Port \d+ .* in use/i;

/**
 * Starts a server of one process. `plan` is told the directory and the ports, by name; those of a directory that is kept stay
 * the same. @throws SERVER_MISSING, SERVER_FETCH, SERVER_FAILED
 */
export async function startSingle<Names extends string>(
  name: string,
  names: readonly Names[],
  options: ServerOptions,
  plan: (place: {dir: string; ports: Record<Names, number>}) => Promise<SinglePlan>,
): Promise<SingleServer & {ports: Record<Names, number>}> {
  for (let tries = 1; ; tries++) {
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), `millrace-${name}-`));
    if (!options.dir) removeAtEnd(dir);
    mkdirSync(dir, {recursive: true});
    const ports = await keptPorts(dir, names, options.wanted?.ports ?? []);
    if (options.dir)
      await requireFree(Object.values(ports), dir, {
        wanted: options.wanted,
        otherwise: `remove ${portsFile} there: the server gets other ports`,
      });
    const log = join(dir, 'log');
    const discard = () => options.dir || rmSync(dir, {recursive: true, force: true});
    try {
      const server = new Single(dir, log, await plan({dir, ports}), options);
      await server.launch();
      // Not a spread: pid and process are as of the moment at which they are asked for.
      return Object.assign(handle(server, discard), {ports});
    } catch (error) {
      const isClash = clash.test(tailOf(log));
      discard();
      if (!isClash || options.dir || tries === clashTriesMax) throw error;
    }
  }
}

function handle(server: Single, discard: () => void): SingleServer {
  return {
    get pid() {
      return server.process!.pid;
    },
    get process() {
      return server.process!;
    },
    log: server.log,
    dir: server.dir,
    end: server.end,
    kill: (signal = 'SIGKILL') => server.kill(signal),
    async restart() {
      await stopProcess(server.process!, server.end);
      await server.launch();
    },
    async stop() {
      await server.stop();
      discard();
    },
  };
}

/** Ports that are wanted, else those that a directory remembers, else free ones; it will remember them. */
async function keptPorts<Names extends string>(
  dir: string,
  names: readonly Names[],
  wanted: number[],
): Promise<Record<Names, number>> {
  const path = join(dir, portsFile);
  let kept: Partial<Record<string, number>> = {};
  try {
    kept = JSON.parse(readFileSync(path, 'utf8')) as typeof kept;
  } catch {
    // The first time.
  }
  const free = await freePorts(names.length);
  const ports = Object.fromEntries(
    names.map((name, index) => [name, wanted[index] ?? kept[name] ?? free[index]]),
  ) as Record<Names, number>;
  writeFileSync(path, `${JSON.stringify(ports)}\n`);
  return ports;
}

/** A password that a directory keeps for its owner alone; made when there is none. @param before that of a server of before */
export function keptSecret(dir: string, name: string, before?: string): string {
  const path = join(dir, name);
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    const secret = before ?? randomBytes(18).toString('base64url');
    keepSecret(dir, name, secret);
    return secret;
  }
}

/** From now on `keptSecret` is this one. @param secret one line */
export const keepSecret = (dir: string, name: string, secret: string): void =>
  writeFileSync(join(dir, name), `${secret}\n`, {mode: 0o600});

/**
 * Looks whether somebody has taken a port that is wanted or that a directory remembers: whoever it is might answer in place of
 * the server. @param otherwise what else can be done about a port of the last time. @throws SERVER_FAILED
 */
export async function requireFree(
  ports: number[],
  place: string,
  {wanted, otherwise}: {wanted: WantedPorts | undefined; otherwise: string},
): Promise<void> {
  for (const port of ports) {
    if (await isFree(port)) continue;
    const isWanted = wanted?.ports.includes(port);
    const which = isWanted ? 'which the configuration names' : 'which the server had before';
    const holder = listenerOf(port);
    throw new PlatformError(
      'SERVER_FAILED',
      `port ${port}, ${which}, is in use${holder ? `: ${holder} listens there` : ''}`,
      {
        hint: `end ${holder ? 'that program' : 'the program that listens there'}; or ${isWanted ? 'name another port in the configuration' : otherwise}`,
        place: isWanted ? wanted!.place : place,
      },
    );
  }
}

class Single {
  readonly dir: string;
  readonly log: string;
  process: ProcessIdentity | undefined;
  readonly #plan: SinglePlan;
  readonly #isTemporary: boolean;
  readonly #detached: boolean;

  constructor(dir: string, log: string, plan: SinglePlan, {dir: kept, detached = false}: ServerOptions) {
    this.dir = dir;
    this.log = log;
    this.#plan = plan;
    this.#isTemporary = kept === undefined;
    this.#detached = detached;
  }

  get end(): SinglePlan['end'] {
    return this.#plan.end;
  }

  async launch(): Promise<void> {
    const {ready, readyMsMax, end, ...command} = this.#plan;
    this.process = await startProcess({...command, log: this.log});
    try {
      await awaitReady({title: command.title, log: this.log, processes: [this.process]}, ready, readyMsMax);
      if (this.#detached) release(this.process);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (signal !== 'SIGKILL') return void signalProcess(this.process!, signal);
    await stopProcess(this.process!, {signal, graceMs: 0});
  }

  /** A server with nothing to keep ends in the quick way. */
  async stop(): Promise<void> {
    const {end, quickEnd = 'SIGKILL'} = this.#plan;
    await stopProcess(this.process!, this.#isTemporary ? {signal: quickEnd, graceMs: 5_000} : end);
  }
}
