import {PlatformError} from '../errors.ts';
import type {Domain} from '../model/types.ts';
import type {GenerateRequest} from '../platform/generate.ts';
import {generateOffline, whenDone} from '../platform/generate-offline.ts';
import type {GenerateChange, GeneratorStatus} from '../platform/generate-types.ts';
import type {Verification} from '../platform/generate-verify.ts';
import {counted, parseCount, parseDuration, parseRate} from '../quantity.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {domainOf, type Opened, openPlatform, requirePlatform} from './context.ts';
import {writeLines} from './generate-lines.ts';
import {escapeControls, formatCount, palette, printJson} from './output.ts';

/** Exit code when a comparison found differences. */
const differ = 3;

export const run: CommandBody = async (call) => {
  const {options, io} = call;
  const request = requestOf(options);
  const change = changeOf(options);
  if (options.out !== undefined) {
    const platform = await requirePlatform(call);
    const domain = domainOf(platform, call.args[0]);
    if (options.dryRun) return say(call, {would: 'write', domain: domain.name, out: options.out, ...request});
    const lines = await writeLines(platform, domain, {
      request: change.perSecond === undefined ? request : {...request, perSecond: change.perSecond},
      faults: change.faults,
      out: String(options.out),
      io,
    });
    if (options.out !== '-') io.stderr.write(`${counted(lines, 'line')} in ${String(options.out)}\n`);
    return 0;
  }
  const opened = await openPlatform(call);
  const domain = domainOf(opened.platform, call.args[0]);
  if (options.dryRun)
    return say(call, {
      would: opened.control ? 'tell the running platform' : 'append to the log',
      domain: domain.name,
      ...request,
      ...change,
    });
  if (opened.control) return inRunning(call, opened, domain, request, change);
  return withoutRunning(call, opened, domain, request, change);
};

function say({io, options}: CommandCall, what: Record<string, unknown>): number {
  if (options.json) printJson(io, what);
  else {
    const {would, domain, ...rest} = what;
    const details = Object.entries(rest)
      .map(([key, value]) => `${key} ${String(value)}`)
      .join(', ');
    io.stderr.write(`would ${String(would)}: ${String(domain)}${details ? `, ${details}` : ''}\n`);
  }
  return 0;
}

async function inRunning(
  call: CommandCall,
  {control}: Opened,
  {name}: Domain,
  request: GenerateRequest,
  change: GenerateChange,
): Promise<number> {
  const {options} = call;
  const ends = request.count !== undefined || request.untilN !== undefined || request.forMs !== undefined;
  const asked =
    ends || Object.keys(request).length > 0 || Object.keys(change).length > 0 || options.stop === true;
  if (asked || options.verify !== true) {
    const status = await control!.post<GeneratorStatus | null>('/v1/generate', {
      domain: name,
      ...request,
      ...change,
      ...(options.stop === true ? {stop: true} : {}),
    });
    const look = async () => (await control!.get<{generators: GeneratorStatus[]}>('/v1/status')).generators;
    if (ends && options.verify === true) await whenDone(look, name);
    else if (options.verify !== true) {
      show(call, status);
      return 0;
    }
  }
  return report(call, await control!.post<Verification>('/v1/generate/verify', {domain: name}));
}

async function withoutRunning(
  call: CommandCall,
  {platform, dirs}: Opened,
  domain: Domain,
  request: GenerateRequest,
  change: GenerateChange,
): Promise<number> {
  const {options, io} = call;
  const ends = request.count !== undefined || request.untilN !== undefined || request.forMs !== undefined;
  if (!ends && options.verify !== true)
    throw new PlatformError('USAGE', 'no platform runs here, so the generator needs an end', {
      hint: `npx millrace generate ${domain.name} --count 10000 --fast, or start the platform: npx millrace run`,
    });
  if (ends) {
    if (!options.verify)
      io.stderr.write(
        'no platform runs here: events are appended to the log, queries read them at the next start\n',
      );
    const status = await generateOffline(platform, dirs, domain, request, change);
    if (options.verify !== true) {
      show(call, status);
      return status.code === undefined ? 0 : 1;
    }
  }
  // The rows are made by the platform itself, which ends when it has nothing more to do.
  const {startPlatform} = await import('../platform/runtime.ts');
  const {verifyRunning} = await import('../platform/generate-order.ts');
  const running = await startPlatform(platform, {
    inputs: false,
    port: 0,
    command: 'millrace generate --verify',
  });
  try {
    return report(call, await verifyRunning(running, domain.name, new AbortController().signal));
  } finally {
    await running.drain();
  }
}

function show({io, options}: CommandCall, status: GeneratorStatus | null): void {
  if (options.json) {
    printJson(io, status);
    return;
  }
  if (!status) {
    io.stderr.write('no generator runs\n');
    return;
  }
  const {domain, state, events, ratePerSecond, seed, eventTimeMs, message} = status;
  const time = new Date(eventTimeMs).toISOString();
  io.stderr.write(
    `${domain}: ${state}, ${counted(events, 'event')} (seed ${seed}), ${formatCount(ratePerSecond)}/s, event time ${time}${message ? `, ${escapeControls(message)}` : ''}\n`,
  );
}

function report({io, options}: CommandCall, verification: Verification): number {
  if (options.json) printJson(io, verification);
  else {
    const color = palette(io.stdout, io.env);
    const {domain, events, seed, checks, differences} = verification;
    for (const {what, compared, differences: found} of checks) {
      io.stdout.write(
        `${found.length === 0 ? color.green('same') : color.red('DIFFERENT')}  ${escapeControls(what)}: ${formatCount(compared)} expected\n`,
      );
      for (const each of found) io.stdout.write(`    ${escapeControls(each)}\n`);
    }
    const verdict =
      differences === 0 ? 'what became of them is what must' : `${formatCount(differences)} differences`;
    io.stdout.write(`${domain}: ${counted(events, 'event')} of seed ${seed}: ${verdict}\n`);
  }
  return verification.differences === 0 ? 0 : differ;
}

function requestOf(options: Record<string, unknown>): GenerateRequest {
  const request: GenerateRequest = {};
  const read = <K extends keyof GenerateRequest>(
    key: K,
    option: string,
    parse: (text: string) => GenerateRequest[K] | undefined,
    example: string,
  ) => {
    const text = options[option];
    if (text === undefined) return;
    const value = parse(String(text));
    if (value === undefined)
      throw new PlatformError('USAGE', `--${option} "${String(text)}" cannot be read`, {
        hint: `for example --${option} ${example}`,
      });
    request[key] = value;
  };
  const whole = (text: string) => {
    const count = parseCount(text);
    return count !== undefined && count > 0 ? count : undefined;
  };
  read('count', 'count', whole, '10000');
  read('untilN', 'to', whole, '10000');
  read('forMs', 'for', (text) => parseDuration(text), '10m');
  read('seed', 'seed', (text) => (/^\d{1,15}$/.test(text) ? Number(text) : undefined), '42');
  read(
    'startMs',
    'start',
    (text) =>
      /^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(Date.parse(text)) ? Date.parse(text) : undefined,
    '2025-01-01T00:00:00Z',
  );
  if (options.fast === true) request.fast = true;
  return request;
}

function changeOf(options: Record<string, unknown>): GenerateChange {
  const change: GenerateChange = {};
  if (options.rate !== undefined) {
    const perSecond = parseRate(String(options.rate));
    if (perSecond === undefined || perSecond <= 0)
      throw new PlatformError('USAGE', `--rate "${String(options.rate)}" is no rate`, {
        hint: 'for example --rate 1000/s',
      });
    change.perSecond = perSecond;
  }
  if (options.faults !== undefined) change.faults = String(options.faults);
  if (options.pause === true) change.paused = true;
  if (options.resume === true) change.paused = false;
  return change;
}
