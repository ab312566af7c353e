/** Generating without a running platform. */
import {acquireLock} from '../log/lock.ts';
import type {Domain, Platform} from '../model/types.ts';
import {noTelemetry} from '../telemetry.ts';
import {createGeneratorHost, type GenerateRequest} from './generate.ts';
import type {GenerateChange, GeneratorStatus} from './generate-types.ts';
import {ingestStart, registerSchemas} from './ingest-start.ts';
import {type IngestThread, startIngestThread} from './ingest-thread.ts';
import {createLookupStore} from './lookups.ts';
import {ensureHome, type PlatformDirs, placesOf} from './places.ts';

const lookMs = 50;

/**
 * Generates into the log until what was asked for is made; queries read it at the next start.
 * @throws LOCKED when a platform runs after all, LOOKUP_INVALID, and what opening a log throws
 */
export async function generateOffline(
  platform: Platform,
  dirs: PlatformDirs,
  {name}: Domain,
  request: GenerateRequest,
  change: GenerateChange,
): Promise<GeneratorStatus> {
  ensureHome(placesOf(platform.root));
  const command = 'millrace generate';
  const lock = acquireLock(placesOf(platform.root).lock, {command});
  const stop = () => void thread?.stop();
  let thread: IngestThread | undefined;
  try {
    const {newest} = await registerSchemas(platform, dirs);
    const schemaIds = Object.fromEntries([...newest].map(([topic, {id}]) => [topic, id]));
    const counter = new SharedArrayBuffer(4);
    thread = await startIngestThread(ingestStart(platform, dirs, {schemaIds, counter, command}), noTelemetry);
    process.once('SIGHUP', stop).once('SIGINT', stop).once('SIGTERM', stop);
    const host = createGeneratorHost(
      platform,
      thread,
      createLookupStore(`${dirs.state}/lookups`),
      noTelemetry,
    );
    await host.start(name, request, change);
    return await whenDone(() => host.refresh(), name);
  } finally {
    process.off('SIGHUP', stop).off('SIGINT', stop).off('SIGTERM', stop);
    await thread?.close();
    lock.release();
  }
}

/** Looks until the generator has made what it was asked for, or stopped. */
export async function whenDone(
  look: () => Promise<GeneratorStatus[]>,
  domain: string,
): Promise<GeneratorStatus> {
  for (;;) {
    const status = (await look()).find((each) => each.domain === domain);
    if (status && status.state !== 'running' && status.state !== 'paused') return status;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}
