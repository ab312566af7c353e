/** Queries that cannot start because a sink of theirs, the database of a lookup, Kafka or the registry is down: that is asked again until it answers. */
import type {Clock} from '../clock.ts';
import type {ErrorCode, PlatformError} from '../errors.ts';
import {openLog} from '../log/open.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {stoppedStatus} from '../process/status.ts';
import type {QueryStatus} from '../process/types.ts';
import {openRegistry} from '../schema/registry-open.ts';
import {tableId} from '../sinks/tables.ts';
import type {Telemetry} from '../telemetry.ts';
import type {PlatformDirs} from './places.ts';

/** Whether a query that this kept from starting may start later without anybody's help. */
export const isDown = ({code, retry}: PlatformError): boolean =>
  retry && /^(SINK_UNAVAILABLE|SINK_LOST|SINK_STANDBY|KAFKA_UNAVAILABLE|REGISTRY_UNAVAILABLE)$/.test(code);

export type WaitingQueries = {
  /** The query waits from now on. @param sinks those that it waits for, if it is they @returns what its status says meanwhile */
  add(plan: QueryPlan, error: PlatformError, sinks: string[]): QueryStatus;
  /** Nobody waits any more; what was asked meanwhile starts nothing. */
  clear(): void;
};

export type WaitingOptions = {
  clock: Clock;
  telemetry: Telemetry;
  dirs: Pick<PlatformDirs, 'source' | 'registry'>;
  /** Asks sinks and lookups of a query something small. @throws while one of them is down */
  ask(plan: QueryPlan): Promise<unknown>;
  /** Starts what waits. May be called while it is not possible, and says then that it did not. */
  start(): Promise<boolean>;
};

const firstMs = 500;
const pauseMsMax = 10_000;
/** Brokers that do not answer within this are away, ms. */
const brokersMs = 1_000;

const askLog = async ({source}: WaitingOptions['dirs']): Promise<void> =>
  (await openLog(source, {patienceMs: brokersMs})).close();

async function askRegistry({registry: source}: WaitingOptions['dirs']): Promise<void> {
  const registry = await openRegistry(source);
  await registry.subjects().finally(() => registry.close());
}

export function createWaiting({clock, telemetry, dirs, ask, start}: WaitingOptions): WaitingQueries {
  const waiting = new Map<string, {plan: QueryPlan; sinks: string[]; code: ErrorCode; sinceMs: number}>();
  let stop = new AbortController();
  let asking = false;
  /** Stays after a start that did not succeed: a sink that comes and goes is not followed at its own pace. */
  let pauseMs = firstMs;

  /** @returns whether one of them can start now */
  const oneAnswers = async (): Promise<boolean> => {
    const answers = await Promise.allSettled(
      [...waiting.values()].map(({plan, code}) =>
        code === 'KAFKA_UNAVAILABLE'
          ? askLog(dirs)
          : code === 'REGISTRY_UNAVAILABLE'
            ? askRegistry(dirs)
            : ask(plan),
      ),
    );
    return answers.some(({status}) => status === 'fulfilled');
  };
  const look = async (signal: AbortSignal) => {
    for (;;) {
      await clock.sleep(pauseMs, signal);
      pauseMs = Math.min(pauseMsMax, pauseMs * 2);
      if (!(await oneAnswers()) || signal.aborted) continue;
      const waited = [...waiting.values()];
      if (!(await start())) continue;
      for (const {plan, sinks, sinceMs} of waited)
        if (!waiting.has(plan.id))
          for (const sink of sinks)
            telemetry.emit('SinkResumed', {
              sink,
              table: tableId(plan.table),
              seconds: (clock.now() - sinceMs) / 1_000,
            });
      if (waiting.size === 0) pauseMs = firstMs;
      return;
    }
  };
  return {
    add(plan, error, sinks) {
      const {code, message, place: at, hint} = error;
      const more = {...(at ? {place: at} : {}), ...(hint ? {hint} : {})};
      waiting.set(plan.id, {plan, sinks, code, sinceMs: clock.now()});
      if (sinks.length === 0)
        telemetry.emit('Log', {
          level: 'warn',
          message: `query ${plan.id} waits, and begins by itself: ${code} ${message}${at ? `, at ${at}` : ''}`,
        });
      const place = {table: tableId(plan.table)};
      for (const sink of sinks) {
        telemetry.emit('SinkFailed', {sink, ...place, code, message, retry: true});
        telemetry.emit('SinkPaused', {sink, ...place, message, ...more});
      }
      if (!asking) {
        asking = true;
        const {signal} = stop;
        look(signal)
          .catch(() => {})
          .finally(() => {
            if (stop.signal === signal) asking = false;
          });
      }
      return {...stoppedStatus(plan.id, 'stopped', error), state: 'paused', settled: false};
    },
    clear() {
      waiting.clear();
      stop.abort();
      stop = new AbortController();
      asking = false;
    },
  };
}
