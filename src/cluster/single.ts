import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {Progress} from './cache.ts';
import {freePorts, isFree} from './ports.ts';
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

/** What every local server takes. */
export type ServerOptions = {
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
    const ports = await keptPorts(dir, names);
    if (options.dir)
      await requireFree(Object.values(ports), dir, `remove ${portsFile} there: the server gets other ports`);
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

/** Ports that a directory remembers, else free ones, which it will. */
async function keptPorts<Names extends string>(
  dir: string,
  names: readonly Names[],
): Promise<Record<Names, number>> {
  const path = join(dir, portsFile);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<Names, number>;
  } catch {
    const free = await freePorts(names.length);
    const ports = Object.fromEntries(names.map((name, index) => [name, free[index]])) as Record<
      Names,
      number
    >;
    writeFileSync(path, `${JSON.stringify(ports)}\n`);
    return ports;
  }
}

/**
 * Looks whether somebody has taken a port that a directory remembers: whoever it is might answer in place of the server.
 * @throws SERVER_FAILED
 */
export async function requireFree(ports: number[], place: string, otherwise: string): Promise<void> {
  for (const port of ports)
    if (!(await isFree(port)))
      throw new PlatformError('SERVER_FAILED', `port ${port}, which the server had before, is in use`, {
        hint: `end the program that listens there; or ${otherwise}`,
        place,
      });
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
