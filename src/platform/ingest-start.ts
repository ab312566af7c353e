import {keptConfigs, letterConfigs} from '../log/kafka/topics.ts';
import {kafkaOptionsOf, newPartitionsOf} from '../model/log.ts';
import {does} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {ensureSubjects} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import type {IngestKafka, IngestStart} from './ingest-types.ts';
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

/**
 * What the ingest thread of a platform is started with. `canWait`: whether it stands by while another process appends events to
 * the same topics of Kafka; default true.
 */
export function ingestStart(
  platform: Platform,
  dirs: PlatformDirs,
  {canWait = true, ...given}: Pick<IngestStart, 'schemaIds' | 'counter' | 'command'> & {canWait?: boolean},
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
    kafka: kafkaOf(platform, dirs, Object.keys(given.schemaIds), canWait),
    partitions: newPartitionsOf(platform),
    tempDir: dirs.temp,
    develop: env === 'dev',
    privacy: privacyOf(platform, dirs) ?? null,
  };
}

/** Whether a topic holds events; the others are of our own making. */
const isOfEvents = (topic: string): boolean => !/^(dlq|late|replay)\./.test(topic);

/** Topics with their partitions and retention, and how they are written; null: the log is not in Kafka. */
export function kafkaOf(
  platform: Platform,
  {source: {kafka}}: PlatformDirs,
  topics: string[],
  canWait: boolean,
): IngestKafka | null {
  const options = kafkaOptionsOf(platform);
  if (!kafka || !options) return null;
  const letters = new Map(
    platform.domains.map(({name, defaults}) => [`dlq.${name}`, defaults.deadLetters.retentionMs]),
  );
  return {
    kafka,
    topics: topics.map((name) => ({
      name,
      partitions: isOfEvents(name) ? kafka.topics.partitions : 1,
      replication: kafka.topics.replication,
      configs: isOfEvents(name) ? keptConfigs(kafka) : letterConfigs(kafka, letters.get(name)),
      // A process that only aggregates never appends events: it need not know which there are.
      isAppended: !isOfEvents(name) || does(platform, 'ingest'),
      isLeased: isOfEvents(name) && does(platform, 'ingest'),
    })),
    spoolBytesMax: options.spool.size_max,
    spoolAfterMs: options.spool.after,
    compression: options.compression,
    ...(does(platform, 'ingest') ? {lease: {group: `${kafka.clientId}.ingest`, canWait}} : {}),
  };
}
