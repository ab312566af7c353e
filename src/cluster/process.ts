import {spawn} from 'node:child_process';
import {closeSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync} from 'node:fs';
import {dirname} from 'node:path';
import {PlatformError} from '../errors.ts';
import {processStart} from '../log/lock.ts';
import {unwatch, watch} from './watchdog.ts';

/** A process, told apart from a later one that got the same pid. */
export type ProcessIdentity = {
  pid: number;
  /** When it started, in ticks since boot; null where the system does not tell. */
  start: string | null;
};

/** How a server's process is started. */
export type ServerCommand = {
  /** As messages call it: `Kafka broker 1`. */
  title: string;
  command: string;
  args: string[];
  /** Added to this process's variables. */
  env?: Record<string, string>;
  cwd?: string;
  /** File that takes what it prints; appended to. */
  log: string;
  /** What ends it at once when nothing of it is kept; default SIGKILL. */
  quickEnd?: NodeJS.Signals;
  /** Whose process it is, where that is not ours. */
  user?: {uid: number; gid: number};
};

/** Whether that very process still runs; one that ended and was not yet asked for its exit code does not. */
export function isRunning({pid, start}: ProcessIdentity): boolean {
  if (start !== null) return processStart(pid) === start && !hasEnded(pid);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** State Z alone does not say it: the first thread of a program has it while others still hold sockets and files. */
function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] === 'Z' && readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return true;
  }
}

/** Sends a signal to that very process. @returns false when it does not run any more; a stranger with its pid gets nothing. */
export function signalProcess(server: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(server)) return false;
  try {
    process.kill(server.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Ends that very process: `signal`, and SIGKILL when it still runs after `graceMs`. Resolves once it is gone; after SIGKILL,
 * which it cannot pass on, those that it had started are ended with it.
 */
export async function stopProcess(
  server: ProcessIdentity,
  {signal, graceMs}: {signal: NodeJS.Signals; graceMs: number},
): Promise<void> {
  const children = signal === 'SIGKILL' ? childrenOf(server) : [];
  signalProcess(server, signal);
  for (const child of children) signalProcess(child, 'SIGKILL');
  // A process that is held (SIGSTOP) takes the signal once it goes on.
  if (signal !== 'SIGKILL') signalProcess(server, 'SIGCONT');
  let killAtMs = performance.now() + graceMs;
  while ([server, ...children].some(isRunning)) {
    if (performance.now() > killAtMs) {
      signalProcess(server, 'SIGKILL');
      killAtMs = Number.POSITIVE_INFINITY;
    }
    await pause(10);
  }
  unwatch(server);
}

/** Processes that a process started and that still run. Without Linux's list of them: none. */
export function childrenOf(server: ProcessIdentity): ProcessIdentity[] {
  if (!isRunning(server)) return [];
  try {
    return readdirSync(`/proc/${server.pid}/task`)
      .flatMap((task) => readFileSync(`/proc/${server.pid}/task/${task}/children`, 'latin1').split(' '))
      .filter(Boolean)
      .map((pid) => ({pid: Number(pid), start: processStart(Number(pid))}));
  } catch {
    return [];
  }
}

/**
 * Starts a server's process. It ends with this one, also when this one is killed, until `release` says that it may go on.
 * @throws SERVER_MISSING when the program is not there
 */
export async function startProcess(server: ServerCommand): Promise<ProcessIdentity> {
  mkdirSync(dirname(server.log), {recursive: true});
  const log = openSync(server.log, 'a', 0o600);
  try {
    const child = spawn(server.command, server.args, {
      stdio: ['ignore', log, log],
      // A group of its own: Ctrl-C in this terminal is not for the server.
      detached: true,
      env: {...process.env, ...server.env},
      ...(server.cwd === undefined ? {} : {cwd: server.cwd}),
      ...server.user,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(
          new PlatformError('SERVER_MISSING', `${server.title}: ${server.command} cannot be started`, {
            cause,
          }),
        ),
      );
    });
    child.unref();
    const identity = {pid: child.pid!, start: processStart(child.pid!)};
    watch(identity, server.quickEnd ?? 'SIGKILL');
    return identity;
  } finally {
    closeSync(log);
  }
}

/** From now on a server goes on when this process ends. */
export const release = (server: ProcessIdentity): void => unwatch(server);

/**
 * Waits until a server answers. `ask` throws or answers false while it does not.
 * @throws SERVER_FAILED with the last lines of its log when it ended or `timeoutMs` passed
 */
export async function awaitReady(
  server: {title: string; log: string; processes: ProcessIdentity[]},
  ask: () => Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    const ended = server.processes.some((each) => !isRunning(each));
    if (ended || performance.now() > untilMs)
      throw new PlatformError(
        'SERVER_FAILED',
        `${server.title} ${ended ? 'ended while it started' : `did not answer within ${timeoutMs / 1000} s`}${lastLines(server.log)}`,
        {place: server.log, ...(last === undefined ? {} : {cause: last})},
      );
    const answer = ask().catch((error: unknown) => {
      last = error;
      return false;
    });
    // A server that ended is not waited for until the request to it gives up.
    while (!(await Promise.race([answer.then(() => true), pause(25).then(() => false)])))
      if (server.processes.some((each) => !isRunning(each))) break;
    if (server.processes.every(isRunning) && (await answer)) return;
    await pause(25);
  }
}

const tailBytesMax = 16_384;
const tailLinesMax = 12;

/** The end of a log, each line indented below the message that it explains. */
function lastLines(path: string): string {
  const text = tailOf(path);
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 0
    ? ' and printed nothing'
    : `:\n${lines
        .slice(-tailLinesMax)
        .map((line) => `  ${line.slice(0, 300)}`)
        .join('\n')}`;
}

/** The last bytes of a file as text; empty when it cannot be read. */
export function tailOf(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      const size = fstatSync(file).size;
      const bytes = Buffer.alloc(Math.min(size, tailBytesMax));
      readSync(file, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString('utf8');
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}

/** So many milliseconds of the machine's own time. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
