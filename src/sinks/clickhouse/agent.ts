/** Connections on which nothing is believed that is no answer of ClickHouse, and that no answer holds up for ever. */
import {type ClientRequest, Agent as HttpAgent, type IncomingMessage} from 'node:http';
import {type AgentOptions, Agent as HttpsAgent} from 'node:https';
import type {Transform} from 'node:stream';

export type AgentLimits = {
  /** From the request to the last byte of its answer, ms. */
  totalMs: number;
  /** An answer may have so many bytes on the way, and so many unpacked. */
  bytesMax: number;
  /** Whether answers are asked for compressed; one that comes so unasked is none. */
  isPacked: boolean;
};

const lookMs = 100;

/** An agent for that origin, whose requests fail with what is wrong with their answers. */
export function createAgent(origin: string, options: AgentOptions, limits: AgentLimits): HttpAgent {
  const agent: HttpAgent = origin.startsWith('https:') ? new HttpsAgent(options) : new HttpAgent(options);
  // What every request comes through, before anybody else listens to it.
  const inside = agent as unknown as {addRequest(request: ClientRequest, ...rest: unknown[]): void};
  const add = inside.addRequest;
  inside.addRequest = function (request, ...rest) {
    watch(request, limits);
    add.call(this, request, ...rest);
  };
  return agent;
}

function watch(request: ClientRequest, {totalMs, bytesMax, isPacked}: AgentLimits): void {
  let answer: IncomingMessage | undefined;
  let looking: NodeJS.Timeout | undefined;
  const fail = (why: string) => (answer ?? request).destroy(new Error(why));
  const timer = setTimeout(() => fail(`Timeout error: no whole answer in ${totalMs} ms`), totalMs);
  const end = () => {
    clearTimeout(timer);
    clearInterval(looking);
  };
  request.on('close', end);
  request.on('response', (response) => {
    answer = response;
    const wrong = problemOf(response, isPacked);
    if (wrong !== undefined) fail(wrong);
    else {
      if (response.headers['content-encoding'] !== undefined) boundUnpacked(response, bytesMax);
      const {socket} = response;
      const before = socket.bytesRead;
      looking = setInterval(() => {
        if (socket.bytesRead - before > bytesMax) fail(`the answer has more than ${bytesMax} bytes`);
      }, lookMs);
    }
    response.on('close', end);
  });
}

/**
 * A small answer may unpack to what no memory holds. Whoever unpacks it pipes it into what does, which fails when it has made too much
 * of it. Counted where it is made: a listener would make it flow before its reader is there.
 */
function boundUnpacked(response: IncomingMessage, bytesMax: number): void {
  const {pipe} = response;
  response.pipe = function <T extends NodeJS.WritableStream>(
    this: IncomingMessage,
    to: T,
    options?: object,
  ): T {
    const unpacking = to as unknown as Transform;
    const push = unpacking.push;
    let bytes = 0;
    unpacking.push = function (chunk: Uint8Array | null, ...rest): boolean {
      bytes += chunk?.length ?? 0;
      if (bytes <= bytesMax) return push.call(this, chunk, ...rest);
      this.destroy(new Error(`the answer unpacks to more than ${bytesMax} bytes`));
      return false;
    };
    return pipe.call(this, to, options) as T;
  };
}

/** A proxy's page, another server, a sign-in: whatever its status says, nothing was done. */
function problemOf({headers, statusCode = 0}: IncomingMessage, isPacked: boolean): string | undefined {
  if (!Object.keys(headers).some((name) => name.startsWith('x-clickhouse-')))
    return `what answers there is no ClickHouse: HTTP status ${statusCode} without a word of its own`;
  const encoding = headers['content-encoding'];
  return encoding !== undefined && !isPacked ? `the answer comes as ${encoding}, unasked` : undefined;
}
