/** What the command line asks of the generators of a running platform. */
import {PlatformError} from '../errors.ts';
import type {GenerateRequest} from './generate.ts';
import type {GenerateChange, GeneratorStatus} from './generate-types.ts';
import {type Verification, verifyGenerated} from './generate-verify.ts';
import type {RunningPlatform} from './runtime.ts';

/**
 * Starts a generator, or changes one that runs: `{domain, seed?, perSecond?, faults?, paused?, stop?, fast?, count?, untilN?, forMs?,
 * startMs?}`. What only a start can do starts it again where it is.
 * @throws NAME_UNKNOWN, USAGE, REQUEST_INVALID
 */
export async function orderGenerator(
  {platform, generators}: RunningPlatform,
  body: Record<string, unknown>,
): Promise<GeneratorStatus | null> {
  const name = String(body.domain ?? '');
  if (!platform.domains.some((domain) => domain.name === name))
    throw new PlatformError('NAME_UNKNOWN', `there is no domain "${name}"`);
  const find = async () => (await generators.refresh()).find(({domain}) => domain === name);
  if (body.stop === true) {
    await generators.stop(name);
    return (await find()) ?? null;
  }
  const request: GenerateRequest = {};
  for (const key of ['seed', 'count', 'untilN', 'forMs', 'startMs'] as const) {
    const value = numberOf(body, key);
    if (value !== undefined) request[key] = value;
  }
  if (body.fast === true) request.fast = true;
  const change: GenerateChange = {};
  const perSecond = numberOf(body, 'perSecond');
  if (perSecond !== undefined) change.perSecond = perSecond;
  if (typeof body.faults === 'string') change.faults = body.faults;
  if (typeof body.paused === 'boolean') change.paused = body.paused;
  const known = await find();
  const isOn = known?.state === 'running' || known?.state === 'paused';
  const asked = Object.keys(request).length > 0;
  if (!isOn || asked) return generators.start(name, request, change);
  if (Object.keys(change).length > 0) return generators.change(name, change);
  return (await find()) ?? null;
}

/**
 * Holds the generator of a domain until everything it made is in rows, compares, and lets it go on.
 * @throws NAME_UNKNOWN, VERIFY_IMPOSSIBLE
 */
export async function verifyRunning(
  running: RunningPlatform,
  name: string,
  signal: AbortSignal,
): Promise<Verification> {
  const domain = running.platform.domains.find((each) => each.name === name);
  if (!domain) throw new PlatformError('NAME_UNKNOWN', `there is no domain "${name}"`);
  const known = (await running.generators.refresh()).find((each) => each.domain === name);
  const isOn = known?.state === 'running';
  if (isOn) await running.generators.change(name, {paused: true, passing: true});
  try {
    await running.idle(signal);
    return await verifyGenerated(running, domain);
  } finally {
    if (isOn) await running.generators.change(name, {paused: false, passing: true});
  }
}

function numberOf(body: Record<string, unknown>, key: string): number | undefined {
  const value = body[key];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new PlatformError('REQUEST_INVALID', `"${key}" is no number`);
}
