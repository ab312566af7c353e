import type {Diagnostic} from '../config/diagnostics.ts';
import {type LoadedConfig, type LoadOptions, loadConfig} from '../config/load.ts';
import type {SecretBackendSpec} from '../config/secrets/types.ts';
import {buildPlatform} from './build.ts';
import type {SinkSpecs} from './sinks.ts';
import type {Platform} from './types.ts';

export type LoadedPlatform<S> =
  | {
      ok: true;
      platform: Platform;
      warnings: Diagnostic[];
      /** Those given and those of plugins. */
      sinkSpecs: Record<string, S>;
      secretSpecs: Record<string, SecretBackendSpec>;
      /** For `explainConfig`. */
      config: LoadedConfig;
    }
  | {
      ok: false;
      /** Errors and warnings, by file and place. */
      diagnostics: Diagnostic[];
    };

/**
 * From `config/` to the model: finds the root (upward from `from`), reads, merges, resolves secrets, checks everything and
 * builds. Nothing connects and nothing is written; plugins are loaded. Never throws for a mistake in the files.
 * @param options.sinkSpecs the sink backends that exist, by name.
 */
export async function loadPlatform<S extends SinkSpecs[string]>(
  options: Omit<LoadOptions, 'sinkSpecs'> & {sinkSpecs: Record<string, S>},
): Promise<LoadedPlatform<S>> {
  const config = await loadConfig(options);
  if (config.root === undefined) return {ok: false, diagnostics: config.diagnostics.all()};
  const platform = buildPlatform(config);
  const diagnostics = config.diagnostics.all();
  if (config.diagnostics.hasErrors) return {ok: false, diagnostics};
  return {
    ok: true,
    platform,
    warnings: diagnostics,
    sinkSpecs: config.sinkSpecs as Record<string, S>,
    secretSpecs: config.secretSpecs,
    config,
  };
}
