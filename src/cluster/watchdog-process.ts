/**
 * A process beside one that started servers for itself. It reads what they are from its standard input, a line each; when that
 * ends, because the other process did, however it ended, the servers are ended and their temporary directories removed.
 */
import {rmSync} from 'node:fs';
import {createInterface} from 'node:readline';
import {type ProcessIdentity, stopProcess} from './process.ts';

/** What the other process says: a server or a directory that must not outlive it, or that it has ended it itself. */
export type WatchdogLine =
  | {kind: 'server'; server: ProcessIdentity; signal: NodeJS.Signals}
  | {kind: 'ended'; server: ProcessIdentity}
  | {kind: 'dir'; path: string};

const servers = new Map<number, {server: ProcessIdentity; signal: NodeJS.Signals}>();
const dirs = new Set<string>();

// Ctrl-C reaches every process of a terminal; the servers still have to be ended.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
for await (const line of createInterface({input: process.stdin})) {
  const said = JSON.parse(line) as WatchdogLine;
  if (said.kind === 'server') servers.set(said.server.pid, said);
  else if (said.kind === 'ended') servers.delete(said.server.pid);
  else dirs.add(said.path);
}
await Promise.all(
  [...servers.values()].map(({server, signal}) => stopProcess(server, {signal, graceMs: 5_000})),
);
for (const dir of dirs) rmSync(dir, {recursive: true, force: true, maxRetries: 5, retryDelay: 100});
