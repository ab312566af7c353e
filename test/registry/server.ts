/** The registry behind the platform's own server, without the rest of the platform. */
import {join} from 'node:path';
import {mountRegistry} from '../../src/platform/registry-mount.ts';
import {closeServer, listenTcp, urlOf} from '../../src/platform/server.ts';
import {scratchDir} from '../support/scratch.ts';

export const token = 'a-token-of-the-test';

export type RegistryServer = {
  url: string;
  dir: string;
  /** What was told to observers. */
  told: {name: string; event: Record<string, unknown>}[];
  close(): Promise<void>;
};

/** @param dir one that is there; undefined: a new one. */
export async function startRegistry(
  dir = join(scratchDir('registry'), 'log'),
  port = 0,
): Promise<RegistryServer> {
  const told: RegistryServer['told'] = [];
  const registry = mountRegistry(dir, {emit: (name, event) => void told.push({name, event: {...event}})});
  const options = {
    routes: {},
    mounts: {'/registry': registry.mount},
    open: {},
    token,
    access: '',
    limits: {connectionsMax: 100, requestTimeoutMs: 30_000},
  };
  const server = await listenTcp(options, '127.0.0.1', port);
  return {
    url: `${urlOf('127.0.0.1', server)}/registry`,
    dir,
    told,
    async close() {
      await closeServer(server);
      registry.close();
    },
  };
}

export type Answer = {status: number; body: unknown; text: string; headers: Headers};

/** Asks as a client does. A body that is a text is sent as it is. */
export async function ask(
  {url}: Pick<RegistryServer, 'url'>,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/vnd.schemaregistry.v1+json',
      ...headers,
    },
    ...(body === undefined ? {} : {body: typeof body === 'string' ? body : JSON.stringify(body)}),
  });
  const text = await response.text();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {}
  return {status: response.status, body: parsed, text, headers: response.headers};
}
