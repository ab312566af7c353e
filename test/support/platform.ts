/** Domains as a user writes them, through the real loader. */
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {loadPlatform} from '../../src/model/load.ts';
import type {Domain} from '../../src/model/types.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {scratchDir} from './scratch.ts';

const platformYaml =
  'platform: cases\nsinks: {rows: {backend: stdout}}\ndefaults: {aggregates: rows, raw: none}\n';

/**
 * The model of the files, each by its path below `config/`; platform.yaml is given unless it is among them.
 * Throws an error with every diagnostic when the configuration is wrong.
 */
export async function loadDomains(files: Record<string, string>): Promise<Domain[]> {
  const root = scratchDir('config');
  try {
    for (const [path, text] of Object.entries({'platform.yaml': platformYaml, ...files})) {
      const file = join(root, 'config', path);
      mkdirSync(dirname(file), {recursive: true});
      writeFileSync(file, text);
    }
    const sinkSpecs: Record<string, SinkSpec> = sinks;
    const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
    if (loaded.ok) return loaded.platform.domains;
    throw new Error(
      loaded.diagnostics
        .map(
          ({file, line, severity, code, message, source}) =>
            `${file}:${line} ${severity} ${code} ${message}\n  ${source}`,
        )
        .join('\n'),
    );
  } finally {
    rmSync(root, {recursive: true});
  }
}

/** The model of one domain file. */
export async function loadDomain(yaml: string, more: Record<string, string> = {}): Promise<Domain> {
  const [domain] = await loadDomains({...more, 'domains/domain.yaml': yaml});
  return domain!;
}
