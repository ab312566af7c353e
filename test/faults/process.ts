/** The platform as a child process, with a fault. */
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

/** What `millrace` runs. */
export const main = join(import.meta.dirname, '../../src/cli/main.ts');

/** Compiled code is shared by all children: starting costs half. `npm test` has a place for it; else one for this process. */
const compileCache = process.env.NODE_COMPILE_CACHE ?? mkdtempSync(join(tmpdir(), 'millrace-compiled-'));
if (process.env.NODE_COMPILE_CACHE === undefined)
  process.on('exit', () => rmSync(compileCache, {recursive: true, force: true}));

/** Where a child is killed, or what the system answers it. */
export type Fault =
  /** At the n-th pass of a named place. */
  | {failpoint: string; count: number}
  /** At a thread's n-th system call of that name. */
  | {call: string; count: number}
  /** So many ms after its start. */
  | {afterMs: number}
  /** So many ms after the n-th time that its lookup was refreshed; `runRefreshing` only. */
  | {refreshes: number; delayMs: number}
  /** strace's own words, e.g. `fdatasync:error=EIO:when=5+`; with a path, of calls on that file alone. */
  | {inject: string; path?: string};

export const showFault = (fault: Fault): string =>
  'failpoint' in fault
    ? `${fault.failpoint}:${fault.count}`
    : 'call' in fault
      ? `${fault.call}:signal=KILL:when=${fault.count}`
      : 'afterMs' in fault
        ? `after ${fault.afterMs} ms`
        : 'refreshes' in fault
          ? `${fault.delayMs} ms after refresh ${fault.refreshes}`
          : fault.inject;

/** Whether system calls can be tampered with here. */
export const hasStrace = spawnSync('strace', ['-qq', '-e', 'trace=none', 'true']).status === 0;

export type Child = {
  pid: number;
  kill(signal: NodeJS.Signals): void;
  /** All of its messages so far. */
  stderr(): string;
  /** Resolves when stderr matches; rejects when it ends before. */
  says(pattern: RegExp): Promise<void>;
  ended: Promise<Ended>;
};

/** `killed`: by SIGKILL. */
export type Ended = {code: number | null; killed: boolean; stderr: string; stdout: string; seconds: number};

/** Starts `millrace <args>` in `root`, or another program. It is killed after `timeoutMs` at the latest. */
export function start(
  root: string,
  args: string[],
  fault?: Fault,
  timeoutMs = 240_000,
  program = main,
  environment: NodeJS.ProcessEnv = {},
): Child {
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', program, ...args];
  const injected = fault && ('call' in fault || 'inject' in fault) ? fault : undefined;
  if (injected) {
    const inject = 'call' in injected ? showFault(injected) : injected.inject;
    const calls = inject.slice(0, inject.indexOf(':'));
    // Not with --seccomp-bpf: strace 6.1 then injects no signal.
    const options = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${inject}`];
    if ('path' in injected && injected.path) options.push('-P', injected.path);
    command.unshift('strace', ...options);
  }
  const startedMs = performance.now();
  const child = spawn(command[0]!, command.slice(1), {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: strace leaves its tracee behind when it is killed alone.
    detached: true,
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: compileCache,
      ...environment,
      ...(fault && 'failpoint' in fault ? {MILLRACE_FAILPOINT: showFault(fault)} : {}),
    },
  });
  let stderr = '';
  let stdout = '';
  const listeners = new Set<() => void>();
  child.stdout.on('data', (data: Buffer) => (stdout += data));
  child.stderr.on('data', (data: Buffer) => {
    stderr += data;
    for (const listener of listeners) listener();
  });
  const kill = (signal: NodeJS.Signals) => {
    try {
      process.kill(-child.pid!, signal);
    } catch (error) {
      // It has ended by itself.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const timer = setTimeout(() => kill('SIGKILL'), fault && 'afterMs' in fault ? fault.afterMs : timeoutMs);
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    clearTimeout(timer);
    for (const listener of listeners) listener();
    const seconds = (performance.now() - startedMs) / 1000;
    return {code, killed: signal === 'SIGKILL', stderr, stdout, seconds};
  });
  return {
    pid: child.pid!,
    kill,
    stderr: () => stderr,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (pattern.test(stderr)) resolve();
          else if (child.exitCode !== null || child.signalCode !== null)
            reject(new Error(`it ended without saying ${pattern}: ${stderr}`));
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      }),
    ended,
  };
}

/** `millrace run --until-idle` to its end. */
export const runUntilIdle = (root: string, fault?: Fault, timeoutMs?: number): Promise<Ended> =>
  start(root, ['run', '--until-idle', '--port', '0'], fault, timeoutMs).ended;

/** The same, while the lookup file changes all the time; see run-refreshing.ts. @param version its next one */
export function runRefreshing(
  root: string,
  version: number,
  fault?: Extract<Fault, {refreshes: number}>,
): Promise<Ended> {
  const args = [version, ...(fault ? [fault.refreshes, fault.delayMs] : [])].map(String);
  return start(root, args, fault, 240_000, join(import.meta.dirname, 'run-refreshing.ts')).ended;
}
