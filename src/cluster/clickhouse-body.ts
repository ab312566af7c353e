/** What a request to the front of chDB brings: the statement, its parameters, and the data of an insert. */
import type {IncomingMessage} from 'node:http';
import {pipeline} from 'node:stream';
import {createBrotliDecompress, createGunzip, createInflate, createZstdDecompress} from 'node:zlib';
import {FrontError} from './clickhouse-sessions.ts';

export type FrontBody = {
  query: string;
  /** Name -> text, as `param_<name>` gives it. */
  parameters: [string, string][];
  /** Data behind a statement that stands in the URL. */
  data: Buffer | undefined;
};

const inflaters = {
  gzip: createGunzip,
  deflate: createInflate,
  zstd: createZstdDecompress,
  br: createBrotliDecompress,
};
const bytesMax = 1024 * 1024 * 1024;

async function collect(request: IncomingMessage): Promise<Buffer> {
  const encoding = request.headers['content-encoding'];
  const inflater = encoding === undefined ? undefined : inflaters[encoding as keyof typeof inflaters];
  if (encoding !== undefined && !inflater)
    throw new FrontError(89, `Unknown HTTP content encoding: ${encoding}`, 'UNKNOWN_COMPRESSION_METHOD');
  const stream = inflater ? pipeline(request, inflater(), () => {}) : request;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if ((size += chunk.length) > bytesMax) throw new FrontError(307, 'Too large a body', 'TOO_MANY_BYTES');
  }
  return Buffer.concat(chunks);
}

/** Parts of multipart/form-data, as the client sends long parameters. */
function formParts(bytes: Buffer, boundary: string): [string, string][] {
  return bytes
    .toString('utf8')
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part): [string, string] => {
      const at = part.indexOf('\r\n\r\n');
      const name = /name="([^"]*)"/.exec(part.slice(0, at))?.[1] ?? '';
      return [name, part.slice(at + 4, part.endsWith('\r\n') ? -2 : undefined)];
    });
}

/** Reads the body, unpacked. A statement in the URL goes before one in the body, as in ClickHouse. @throws FrontError */
export async function readBody(request: IncomingMessage, search: URLSearchParams): Promise<FrontBody> {
  const body = await collect(request);
  const boundary = /multipart\/form-data;.*boundary=([^;]+)/.exec(request.headers['content-type'] ?? '')?.[1];
  const form = boundary === undefined ? [] : formParts(body, boundary);
  const parameters = [...search, ...form]
    .filter(([name]) => name.startsWith('param_'))
    .map(([name, text]): [string, string] => [name.slice('param_'.length), text]);
  const inForm = form.find(([name]) => name === 'query')?.[1];
  const inUrl = search.get('query');
  if (inForm !== undefined) return {query: inForm, parameters, data: undefined};
  if (inUrl === null) return {query: body.toString('utf8'), parameters, data: undefined};
  return {query: inUrl, parameters, data: request.method === 'GET' ? undefined : body};
}
