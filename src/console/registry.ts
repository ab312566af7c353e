/** The schema registry of a console: it is read, and nothing is registered. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {sendFailure} from '../platform/registry-http.ts';
import {mountElsewhere, mountRegistry} from '../platform/registry-mount.ts';
import type {Mount} from '../platform/server.ts';
import {type RegistrySource, registryPlace} from '../schema/registry-open.ts';
import {Refusal} from '../schema/registry-refusal.ts';
import type {Telemetry} from '../telemetry.ts';

const type = 'application/vnd.schemaregistry.v1+json';
const methods = ['GET', 'HEAD'];

/** Where the registry is a server, it says so, as every process does; else that of its directory, once some process has made it. */
export function mountReading(source: RegistrySource, telemetry: Telemetry): {mount: Mount; close(): void} {
  if (source.server) return {mount: mountElsewhere(registryPlace(source)), close() {}};
  let opened: ReturnType<typeof mountRegistry> | undefined;
  const refuse: NonNullable<Mount['refuse']> = (status, message) => ({error_code: status, message});
  return {
    close: () => opened?.close(),
    mount: {
      refuse,
      async answer(call) {
        const {request, response} = call;
        try {
          if (!methods.includes(request.method ?? 'GET')) {
            response.setHeader('allow', methods.join(','));
            throw new Refusal(405, 'this process only reads: register at one that runs with --only ingest');
          }
          if (!opened && !existsSync(join(source.dir, 'registry.db')))
            throw new Refusal(
              404,
              'the registry of this platform is not in this directory: ask where ingest runs',
            );
          opened ??= mountRegistry(source.dir, telemetry, {readOnly: true});
        } catch (error) {
          request.resume();
          sendFailure(response, type, error);
          return;
        }
        await opened.mount.answer(call);
      },
    },
  };
}
