/** A TCP proxy that fails as it is told to. */
import {type AddressInfo, connect, createServer, type Socket} from 'node:net';

/** What is done with bytes on their way; undefined: as usual. */
export type Interference = {
  /** From the client. `cut`: they do not arrive, and the connection is lost. `silence`: it is lost when their answer comes, instead of it. */
  request?(bytes: Buffer): 'cut' | 'silence' | undefined;
  /** From the server. @returns what arrives instead */
  answer?(bytes: Buffer): Buffer;
};

export type TcpProxy = {
  port: number;
  /** Of connections that are there and that come. */
  interfere(how: Interference): void;
  /** Connections that were accepted. */
  accepted(): number;
  close(): Promise<void>;
};

/** @param host address of this machine to listen on */
export async function tcpProxy(target: {host: string; port: number}, host = '127.0.0.1'): Promise<TcpProxy> {
  let how: Interference = {};
  let accepted = 0;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    accepted += 1;
    const upstream = connect(target.port, target.host);
    let isSilent = false;
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', () => {
        open.delete(socket);
        end();
      });
    }
    client.on('data', (bytes: Buffer) => {
      const what = how.request?.(bytes);
      if (what === 'cut') return end();
      upstream.write(bytes);
      isSilent ||= what === 'silence';
    });
    upstream.on('data', (bytes: Buffer) => {
      if (isSilent) end();
      else client.write(how.answer?.(bytes) ?? bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    interfere(next) {
      how = next;
    },
    accepted: () => accepted,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
