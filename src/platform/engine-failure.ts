import {PlatformError} from '../errors.ts';
import type {EmbeddedEngine} from '../process/embedded/engine.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {stoppedStatus} from '../process/status.ts';
import type {QueryStatus} from '../process/types.ts';
import type {Telemetry} from '../telemetry.ts';

/** Tells that a query cannot start. @returns what its status says */
export function tellStopped(plan: QueryPlan, error: PlatformError, telemetry: Telemetry): QueryStatus {
  const {id, domain, query} = plan;
  const {code, message, hint, place} = error;
  const more = {...(hint ? {hint} : {}), ...(place ? {place} : {})};
  telemetry.emit('QueryStopped', {domain, query, code, message, ...more});
  return stoppedStatus(id, 'stopped', error);
}

/** A sink that refuses for good stops the query; what was closed or given up is pending in its checkpoint. */
export function failUnlessClosed(engine: EmbeddedEngine, query: string, error: unknown): void {
  if (!(error instanceof PlatformError)) {
    engine.fail(query, error as Error);
    return;
  }
  if (error.code === 'SINK_CLOSED') return;
  const {code, message, place, hint} = error;
  engine.fail(
    query,
    new PlatformError(code, message, {
      cause: error,
      ...(place === undefined ? {} : {place}),
      ...(hint === undefined ? {} : {hint: hint.replace(/npx millrace resume$/, `$& ${query}`)}),
    }),
  );
}
