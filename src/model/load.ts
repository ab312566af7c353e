import type {Diagnostic} from '../config/diagnostics.ts';
import {type LoadedConfig, type LoadOptions, loadConfig} from '../config/load.ts';
import type {SecretBackendSpec} from '../config/secrets/types.ts';
import {buildPlatform} from './build.ts';
import {Reporter} from './reporter.ts';
import type {SinkSpecs} from './sinks.ts';
import type {Domain, Platform} from './types.ts';

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

/** Looks at something beside the configuration that it is about: the files of its inputs, say. */
export type DomainCheck = (domain: Domain, reporter: Reporter) => Promise<void>;

/**
 * From `config/` to the model: finds the root (upward from `from`), reads, merges, resolves secrets, checks everything and
 * builds. Nothing connects and nothing is written; plugins are loaded. Never throws for a mistake in the files.
 * @param options.sinkSpecs the sink backends that exist, by name.
 * @param options.checks made of every domain once the configuration itself has no error.
 */
export async function loadPlatform<S extends SinkSpecs[string]>(
  options: Omit<LoadOptions, 'sinkSpecs'> & {sinkSpecs: Record<string, S>; checks?: DomainCheck[]},
): Promise<LoadedPlatform<S>> {
  const config = await loadConfig(options);
  if (config.root === undefined) return {ok: false, diagnostics: config.diagnostics.all()};
  const platform = buildPlatform(config);
  if (!config.diagnostics.hasErrors)
    for (const [index, domain] of platform.domains.entries())
      for (const check of options.checks ?? [])
        await check(domain, new Reporter(config.domains[index]!.node, config.diagnostics));
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
