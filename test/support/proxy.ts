/** A TCP proxy between clients and a server that fails as it is told to: the network between them. */
import {type AddressInfo, connect, createServer, type Socket} from 'node:net';

export type FaultyProxy = {
  /** Where clients connect. */
  port: number;
  /** The server behind it; may be told later than clients are told the port. */
  connectTo(target: {host: string; port: number}): void;
  /** Requests arrive, their answers do not, until `restore` or `cut`. Connections stay open. */
  swallowAnswers(): void;
  /** Nothing arrives in either direction, connections stay open: a network that lost its way. */
  silence(): void;
  /** Every connection is lost, and new ones are refused until `restore`. */
  cut(): void;
  /** Every connection is lost; new ones are served. */
  drop(): void;
  /** From now on a connection is lost instead of such a piece of its requests reaching the server, until `restore`. */
  lose(isLost: (piece: Buffer) => boolean): void;
  /** From now on pieces of answers arrive as `change` gives them, until `restore`. */
  answers(change: (piece: Buffer) => Buffer): void;
  /** From now on every piece waits that long, in each direction, ms. */
  delay(ms: number): void;
  /** From now on so many bytes a second go to the server, over all connections together; undefined: as many as come. */
  throttle(bytesPerSecond: number | undefined): void;
  /** Everything passes again. What was swallowed is gone: those connections are lost. */
  restore(): void;
  /** Bytes of requests that passed so far. */
  readonly passedBytes: number;
  close(): Promise<void>;
};

type State = 'open' | 'swallowing' | 'silent' | 'cut';
type Link = {client: Socket; server: Socket; isTorn: boolean};

/** What passes in such a time at most passes at once, ms. */
const sliceMs = 20;

/** Starts a proxy on a free port. @param to the server behind it */
export async function startProxy({to}: {to?: {host: string; port: number}} = {}): Promise<FaultyProxy> {
  let target = to;
  let state: State = 'open';
  let delayMs = 0;
  let isLost: ((piece: Buffer) => boolean) | undefined;
  let change: ((piece: Buffer) => Buffer) | undefined;
  let passedBytes = 0;
  const links = new Set<Link>();

  const end = (link: Link) => {
    links.delete(link);
    link.client.destroy();
    link.server.destroy();
  };
  // Timers of one length fire in the order in which they were made: the bytes keep theirs.
  const later = (work: () => void) => (delayMs === 0 ? work() : void setTimeout(work, delayMs));
  let bytesPerSecond: number | undefined;
  /** Pieces that wait, one of a connection at most: its client is not read from meanwhile. */
  let queued: {link: Link; bytes: Buffer}[] = [];
  let slice: NodeJS.Timeout | undefined;
  const toServer = ({server}: Link, bytes: Buffer) => {
    passedBytes += bytes.length;
    if (!server.destroyed) server.write(bytes);
  };
  /** Connections take turns; what one has left that is gone takes no time. */
  const pump = () => {
    slice = undefined;
    queued = queued.filter(({link}) => links.has(link));
    const next = queued.shift();
    if (!next) return;
    const {link, bytes} = next;
    const length =
      bytesPerSecond === undefined ? bytes.length : Math.ceil((bytesPerSecond * sliceMs) / 1_000);
    toServer(link, bytes.subarray(0, length));
    if (bytes.length > length) queued.push({link, bytes: bytes.subarray(length)});
    else link.client.resume();
    slice = setTimeout(pump, bytesPerSecond === undefined ? 0 : sliceMs);
  };
  const paced = (link: Link, bytes: Buffer) => {
    if (bytesPerSecond === undefined && queued.length === 0) return later(() => toServer(link, bytes));
    link.client.pause();
    queued.push({link, bytes});
    slice ??= setTimeout(pump, sliceMs);
  };

  const listener = createServer((client) => {
    if (state === 'cut' || !target) return void client.destroy();
    const server = connect(target.port, target.host);
    const link: Link = {client, server, isTorn: false};
    links.add(link);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', () => end(link));
      socket.on('close', () => end(link));
    }
    client.on('data', (bytes: Buffer) => {
      if (isLost?.(bytes)) end(link);
      else if (state === 'silent') link.isTorn = true;
      else paced(link, bytes);
    });
    server.on('data', (bytes: Buffer) => {
      if (state === 'silent' || state === 'swallowing') link.isTorn = true;
      else later(() => client.destroyed || client.write(change?.(bytes) ?? bytes));
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));

  const set = (next: State) => {
    state = next;
    // A stream with a hole in it is of no use to anybody.
    for (const link of links) if (next === 'cut' || (next === 'open' && link.isTorn)) end(link);
  };
  return {
    port: (listener.address() as AddressInfo).port,
    connectTo(next) {
      target = next;
    },
    swallowAnswers: () => set('swallowing'),
    silence: () => set('silent'),
    cut: () => set('cut'),
    drop() {
      for (const link of links) end(link);
    },
    lose(next) {
      isLost = next;
    },
    answers(next) {
      change = next;
    },
    delay(ms) {
      delayMs = ms;
    },
    throttle(next) {
      bytesPerSecond = next;
    },
    restore() {
      delayMs = 0;
      isLost = undefined;
      change = undefined;
      set('open');
    },
    get passedBytes() {
      return passedBytes;
    },
    async close() {
      clearTimeout(slice);
      for (const link of links) end(link);
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** `host:port` -> an address. */
export function addressOf(text: string): {host: string; port: number} {
  const [host, port] = text.split(':') as [string, string];
  return {host, port: Number(port)};
}
