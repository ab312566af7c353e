import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import {PlatformError} from '../errors.ts';
import {chdb} from './chdb/spec.ts';
import {file} from './file/spec.ts';
import {pglite} from './pglite/spec.ts';
import {stdout} from './stdout/spec.ts';
import type {SinkSpec} from './types.ts';

/** The sinks that come with Millrace, by backend name. Their libraries are loaded only when one is opened. */
export const sinks = {file, stdout, chdb, pglite} as const satisfies Record<string, SinkSpec>;

/** A specification and the module to import it from where it runs; undefined for the ones above. */
export type FoundSink = {spec: SinkSpec; module?: string};

const plain = /^[A-Za-z][A-Za-z0-9_]{0,47}$/;

/**
 * The sinks above and those of plugins: modules that export `sinks`, a list of specifications.
 * @param plugins paths of modules. @throws PLUGIN_INVALID when one does not load, or two sinks have one name.
 */
export async function findSinks(plugins: string[]): Promise<Map<string, FoundSink>> {
  const found = new Map<string, FoundSink>(Object.entries(sinks).map(([name, spec]) => [name, {spec}]));
  for (const path of plugins) {
    for (const spec of await loadPlugin(path)) {
      if (found.has(spec.name))
        throw new PlatformError('PLUGIN_INVALID', `a sink named "${spec.name}" exists already`, {
          place: path,
          hint: 'give the plugin’s sink another name',
        });
      found.set(spec.name, {spec, module: resolve(path)});
    }
  }
  return found;
}

/** The sink with this backend name. @throws SINK_UNKNOWN, PLUGIN_INVALID. */
export async function findSink(backend: string, plugins: string[]): Promise<FoundSink> {
  const builtIn = (sinks as Record<string, SinkSpec>)[backend];
  if (builtIn && plugins.length === 0) return {spec: builtIn};
  const all = await findSinks(plugins);
  const found = all.get(backend);
  if (!found)
    throw new PlatformError('SINK_UNKNOWN', `there is no sink backend "${backend}"`, {
      hint: `use one of ${[...all.keys()].join(', ')}, or name its module under plugins`,
    });
  return found;
}

async function loadPlugin(path: string): Promise<SinkSpec[]> {
  let exported: Record<string, unknown>;
  try {
    exported = (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new PlatformError('PLUGIN_INVALID', `cannot load the plugin: ${(cause as Error).message}`, {
      cause,
      place: path,
      hint: 'check the path under plugins, and that the module runs on its own: node <path>',
    });
  }
  const list = exported.sinks;
  // A plugin may bring other things than sinks.
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw invalid(path, 'its export `sinks` is not a list');
  return list.map((spec, index) => checkSpec(path, index, spec));
}

function checkSpec(path: string, index: number, spec: Partial<SinkSpec>): SinkSpec {
  const place = `sinks[${index}]`;
  if (typeof spec !== 'object' || spec === null) throw invalid(path, `${place} is not an object`);
  if (typeof spec.name !== 'string' || !plain.test(spec.name))
    throw invalid(path, `${place}.name is not an identifier`);
  if (typeof spec.open !== 'function') throw invalid(path, `${place}.open is not a function`);
  if (!['inline', 'worker', 'process'].includes(spec.capabilities?.isolation ?? ''))
    throw invalid(path, `${place}.capabilities.isolation is none of inline, worker, process`);
  return {fields: {}, summary: '', ...spec} as SinkSpec;
}

const invalid = (path: string, what: string) =>
  new PlatformError('PLUGIN_INVALID', what, {
    place: path,
    hint: 'export const sinks = [{name, summary, fields, capabilities, open}]; see examples/plugins',
  });
