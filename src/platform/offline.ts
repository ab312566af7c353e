import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import {acquireLock} from '../log/lock.ts';
import type {Platform} from '../model/types.ts';
import {noTelemetry} from '../telemetry.ts';
import {readMaxima} from './books.ts';
import {ingestStart, registerSchemas} from './ingest-start.ts';
import {type IngestThread, startIngestThread} from './ingest-thread.ts';
import type {IngestJob} from './ingest-types.ts';
import {ensureHome, type PlatformDirs, placesOf} from './places.ts';

/**
 * The ingest thread without a running platform, for as long as `work` takes; a signal ends what it does, positions are kept.
 * @throws LOCKED when a platform runs after all, and what opening a log throws
 */
export async function withIngestThread<T>(
  platform: Platform,
  dirs: PlatformDirs,
  command: string,
  work: (thread: IngestThread) => Promise<T>,
): Promise<T> {
  const places = placesOf(platform);
  ensureHome(places);
  const lock = acquireLock(places.lock, {command});
  const stop = () => void thread?.stop();
  let thread: IngestThread | undefined;
  try {
    const {newest} = await registerSchemas(platform, dirs);
    const schemaIds = Object.fromEntries([...newest].map(([topic, {id}]) => [topic, id]));
    const counter = new SharedArrayBuffer(4);
    thread = await startIngestThread(
      ingestStart(platform, dirs, {schemaIds, counter, command, canWait: false}),
      noTelemetry,
    );
    process.once('SIGHUP', stop).once('SIGINT', stop).once('SIGTERM', stop);
    return await work(thread);
  } finally {
    process.off('SIGHUP', stop).off('SIGINT', stop).off('SIGTERM', stop);
    await thread?.close();
    lock.release();
  }
}

/**
 * Ingests a file without a running platform: it is only appended to the log.
 * @throws LOCKED when a platform runs after all, and what `ingestFile` throws.
 */
export function ingestOffline(
  platform: Platform,
  dirs: PlatformDirs,
  job: Omit<IngestJob, 'maxima'>,
  onProgress: (progress: IngestProgress) => void,
): Promise<IngestReport> {
  return withIngestThread(platform, dirs, 'millrace ingest', (thread) => {
    const input = platform.domains
      .find(({name}) => name === job.domain)!
      .inputs.find(({name}) => name === job.input)!;
    const maxima = readMaxima(platform, dirs, `${input.domain}.${input.eventType}`);
    return thread.ingest({...job, maxima}, onProgress);
  });
}
