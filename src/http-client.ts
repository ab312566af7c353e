/**
 * A small client for JSON over HTTP and HTTPS: several addresses in turn, time and size limits, new attempts for what can pass,
 * no redirect to another host. Bodies and headers are never part of a message: they hold secrets.
 */
import {Agent as HttpAgent, request as httpRequest, type IncomingMessage} from 'node:http';
import {Agent as HttpsAgent, request as httpsRequest} from 'node:https';
import {type Clock, systemClock} from './clock.ts';

/** PEM texts. */
export type TlsTexts = {ca?: string; cert?: string; key?: string};

export type HttpOptions = {
  /** Where the service is; the first that answers is asked from then on. Paths are appended. */
  urls: readonly string[];
  tls?: TlsTexts;
  /** Of one attempt, from the first byte to the last, ms. */
  timeoutMs: number;
  /** An answer may have so many bytes. */
  bytesMax: number;
  clock?: Clock;
  /** Uniform in [0, 1). */
  random?: () => number;
};

export type HttpCall = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With its leading slash, and already encoded. */
  path: string;
  headers?: Record<string, string>;
  /** JSON. */
  body?: unknown;
  /** For how long it is tried again when nothing answers or a server answers that it cannot just now, ms; 0: once at every address. */
  patienceMs?: number;
  signal?: AbortSignal;
};

/** `json`: the body as JSON, undefined when it is none. */
export type HttpAnswer = {status: number; json: unknown; url: string};

/** Nothing usable came back: no connection, no answer in time, one that is too long or leads elsewhere. */
export class HttpFailure extends Error {
  /** Whether a later attempt can succeed without a change of the configuration. */
  readonly retry: boolean;
  constructor(message: string, retry: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : {cause});
    this.name = 'HttpFailure';
    this.retry = retry;
  }
}

export type HttpClient = {
  /** @returns any answer, also one that says no; of those that can pass (429, 5xx) the last. @throws HttpFailure */
  call(call: HttpCall): Promise<HttpAnswer>;
  close(): void;
};

const redirectsMax = 3;
/** Connections to one address at once; more requests wait for one. */
const maxSockets = 8;
const pauseMs = 250;
const pauseMsMax = 4_000;
/** Statuses that say nothing of the request: the server, or what stands before it, cannot answer just now. */
const passing = new Set([429, 500, 502, 503, 504]);

export function createHttpClient(options: HttpOptions): HttpClient {
  const {urls, clock = systemClock, random = Math.random} = options;
  const agents = {
    http: new HttpAgent({keepAlive: true, maxSockets}),
    https: new HttpsAgent({keepAlive: true, maxSockets, ...options.tls}),
  };
  let first = 0;
  const round = async (call: HttpCall): Promise<HttpAnswer> => {
    let last: HttpAnswer | HttpFailure | undefined;
    for (let turn = 0; turn < urls.length; turn++) {
      const index = (first + turn) % urls.length;
      try {
        last = await attempt(urls[index]!, call, options, agents);
        if (passing.has(last.status)) continue;
        first = index;
        return last;
      } catch (error) {
        if (!(error instanceof HttpFailure) || call.signal?.aborted) throw error;
        last = error;
      }
    }
    if (last instanceof HttpFailure) throw last;
    return last!;
  };
  return {
    async call(call) {
      const untilMs = clock.now() + (call.patienceMs ?? 0);
      for (let pause = pauseMs; ; pause = Math.min(pauseMsMax, pause * 2)) {
        const outcome = await round(call).catch((error: unknown) => {
          if (error instanceof HttpFailure && error.retry) return error;
          throw error;
        });
        const isFinal = !(outcome instanceof HttpFailure) && !passing.has(outcome.status);
        if (isFinal || clock.now() + pause > untilMs) {
          if (outcome instanceof HttpFailure) throw outcome;
          return outcome;
        }
        // Not all at once, when many were cut off together.
        await clock.sleep(pause * (0.5 + random() / 2), call.signal);
      }
    },
    close() {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

type Agents = {http: HttpAgent; https: HttpsAgent};

async function attempt(
  base: string,
  call: HttpCall,
  options: HttpOptions,
  agents: Agents,
): Promise<HttpAnswer> {
  let url = new URL(base.replace(/\/+$/, '') + call.path);
  for (let redirects = 0; ; redirects++) {
    const {status, location, text} = await send(url, call, options, agents);
    if (location === undefined) return {status, json: parsed(text), url: base};
    const next = URL.parse(location, url);
    // What is sent holds credentials: they are for the address that the configuration names.
    if (next?.origin !== url.origin)
      throw new HttpFailure(
        `${url.origin} sends on to another address, ${next && next.origin !== 'null' ? next.origin : 'which is none'}, and is not followed`,
        false,
      );
    if (redirects === redirectsMax)
      throw new HttpFailure(`${url.origin} sends on more than ${redirectsMax} times`, false);
    url = next;
  }
}

type Raw = {status: number; location: string | undefined; text: string};

function send(
  url: URL,
  call: HttpCall,
  options: HttpOptions,
  agents: Agents,
  isSecond = false,
): Promise<Raw> {
  const {method, headers = {}, body, signal} = call;
  const text = body === undefined ? undefined : JSON.stringify(body);
  const isSecure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      clearTimeout(timer);
      reject(error);
    };
    const request = (isSecure ? httpsRequest : httpRequest)(url, {
      method,
      agent: isSecure ? agents.https : agents.http,
      headers: {
        accept: 'application/json',
        ...(text === undefined
          ? {}
          : {'content-type': 'application/json', 'content-length': Buffer.byteLength(text)}),
        ...headers,
      },
      ...(signal ? {signal} : {}),
    });
    const timer = setTimeout(() => {
      request.destroy(new HttpFailure(`${url.origin} did not answer within ${options.timeoutMs} ms`, true));
    }, options.timeoutMs);
    request.on('error', (error: NodeJS.ErrnoException) => {
      // The server closed a connection that was kept, just as it was taken again: nothing was read of the request.
      const isStale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      if (isStale && !isSecond) {
        clearTimeout(timer);
        send(url, call, options, agents, true).then(resolve, reject);
        return;
      }
      fail(signal?.aborted || error instanceof HttpFailure ? error : failureOf(url, error));
    });
    request.on('response', (response) =>
      read(response, url, options.bytesMax).then((raw) => {
        clearTimeout(timer);
        resolve(raw);
      }, fail),
    );
    request.end(text);
  });
}

async function read(response: IncomingMessage, url: URL, bytesMax: number): Promise<Raw> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > bytesMax)
        throw new HttpFailure(`an answer of ${url.origin} has more than ${bytesMax} bytes`, false);
      chunks.push(chunk);
    }
  } catch (error) {
    response.destroy();
    throw error instanceof HttpFailure ? error : failureOf(url, error as Error);
  }
  const {statusCode = 0, headers} = response;
  const isRedirect = [301, 302, 303, 307, 308].includes(statusCode);
  return {
    status: statusCode,
    location: isRedirect ? headers.location : undefined,
    text: Buffer.concat(chunks).toString(),
  };
}

/** Deeper answers are nobody's, and following them takes all of the stack. */
const depthMax = 100;

function parsed(text: string): unknown {
  if (depthOf(text) > depthMax) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Deepest nesting of brackets outside strings, as far as it is of interest. */
function depthOf(text: string): number {
  let level = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length && level <= depthMax; at++) {
    const unit = text.charCodeAt(at);
    if (isQuoted) {
      if (unit === 0x5c) at++;
      else if (unit === 0x22) isQuoted = false;
    } else if (unit === 0x22) isQuoted = true;
    else if (unit === 0x5b || unit === 0x7b) level++;
    else if (unit === 0x5d || unit === 0x7d) level--;
  }
  return level;
}

/** Codes of Node and OpenSSL that only a change mends -> what they mean. */
const forGood: Record<string, string> = {
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is of an authority that is not known: name that in tls.ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is its own authority, which is not known: name it in tls.ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate is of an authority that is not known: name that in tls.ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate is of an authority that is not known: name that in tls.ca',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  EPROTO: 'it does not speak TLS there, or no version and cipher in common',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS there: write http:// or another port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS there: write http:// or another port',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a certificate of ours: tls.cert and tls.key',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'it refuses the handshake, perhaps for want of tls.cert and tls.key',
};
const tlsAlert = 0x15;
const passes: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name cannot be looked up just now',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ETIMEDOUT: 'the connection timed out',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
};

function failureOf(url: URL, error: Error): HttpFailure {
  // A name with several addresses: the failure of the first.
  const inner = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  const {code = '', rawPacket} = inner as NodeJS.ErrnoException & {rawPacket?: Uint8Array};
  // An alert: a server that speaks TLS was spoken to without.
  if (rawPacket?.[0] === tlsAlert)
    return new HttpFailure(`${url.origin} cannot be used: it speaks TLS there: write https://`, false, error);
  const known = forGood[code] ?? (code.startsWith('HPE_') ? 'what answers there is no HTTP' : passes[code]);
  const what = known ?? (inner.message.split('\n')[0] || code || 'no answer');
  return new HttpFailure(`${url.origin} cannot be used: ${what}`, forGood[code] === undefined, error);
}
