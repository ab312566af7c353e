/** The schema registry under a path of the platform's server. */
import {readFileSync} from 'node:fs';
import {type Clock, systemClock} from '../clock.ts';
import {failure} from '../schema/registry-failure.ts';
import {Refusal} from '../schema/registry-refusal.ts';
import {openStore} from '../schema/registry-store.ts';
import type {Telemetry} from '../telemetry.ts';
import {acceptable, malformed, notFound, readObject, sendFailure, sendJson} from './registry-http.ts';
import {type RegistryRoute, type Release, registryRoutes} from './registry-routes.ts';
import type {Mount} from './server.ts';

/** How clients of a registry are told that they are not let in. */
const refusal = (status: number, message: string) => ({error_code: status, message});

/** Serves the registry of a directory. Its file is open until `close`. @param readOnly it is never written @throws PlatformError REGISTRY_* */
export function mountRegistry(
  dir: string,
  telemetry: Telemetry,
  {clock = systemClock, readOnly = false}: {clock?: Clock; readOnly?: boolean} = {},
): {mount: Mount; close(): void} {
  const release = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Release;
  const {store, path: file} = openStore(dir, readOnly);
  const routes = compiled(registryRoutes(release));
  return {
    close: () => store.close(),
    mount: {
      refuse: refusal,
      async answer({request, response, path, params}) {
        const startMs = performance.now();
        let type = 'application/vnd.schemaregistry.v1+json';
        try {
          const found = match(routes, request.method ?? 'GET', segmentsOf(path));
          if ('allow' in found) {
            response.setHeader('allow', found.allow.join(','));
            throw new Refusal(405, 'HTTP 405 Method Not Allowed');
          }
          type = acceptable(request);
          const hasBody = request.method === 'POST' || request.method === 'PUT';
          const body = hasBody ? await readObject(request) : {};
          sendJson(response, 200, type, found.route({store, clock, path: found.path, params, body}));
        } catch (error) {
          sendFailure(response, type, failure(file, error));
        }
        telemetry.emit('RegistryAnswered', {
          status: response.statusCode,
          seconds: (performance.now() - startMs) / 1000,
        });
      },
    },
  };
}

/** Where the registry is a server of its own: says where. */
export const mountElsewhere = (place: string): Mount => ({
  refuse: refusal,
  answer: async ({response}) =>
    sendJson(response, 404, 'application/vnd.schemaregistry.v1+json', {
      error_code: 404,
      message: `HTTP 404 Not Found: the schemas of this platform are registered at ${place}`,
    }),
});

/** Parts of a path, decoded; a slash at its end does not count. @throws Refusal 400 when a part is wrongly encoded. */
function segmentsOf(path: string): string[] {
  try {
    return path.replace(/^\//, '').replace(/\/$/, '').split('/').map(decodeURIComponent);
  } catch {
    throw malformed('the path is not encoded as UTF-8 with percent signs');
  }
}

type Compiled = {method: string; segments: string[]; route: RegistryRoute}[];

const compiled = (routes: Record<string, RegistryRoute>): Compiled =>
  Object.entries(routes).map(([key, route]) => {
    const [method = '', path = ''] = key.split(' ');
    return {method, segments: path.slice(1).split('/'), route};
  });

/** The route of a method and path, or the methods that the path has. @throws Refusal 404 */
function match(
  routes: Compiled,
  method: string,
  segments: string[],
): {route: RegistryRoute; path: string[]} | {allow: string[]} {
  const matching = routes.filter(
    (each) =>
      each.segments.length === segments.length &&
      each.segments.every((part, index) =>
        part === '{}' ? segments[index] !== '' : part === segments[index],
      ),
  );
  if (matching.length === 0) throw notFound();
  const found = matching.find((each) => each.method === (method === 'HEAD' ? 'GET' : method));
  if (!found) return {allow: matching.map((each) => each.method)};
  return {route: found.route, path: segments.filter((_, index) => found.segments[index] === '{}')};
}
