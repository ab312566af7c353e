/** A client for objects in S3 and in what speaks its protocol, with conditional puts. One attempt a call: who calls decides about another. */
import {Agent as HttpAgent, request as httpRequest, type IncomingMessage} from 'node:http';
import {Agent as HttpsAgent, request as httpsRequest} from 'node:https';
import {type ErrorCode, PlatformError} from '../errors.ts';
import {encodePath, encodeQuery, signatureOf} from './signature.ts';

/** A bucket, and how it is reached. Structured-cloneable: the secret is revealed only on its way to the thread that uses it. */
export type S3Settings = {
  /** `https://s3.eu-central-1.amazonaws.com`, `http://localhost:9000`. */
  endpoint: string;
  region: string;
  bucket: string;
  accessKey: string;
  secretKey: string;
  /** The bucket in the path instead of in the host's name. */
  pathStyle: boolean;
  /** Authority of the endpoint's certificate beside the system's, PEM. */
  ca?: string;
  /** Of one request, ms. */
  timeoutMs?: number;
};

export type PutCondition =
  /** Only if there is no object of that name. */
  | {kind: 'absent'}
  /** Only if the object is still the one with this tag. */
  | {kind: 'same'; etag: string};

/**
 * Every call rejects with STORE_UNAVAILABLE (it may pass; of a put nobody knows whether it was done) or STORE_REFUSED (only a
 * change of the configuration or of the rights mends it).
 */
export type S3Client = {
  /** @returns undefined when there is no such object */
  get(key: string): Promise<{bytes: Buffer; etag: string} | undefined>;
  /** @returns the new object's tag; undefined when the condition does not hold */
  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<string | undefined>;
  /** One that is not there is no error. */
  delete(key: string): Promise<void>;
  /** Keys that begin with `prefix`, in order. */
  list(prefix: string): Promise<string[]>;
  close(): void;
};

const timeoutMsDefault = 30_000;
/** An object has so many bytes at most: pieces are made smaller, so that more is none of ours. */
const objectBytesMax = 256 * 2 ** 20;
/** Any other answer: a page of a list has 1,000 keys, the rest is a few lines. */
const answerBytesMax = 8 * 2 ** 20;
/** A list beyond this is none of ours, or does not end. */
const keysMax = 1_000_000;
/** So many pages without a key, one after another, are an empty list that does not end. */
const emptyPagesMax = 100;

type Answer = {status: number; headers: IncomingMessage['headers']; bytes: Buffer};
type Call = {
  method: string;
  key?: string;
  query?: Record<string, string>;
  body?: Uint8Array;
  headers?: Record<string, string>;
};

export function createS3Client(settings: S3Settings): S3Client {
  const base = new URL(settings.endpoint);
  const isSecure = base.protocol === 'https:';
  const agent = isSecure
    ? new HttpsAgent({keepAlive: true, ...(settings.ca ? {ca: settings.ca} : {})})
    : new HttpAgent({keepAlive: true});
  const host = settings.pathStyle ? base.host : `${settings.bucket}.${base.host}`;
  const root = `${base.pathname.replace(/\/+$/, '')}${settings.pathStyle ? `/${settings.bucket}` : ''}`;
  const hostname = settings.pathStyle ? base.hostname : `${settings.bucket}.${base.hostname}`;

  const send = ({
    method,
    key = '',
    query = {},
    body = new Uint8Array(),
    headers = {},
  }: Call): Promise<Answer> => {
    const path = `${root}/${key}`;
    const signed = signatureOf(settings, {method, host, path, query, body, timeMs: Date.now()});
    const search = encodeQuery(query);
    return new Promise((resolve, reject) => {
      const request = (isSecure ? httpsRequest : httpRequest)({
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port: base.port || (isSecure ? 443 : 80),
        method,
        path: `${encodePath(path)}${search ? `?${search}` : ''}`,
        agent,
        headers: {...headers, ...signed, host, 'content-length': body.length},
      });
      const {timeoutMs = timeoutMsDefault} = settings;
      const timer = setTimeout(
        () => request.destroy(new Error(`no answer within ${Math.round(timeoutMs)} ms`)),
        timeoutMs,
      );
      const fail = (error: Error) => {
        clearTimeout(timer);
        reject(unavailable(settings, error));
      };
      request.on('error', fail);
      request.on('response', (response) => {
        const isObject = method === 'GET' && key !== '' && response.statusCode === 200;
        readWhole(response, isObject ? objectBytesMax : answerBytesMax).then((bytes) => {
          clearTimeout(timer);
          resolve({status: response.statusCode ?? 0, headers: response.headers, bytes});
        }, fail);
      });
      request.end(body);
    });
  };

  return {
    async get(key) {
      const answer = await send({method: 'GET', key});
      // Whatever stands before the store may say 404, too: that is no word of it.
      if (answer.status === 404 && codeOf(answer) === 'NoSuchKey') return undefined;
      check(settings, answer, `read ${key}`);
      return {bytes: answer.bytes, etag: tagOf(settings, answer)};
    },
    async put(key, body, condition) {
      const headers: Record<string, string> = {'content-type': 'application/octet-stream'};
      if (condition?.kind === 'absent') headers['if-none-match'] = '*';
      if (condition?.kind === 'same') headers['if-match'] = condition.etag;
      const answer = await send({method: 'PUT', key, body, headers});
      if (condition && (answer.status === 412 || (answer.status === 404 && codeOf(answer) === 'NoSuchKey')))
        return undefined;
      check(settings, answer, `write ${key}`);
      return tagOf(settings, answer);
    },
    async delete(key) {
      const answer = await send({method: 'DELETE', key});
      if (answer.status !== 404) check(settings, answer, `delete ${key}`);
    },
    async list(prefix) {
      const keys: string[] = [];
      const tokens = new Set<string>();
      let empty = 0;
      for (let token: string | undefined; ; ) {
        const more: Record<string, string> = token === undefined ? {} : {'continuation-token': token};
        const query = {'list-type': '2', 'encoding-type': 'url', prefix, ...more};
        const answer = await send({method: 'GET', query});
        check(settings, answer, `list ${prefix}`);
        const page = pageOf(answer.bytes.toString(), prefix);
        if (!page) throw noStore(settings, `it does not list ${prefix}`);
        keys.push(...page.keys);
        token = page.next;
        if (token === undefined) break;
        empty = page.keys.length > 0 ? 0 : empty + 1;
        if (tokens.has(token) || keys.length > keysMax || empty > emptyPagesMax)
          throw noStore(settings, `its list of ${prefix} does not end`);
        tokens.add(token);
      }
      return keys;
    },
    close: () => agent.destroy(),
  };
}

async function readWhole(response: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`an answer of more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Text of an XML element without children. Answers are small and of one known form: no parser is needed. */
const elementOf = (xml: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];

const codeOf = ({bytes}: Answer): string => elementOf(bytes.toString('utf8', 0, 4096), 'Code') ?? '';

/** Undefined for what is no page of the list of that prefix. `next`: the token of the one that follows. */
function pageOf(xml: string, prefix: string): {keys: string[]; next?: string} | undefined {
  if (!/<ListBucketResult[\s>]/.test(xml)) return undefined;
  const keys = [...xml.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => decodeKey(key!));
  if (!keys.every((key) => key?.startsWith(prefix))) return undefined;
  const page = {keys: keys as string[]};
  if (elementOf(xml, 'IsTruncated') !== 'true') return page;
  const next = elementOf(xml, 'NextContinuationToken');
  return next ? {...page, next} : undefined;
}

/** With `encoding-type=url` a key has no character that XML would have to write as an entity. */
function decodeKey(key: string): string | undefined {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

/** Without a tag no condition can be set on the object: two owners could write. */
function tagOf(settings: S3Settings, {headers: {etag}}: Answer): string {
  if (!etag) throw noStore(settings, 'an object has no ETag');
  return etag;
}

const noStore = (settings: S3Settings, why: string): PlatformError =>
  failure(
    'STORE_REFUSED',
    settings,
    `is none: ${why}`,
    'see what s3.endpoint names, and what stands before it',
  );

const placeOf = ({endpoint, bucket}: S3Settings): string => `${endpoint}/${bucket}`;

const failure = (code: ErrorCode, settings: S3Settings, what: string, hint: string, cause?: unknown) =>
  new PlatformError(code, `the object store ${placeOf(settings)} ${what}`, {
    hint,
    place: placeOf(settings),
    ...(cause === undefined ? {} : {cause}),
  });

const forGood: Record<string, string> = {
  SELF_SIGNED_CERT_IN_CHAIN: 'name the authority of its certificate in s3.ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'name its certificate in s3.ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'name the authority of its certificate in s3.ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'name the authority of its certificate in s3.ca',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name than that in s3.endpoint',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  EPROTO: 'it speaks no TLS there: write http:// in s3.endpoint',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it speaks no TLS there: write http:// in s3.endpoint',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it speaks no TLS there: write http:// in s3.endpoint',
};

function unavailable(settings: S3Settings, error: Error): PlatformError {
  const inner = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  const {code = '', rawPacket} = inner as NodeJS.ErrnoException & {rawPacket?: Uint8Array};
  // An alert: a server that speaks TLS was spoken to without.
  const known =
    rawPacket?.[0] === 0x15 ? 'it speaks TLS there: write https:// in s3.endpoint' : forGood[code];
  if (known) return failure('STORE_REFUSED', settings, `cannot be used (${code})`, known, error);
  const hint =
    'see whether it runs and can be reached from here, and whether engine.embedded.s3.endpoint is its address';
  return failure('STORE_UNAVAILABLE', settings, `does not answer (${code || inner.message})`, hint, error);
}

const hints: Record<string, string> = {
  NoSuchBucket: 'make the bucket: it is not made by us',
  InvalidAccessKeyId: 'see s3.access_key',
  SignatureDoesNotMatch: 'see s3.secret_key and s3.region',
  AccessDenied: 'the key needs GetObject, PutObject, DeleteObject and ListBucket on the prefix',
  RequestTimeTooSkewed: 'set the clock of this machine',
  AuthorizationHeaderMalformed: 'see s3.region',
  PermanentRedirect: 'see s3.region and s3.endpoint: the bucket is elsewhere',
  NotImplemented:
    'it has no conditional writes, which checkpoints need: use a newer version, or another store',
};

/** @throws STORE_UNAVAILABLE, STORE_REFUSED for an answer that says no */
function check(settings: S3Settings, answer: Answer, what: string): void {
  const {status} = answer;
  if (status >= 200 && status < 300) return;
  const code = codeOf(answer);
  const said = `${status}${code ? ` ${code}` : ''}`;
  const passes =
    status === 409 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
  if (passes) {
    const hint = 'it is tried again';
    throw failure('STORE_UNAVAILABLE', settings, `cannot ${what} just now (${said})`, hint);
  }
  const hint = hints[code] ?? 'see the rights of the key and the name of the bucket';
  throw failure('STORE_REFUSED', settings, `refuses to ${what} (${said})`, hint);
}
