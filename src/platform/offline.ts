import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import {acquireLock} from '../log/lock.ts';
import type {Platform} from '../model/types.ts';
import {ensureSubjects, openEmbeddedRegistry} from '../schema/registry.ts';
import type {Telemetry} from '../telemetry.ts';
import {readMaxima} from './books.ts';
import {type IngestThread, startIngestThread} from './ingest-thread.ts';
import type {IngestJob} from './ingest-types.ts';
import {ensureHome, type PlatformDirs, placesOf} from './places.ts';

/**
 * Ingests a file without a running platform: it is only appended to the log.
 * @throws LOCKED when a platform runs after all, and what `ingestFile` throws.
 */
export async function ingestOffline(
  platform: Platform,
  dirs: PlatformDirs,
  job: Omit<IngestJob, 'maxima'>,
  onProgress: (progress: IngestProgress) => void,
): Promise<IngestReport> {
  const places = placesOf(platform.root);
  ensureHome(places);
  const lock = acquireLock(places.lock, {command: 'millrace ingest'});
  const stop = () => void thread?.stop();
  let thread: IngestThread | undefined;
  try {
    thread = await startIngest(platform, dirs, {emit: () => {}}, new SharedArrayBuffer(4), 'millrace ingest');
    process.once('SIGINT', stop).once('SIGTERM', stop);
    const input = platform.domains
      .find(({name}) => name === job.domain)!
      .inputs.find(({name}) => name === job.input)!;
    return await thread.ingest(
      {...job, maxima: readMaxima(platform, dirs, `${input.domain}.${input.eventType}`)},
      onProgress,
    );
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await thread?.close();
    lock.release();
  }
}

/** Registers the schemas and starts the thread that writes the log. */
export async function startIngest(
  platform: Platform,
  dirs: PlatformDirs,
  telemetry: Telemetry,
  counter: SharedArrayBuffer,
  command: string,
): Promise<IngestThread> {
  const registry = openEmbeddedRegistry(dirs.registry);
  try {
    const schemas = await ensureSubjects(registry, platform);
    const {options} = platform.log;
    return await startIngestThread(
      {
        domains: platform.domains,
        logDir: dirs.log,
        sizeMaxBytes: typeof options.size_max === 'number' ? options.size_max : null,
        counter,
        partitions: Number(options.partitions ?? 4),
        schemaIds: Object.fromEntries([...schemas].map(([topic, {id}]) => [topic, id])),
        tempDir: dirs.temp,
        command,
      },
      telemetry,
    );
  } finally {
    registry.close();
  }
}
