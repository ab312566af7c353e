import {createHttpClient, type HttpAnswer} from '../../http-client.ts';
import {readTls} from '../tls.ts';
import type {SecretBackend, SecretContext} from './types.ts';
import {dataOf, refusalOf, textsOf, type VaultOptions, VaultSession} from './vault-session.ts';

/** Enters Vault. @throws Error when that is not possible */
export async function openVault(
  given: Record<string, unknown>,
  context: SecretContext,
): Promise<SecretBackend> {
  const options = given as VaultOptions;
  const tls = await readTls(options.tls);
  const http = createHttpClient({urls: [options.url], tls, timeoutMs: options.timeout, bytesMax: 4 << 20});
  const session = new VaultSession(options, context, http);
  try {
    await session.open();
  } catch (error) {
    session.close();
    throw error;
  }
  const reading = new Map<string, Promise<Record<string, unknown> | undefined>>();
  /** Keys of a path; asked once for all secrets that are read together. */
  const keysOf = (path: string) => {
    let keys = reading.get(path);
    if (!keys) {
      keys = readPath(session, options, path).finally(() => reading.delete(path));
      reading.set(path, keys);
    }
    return keys;
  };
  const placeOf = (name: string): {path: string; key: string} => {
    const at = name.lastIndexOf('#');
    return at < 0 ? {path: options.path, key: name} : {path: name.slice(0, at), key: name.slice(at + 1)};
  };
  return {
    async read(name) {
      const {path, key} = placeOf(name);
      const keys = await keysOf(path);
      if (!keys || !Object.hasOwn(keys, key)) return undefined;
      const value = keys[key];
      if (typeof value === 'string') return value;
      if (typeof value === 'number' || typeof value === 'boolean') return String(value);
      throw new Error(`the key ${key} of ${options.mount}/${path} is no text`);
    },
    async hint(name) {
      const {path, key} = placeOf(name);
      const keys = await keysOf(path);
      const place = `${options.mount}/${path}`;
      if (!keys)
        return `there is nothing at ${place} in Vault: bao kv put -mount=${options.mount} ${path} ${key}=...`;
      return `${place} in Vault has ${Object.keys(keys).sort().join(', ') || 'no key'}`;
    },
    async close() {
      session.close();
    },
  };
}

/** What is at a path of the KV engine; undefined: nothing, or its newest version is deleted. @throws Error */
async function readPath(
  session: VaultSession,
  {mount, kv}: VaultOptions,
  path: string,
): Promise<Record<string, unknown> | undefined> {
  const full = kv === 2 ? `${mount}/data/${path}` : `${mount}/${path}`;
  const answer = await session.get(full);
  if (answer.status === 200) {
    const data = dataOf(answer);
    const keys = kv === 2 ? data.data : data;
    if (keys === null) return undefined;
    if (typeof keys === 'object' && !Array.isArray(keys)) return keys as Record<string, unknown>;
    throw new Error(`${mount} is no KV engine of version 2: set secrets.vault.kv to 1`);
  }
  if (answer.status === 404) return noPath(answer, mount, full);
  if (answer.status === 403)
    throw new Error(
      `Vault forbids to read ${full}: the policy needs: path "${full}" { capabilities = ["read"] }`,
    );
  throw new Error(refusalOf(answer, `to read ${full}`));
}

/** A path that is not there is no failure, an engine that is not there or of the other version is one. */
function noPath(answer: HttpAnswer, mount: string, full: string): undefined {
  const said = [...textsOf(answer, 'errors'), ...textsOf(answer, 'warnings')].join(' ');
  if (/no handler for route/i.test(said))
    throw new Error(`Vault has no engine at ${mount}: set secrets.vault.mount (bao secrets list shows them)`);
  if (/invalid path for a versioned/i.test(said))
    throw new Error(
      `${mount} is a KV engine of version 2, and ${full} is asked of version 1: set secrets.vault.kv to 2`,
    );
  return undefined;
}
