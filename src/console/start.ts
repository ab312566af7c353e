/** A process that only answers questions about a platform whose parts run in others. */
import {join} from 'node:path';
import {type Clock, systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {acquireLock} from '../log/lock.ts';
import {consoleRole} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {createMetrics, type Readings} from '../observe/metrics.ts';
import {connectControl} from '../platform/control.ts';
import {Closing} from '../platform/parts.ts';
import {createToken, dirsOf, ensureHome, type PlatformDirs, placesOf} from '../platform/places.ts';
import {closeServer, listenControl, listenTcp, urlOf} from '../platform/server.ts';
import type {PlatformStatus} from '../platform/status.ts';
import type {Telemetry, TelemetryEvents} from '../telemetry.ts';
import {type Observer, startObserver} from './observer.ts';
import {mountReading} from './registry.ts';
import {optionsOf} from './routes.ts';
import type {ConsoleStatus} from './types.ts';

export type ConsoleOptions = {
  port?: number;
  command?: string;
  clock?: Clock;
  /** Told of Kafka going away and coming back. */
  say(text: string): void;
};

export type RunningConsole = {url: string; status(): Promise<ConsoleStatus>; close(): Promise<void>};

/** Starts its servers and begins to look; neither Kafka nor a database has to be there. @throws LOCKED, PORT_BUSY, FILE_ACCESS, USAGE */
export async function startConsole(
  platform: Platform,
  {port = platform.server.port, command = 'millrace run', clock = systemClock, say}: ConsoleOptions,
): Promise<RunningConsole> {
  const dirs = consoleDirs(platform);
  const {kafka} = dirs.source;
  if (!kafka)
    throw new PlatformError('USAGE', 'a console looks at Kafka, and the log is embedded', {
      hint: 'npx millrace status asks the platform of this directory',
    });
  const places = placesOf({root: platform.root, roles: [consoleRole]});
  const startedMs = clock.now();
  const closing = new Closing();
  try {
    ensureHome(places);
    const lock = acquireLock(places.lock, {command});
    closing.push(() => lock.release());
    const metrics = createMetrics(() => readingsOf(observer));
    const telemetry: Telemetry = {
      emit(name, event) {
        metrics.emit(name, event);
        if (name === 'Log') say(`warn: ${(event as TelemetryEvents['Log']).message}`);
      },
    };
    const observer = startObserver(platform, {kafka, dirs, clock, say, telemetry});
    closing.push(() => observer.close());
    const registry = mountReading(dirs.registry, metrics);
    closing.push(() => registry.close());
    let url = '';
    const status = async (): Promise<ConsoleStatus> => ({
      name: platform.name,
      env: platform.env,
      pid: process.pid,
      startedMs,
      url,
      phase: 'console',
      kafka: observer.kafka(),
      leases: observer.leases(),
      ...(await processesHere(platform.root)),
    });
    const token = platform.server.token?.reveal() ?? createToken(places.token);
    const options = optionsOf({platform, dirs, metrics, status, registry: registry.mount, token});
    const {host} = platform.server;
    const tcp = await listenTcp(options, host, port);
    closing.push(() => closeServer(tcp));
    url = urlOf(host, tcp);
    const control = await listenControl(options, places.controlSocket);
    closing.push(() => closeServer(control));
    return {url, status, close: () => closing.all()};
  } catch (error) {
    await closing.all();
    throw error;
  }
}

/** It has no outbox, and looks into nobody's. */
function consoleDirs(platform: Platform): PlatformDirs {
  const dirs = dirsOf(platform);
  const {home} = placesOf({root: platform.root, roles: [consoleRole]});
  return {...dirs, source: {...dirs.source, dir: join(home, 'log')}};
}

async function processesHere(root: string): Promise<Pick<ConsoleStatus, 'here' | 'hereMessage'>> {
  try {
    const control = await connectControl(root);
    return {here: control ? await control.get<PlatformStatus>('/v1/status') : null};
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    return {here: null, hereMessage: `${error.code} ${error.message}`};
  }
}

function readingsOf(observer: Observer): Readings {
  const {state, queries, sinks, topics} = observer.kafka();
  return {
    queries: [],
    raw: [],
    rows: [],
    delivery: [],
    events: {bytes: 0, requests: 0},
    shares: [],
    observed: {
      isAnswering: state === 'answering',
      queries,
      sinks: sinks.flatMap(({name, topics: lags}) => lags.map((lag) => ({...lag, sink: name}))),
      topics,
    },
  };
}
