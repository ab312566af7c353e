import assert from 'node:assert/strict';
import {randomInt} from 'node:crypto';
import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {createServer} from 'node:net';

/**
 * Below what systems hand to outgoing connections (Linux: from 32768, others: from 49152): a port that a server leaves for a
 * while is not taken by a client, and a client that knocks at it meanwhile cannot be connected with itself.
 */
const lowest = 20_000;
const beyond = 32_768;
const triesMax = 200;

/** Ports of the loopback interface on which nothing listens just now, all different. Another process may still take one. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    assert.ok(tries < triesMax + count, 'no free port between 20000 and 32767');
    const port = randomInt(lowest, beyond);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

/** Whether a server could listen on a port of the loopback interface just now. */
export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({port, host: '127.0.0.1', exclusive: true}, () => server.close(() => resolve(true)));
  });

/** Which program listens on a port of this machine, such as `postgres (process 1536)`; undefined where that cannot be told. */
export function listenerOf(port: number): string | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => listeningInodes(path, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of namesIn('/proc').filter((name) => /^\d+$/.test(name)))
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      return `${textIn(`/proc/${pid}/comm`).trim()} (process ${pid})`;
    }
  return undefined;
}

/** Of sockets that listen there: lines of `number: address:port remote state ... inode`, the port and the state in hexadecimal. */
function listeningInodes(path: string, port: number): string[] {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return textIn(path)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([, local = '', , state, , , , , , inode]) =>
      local.endsWith(end) && state === '0A' ? [inode!] : [],
    );
}

/** What another user's process does not show, or one that ended, is nothing here. */
function orNothing<T>(read: () => T, nothing: T): T {
  try {
    return read();
  } catch {
    return nothing;
  }
}
const namesIn = (path: string): string[] => orNothing(() => readdirSync(path), []);
const textIn = (path: string): string => orNothing(() => readFileSync(path, 'latin1'), '');
const linkOf = (path: string): string => orNothing(() => readlinkSync(path), '');
