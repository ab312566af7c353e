import {SecretKeeper} from '../config/secrets/keeper.ts';
import {PlatformError} from '../errors.ts';
import {asTyped} from '../invocation.ts';
import {tellBrokersAway} from '../log/brokers-away.ts';
import {consoleRole, withRoles} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {type RunningPlatform, type RunOptions, startPlatform} from '../platform/runtime.ts';
import {sinks as builtInSinks} from '../sinks/registry.ts';
import type {SinkSpec} from '../sinks/types.ts';
import type {TelemetryEvents} from '../telemetry.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {openWithRoles} from './context.ts';
import {exitCodeOf, farewell} from './outcome.ts';
import {reportFailure} from './output.ts';
import {rolesOf} from './roles-option.ts';
import {cutCodes, listenForStop, type Stop} from './signals.ts';
import {createView, type View} from './view.ts';

type Observer = NonNullable<RunOptions['observe']>;

/** A drain that takes longer is cut short. */
const drainMsMax = 30_000;
const showMs = 250;
/** A start that is under way when the platform is told to stop has so long, ms. */
const startEndMs = 5_000;
/** Why a standby ends that was told to. */
const stoppedWaiting = new Error('stopped while it stood by');

export const run: CommandBody = async (call) => {
  const {only, port} = call.options;
  if (only !== consoleRole) return runWith(call, () => () => {});
  const {runConsole} = await import('./run-console.ts');
  return runConsole(call, port === undefined ? undefined : portOf(port));
};

/** What accompanies a platform while it runs. @returns what ends it */
export type Companion = (running: RunningPlatform, say: (text: string) => void) => () => void;

/** Runs the platform until it is stopped, with a companion. */
export async function runWith(call: CommandCall, companion: Companion): Promise<number> {
  const stop = listenForStop();
  const keeper = new SecretKeeper((message) => call.io.stderr.write(`warn: ${message}\n`));
  try {
    return await runUntilStopped(call, stop, companion, keeper);
  } finally {
    await keeper.close();
    stop.release();
  }
}

/** @param next a configuration that was applied to the platform that ran before in this process */
async function runUntilStopped(
  call: CommandCall,
  stop: Stop,
  companion: Companion,
  keeper: SecretKeeper,
  next?: Platform,
): Promise<number> {
  const {options, io} = call;
  const chosen = rolesOf(options.only);
  const {platform, configured, control} = next
    ? {platform: withRoles(next, chosen), configured: next, control: undefined}
    : await openWithRoles(call, chosen, {keeper});
  if (control) {
    const {pid} = await control.get<{pid: number}>('/v1/ping');
    throw new PlatformError('LOCKED', `a platform runs here already, process ${pid}`, {
      hint: 'npx millrace status',
    });
  }
  const port = options.port === undefined ? {} : {port: portOf(options.port)};
  if (stop.signal()) {
    io.stderr.write('stopped before it began: nothing was read or written\n');
    return 0;
  }
  const inputs = options.inputs !== false;
  // A generator never ends by itself, so that nothing would become idle.
  const generate = options.generate !== false && options.untilIdle !== true;
  // What is told while it starts is shown once there is something to show it in.
  const told: Parameters<Observer>[] = [];
  let observe: Observer = (...event) => void told.push(event);
  const say = (text: string) => void io.stderr.write(`${text}\n`);
  const leaving = new AbortController();
  void stop.first.then(() => leaving.abort(stoppedWaiting));
  const starting = startPlatform(platform, {
    configured,
    fast: options.fast === true,
    inputs,
    generate,
    keeper,
    ...reviseOf(options.revise),
    observe: (...event) => observe(...event),
    ...port,
    ...(options.standby === true ? {standby: {say, signal: leaving.signal}} : {}),
  });
  // A sink may be opening that never will: nothing was read yet, so that a stop need not wait for it.
  const cut = stop.first.then(
    () => new Promise<void>((resolve) => void setTimeout(resolve, startEndMs).unref()),
  );
  const running = await Promise.race([starting, stop.second, cut]).catch((error: unknown) => {
    if (error !== stoppedWaiting) throw error;
    return 'left' as const;
  });
  if (running === 'left') {
    io.stderr.write('stopped while it stood by: nothing was read or written\n');
    return 0;
  }
  // Nothing was read yet that a drain could settle.
  if (!running) return cutShort(stop, 'the start');
  const view = createView(io, tipsOf(platform), options.untilIdle === true);
  tellBrokersAway((text) => view.say(`warn: ${text}`));
  observe = (...event) => tell(view, ...event);
  for (const event of told.splice(0)) observe(...event);
  const show = () => view.show(running.status());
  const timer = setInterval(show, showMs);
  show();
  const leave = companion(running, view.say);
  const idle = new AbortController();
  const failed = Promise.race([running.ingest.failed, running.removed, running.fenced]).then(
    (error): never => {
      throw error;
    },
  );
  const idling = options.untilIdle === true ? running.idle(idle.signal) : new Promise<void>(() => {});
  idling.catch(() => {});
  let replacement: Platform | undefined;
  let code = 0;
  try {
    replacement = (await Promise.race([idling, stop.first, failed, running.replaced])) ?? undefined;
    idle.abort(new Error('draining'));
    leave();
    code = await Promise.race([drain(running, stop, show, replacement !== undefined), failed]);
  } catch (error) {
    view.close();
    // Nothing can be drained into a log that failed; what was acknowledged is there at the next start.
    process.exit(reportFailure(error, io, options.json === true));
  } finally {
    clearInterval(timer);
    show();
    view.close();
    if (!replacement || stop.signal()) io.stderr.write(asTyped(farewell(running.status()), io.cwd));
  }
  if (!replacement || stop.signal()) return code;
  try {
    io.stderr.write('applied: starting anew with the new configuration\n');
    return await runUntilStopped(call, stop, companion, keeper, replacement);
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    reportFailure(error, io, options.json === true);
    io.stderr.write('the new configuration does not start: the one before runs on\n');
    return await runUntilStopped(call, stop, companion, keeper, platform);
  }
}

function reviseOf(text: unknown): Pick<RunOptions, 'revise'> {
  if (text === undefined) return {};
  if (text === 'from-log' || text === 'from-now') return {revise: text};
  throw new PlatformError('USAGE', `"${text}" is no way to revise`, {
    hint: '--revise from-log: from the first event in the log; --revise from-now: from the next one on',
  });
}

function portOf(text: unknown): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(String(text)) || port > 65_535)
    throw new PlatformError('USAGE', `"${text}" is not a port`, {
      hint: 'a whole number from 0 (any free one) to 65535',
    });
  return port;
}

/**
 * @returns 0 when everything that was read is written; 129, 130 or 143 when it was cut short; else the highest exit code of what
 * stopped: a query, an input, a raw table.
 */
async function drain(
  running: RunningPlatform,
  stop: Stop,
  show: () => void,
  isReplaced: boolean,
): Promise<number> {
  const drained = running.drain();
  show();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'cut'>((resolve) => {
    timer = setTimeout(() => resolve('cut'), drainMsMax);
  });
  const outcome = await Promise.race([drained, late, stop.second.then(() => 'cut' as const)]);
  clearTimeout(timer);
  if (outcome === 'cut') cutShort(stop, 'the drain');
  // What starts next in this process does what is left.
  if (outcome.length > 0 && (!isReplaced || stop.signal())) {
    process.stderr.write(cutText('the drain'));
    return cutCodeOf(stop);
  }
  return exitCodeOf(running.status());
}

/** What is pending is in the log and in the last checkpoint; threads and children end with the process. */
function cutShort(stop: Stop, what: string): never {
  process.stderr.write(cutText(what));
  process.exit(cutCodeOf(stop));
}

const cutText = (what: string): string =>
  `${what} was cut short: what was not written is written at the next start\n`;
const cutCodeOf = (stop: Stop): number => cutCodes[stop.signal() ?? 'SIGINT'];

function tell(view: View, name: keyof TelemetryEvents, event: TelemetryEvents[keyof TelemetryEvents]): void {
  switch (name) {
    case 'Log': {
      const {level, message} = event as TelemetryEvents['Log'];
      view.say(`${level}: ${message}`);
      break;
    }
    case 'QueryStopped': {
      const {domain, query, code, message, hint, place} = event as TelemetryEvents['QueryStopped'];
      const more = `${place ? `\n  at ${place}` : ''}${hint ? `\n  hint: ${hint}` : ''}`;
      view.say(`query ${domain}.${query} stopped: ${code} ${message}${more}`);
      break;
    }
    case 'QueryResumed': {
      const {domain, query, code, seconds} = event as TelemetryEvents['QueryResumed'];
      view.say(`query ${domain}.${query} runs again, after ${seconds.toFixed(1)} s (${code})`);
      break;
    }
    case 'InputStopped': {
      const {domain, input, code, message, hint} = event as TelemetryEvents['InputStopped'];
      view.say(`input ${domain}.${input} stopped: ${code} ${message}${hint ? `\n  hint: ${hint}` : ''}`);
      break;
    }
    case 'SinkPaused': {
      const {sink, table, message, place, hint} = event as TelemetryEvents['SinkPaused'];
      const more = `${place ? `\n  at ${place}` : ''}${hint ? `\n  hint: ${hint}` : ''}`;
      view.say(`sink ${sink} fails for ${table}: its query waits, the others go on (${message})${more}`);
      break;
    }
    case 'SinkResumed': {
      const {sink, table} = event as TelemetryEvents['SinkResumed'];
      view.say(`sink ${sink} is back for ${table}`);
      break;
    }
  }
}

/** Where to look next: queries over the first tables of the platform. */
function tipsOf({domains, sinks}: Platform): string[] {
  const tips: string[] = [];
  for (const {name, aggregations, eventTypes} of domains) {
    const [first] = aggregations;
    const asked = first?.sinks.some((sink) => canBeAsked(sinks[sink]!.backend));
    if (first && asked)
      tips.push(
        `npx millrace query "select * from ${name}.${first.name} order by window_start desc limit 5"`,
      );
    const [eventType] = eventTypes;
    if (eventType) tips.push(`npx millrace tap ${eventType.topic}`);
    if (tips.length >= 2) break;
  }
  return [...tips, 'npx millrace ledger'];
}

const canBeAsked = (backend: string): boolean =>
  (builtInSinks as Record<string, SinkSpec>)[backend]?.capabilities.query === true;
