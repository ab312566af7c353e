import {type ChildProcess, spawn} from 'node:child_process';
import type {Writable} from 'node:stream';
import {fileURLToPath} from 'node:url';
import type {ProcessIdentity} from './process.ts';
import type {WatchdogLine} from './watchdog-process.ts';

const program = fileURLToPath(new URL('watchdog-process.ts', import.meta.url));
let started: ChildProcess | undefined;

/** Lets a server live no longer than this process, also when this one is killed. @param signal what ends it at once */
export const watch = (server: ProcessIdentity, signal: NodeJS.Signals): void =>
  tell({kind: 'server', server, signal});

/** This process has ended the server itself. */
export function unwatch(server: ProcessIdentity): void {
  if (started) tell({kind: 'ended', server});
}

/** Removes a directory with all that is in it when this process ends. */
export const removeAtEnd = (path: string): void => tell({kind: 'dir', path});

function tell(line: WatchdogLine): void {
  started ??= start();
  // The pipe's buffer takes a line at once, so what was told is known even if this process is killed a moment later.
  started.stdin!.write(`${JSON.stringify(line)}\n`);
}

/** One watchdog for all servers of this process; in a group of its own, so that Ctrl-C does not end it with the others. */
function start(): ChildProcess {
  const child = spawn(process.execPath, [program], {detached: true, stdio: ['pipe', 'ignore', 'ignore']});
  // Neither keeps this process running.
  child.unref();
  (child.stdin as Writable & {unref(): void}).unref();
  child.stdin!.on('error', () => {});
  return child;
}
