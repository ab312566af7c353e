import type {Client} from 'pg';
import {PlatformError} from '../../errors.ts';

/** Connections to a server: made when they are wanted, kept while they are good, waited for when all are taken. */
export type Pool = {
  /** Runs `work` with a connection of its own. @throws what making one throws, and what `work` throws; SINK_CLOSED after `close` */
  use<T>(work: (client: Client) => Promise<T>): Promise<T>;
  /** Lets nothing begin any more, waits for what is under way, and ends every connection. */
  close(): Promise<void>;
};

/** How long a connection waits unused for the next work. */
const idleMs = 60_000;

/** @param make connects. @param isBroken whether a connection cannot be used again after this error */
export function createPool(
  connectionsMax: number,
  make: () => Promise<Client>,
  isBroken: (client: Client, error: unknown) => boolean,
): Pool {
  const idle = new Map<Client, NodeJS.Timeout>();
  const waiting: (() => void)[] = [];
  let taken = 0;
  let closed: Promise<void> | undefined;
  let lastLeft: (() => void) | undefined;

  const drop = (client: Client): void => {
    clearTimeout(idle.get(client));
    idle.delete(client);
    client.end().catch(() => {});
  };
  /** Until there may be one more. */
  const enter = async (): Promise<void> => {
    while (!closed && taken >= connectionsMax) await new Promise<void>((resolve) => waiting.push(resolve));
    if (closed) throw new PlatformError('SINK_CLOSED', 'the connections of the sink are closed');
    taken += 1;
  };
  const take = async (): Promise<Client> => {
    const client = [...idle.keys()].at(-1);
    if (!client) {
      const made = await make();
      // One that dies unused is forgotten.
      made.once('end', () => drop(made));
      return made;
    }
    clearTimeout(idle.get(client));
    idle.delete(client);
    return client;
  };
  const keep = (client: Client): void => {
    idle.set(
      client,
      setTimeout(() => drop(client), idleMs),
    );
  };
  const leave = (): void => {
    taken -= 1;
    waiting.shift()?.();
    if (taken === 0) lastLeft?.();
  };
  const close = async (): Promise<void> => {
    for (const wake of waiting.splice(0)) wake();
    if (taken > 0)
      await new Promise<void>((resolve) => {
        lastLeft = resolve;
      });
    const open = [...idle.keys()];
    for (const client of open) clearTimeout(idle.get(client));
    idle.clear();
    await Promise.allSettled(open.map((client) => client.end()));
  };
  return {
    async use(work) {
      await enter();
      let client: Client;
      try {
        client = await take();
      } catch (error) {
        leave();
        throw error;
      }
      try {
        const result = await work(client);
        keep(client);
        return result;
      } catch (error) {
        if (isBroken(client, error)) drop(client);
        else keep(client);
        throw error;
      } finally {
        leave();
      }
    },
    close() {
      closed ??= close();
      return closed;
    },
  };
}
