import type {Server} from 'node:http';
import {join} from 'node:path';
import {type Clock, systemClock} from '../clock.ts';
import type {SecretKeeper} from '../config/secrets/keeper.ts';
import type {PlatformError} from '../errors.ts';
import {does, withRoles} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import type {Ledger} from '../observe/ledger.ts';
import type {Metrics} from '../observe/metrics.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {QueryStatus} from '../process/types.ts';
import {planHere, plansToRun} from './apply-plans.ts';
import {writeApplied} from './apply-record.ts';
import {rawLines, readLedger} from './books.ts';
import {finishSwitches, reviseChanged} from './change-start.ts';
import type {EngineHost} from './engine.ts';
import type {Events} from './events.ts';
import {createGeneratorHost, type GeneratorHost} from './generate.ts';
import {isIdle} from './idle.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {Inputs} from './inputs.ts';
import {refreshLookups} from './lookups-refresh.ts';
import type {Outputs} from './outputs.ts';
import {takeOwnership} from './ownership.ts';
import {Closing, openParts, type Parts, type PartsOptions} from './parts.ts';
import {createToken, type PlatformDirs, placesOf} from './places.ts';
import {noteGoneFields} from './raw-before.ts';
import {readRevisions} from './revisions.ts';
import {startServers} from './routes.ts';
import type {RowsService} from './rows.ts';
import {startRows} from './rows-start.ts';
import {closeServer, urlOf} from './server.ts';
import {type ShippingLeft, shipLeft} from './ship-left.ts';
import {standBy} from './standby.ts';
import type {PlatformStatus} from './status.ts';
import {startingQueries} from './totals.ts';
import {startTrimming} from './trim.ts';
import {TrimmedQueries} from './trimmed.ts';
import {watchFile} from './watch.ts';

export type RunOptions = {
  /** Ignore the rate of inputs. */
  fast?: boolean;
  /** Ingest the files that inputs name. Default true. */
  inputs?: boolean;
  /** Start the generators of domains that have one. Default false. */
  generate?: boolean;
  port?: number;
  /** Wait until nobody else holds the checkpoints, told in words of who does; ended by the signal. */
  standby?: {say(text: string): void; signal: AbortSignal};
  /** The whole platform, where this process has some of its roles: its queries' sinks. */
  configured?: Platform;
  /** What a refused second process is told. */
  command?: string;
  clock?: Clock;
  /** It is a part of the platform, for a task: what was applied stays on record. */
  isPart?: boolean;
  /** Queries that changed get a new revision at once. */
  revise?: 'from-log' | 'from-now';
  /** Told of everything from the first moment on; later observers come to `metrics.observers`. */
  observe?: Metrics['observers'][number];
  /** Through which configurations that are applied later read their secrets. */
  keeper?: SecretKeeper;
};

/** A platform that runs in this process. */
export type RunningPlatform = {
  platform: Platform;
  /** The same with all its queries, where this process has some of the roles. */
  configured: Platform;
  dirs: PlatformDirs;
  metrics: Metrics;
  inputs: Inputs;
  generators: GeneratorHost;
  outputs: Outputs;
  /** Rows from topics into sinks, in a process that does so for an engine elsewhere. */
  rows: RowsService | undefined;
  engine: EngineHost;
  ingest: IngestThread;
  /** Events over HTTP. */
  events: Events;
  keeper?: SecretKeeper;
  /** Address of the HTTP server. */
  url: string;
  /** As it was at most a second ago. */
  status(): PlatformStatus;
  ledger(): Ledger;
  /** Resolves when inputs are done and every query and raw delivery has caught up and was acknowledged. */
  idle(signal: AbortSignal): Promise<void>;
  /** Resolves if another process takes the checkpoints over: nothing that this one does counts any more. */
  fenced: Promise<Error>;
  /** Resolves if the log's file is taken away: what is appended from then on would be gone with the process. */
  removed: Promise<PlatformError>;
  /** Starts the engine again with the revisions as they are now. @param next with all its sinks, whose queries run from then on */
  restartEngine(next?: Platform): Promise<void>;
  /** Ends this platform so that whoever started it starts one with another configuration. */
  replaceBy(next: Platform): void;
  /** Resolves when `replaceBy` was called. */
  replaced: Promise<Platform>;
  /**
   * Stops reading, settles what was read, closes everything. @param withinMs what has not settled by then is left to the next start
   * @returns that, in words
   */
  drain(withinMs?: number): Promise<string[]>;
};

const statusMs = 500;
const endsMs = 500;

/**
 * Starts everything: lock, log, schemas, sinks, engine, raw deliveries, servers, inputs.
 * @throws LOCKED, PORT_BUSY, LOG_CORRUPT, SINK_DAMAGED, SCHEMA_INCOMPATIBLE, LOOKUP_INVALID; what was opened is closed again.
 */
export async function startPlatform(platform: Platform, options: RunOptions = {}): Promise<RunningPlatform> {
  const {clock = systemClock, command = 'millrace run', observe, configured = platform} = options;
  const startedMs = clock.now();
  const closing = new Closing();
  try {
    const parts = await openParts(
      platform,
      {
        clock,
        command,
        ...(observe ? {observe} : {}),
        configured,
        claim: claimOf(options, clock, command),
      },
      closing,
    );
    const {dirs, engine, ingest, inputs, outputs, events, figures} = parts;
    const plansNow = ({domains} = platform) =>
      plansToRun(domains, readRevisions(dirs.revisions), dirs).map((plan) => planHere(platform, plan));
    if (does(platform, 'engine')) {
      if (options.revise)
        for (const query of await reviseChanged(configured, dirs, options.revise))
          parts.metrics.emit('Log', {
            level: 'info',
            message: `${query} changed: a new revision ${options.revise}`,
          });
      await engine.start(plansNow());
      closing.push(() => engine.stop());
      await finishSwitches(engine, outputs, dirs, platform);
    }
    if (!options.isPart) {
      await noteGoneFields(platform, dirs, parts);
      if (does(platform, 'engine')) writeApplied(configured, dirs, runsOf(engine), clock.now());
    }
    outputs.raw.start(parts.schemas, dirs, options.isPart ? undefined : configured);
    const rows = await startRows(parts, configured);
    closing.push(() => rows?.close());
    const trimmed = new TrimmedQueries(engine, parts.metrics);
    const queries = () => trimmed.shown(engine.status());
    const generators = createGeneratorHost(platform, ingest, parts.lookups, parts.metrics);

    const refresh = async () => {
      await figures.refresh(parts);
      await generators.refresh();
    };
    const {promise: replaced, resolve: replace} = Promise.withResolvers<Platform>();
    let phase: PlatformStatus['phase'] = 'starting';
    /** The state in which it was closed. */
    let last: PlatformStatus | undefined;
    const watch = watchFile(join(dirs.log, 'log.db'));
    const running: RunningPlatform = {
      removed: watch.removed,
      fenced: parts.ownership?.fenced ?? new Promise(() => {}),
      platform,
      configured,
      dirs,
      ...(options.keeper ? {keeper: options.keeper} : {}),
      metrics: parts.metrics,
      inputs,
      generators,
      outputs,
      engine,
      ingest,
      events,
      url: '',
      status: () =>
        last ?? {
          name: platform.name,
          env: platform.env,
          pid: process.pid,
          startedMs,
          url: running.url,
          phase,
          inputs: inputs.status(),
          generators: generators.status(),
          queries: queries(),
          startingQueries: startingQueries(platform, engine),
          deliveries: outputs.deliveries(engine.status()),
          rows: rows?.status() ?? [],
          raw: figures.raw(),
          ...(dirs.registry.server ? {registry: parts.registry.status()} : {}),
          ...parts.spool.shown(),
          ...(parts.sinkLeases ? {sinkLeases: parts.sinkLeases.status()} : {}),
          ...parts.ownership?.shown(),
          events: events.shares(),
          totals: figures.totals(parts),
        },
      ledger: () =>
        readLedger(platform, dirs, [
          ...outputs.deliveries(),
          ...(rows?.status() ?? []),
          ...rawLines(figures.raw()),
        ]),
      async idle(signal) {
        await untilIdle(parts, queries, refresh, signal);
        await rows?.settled(signal);
      },
      rows,
      async restartEngine(next) {
        running.configured = {...configured, domains: (next ?? running.configured).domains};
        running.platform = withRoles(running.configured, platform.roles);
        await engine.restart(plansNow(running.platform));
        if (next && !options.isPart) writeApplied(running.configured, dirs, runsOf(engine), clock.now());
      },
      replaceBy: (next) => replace(next),
      replaced,
      async drain(withinMs) {
        phase = 'draining';
        for (const timer of timers) clearInterval(timer);
        await trimmed.end();
        await events.drain();
        await ingest.stop();
        await inputs.settled();
        const waits = await engine.drain(withinMs);
        for (const text of waits)
          parts.metrics.emit('Log', {level: 'warn', message: `left to the next start: ${text}`});
        await refresh().catch(() => {});
        const settled = running.status();
        await closing.all();
        last = {...settled, phase: 'stopped'};
        return waits;
      },
    };
    await openServers(running, options, closing);
    await refresh();
    const timers = [
      setInterval(() => void refresh().catch(() => {}), statusMs),
      setInterval(watch.look, statusMs),
      ...refreshLookups(platform, engine),
      startTrimming(running, clock),
      // A command that starts a platform for its own work does nothing else.
      ...(options.command === undefined ? [trimmed.watch(running)] : []),
    ];
    if (options.generate === true) await generators.startAll();
    if (options.inputs !== false) inputs.startAll({fast: options.fast === true});
    phase = 'running';
    return running;
  } catch (error) {
    await closing.all().catch(() => {});
    throw error;
  }
}

/** How the checkpoints' lease is taken: at once or not at all, or by standing by until it is free. */
const claimOf =
  ({standby, port}: RunOptions, clock: Clock, command: string): PartsOptions['claim'] =>
  async (platform, dirs, metrics) => {
    const places = placesOf(platform);
    const waiting =
      standby && standBy(platform, {places, port: port ?? platform.server.port, metrics, say: standby.say});
    let shipping: ShippingLeft | undefined;
    try {
      return await takeOwnership(platform, dirs, {
        command,
        telemetry: metrics,
        clock,
        isStandby: standby !== undefined,
        onWaiting(holder) {
          if (waiting) shipping ??= shipLeft(platform, dirs, {telemetry: metrics, command});
          waiting?.onWaiting(holder);
        },
        signal: standby?.signal,
      });
    } finally {
      await shipping?.end();
      await waiting?.end();
    }
  };

/** Its HTTP server and its control socket; the platform knows its address from then on. @throws PORT_BUSY */
async function openServers(running: RunningPlatform, {port}: RunOptions, closing: Closing): Promise<void> {
  const {server} = running.platform;
  const places = placesOf(running.platform);
  const token = server.token?.reveal() ?? createToken(places.token);
  const {host} = server;
  const servers: Server[] = await startServers(running, {places, token, host, port: port ?? server.port});
  closing.push(() => Promise.all(servers.map((each) => closeServer(each))));
  running.url = urlOf(host, servers[0]!);
}

/** Waits until nothing is left to ingest, to aggregate and to write, judged by what was seen twice a second. */
async function untilIdle(
  {platform, clock, inputs, outputs, figures}: Parts,
  queries: () => QueryStatus[],
  refresh: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await inputs.settled();
    // Ends of partitions are looked at four times a second; an older look may not know the last events.
    const sinceMs = clock.now() + endsMs;
    do {
      await clock.sleep(statusMs, signal);
      await refresh();
    } while (!isIdle(platform, queries(), outputs, figures.raw(), sinceMs));
    if (!inputs.busy()) return;
  }
}

/** What runs, for the record: not a query that stopped because it was changed. */
const runsOf =
  (engine: EngineHost) =>
  (query: string): QueryPlan | undefined =>
    engine.status().some(({query: id, reason}) => id === query && reason?.code === 'QUERY_CHANGED')
      ? undefined
      : engine.plan(query);
