import {resolve} from 'node:path';
import {loadPlugin} from '../config/plugins.ts';
import {PlatformError} from '../errors.ts';
import {chdb} from './chdb/spec.ts';
import {clickhouse} from './clickhouse/spec.ts';
import {file} from './file/spec.ts';
import {kafka} from './kafka/spec.ts';
import {pglite} from './pglite/spec.ts';
import {postgres} from './postgres/spec.ts';
import {stdout} from './stdout/spec.ts';
import type {SinkSpec} from './types.ts';

/** The sinks that come with Millrace, by backend name. Their libraries are loaded only when one is opened. */
export const sinks = {file, stdout, chdb, clickhouse, kafka, pglite, postgres} as const satisfies Record<
  string,
  SinkSpec
>;

/** A specification and the module to import it from where it runs; undefined for the ones above. */
export type FoundSink = {spec: SinkSpec; module?: string};

/**
 * The sinks above and those of plugins: modules that export `sinks`, a list of specifications.
 * @param plugins paths of modules. @throws PLUGIN_INVALID when one does not load, or two sinks have one name.
 */
export async function findSinks(plugins: string[]): Promise<Map<string, FoundSink>> {
  const found = new Map<string, FoundSink>(Object.entries(sinks).map(([name, spec]) => [name, {spec}]));
  for (const path of plugins) {
    for (const spec of await sinksOfPlugin(resolve(path))) {
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

async function sinksOfPlugin(path: string): Promise<SinkSpec[]> {
  const {sinks: specs} = await loadPlugin(path);
  return Object.values(specs).map((spec) => checkSpec(path, spec as Partial<SinkSpec> & {name: string}));
}

function checkSpec(path: string, spec: Partial<SinkSpec> & {name: string}): SinkSpec {
  if (!['inline', 'worker', 'process'].includes(spec.capabilities?.isolation ?? ''))
    throw new PlatformError(
      'PLUGIN_INVALID',
      `the plugin ${path} is wrong: capabilities.isolation of "${spec.name}" is none of inline, worker, process`,
      {place: path, hint: 'see docs/extending.md'},
    );
  return {summary: '', ...spec} as SinkSpec;
}
