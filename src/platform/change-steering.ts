/** Queries of running engines, steered from outside: those that run, and revisions that are filled beside them. */
import type {EmbeddedEngine} from '../process/embedded/engine.ts';
import {passesByItself} from '../process/embedded/worker-again.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {QueryStatus} from '../process/types.ts';
import type {Telemetry, TelemetryEvents} from '../telemetry.ts';
import type {Outputs} from './outputs.ts';

/** A query of a running engine, steered from outside. */
export type Steering = {
  /** Undefined before it told anything. */
  status(): QueryStatus | undefined;
  /** Asks for a status now. */
  report(): void;
  /** Reads no further than these ends of batches; null: on and on. */
  until(places: {topic: string; partition: number; offset: number}[] | null): void;
  pause(): void;
  resume(): void;
};

/** Revisions that are being filled. */
export type Filling = {
  plans: QueryPlan[];
  steer(query: string): Steering;
  drain(): Promise<void>;
  stop(): Promise<void>;
};

/** Name of a filling's deliveries: those of what runs have the query's own. */
export const fillingKey = ({id, revision}: QueryPlan): string => `${id}@${revision}`;

/** A query of an engine that may have been stopped meanwhile. @param outputs know whether its sinks lack rows that were acknowledged */
export const steeringOf = (
  engine: () => EmbeddedEngine | undefined,
  query: string,
  outputs?: Pick<Outputs, 'owes'>,
): Steering => ({
  status() {
    const status = engine()
      ?.status()
      .find((each) => each.query === query);
    return status && outputs?.owes(query) ? {...status, isClean: false} : status;
  },
  report: () => engine()?.report(),
  until: (places) => engine()?.until(query, places),
  pause: () => engine()?.pause(query),
  resume: () => engine()?.resume(query),
});

/** A filling that stops is no query that stopped, and what it reads again is no news. */
export const tellsOfFilling = (telemetry: Telemetry, plans: QueryPlan[]): Telemetry => ({
  emit(name, event) {
    if (name === 'RowsAcknowledged') return;
    if (name !== 'QueryStopped' && name !== 'QueryResumed') return telemetry.emit(name, event);
    const {domain, query} = event as {domain: string; query: string};
    const revision = `revision ${plans.find(({id}) => id === `${domain}.${query}`)?.revision} of ${domain}.${query}`;
    if (name === 'QueryResumed') {
      const {code, seconds} = event as TelemetryEvents['QueryResumed'];
      const text = `${revision} is filled further, after ${seconds.toFixed(1)} s (${code})`;
      return telemetry.emit('Log', {level: 'info', message: text});
    }
    const {code, message} = event as TelemetryEvents['QueryStopped'];
    const text = passesByItself(code)
      ? `${revision} waits while it is filled: ${code} ${message}; it goes on by itself`
      : `${revision} stopped while it was filled: ${code} ${message}`;
    telemetry.emit('Log', {level: 'warn', message: text});
  },
});
