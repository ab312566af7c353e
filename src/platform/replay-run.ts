import {PlatformError} from '../errors.ts';
import {acquireLock} from '../log/lock.ts';
import {openLog} from '../log/open.ts';
import {does} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {type HostedSink, openSink} from '../sinks/host.ts';
import {noTelemetry} from '../telemetry.ts';
import {plansToRun} from './apply-plans.ts';
import {ingestStart, registerSchemas} from './ingest-start.ts';
import {startIngestThread} from './ingest-thread.ts';
import {createLearner} from './learn-schemas.ts';
import {followCheckpoints} from './ownership.ts';
import {ensureHome, type PlatformDirs, placesOf} from './places.ts';
import {replayLetters} from './replay.ts';
import {createSinkReplay} from './replay-sink.ts';
import type {ReplayLine, ReplayRequest} from './replay-types.ts';
import {readRevisions} from './revisions.ts';
import type {RunningPlatform} from './runtime.ts';

/** Platforms that replay just now: what one replay has done the next one must see. */
const busy = new WeakSet<RunningPlatform>();

/** Replays in a running platform. @throws REPLAY_BUSY, and what `replayLetters` throws */
export async function* replayRunning(
  running: RunningPlatform,
  request: ReplayRequest,
): AsyncGenerator<ReplayLine> {
  if (busy.has(running))
    throw new PlatformError('REPLAY_BUSY', 'a replay is under way', {hint: 'wait until it has ended'});
  busy.add(running);
  const {platform, dirs, outputs, ingest, metrics} = running;
  const log = await openLog(dirs.source);
  let closing = () => {};
  try {
    const {newest, all} = await registerSchemas(platform, dirs);
    const planOf = await plansOf(running);
    const schemas = createLearner(dirs, all);
    closing = schemas.close;
    yield* replayLetters(
      {
        platform,
        dirs,
        log,
        schemas: all,
        learn: schemas.learn,
        schemaIds: Object.fromEntries([...newest].map(([topic, {id}]) => [topic, id])),
        append: (transaction) => ingest.append(transaction),
        planOf,
        sinks: createSinkReplay({
          platform,
          planOf,
          rows: async (sink, table, batch) =>
            running.rows
              ? (await outputs.sink(sink)).write(table, batch)
              : outputs.resend(sink, table, batch),
          raw: (sink, table, batch) => outputs.resendRaw(sink, table, batch),
        }),
        isRunning: true,
        telemetry: metrics,
      },
      request,
    );
  } finally {
    closing();
    log.close();
    busy.delete(running);
  }
}

/** The queries as they run, here or in the process with the engine. */
async function plansOf({
  platform,
  configured,
  dirs,
  engine,
}: RunningPlatform): Promise<(query: string) => QueryPlan | undefined> {
  if (does(platform, 'engine')) return (query) => engine.plan(query);
  await followCheckpoints(configured, dirs);
  const plans = plansToRun(configured.domains, readRevisions(dirs.revisions), dirs);
  return (query) => plans.find(({id}) => id === query);
}

/**
 * The same without a running platform: what goes to queries is counted when it runs again.
 * @throws LOCKED when a platform runs after all
 */
export async function* replayOffline(
  platform: Platform,
  dirs: PlatformDirs,
  request: ReplayRequest,
): AsyncGenerator<ReplayLine> {
  const places = placesOf(platform);
  ensureHome(places);
  const command = 'millrace replay';
  const lock = acquireLock(places.lock, {command});
  const closing: (() => unknown)[] = [() => lock.release()];
  try {
    const {newest, all} = await registerSchemas(platform, dirs);
    const schemas = createLearner(dirs, all);
    closing.push(() => schemas.close());
    const schemaIds = Object.fromEntries([...newest].map(([topic, {id}]) => [topic, id]));
    const counter = new SharedArrayBuffer(4);
    const ingest = await startIngestThread(
      ingestStart(platform, dirs, {schemaIds, counter, command}),
      noTelemetry,
    );
    closing.push(() => ingest.close());
    const log = await openLog(dirs.source);
    closing.push(() => log.close());
    const plans = plansToRun(platform.domains, readRevisions(dirs.revisions), dirs);
    const planOf = (query: string) => plans.find(({id}) => id === query);
    const open = new Map<string, HostedSink>();
    closing.push(() => Promise.all([...open.values()].map((sink) => sink.close())));
    const sinkOf = async (name: string): Promise<HostedSink> => {
      const {root, plugins, sinks: choices} = platform;
      const sink = open.get(name) ?? (await openSink({name, choice: choices[name]!, root, plugins}));
      open.set(name, sink);
      return sink;
    };
    const sinks = createSinkReplay({
      platform,
      planOf,
      rows: async (name, table, batch) => (await sinkOf(name)).write(table, batch),
      raw: async (name, table, batch) => (await sinkOf(name)).writeRaw!(table, batch),
    });
    yield* replayLetters(
      {
        platform,
        dirs,
        log,
        schemas: all,
        learn: schemas.learn,
        schemaIds,
        append: (transaction) => ingest.append(transaction),
        planOf,
        sinks,
        isRunning: false,
        telemetry: noTelemetry,
      },
      request,
    );
  } finally {
    for (const close of closing.reverse()) await close();
  }
}
