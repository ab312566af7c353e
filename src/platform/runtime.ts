import type {Server} from 'node:http';
import {join} from 'node:path';
import {type Clock, systemClock} from '../clock.ts';
import type {PlatformError} from '../errors.ts';
import {openLogReader} from '../log/embedded.ts';
import {acquireLock, type Lock} from '../log/lock.ts';
import type {IngestCounts} from '../log/types.ts';
import type {Platform} from '../model/types.ts';
import {buildLedger, type Ledger} from '../observe/ledger.ts';
import {createMetrics, type Metrics} from '../observe/metrics.ts';
import {buildPlans} from '../process/plan/build.ts';
import {readLedger, readMaxima} from './books.ts';
import {createEngineHost, type EngineHost} from './engine.ts';
import {createEvents, type Events} from './events.ts';
import {isIdle} from './idle.ts';
import {ingestStart, registerSchemas} from './ingest-start.ts';
import {type IngestThread, startIngestThread} from './ingest-thread.ts';
import {createInputs, type Inputs} from './inputs.ts';
import {createLookupStore} from './lookups.ts';
import {type Outputs, openOutputs} from './outputs.ts';
import {createToken, dirsOf, ensureHome, type PlatformDirs, placesOf} from './places.ts';
import {readRevisions, revisionOf} from './revisions.ts';
import {startServers} from './routes.ts';
import {closeServer, urlOf} from './server.ts';
import type {PlatformStatus, RawStatus} from './status.ts';
import {startingQueries, totalsOf} from './totals.ts';
import {startTrimming} from './trim.ts';
import {watchFile} from './watch.ts';

export type RunOptions = {
  /** Ignore the rate of inputs. */
  fast?: boolean;
  /** Ingest the files that inputs name. Default true. */
  inputs?: boolean;
  port?: number;
  /** What a refused second process is told. */
  command?: string;
  clock?: Clock;
  /** Told of everything from the first moment on; later observers come to `metrics.observers`. */
  observe?: Metrics['observers'][number];
};

/** A platform that runs in this process. */
export type RunningPlatform = {
  platform: Platform;
  dirs: PlatformDirs;
  metrics: Metrics;
  inputs: Inputs;
  outputs: Outputs;
  engine: EngineHost;
  ingest: IngestThread;
  /** Events over HTTP. */
  events: Events;
  /** Address of the HTTP server. */
  url: string;
  /** As it was at most a second ago. */
  status(): PlatformStatus;
  ledger(): Ledger;
  /** Resolves when inputs are done and every query and raw delivery has caught up and was acknowledged. */
  idle(signal: AbortSignal): Promise<void>;
  /** Resolves if the log's file is taken away: what is appended from then on would be gone with the process. */
  removed: Promise<PlatformError>;
  /** Stops the engine and starts it with the revisions as they are now. */
  restartEngine(): Promise<void>;
  /** Stops reading, settles what was read, closes everything. */
  drain(): Promise<void>;
};

const statusMs = 500;
const endsMs = 500;

/**
 * Starts everything: lock, log, schemas, sinks, engine, raw deliveries, servers, inputs.
 * @throws LOCKED, PORT_BUSY, LOG_CORRUPT, SINK_DAMAGED, SCHEMA_INCOMPATIBLE, LOOKUP_INVALID; what was opened is closed again.
 */
export async function startPlatform(platform: Platform, options: RunOptions = {}): Promise<RunningPlatform> {
  const {clock = systemClock, command = 'millrace run'} = options;
  const places = placesOf(platform.root);
  const dirs = dirsOf(platform);
  ensureHome(places);
  const closing: (() => unknown)[] = [];
  const closeAll = async () => {
    for (const close of closing.reverse()) await close();
  };
  try {
    const lock: Lock = acquireLock(places.lock, {command});
    closing.push(() => lock.release());
    const startedMs = clock.now();
    let phase: PlatformStatus['phase'] = 'starting';
    let counts: IngestCounts[] = [];
    let raw: RawStatus[] = [];
    let rowsWritten = 0;
    /** The state in which it was closed. */
    let last: PlatformStatus | undefined;

    const metrics = createMetrics(() => ({
      queries: engine.status(),
      raw: raw.flatMap(({lagEvents, ...rest}) => (lagEvents === null ? [] : [{...rest, lagEvents}])),
      delivery: outputs
        .deliveries()
        .map(({sink, table, pending, state}) => ({sink, table, pending, paused: state !== 'running'})),
      events: events.inFlight(),
    }));
    if (options.observe) metrics.observers.push(options.observe);
    metrics.observers.push((name, event) => {
      if (name === 'RowsWritten') rowsWritten += (event as {rows: number}).rows;
    });

    const schemas = await registerSchemas(platform, dirs);
    const schemaIds = Object.fromEntries([...schemas.newest].map(([topic, {id}]) => [topic, id]));
    const counter = new SharedArrayBuffer(4);
    const ingest = await startIngestThread(
      ingestStart(platform, dirs, {schemaIds, counter, command}),
      metrics,
    );
    closing.push(() => ingest.close());
    const log = openLogReader(dirs.log);
    closing.push(() => log.close());
    const outputs = await openOutputs(platform, {clock, telemetry: metrics});
    closing.push(() => outputs.close());
    const lookups = createLookupStore(`${dirs.state}/lookups`);
    const engine = createEngineHost({
      platform,
      dirs,
      counter,
      schemas: schemas.all,
      schemaIds,
      outputs,
      ingest,
      lookups,
      telemetry: metrics,
      clock,
    });
    const plansNow = () => {
      const revisions = readRevisions(dirs.revisions);
      return buildPlans(platform.domains, (domain, query) => revisionOf(revisions, `${domain}.${query}`));
    };
    await engine.start(plansNow());
    closing.push(() => engine.stop());
    outputs.raw.start(schemas.newest, {log: dirs.log, registry: dirs.registry});
    const events = createEvents(platform, ingest, metrics);
    const inputs = createInputs(platform, ingest, (topic) => readMaxima(platform, dirs, topic));

    const refresh = async () => {
      counts = log.ledger();
      raw = await outputs.raw.status();
    };
    const liveLedger = () =>
      buildLedger({
        ingest: counts,
        queries: engine.status().map(({query, counts: lines}) => {
          const [domain = '', name = ''] = query.split('.');
          return {domain, query: name, counts: lines};
        }),
        delivery: outputs.deliveries(),
      });
    const watch = watchFile(join(dirs.log, 'log.db'));
    const running: RunningPlatform = {
      removed: watch.removed,
      platform,
      dirs,
      metrics,
      inputs,
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
          queries: engine.status(),
          startingQueries: startingQueries(platform, engine),
          deliveries: outputs.deliveries(),
          raw,
          totals: totalsOf(counts, engine, rowsWritten, liveLedger().balanced),
        },
      ledger: () => readLedger(platform, dirs, outputs.deliveries()),
      async idle(signal) {
        for (;;) {
          await inputs.settled();
          // Ends of partitions are looked at four times a second; an older look may not know the last events.
          const sinceMs = clock.now() + endsMs;
          do {
            await clock.sleep(statusMs, signal);
            await refresh();
          } while (!isIdle(platform, engine, outputs, raw, sinceMs));
          if (!inputs.busy()) return;
        }
      },
      restartEngine: () => engine.restart(plansNow()),
      async drain() {
        phase = 'draining';
        for (const timer of timers) clearInterval(timer);
        await events.drain();
        await ingest.stop();
        await inputs.settled();
        await engine.drain();
        await refresh().catch(() => {});
        const settled = running.status();
        await closeAll();
        last = {...settled, phase: 'stopped'};
      },
    };
    const token = platform.server.token?.reveal() ?? createToken(places.token);
    const servers: Server[] = await startServers(running, {
      places,
      token,
      host: platform.server.host,
      port: options.port ?? platform.server.port,
    });
    closing.push(() => Promise.all(servers.map((server) => closeServer(server))));
    running.url = urlOf(platform.server.host, servers[0]!);
    await refresh();
    const timers = [
      setInterval(() => void refresh().catch(() => {}), statusMs),
      setInterval(watch.look, statusMs),
      ...refreshLookups(platform, engine),
      startTrimming(running, clock),
    ];
    if (options.inputs !== false) inputs.startAll({fast: options.fast === true});
    phase = 'running';
    return running;
  } catch (error) {
    await closeAll().catch(() => {});
    throw error;
  }
}

function refreshLookups({domains}: Platform, engine: EngineHost): NodeJS.Timeout[] {
  return domains.flatMap(({lookups}) =>
    lookups.flatMap((lookup) =>
      lookup.refreshMs === null
        ? []
        : [setInterval(() => void engine.refreshLookup(lookup), lookup.refreshMs)],
    ),
  );
}
