import type {Platform} from '../model/types.ts';
import {ensureSubjects, openEmbeddedRegistry} from '../schema/registry.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import type {IngestStart} from './ingest-types.ts';
import {type PlatformDirs, privacyOf} from './places.ts';

/** Registers what the platform writes. @returns topic -> newest schema, and every schema that records may name. */
export async function registerSchemas(
  platform: Platform,
  dirs: PlatformDirs,
): Promise<{newest: Map<string, RegisteredSchema>; all: RegisteredSchema[]}> {
  const registry = openEmbeddedRegistry(dirs.registry);
  try {
    const newest = await ensureSubjects(registry, platform);
    return {newest, all: await registry.own()};
  } finally {
    registry.close();
  }
}

/** What the ingest thread of a platform is started with. */
export function ingestStart(
  platform: Platform,
  dirs: PlatformDirs,
  given: Pick<IngestStart, 'schemaIds' | 'counter' | 'command'>,
): IngestStart {
  const {
    domains,
    env,
    log: {options},
  } = platform;
  return {
    ...given,
    domains,
    logDir: dirs.log,
    registryDir: dirs.registry,
    sizeMaxBytes: typeof options.size_max === 'number' ? options.size_max : null,
    partitions: Number(options.partitions ?? 4),
    tempDir: dirs.temp,
    develop: env === 'dev',
    privacy: privacyOf(platform, dirs) ?? null,
  };
}
