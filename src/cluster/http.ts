import {request as requestPlain} from 'node:http';
import {request as requestTls} from 'node:https';

/** What a local server answers. */
export type Answer = {status: number; text: string};

const timeoutMs = 10_000;

/** Asks a server of this machine over HTTP, or HTTPS with an authority of its own. Rejects when it does not answer. */
export function ask(
  url: string,
  options: {method?: string; body?: unknown; headers?: Record<string, string>; ca?: string | undefined} = {},
): Promise<Answer> {
  const {method = 'GET', body, headers = {}, ca} = options;
  const all = {
    method,
    // A connection of its own: one that is kept may be to a server that was killed since.
    agent: false,
    timeout: timeoutMs,
    headers: {...headers, ...(body === undefined ? {} : {'content-type': 'application/json'})},
  };
  return new Promise((resolve, reject) => {
    const call = ca === undefined ? requestPlain(url, all) : requestTls(url, {...all, ca});
    call.once('error', reject);
    call.once('timeout', () => call.destroy(new Error('no answer')));
    call.once('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part) => parts.push(part));
      response.once('error', reject);
      response.once('end', () =>
        resolve({status: response.statusCode!, text: Buffer.concat(parts).toString()}),
      );
    });
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
