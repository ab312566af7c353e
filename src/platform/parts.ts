/** What a platform is made of, opened in the order in which one needs the other. */
import type {Clock} from '../clock.ts';
import {sayingAway} from '../log/brokers-away.ts';
import {acquireLock} from '../log/lock.ts';
import {openLog} from '../log/open.ts';
import {tellReread} from '../log/rereads.ts';
import type {LogReader} from '../log/types.ts';
import {does, sinksByQuery} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {createMetrics, type Metrics} from '../observe/metrics.ts';
import {setPrivacy} from '../privacy/opener.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import {maximaOf} from './books-elsewhere.ts';
import {createEngineHost, type EngineHost} from './engine.ts';
import {createEvents, type Events} from './events.ts';
import {createFigures, type Figures} from './figures.ts';
import {ingestStart, registerRows, registerSchemas} from './ingest-start.ts';
import {type IngestThread, startIngestThread} from './ingest-thread.ts';
import {createInputs, type Inputs} from './inputs.ts';
import {checkKeysHere} from './keys-here.ts';
import {createLookupStore, type LookupStore} from './lookups.ts';
import {type Outputs, openOutputs} from './outputs.ts';
import type {Ownership} from './ownership.ts';
import {dirsOf, ensureHome, type PlatformDirs, placesOf, privacyOf} from './places.ts';
import {createRawBooks} from './raw-books.ts';
import {createSchemas, type Schemas} from './schemas.ts';
import {createSinkLeases, type SinkLeases} from './sink-leases.ts';
import {createSpool, type Spool} from './spool.ts';

/** The parts; the engine does not run yet, and nothing is ingested. */
export type Parts = {
  platform: Platform;
  dirs: PlatformDirs;
  clock: Clock;
  metrics: Metrics;
  figures: Figures;
  /** Topic -> the schema that is written. */
  schemas: Map<string, RegisteredSchema>;
  ingest: IngestThread;
  /** The registry while everything runs. */
  registry: Schemas;
  events: Events;
  /** What waits for Kafka. */
  spool: Spool;
  inputs: Inputs;
  log: LogReader;
  outputs: Outputs;
  lookups: LookupStore;
  engine: EngineHost;
  /** Undefined where no other process writes into the sinks. */
  sinkLeases: SinkLeases | undefined;
  /** Undefined in a process that does not aggregate. */
  ownership: Ownership | undefined;
};

/** What has to be closed, last opened first. */
export class Closing {
  #open: (() => unknown)[] = [];

  push(close: () => unknown): void {
    this.#open.push(close);
  }

  /** Once: the second time there is nothing left. */
  async all(): Promise<void> {
    for (const close of this.#open.splice(0).reverse()) await close();
  }
}

export type PartsOptions = {
  clock: Clock;
  command: string;
  observe?: Metrics['observers'][number];
  /** The platform with all its queries, where this process has some of its roles. */
  configured?: Platform;
  /** How the lease on the checkpoints is taken, in a process that aggregates. */
  claim(platform: Platform, dirs: PlatformDirs, metrics: Metrics): Promise<Ownership>;
};

/** Takes the lock, registers the schemas, opens log and sinks. @throws as `startPlatform`; what was opened is in `closing` */
export async function openParts(
  platform: Platform,
  {clock, command, observe, configured = platform, claim}: PartsOptions,
  closing: Closing,
): Promise<Parts> {
  const places = placesOf(platform);
  const dirs = dirsOf(platform);
  ensureHome(places);
  setPrivacy(privacyOf(platform, dirs));
  const lock = acquireLock(places.lock, {command});
  closing.push(() => lock.release());
  const figures = createFigures();
  // Asked when somebody looks, so after everything is there.
  const metrics = createMetrics(() => figures.readings(parts));
  if (observe) metrics.observers.push(observe);
  const spool = createSpool();
  metrics.observers.push(figures.observe, spool.observe);
  await checkKeysHere(platform, dirs);
  // Before anything else is looked at: a standby begins with what the owner before it left.
  const ownership = does(platform, 'engine') ? await claim(platform, dirs, metrics) : undefined;
  closing.push(() => ownership?.close({isKept: false}));

  const {newest, all, pending} = await registerSchemas(platform, dirs);
  const schemas = createSchemas(platform, dirs, pending, {telemetry: metrics, clock});
  closing.push(() => schemas.close());
  const schemaIds = Object.fromEntries([...newest].map(([topic, {id}]) => [topic, id]));
  const counter = new SharedArrayBuffer(4);
  const starting = startIngestThread(ingestStart(platform, dirs, {schemaIds, counter, command}), metrics);
  const {kafka} = dirs.source;
  const ingest = await (kafka ? sayingAway(kafka, starting) : starting);
  closing.push(() => ingest.close());
  const log = await openLog(dirs.source, {reread: (told) => tellReread(metrics, told)});
  closing.push(() => log.close());
  const sinkLeases = sinkLeasesOf(platform, {configured, dirs, telemetry: metrics, command});
  closing.push(() => sinkLeases?.close());
  const outputs = await openOutputs(platform, {
    clock,
    telemetry: metrics,
    leases: sinkLeases,
    booksOf: (sink) => createRawBooks(sink, {log, ingest, schemaIds, clock, telemetry: metrics}),
    topics: {
      source: dirs.source,
      registerSchema: (subject, schema) => registerRows(dirs, subject, schema),
    },
  });
  closing.push(() => outputs.close());
  const lookups = createLookupStore(`${dirs.state}/lookups`, outputs.sql);
  const engine = createEngineHost({
    platform,
    dirs,
    counter,
    schemas: all,
    schemaOf: schemas.schemaOf,
    schemaIds,
    outputs,
    ingest,
    lookups,
    telemetry: metrics,
    clock,
    ownership,
  });
  const events = createEvents(platform, ingest, metrics, spool);
  const inputs = createInputs(platform, ingest, (topic) =>
    maximaOf({configured, isOwner: ownership !== undefined, dirs, telemetry: metrics}, topic),
  );
  const parts: Parts = {
    platform,
    dirs,
    clock,
    metrics,
    figures,
    schemas: newest,
    ingest,
    registry: schemas,
    events,
    spool,
    inputs,
    log,
    outputs,
    lookups,
    engine,
    sinkLeases,
    ownership,
  };
  return parts;
}

/** Processes of several roles meet in Kafka: there others may have the same sinks. */
function sinkLeasesOf(
  platform: Platform,
  {
    configured,
    dirs,
    telemetry,
    command,
  }: {configured: Platform; dirs: PlatformDirs; telemetry: Metrics; command: string},
): SinkLeases | undefined {
  const {kafka} = dirs.source;
  if (!kafka || !platform.roles?.includes('sinks')) return undefined;
  const rows = platform.roles.includes('engine') ? [] : Object.values(sinksByQuery(configured)).flat();
  const raw = platform.domains.flatMap(({defaults}) => defaults.raw ?? []);
  const sinks = [...new Set([...rows, ...raw])];
  return createSinkLeases({kafka, sinks, telemetry, command, dir: dirs.log});
}
