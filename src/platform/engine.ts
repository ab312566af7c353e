import assert from 'node:assert/strict';
import {availableParallelism} from 'node:os';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {LogArchive} from '../log/archive.ts';
import {openLog} from '../log/open.ts';
import type {Lookup, Platform} from '../model/types.ts';
import {checkFingerprint, stateName} from '../process/embedded/checkpoint.ts';
import {createEngine, type EmbeddedEngine} from '../process/embedded/engine.ts';
import type {EngineOptions} from '../process/embedded/engine-options.ts';
import {lookupsOf} from '../process/embedded/lookup-journal.ts';
import {
  type CheckpointWriter,
  dropStates,
  openStateReader,
  openStateStore,
} from '../process/embedded/statestore.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {QueryStatus} from '../process/types.ts';
import {counted} from '../quantity.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {type Filling, fillingKey, type Steering, steeringOf, tellsOfFilling} from './change-steering.ts';
import {createCurrentLookups} from './current-lookups.ts';
import {Restarts} from './engine-again.ts';
import {callbacksOf} from './engine-callbacks.ts';
import {failUnlessClosed, tellStopped} from './engine-failure.ts';
import {createWaiting, isDown} from './engine-waiting.ts';
import {type Surely, untilAllAnswer} from './fill-waiting.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {LookupStore} from './lookups.ts';
import {firstLookups, lookupOf, lookupSinks} from './lookups-first.ts';
import type {Outputs} from './outputs.ts';
import type {Ownership} from './ownership.ts';
import type {PlatformDirs} from './places.ts';
import {SideKeeper} from './side-append.ts';
import {drainMsMax, unsettled} from './unsettled.ts';

export type EngineHost = {
  /**
   * Starts every plan whose tables can be had. Those of a sink that is down are `paused` in the status and start when it
   * answers; others are `stopped`.
   */
  start(plans: QueryPlan[]): Promise<void>;
  status(): QueryStatus[];
  plan(query: string): QueryPlan | undefined;
  /** Reads on after a pause; a query that stopped begins again from its checkpoint, also one that could not be started. */
  resume(query: string): Promise<void>;
  /** Looks at the files of the lookups; queries switch when a file changed and is good. */
  refreshLookup(lookup: Lookup): Promise<void>;
  /** Stops reading and settles what was read. @returns what has not settled by then, in words; it is read again at the next start */
  drain(withinMs?: number): Promise<string[]>;
  /** Drains, and starts with these plans; what was being filled is ended, and what takes too long to settle is read again. */
  restart(plans: QueryPlan[]): Promise<void>;
  stop(): Promise<void>;
  /** Where a query reads to, and how it stands. */
  steer(query: string): Steering;
  /**
   * Runs other revisions of queries beside those that run, in threads and tables of their own; sinks and brokers that are down are waited for,
   * until the signal. One at a time. @param of the configuration that the plans are from: its lookups @param archive what the log no longer has
   */
  fill(plans: QueryPlan[], of: Platform, more: {signal: AbortSignal; archive?: LogArchive}): Promise<Filling>;
  /** Plans of revisions that are being filled. */
  filled(): QueryPlan[];
  /** Drops states of revisions that do not run. */
  forget(states: string[]): Promise<void>;
  /**
   * Resolves when the lease on the checkpoints was seen to be ours, and what was written beside them (the list of revisions, say) is
   * where another machine would find it. To be awaited before sinks are changed in a way that goes with it. @throws FENCED
   */
  sync(): Promise<void>;
};

export type EngineHostOptions = {
  platform: Platform;
  dirs: PlatformDirs;
  counter: SharedArrayBuffer;
  schemas: RegisteredSchema[];
  schemaOf?: EngineOptions['schemaOf'];
  schemaIds: Record<string, number>;
  outputs: Outputs;
  ingest: IngestThread;
  lookups: LookupStore;
  telemetry: Telemetry;
  clock: Clock;
  /** The hold on the checkpoints; undefined in a process that does not aggregate. */
  ownership: Ownership | undefined;
};

/** The engine with everything that it needs around it: rows to the sinks, side outputs to the log, lookups, marks. */
export function createEngineHost(options: EngineHostOptions): EngineHost {
  const {platform, dirs, outputs, telemetry, ownership} = options;
  const plans = new Map<string, QueryPlan>();
  const refused = new Map<string, QueryStatus>();
  const lookups = createCurrentLookups(options.lookups, telemetry);
  let engine: EmbeddedEngine | undefined;
  let writer: CheckpointWriter | undefined;
  const aside = new SideKeeper(options);
  let filling: {engine: EmbeddedEngine; plans: QueryPlan[]; stop(): Promise<void>} | undefined;
  /** @param of whose lookups it uses @param keyOf name of a query's deliveries: a filling's differ from those of what runs */
  const create = (
    of: Platform,
    keyOf: (query: string) => string,
    told: Telemetry,
    workers = platform.engine.workers,
    archive?: LogArchive,
    surely: Surely = (work) => work(),
  ): EmbeddedEngine => {
    const created: EmbeddedEngine = createEngine({
      log: {...dirs.source, counter: options.counter, ...(archive ? {archive} : {})},
      stateDir: dirs.state,
      writer: writer!,
      schemas: options.schemas,
      ...(options.schemaOf ? {schemaOf: options.schemaOf} : {}),
      workers,
      flushMs: platform.engine.flushMs,
      checkpointIntervalMs: platform.engine.checkpointIntervalMs,
      telemetry: told,
      async lookup(domain, name, id) {
        const lookup = lookupOf(of, domain, name);
        return surely(async () => (id === null ? lookups.read(lookup) : options.lookups.get(lookup, id)));
      },
      marked: (plan) => surely(() => outputs.marked(plan)),
      openLog: (source, given) => surely(() => openLog(source, given)),
      async onReset(plan) {
        await synced();
        await surely(() => outputs.empty(plan));
      },
      // Answers go to the engine that asked: the numbers of the next one begin anew.
      onRows({query, sequence, ...rows}) {
        const fail = (error: unknown) => failUnlessClosed(created, query, error);
        const send = () => {
          const {taken, written} = outputs.write(keyOf(query), rows);
          const {count, through} = rows;
          taken.then(() => created.acknowledge(query, sequence), fail);
          written.then(() => told.emit('RowsAcknowledged', {query, rows: count, through}), fail);
        };
        // Only these rows could differ from those of another owner, who has switched a lookup since.
        const held = readsLookups(query) ? ownership?.held() : undefined;
        Promise.resolve(held).then(send).catch(fail);
      },
      onMark(query, epoch) {
        outputs.mark(keyOf(query), epoch).then(
          () => created.marked(query, epoch),
          (error) => failUnlessClosed(created, query, error),
        );
      },
      onCannotBegin(plan, error) {
        if (created !== engine || !isDown(error)) return false;
        refused.set(plan.id, waiting.add(plan, error, []));
        return true;
      },
      onStopped: (query) => outputs.abandon(keyOf(query)),
      onSide(plan, side, durable) {
        aside.keep(plan, side).then(durable, (error) => created.fail(plan.id, error));
      },
    });
    return created;
  };
  const readsLookups = (query: string) =>
    [...plans.values(), ...(filling?.plans ?? [])].some(
      (plan) => plan.id === query && lookupsOf(plan).length > 0,
    );
  const synced = async () => {
    assert(writer, 'the engine runs');
    const store = openStateStore(dirs.state, writer.connect(), writer.lease);
    await store.sync().finally(() => store.close());
  };
  void ownership?.fenced.then((error) => {
    for (const {id} of plans.values()) engine?.fail(id, error);
    for (const {id} of filling?.plans ?? []) filling?.engine.fail(id, error);
  });
  const waiting = createWaiting({
    clock: options.clock,
    telemetry,
    dirs,
    ask: (plan) => outputs.marked(plan).then(() => firstLookups(platform, plan, options.lookups)),
    start: () => restartWhatWaits(),
  });
  const start = async (wanted: QueryPlan[]) => {
    plans.clear();
    refused.clear();
    assert(ownership, 'only a process that aggregates starts queries');
    writer = await ownership.open();
    const current = create(platform, (query) => query, telemetry);
    engine = current;
    const ready: QueryPlan[] = [];
    const saves = openStateReader(dirs.state);
    await Promise.all(
      wanted.map(async (plan) => {
        plans.set(plan.id, plan);
        let waitsFor = plan.sinks;
        try {
          // Before its tables: a changed query has other columns, and the way out is the same for both.
          const saved = saves.load(stateName(plan));
          if (saved) checkFingerprint(plan, JSON.parse(saved.meta));
          await outputs.addQuery(plan, callbacksOf(options, current, plan));
          waitsFor = lookupSinks(platform, plan);
          await firstLookups(platform, plan, options.lookups);
          ready.push(plan);
        } catch (error) {
          if (!(error instanceof PlatformError)) throw error;
          if (isDown(error)) refused.set(plan.id, waiting.add(plan, error, waitsFor));
          else refused.set(plan.id, tellStopped(plan, error, telemetry));
        }
      }),
    ).finally(() => saves.close());
    await current.start(ready);
  };
  const stop = async (isKept: boolean) => {
    waiting.clear();
    await filling?.stop();
    const current = engine;
    engine = undefined;
    await current?.stop();
    await ownership?.close({isKept});
    writer = undefined;
    for (const id of plans.keys()) outputs.removeQuery(id);
  };
  const fill: EngineHost['fill'] = async (wanted, of, {signal, archive}) => {
    assert(writer && !filling, 'one filling at a time, beside an engine that runs');
    const keyOf = (query: string) => fillingKey(wanted.find(({id}) => id === query)!);
    // It has all cores: it waits when what runs lags.
    const workers = platform.engine.workers === 'auto' ? availableParallelism() : platform.engine.workers;
    const ending = new AbortController();
    const surely = untilAllAnswer(options, AbortSignal.any([signal, ending.signal]));
    const current = create(of, keyOf, tellsOfFilling(telemetry, wanted), workers, archive, surely);
    const stopFilling = async () => {
      if (filling?.engine !== current) return;
      filling = undefined;
      ending.abort(new PlatformError('REBUILD_STOPPED', 'the platform ends or starts again'));
      await current.stop();
      for (const plan of wanted) outputs.removeQuery(fillingKey(plan));
    };
    filling = {engine: current, plans: wanted, stop: stopFilling};
    try {
      for (const plan of wanted)
        await surely(() => outputs.addQuery(plan, callbacksOf(options, current, plan), fillingKey(plan)));
      await current.start(wanted);
    } catch (error) {
      await stopFilling();
      throw error;
    }
    return {
      plans: wanted,
      steer: (query) => steeringOf(() => current, query),
      drain: async () => void (await current.drain()),
      stop: stopFilling,
    };
  };
  const restarts = new Restarts({
    start,
    stop: () => stop(true),
    show(plan, status) {
      plans.set(plan.id, plan);
      refused.set(plan.id, status);
    },
    clock: options.clock,
    telemetry,
  });
  const restart = (wanted: () => QueryPlan[]): Promise<void> =>
    restarts.next(async () => {
      await engine?.drain(drainMsMax);
      return wanted();
    });

  /** Not drained first: what runs may wait for another sink. Its last checkpoint is a moment old. */
  const restartWhatWaits = async (): Promise<boolean> => {
    if (filling) return false;
    await restarts.next(async () => engine && [...plans.values()]);
    return true;
  };

  return {
    start,
    async stop() {
      await restarts.end();
      await stop(false);
    },
    sync: synced,
    restart: (wanted) => restart(() => wanted),
    steer: (query) => steeringOf(() => engine, query, outputs),
    fill,
    filled: () => filling?.plans ?? [],
    async forget(states) {
      assert(writer, 'the engine runs');
      await dropStates(dirs.state, writer.connect(), states);
    },
    status: () =>
      [...plans.keys()].flatMap(
        (id) => refused.get(id) ?? engine?.status().find(({query}) => query === id) ?? [],
      ),
    plan: (query) => plans.get(query),
    async resume(query) {
      await restarts.settled();
      if (engine?.owns(query)) engine.resume(query);
      // What kept it from starting is looked at again where it was looked at.
      else if (plans.has(query)) await restart(() => [...plans.values()]);
    },
    async refreshLookup(lookup) {
      const snapshot = await lookups.changed(lookup);
      if (!snapshot) return;
      const {domain, name} = lookup;
      engine?.refreshLookup(domain, snapshot);
      filling?.engine.refreshLookup(domain, snapshot);
      const message = `lookup ${domain}.${name} has a new snapshot of ${counted(snapshot.rows.size, 'row')}`;
      telemetry.emit('Log', {level: 'info', message});
    },
    async drain(withinMs = drainMsMax) {
      waiting.clear();
      await restarts.end();
      if (!engine || (await engine.drain(withinMs))) return [];
      return unsettled(engine?.status() ?? [], (query) => aside.waits(query));
    },
  };
}
