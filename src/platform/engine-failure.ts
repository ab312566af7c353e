import {PlatformError} from '../errors.ts';
import type {EmbeddedEngine} from '../process/embedded/engine.ts';

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
