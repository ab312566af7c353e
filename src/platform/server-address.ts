/** Which address a request names: a host that is served, a path that can be read in one way only. */
import type {IncomingMessage} from 'node:http';

/** Hosts that are served. */
export const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]']);

/** "localhost:4000" -> "localhost". */
export const hostOf = (text: string | undefined): string | undefined =>
  text?.toLowerCase().match(/^(\[[0-9a-f:]+\]|[^:]+)(?::\d+)?$/)?.[1];

/** Of two hosts we would take the first, and a proxy perhaps the second. */
export function hasTwoHosts({rawHeaders}: IncomingMessage): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts > 1;
}

/**
 * What is asked for. Undefined when it cannot be read, names another host, or is a path that a proxy before us may have judged as
 * another one: `//registry/v1/query`, `/registry/%2e%2e/v1/query`.
 */
export function urlAsked(text: string): URL | undefined {
  const url = URL.parse(text, 'http://localhost');
  const [path = ''] = text.split('?', 1);
  const isOdd = text.startsWith('/')
    ? text.startsWith('//') || /[\\#]|\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path)
    : url?.protocol !== 'http:' || !loopbackNames.has(url.hostname);
  return isOdd || !url ? undefined : url;
}
