/** Where a platform's schemas are registered, and how whoever needs them opens that. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import type {Clock} from '../clock.ts';
import type {TlsFiles} from '../config/tls.ts';
import {openEmbeddedRegistry, type SchemaRegistry} from './registry.ts';

/** A registry that is a server. Crosses threads; holds its password, so never print it. */
export type RegistryServer = {
  urls: string[];
  username?: string;
  password?: string;
  token?: string;
  tls?: TlsFiles;
  timeoutMs: number;
  /** How long it is waited for where nothing is remembered that would do, ms. */
  patienceMs: number;
};

/** `dir`: of the embedded registry, or of what is remembered of the server. */
export type RegistrySource = {dir: string; server?: RegistryServer};

/** Whether there is a registry to ask: an embedded one is made by the first start. */
export const hasRegistry = ({dir, server}: RegistrySource): boolean =>
  server !== undefined || existsSync(join(dir, 'registry.db'));

/** How messages and pictures name it. */
export const registryPlace = ({dir, server}: RegistrySource): string => server?.urls.join(', ') ?? dir;

/**
 * Opens it; a server is not asked before it is needed.
 * @throws PlatformError REGISTRY_MISSING, REGISTRY_CORRUPT, REGISTRY_UNAVAILABLE of the embedded one; FILE_ACCESS for TLS files.
 */
export async function openRegistry(
  source: RegistrySource,
  options: {readOnly?: boolean; clock?: Clock} = {},
): Promise<SchemaRegistry> {
  if (!source.server) return openEmbeddedRegistry(source.dir, options);
  const {openRegistryClient} = await import('./registry-client.ts');
  return openRegistryClient(source.server, source.dir, options);
}
