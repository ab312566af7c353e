import assert from 'node:assert/strict';
import {randomInt} from 'node:crypto';
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
