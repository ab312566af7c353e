import {newPartitionsOf} from '../model/log.ts';
import type {Platform} from '../model/types.ts';
import {ensureSubjects} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import type {IngestStart} from './ingest-types.ts';
import {type PlatformDirs, privacyOf} from './places.ts';

/** Registers what the platform writes. @returns topic -> newest schema, every schema that records may name, and subjects that are only remembered since the registry does not answer. */
export async function registerSchemas(
  platform: Platform,
  dirs: PlatformDirs,
): Promise<{newest: Map<string, RegisteredSchema>; all: RegisteredSchema[]; pending: string[]}> {
  const registry = await openRegistry(dirs.registry);
  try {
    const newest = await ensureSubjects(registry, platform);
    return {newest, all: await registry.own(), pending: registry.pending()};
  } finally {
    registry.close();
  }
}

/** Registers a schema of rows that go into a topic. @returns its id */
export async function registerRows(dirs: PlatformDirs, subject: string, schema: AvroRecord): Promise<number> {
  const registry = await openRegistry(dirs.registry);
  try {
    return (await registry.register(subject, schema, 'backward')).id;
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
    registry: dirs.registry,
    sizeMaxBytes: typeof options.size_max === 'number' ? options.size_max : null,
    partitions: newPartitionsOf(platform),
    tempDir: dirs.temp,
    develop: env === 'dev',
    privacy: privacyOf(platform, dirs) ?? null,
  };
}
