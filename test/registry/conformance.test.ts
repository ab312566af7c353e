/** The embedded registry in process, and a server through our client: our own over HTTP. */

import {rmSync} from 'node:fs';
import {after, before} from 'node:test';
import {openEmbeddedRegistry, type SchemaRegistry} from '../../src/schema/registry.ts';
import {openRegistry} from '../../src/schema/registry-open.ts';
import {conformance} from '../conformance/registry.ts';
import {scratchDir} from '../support/scratch.ts';
import {type RegistryServer, startRegistry, token} from './server.ts';

function closed(registry: SchemaRegistry, dir: string): void {
  registry.close();
  rmSync(dir, {recursive: true});
}

let server: RegistryServer;
before(async () => {
  server = await startRegistry();
});
after(() => server.close());

conformance('embedded', async () => {
  const dir = scratchDir('registry');
  const registry = openEmbeddedRegistry(dir);
  return {registry, reopen: async () => openEmbeddedRegistry(dir), close: async () => closed(registry, dir)};
});

conformance('embedded, over HTTP', async () => {
  const dir = scratchDir('registry-cache');
  const open = () =>
    openRegistry({dir, server: {urls: [server.url], token, timeoutMs: 5_000, patienceMs: 0}});
  const registry = await open();
  return {registry, reopen: open, close: async () => closed(registry, dir)};
});
