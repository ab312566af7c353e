/** How many connections a server keeps, so that idle and slow ones leave room for the others. */
import {readFileSync} from 'node:fs';
import type {Server} from 'node:http';
import type {Socket} from 'node:net';

/** Files that everything but connections may have open: databases, logs, inputs. */
const filesKept = 256;
const requestsCheckedMs = 2_000;

/** Connections of a server. */
export type ConnectionLimits = {connectionsMax: number; requestTimeoutMs: number};

/**
 * Closes the connection that has been silent longest when one more than the limit comes, and requests that take too long to
 * arrive. Connections whose request arrived whole are never closed by this.
 */
export function limitConnections(server: Server, {connectionsMax, requestTimeoutMs}: ConnectionLimits): void {
  const most = Math.max(10, Math.min(connectionsMax, openFilesMax() - filesKept));
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = Math.min(10_000, requestTimeoutMs);
  // The server is waiting for these to send something; a set keeps the order in which they last began to be waited for.
  const silent = new Set<Socket>();
  let open = 0;
  server.on('connection', (socket) => {
    open++;
    silent.add(socket);
    socket.once('close', () => {
      open--;
      silent.delete(socket);
    });
    if (open <= most) return;
    const [oldest = socket] = silent;
    oldest.destroy();
  });
  server.on('request', (request, response) => {
    const {socket} = request;
    silent.delete(socket);
    const isWhole =
      request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined;
    if (!isWhole) {
      silent.add(socket);
      request.once('end', () => silent.delete(socket));
    }
    response.once('close', () => {
      silent.delete(socket);
      if (!socket.destroyed) silent.add(socket);
    });
  });
}

/** How often requests are looked at that take too long, for `createServer`. */
export const serverOptions = {connectionsCheckingInterval: requestsCheckedMs};

/** Files that this process may have open; infinite where the system does not say. */
function openFilesMax(): number {
  try {
    const limit = readFileSync('/proc/self/limits', 'utf8').match(/^Max open files\s+(\d+)/m)?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
