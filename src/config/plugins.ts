import {stat} from 'node:fs/promises';
import {pathToFileURL} from 'node:url';
import {PlatformError} from '../errors.ts';
import type {SecretBackendSpec} from './secrets/types.ts';
import type {BackendSpecs} from './specs/platform.ts';

/** What plugin modules add, by name; they export `sinks` and `secrets`, each a list of specifications. */
export type Plugins = {sinks: BackendSpecs; secrets: Record<string, SecretBackendSpec>};

/**
 * Loads one plugin module. Its code runs: it is the user's own.
 * @throws PlatformError PLUGIN_INVALID when it cannot be loaded or exports something else.
 */
export async function loadPlugin(path: string): Promise<Plugins> {
  const module = await importModule(path);
  const sinks = specsOf(path, 'sinks', module.sinks) as BackendSpecs;
  const secrets = specsOf(path, 'secrets', module.secrets) as Record<string, SecretBackendSpec>;
  if (Object.keys(sinks).length + Object.keys(secrets).length === 0)
    throw new PlatformError('PLUGIN_INVALID', `${path} exports neither sinks nor secrets`, {
      hint: 'export const sinks = [{name, summary, fields, capabilities, open}]; see docs/extending.md',
    });
  return {sinks, secrets};
}

async function importModule(path: string): Promise<Record<string, unknown>> {
  try {
    await stat(path);
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (cause) {
    const {message} = cause instanceof Error ? cause : {message: String(cause)};
    throw new PlatformError(
      'PLUGIN_INVALID',
      `the plugin ${path} cannot be loaded: ${message.split('\n')[0]}`,
      {cause, hint: 'check the path under plugins, and that the module runs on its own: node <path>'},
    );
  }
}

function specsOf(path: string, kind: string, exported: unknown): Record<string, unknown> {
  if (exported === undefined) return {};
  if (!Array.isArray(exported)) throw invalid(path, `its export "${kind}" is not a list`);
  const out: Record<string, unknown> = {};
  for (const spec of exported as unknown[]) {
    const {name, fields = {}, open} = (spec ?? {}) as {name?: unknown; fields?: unknown; open?: unknown};
    if (typeof name !== 'string' || !/^[A-Za-z][A-Za-z0-9_]{0,47}$/.test(name) || name === 'backend')
      throw invalid(path, `a specification in "${kind}" has no name of letters, digits and _`);
    if (typeof fields !== 'object' || fields === null)
      throw invalid(path, `the fields of "${name}" are no record`);
    if (typeof open !== 'function') throw invalid(path, `"${name}" has no function open`);
    if (Object.hasOwn(out, name)) throw invalid(path, `"${name}" is defined twice`);
    out[name] = {fields: {}, ...(spec as object)};
  }
  return out;
}

const invalid = (path: string, what: string): PlatformError =>
  new PlatformError('PLUGIN_INVALID', `the plugin ${path} is wrong: ${what}`, {
    hint: 'see docs/extending.md',
  });
