/** Generating without a running platform. */
import type {Domain, Platform} from '../model/types.ts';
import {noTelemetry} from '../telemetry.ts';
import {askOf} from './ask.ts';
import {createGeneratorHost, type GenerateRequest} from './generate.ts';
import type {GenerateChange, GeneratorStatus} from './generate-types.ts';
import {createLookupStore} from './lookups.ts';
import {withIngestThread} from './offline.ts';
import type {PlatformDirs} from './places.ts';

const lookMs = 50;

/**
 * Generates into the log until what was asked for is made; queries read it at the next start.
 * @throws LOCKED when a platform runs after all, LOOKUP_INVALID, and what opening a log throws
 */
export function generateOffline(
  platform: Platform,
  dirs: PlatformDirs,
  {name}: Domain,
  request: GenerateRequest,
  change: GenerateChange,
): Promise<GeneratorStatus> {
  return withIngestThread(platform, dirs, 'millrace generate', async (thread) => {
    const lookups = createLookupStore(`${dirs.state}/lookups`, askOf(platform, undefined));
    const host = createGeneratorHost(platform, thread, lookups, noTelemetry);
    await host.start(name, request, change);
    return whenDone(() => host.refresh(), name);
  });
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
