import {PlatformError} from '../errors.ts';
import {checkedType} from '../model/checked.ts';
import {rawTable} from '../model/tables.ts';
import type {EventType, Platform, Table} from '../model/types.ts';
import {privacySetting} from '../privacy/opener.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import type {HostedSink} from '../sinks/host.ts';
import type {RawStats} from '../sinks/raw.ts';
import {tableId} from '../sinks/tables.ts';
import type {Telemetry} from '../telemetry.ts';
import {explainDifference} from './aside.ts';
import {isDown} from './engine-waiting.ts';
import type {PlatformDirs} from './places.ts';
import {followLeases, type RawTurns} from './raw-turns.ts';
import {standsBy} from './sink-guard.ts';
import type {SinkLeases} from './sink-leases.ts';
import type {RawStatus} from './status.ts';

/** Raw deliveries: every event of a domain that names a raw sink, at the sink's own pace. */
export type RawOutputs = {
  /**
   * Opens the raw sinks and starts their deliveries, beside everything else: a slow start of theirs delays nothing.
   * @param queries all of the platform, in whatever process: what cannot be read of their topics is theirs to say; undefined: nothing
   * is to be said of the others either
   */
  start(
    schemas: Map<string, RegisteredSchema>,
    dirs: Pick<PlatformDirs, 'source' | 'registry'>,
    queries: Pick<Platform, 'domains'> | undefined,
  ): void;
  /** Resolves when the raw tables of a sink are there, or failed to be made. */
  started(sink: string): Promise<void>;
  /** Refreshes the figures. */
  status(): Promise<RawStatus[]>;
  /** Per topic, partition -> next offset that the raw sink wants; undefined for a topic whose delivery does not run. */
  offsets(): Promise<{topic: string; offsets: Record<number, number> | undefined}[]>;
  /** Sets a column of events to NULL; false when the sink cannot. */
  erase(topic: string, column: string, eventIds: string[]): Promise<boolean>;
  /** Starts again what stopped; true when there is a raw table of that name. */
  resume(table: string): Promise<boolean>;
  /** Begins nothing any more. */
  close(): void;
};

type Job = {
  sinkName: string;
  eventType: EventType;
  futureMaxMs: number;
  table: Table;
  /** `standby`: this process does not have the lease of its sink. */
  state: 'standby' | 'starting' | 'started' | 'failed';
  begun?: Promise<void>;
  failure?: PlatformError;
  seen?: RawStats;
};

/** Between two attempts to begin with a sink that is down. */
const againMs = 2_000;
/** Events of one statement that erases. */
const eraseMax = 5_000;

/** @param leases which sinks this process writes into; undefined: all */
export function createRaw(
  platform: Platform,
  open: (sink: string) => Promise<HostedSink>,
  telemetry: Telemetry,
  leases?: SinkLeases,
): RawOutputs {
  const jobs: Job[] = platform.domains.flatMap(({defaults, eventTypes}) =>
    defaults.raw === null
      ? []
      : eventTypes.map(
          (eventType): Job => ({
            sinkName: defaults.raw!,
            eventType,
            futureMaxMs: defaults.futureMaxMs,
            table: rawTable(eventType),
            state: leases ? 'standby' : 'starting',
          }),
        ),
  );
  let begin: ((job: Job) => Promise<void>) | undefined;
  let isClosed = false;
  let unfollow = () => {};
  const of = (sink: string, state: Job['state']) =>
    jobs.filter((job) => job.sinkName === sink && job.state === state);
  leases?.addWriter((sink) => of(sink, 'starting').length + of(sink, 'started').length > 0);

  const read = async (): Promise<void> => {
    const names = new Set(jobs.filter(({state}) => state === 'started').map(({sinkName}) => sinkName));
    await Promise.all(
      [...names].map(async (name) => {
        // A host that is being opened again has no figures; the last ones stay.
        const stats = await (await open(name)).raw!.stats().catch(() => []);
        for (const each of stats) {
          const job = jobs.find(({sinkName, table}) => sinkName === name && tableId(table) === each.table);
          if (job) job.seen = each;
        }
      }),
    );
  };

  /** A sink that is down at the start is asked again until it answers. */
  const tryLater = (job: Job) => {
    const again = setTimeout(() => {
      if (!isClosed && job.state === 'starting') job.begun = begin!(job);
    }, againMs);
    again.unref();
  };

  const tellStarted = async (sink: string, what: 'pause' | 'resume' | 'stop') => {
    const own = of(sink, 'started');
    const {raw} = own.length > 0 ? await open(sink) : {};
    for (const {table} of own) await raw![what](tableId(table));
  };
  const turns: RawTurns = {
    async begin(sink) {
      for (const job of of(sink, 'standby')) if (!isClosed) job.begun = begin!(job);
    },
    async end(sink) {
      const own = jobs.filter(({sinkName, state}) => sinkName === sink && state !== 'standby');
      await Promise.all(own.map(({begun}) => begun));
      await tellStarted(sink, 'stop');
      for (const job of own) {
        job.state = 'standby';
        delete job.failure;
        delete job.seen;
      }
    },
    pause: (sink) => tellStarted(sink, 'pause'),
    resume: (sink) => tellStarted(sink, 'resume'),
  };

  return {
    close() {
      isClosed = true;
      unfollow();
    },
    start(schemas, dirs, queries) {
      const read = queries && topicsRead(queries);
      begin = async (job) => {
        job.state = 'starting';
        try {
          const sink = await open(job.sinkName);
          await sink.ensure(job.table).catch((error) => {
            const command = `stop the platform, then: npx millrace rebuild --sink ${job.sinkName}`;
            throw explainDifference(error, platform, job.sinkName, {command, isOfQuery: false});
          });
          const {topic} = job.eventType;
          const privacy = privacySetting();
          await sink.raw!.start({
            table: job.table,
            topic,
            schema: schemas.get(topic)!.schema as AvroRecord,
            log: dirs.source,
            registry: dirs.registry,
            letters: read?.has(topic) === false,
            judged: {type: checkedType(job.eventType), futureMaxMs: job.futureMaxMs},
            ...(privacy ? {privacy} : {}),
          });
          job.state = 'started';
          delete job.failure;
        } catch (error) {
          if (!(error instanceof PlatformError)) throw error;
          // The platform ends while it starts: nothing is wrong with the sink.
          if (error.code === 'SINK_CLOSED') return;
          const known = job.failure;
          job.failure = error;
          if (isDown(error)) tryLater(job);
          else job.state = 'failed';
          if (known?.code === error.code && known.message === error.message) return;
          telemetry.emit('SinkFailed', {
            sink: job.sinkName,
            table: tableId(job.table),
            code: error.code,
            message: error.message,
            retry: error.retry,
          });
          telemetry.emit('Log', {
            level: 'error',
            message: `raw events of ${job.eventType.topic} wait: ${error.code} ${error.message}, at ${error.place ?? `sink ${job.sinkName}`}; ${isDown(error) ? 'they go on by themselves' : (error.hint ?? `then: npx millrace resume ${tableId(job.table)}`)}`,
          });
        }
      };
      if (leases) unfollow = followLeases(leases, new Set(jobs.map(({sinkName}) => sinkName)), turns);
      else for (const job of jobs) job.begun = begin(job);
    },
    async started(sink) {
      await Promise.all(jobs.filter(({sinkName}) => sinkName === sink).map(({begun}) => begun));
    },
    async status() {
      await read();
      return jobs.map(statusOf);
    },
    async offsets() {
      await read();
      return jobs.map(({eventType, seen}) => ({topic: eventType.topic, offsets: seen?.offsets}));
    },
    async erase(topic, column, eventIds) {
      const job = jobs.find(({eventType}) => eventType.topic === topic);
      const sink = job && (await open(job.sinkName));
      if (!job || !sink?.eraseRaw) return false;
      for (let from = 0; from < eventIds.length; from += eraseMax)
        await sink.eraseRaw(job.table, column, eventIds.slice(from, from + eraseMax));
      return true;
    },
    async resume(name) {
      const job = jobs.find(({table}) => tableId(table) === name);
      if (!job) return false;
      if (job.state === 'standby') throw standsBy(job.sinkName);
      if (job.state === 'failed') await begin?.(job);
      else if (job.state === 'started') await (await open(job.sinkName)).raw!.resume(name);
      return true;
    },
  };
}

const topicsRead = ({domains}: Pick<Platform, 'domains'>): Set<string> =>
  new Set(
    domains.flatMap(({aggregations, eventTypes}) =>
      eventTypes
        .filter(({name}) => aggregations.some(({from}) => from.includes(name)))
        .map(({topic}) => topic),
    ),
  );

function statusOf({sinkName, table, state, failure, seen}: Job): RawStatus {
  const reason = failure ?? seen?.reason ?? (state === 'standby' ? standsBy(sinkName) : undefined);
  const states = {running: 'running', paused: 'paused', held: 'paused', stopped: 'stopped'} as const;
  return {
    sink: sinkName,
    table: tableId(table),
    state: state === 'failed' ? 'stopped' : seen ? states[seen.state] : 'starting',
    written: seen?.written ?? 0,
    dead: seen?.dead ?? 0,
    pending: seen?.pending ?? 0,
    lagEvents: seen?.lagEvents ?? null,
    lagMs: seen?.lagMs ?? 0,
    ...(reason ? {code: reason.code, message: `${reason.code} ${reason.message}`} : {}),
    ...(failure?.place ? {place: failure.place} : {}),
  };
}
