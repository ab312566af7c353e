import {type Agent as HttpAgent, request as httpRequest, type IncomingMessage} from 'node:http';
import {request as httpsRequest} from 'node:https';
import {promisify} from 'node:util';
import {gzip, zstdCompress} from 'node:zlib';
import type {ServerSettings, ServerValues} from './settings.ts';

/** Sends data behind a statement; resolves when the server has done all of it. @throws what `errors.ts` can read */
export type Post = (query: string, data: Uint8Array[], values: ServerValues) => Promise<void>;

const compressors = {gzip: promisify(gzip), zstd: promisify(zstdCompress)};
const answerMax = 64 * 1024;

/**
 * Inserts past the client, over its connections: bytes that are ready need none of its streams, which cost a small insert a
 * quarter of its time (measured in `bench/clickhouse.bench.ts`).
 */
export function createPost(settings: ServerSettings, agent: HttpAgent): Post {
  const {origin, pathname, database, username, password, codec, requestTimeoutMs} = settings;
  const request = origin.startsWith('https:') ? httpsRequest : httpRequest;
  const send = (path: string, body: Uint8Array, isAgain: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const outgoing = request(`${origin}${path}`, {
        method: 'POST',
        agent,
        timeout: requestTimeoutMs,
        headers: {
          'Content-Length': body.length,
          'Content-Type': 'application/octet-stream',
          ...(codec ? {'Content-Encoding': codec} : {}),
          Authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
        },
      });
      outgoing.on('timeout', () =>
        outgoing.destroy(new Error(`Timeout error: no answer in ${requestTimeoutMs} ms`)),
      );
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        // The server closed a connection that was idle, just as it was used. An insert can be made again.
        if (outgoing.reusedSocket && error.code === 'ECONNRESET' && !isAgain)
          send(path, body, true).then(resolve, reject);
        else reject(error);
      });
      outgoing.on('response', (answer) => {
        readAnswer(answer).then((text) => {
          const code = answer.headers['x-clickhouse-exception-code'];
          // An insert is answered without a word.
          if (answer.statusCode === 200 && code === undefined && text.trim() === '') resolve();
          else reject(serverError(answer.statusCode ?? 0, text));
        }, reject);
      });
      outgoing.end(body);
    });
  return async (query, data, values) => {
    const search = new URLSearchParams({query, database});
    for (const [name, value] of Object.entries(values)) search.set(name, String(value));
    const bytes = data.length === 1 ? data[0]! : Buffer.concat(data);
    await send(`/${pathname}?${search}`, codec ? await compressors[codec](bytes) : bytes, false);
  };
}

async function readAnswer(answer: IncomingMessage): Promise<string> {
  let text = '';
  answer.setEncoding('utf8');
  for await (const chunk of answer) {
    text += chunk;
    if (text.length > answerMax) break;
  }
  return text;
}

/** `Code: 60. DB::Exception: ... (UNKNOWN_TABLE) (version 26.7)`, without its head and tail; what is none of that as it is. */
function serverError(status: number, text: string): Error {
  const found = /Code: (\d+).*?Exception: ([\s\S]+?)\s*\([A-Z0-9_]*[A-Z]{3}[A-Z0-9_]*\)/.exec(text);
  if (!found) return new Error(`HTTP status ${status}: ${text.trim().slice(0, 500)}`);
  return Object.assign(new Error(found[2]!), {code: found[1]!});
}
