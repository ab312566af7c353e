/** HTTP as clients of Confluent's registry speak it: media types, bodies, parameters, refusals. */
import type {IncomingMessage, ServerResponse} from 'node:http';
import {PlatformError, withoutSecrets} from '../errors.ts';
import {Refusal} from '../schema/registry-refusal.ts';
import {securityHeaders} from './server.ts';

/** What it answers with, the preferred one first. */
const mediaTypes = [
  'application/vnd.schemaregistry.v1+json',
  'application/vnd.schemaregistry+json',
  'application/json',
] as const;
const bodyTypes = new Set<string>([...mediaTypes, 'application/octet-stream']);
const bodyBytesMax = 16 << 20;

/** The media type to answer with. @throws Refusal 406 when the client takes none of them. */
export function acceptable({headers}: IncomingMessage): string {
  const {accept} = headers;
  if (accept === undefined || accept.trim() === '') return mediaTypes[0];
  const wanted = accept.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((each) => each.trim().toLowerCase());
    const quality = parameters.find((each) => each.startsWith('q='));
    return {type, q: quality === undefined ? 1 : Number(quality.slice(2)) || 0};
  });
  const qualityOf = (media: string) => {
    const ranges = [media, 'application/*', '*/*'];
    const found = ranges.map((range) => wanted.find(({type}) => type === range)).find((each) => each);
    return found?.q ?? 0;
  };
  const best = Math.max(...mediaTypes.map(qualityOf));
  if (best === 0) throw new Refusal(406, 'HTTP 406 Not Acceptable');
  return mediaTypes.find((media) => qualityOf(media) === best)!;
}

/**
 * The body, a JSON object. @throws Refusal 415 for another media type, 413 when it is too long, 400 when it is no JSON
 * object, 422 when it is empty.
 */
export async function readObject(request: IncomingMessage): Promise<Record<string, unknown>> {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  if (type !== '' && !bodyTypes.has(type.trim().toLowerCase()))
    throw new Refusal(415, 'HTTP 415 Unsupported Media Type');
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Left early, the request must live on: its answer goes out on the same connection.
  for await (const chunk of request.iterator({destroyOnReturn: false}) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new Refusal(413, `the body has more than ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (text.trim() === '') throw new Refusal(422, 'the body must not be empty');
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw malformed(`the body is no JSON: ${(error as Error).message}`);
  }
  if (body === null) throw new Refusal(422, 'the body must not be null');
  if (typeof body !== 'object' || Array.isArray(body)) throw malformed('the body is no JSON object');
  return body as Record<string, unknown>;
}

/** A request that has not the shape it must have. */
export const malformed = (message: string): Refusal => new Refusal(400, message);
/** Nothing is served under the path. */
export const notFound = (): Refusal => new Refusal(404, 'HTTP 404 Not Found');

/** `?name=true`; left out or empty it is false. @throws Refusal 400 when it is neither true nor false. */
export function flag(params: URLSearchParams, name: string): boolean {
  const value = params.get(name)?.toLowerCase() ?? '';
  if (value !== '' && value !== 'true' && value !== 'false')
    throw malformed(`"${name}" is neither true nor false`);
  return value === 'true';
}

/** An integer of 32 bits. @throws Refusal 404 as Confluent's registry, where a parameter of a wrong type matches nothing. */
export function integer(text: string): number {
  const value = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= -(2 ** 31) && value < 2 ** 31) return value;
  throw notFound();
}

/** The part of a list that `offset` and `limit` choose; a limit of 0 or less, or over `limitMax`, is the default. */
export function page<T>(list: readonly T[], params: URLSearchParams, limitMax = 2 ** 31 - 1): T[] {
  const offset = Math.max(0, integer(params.get('offset') || '0'));
  const limit = integer(params.get('limit') || '-1');
  const count = limit > 0 && limit <= limitMax ? limit : limitMax;
  return list.slice(offset, offset + count);
}

/** An answer as JSON. */
export function sendJson(response: ServerResponse, status: number, type: string, value: unknown): void {
  response
    .writeHead(status, {'content-type': type, ...securityHeaders})
    .end(typeof value === 'string' ? value : JSON.stringify(value));
}

/** What the asker is told of a failure. A bug's details go to the platform's own log only. */
export function sendFailure(response: ServerResponse, type: string, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const {status, errorCode, message} = refusalOf(error);
  sendJson(response, status, type, {error_code: errorCode, message});
}

function refusalOf(error: unknown): {status: number; errorCode: number; message: string} {
  if (error instanceof Refusal) return error;
  // Values nested deeper than the stack are the asker's doing.
  if (error instanceof RangeError && error.message.includes('call stack'))
    return new Refusal(422, 'the request is nested too deeply');
  if (error instanceof PlatformError) return {status: 500, errorCode: 50001, message: error.message};
  process.stderr.write(`${withoutSecrets(String(error instanceof Error ? error.stack : error))}\n`);
  return {status: 500, errorCode: 500, message: 'a bug in millrace; see the log of the platform'};
}
