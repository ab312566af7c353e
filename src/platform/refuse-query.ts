import {PlatformError} from '../errors.ts';

/** A sink of a plugin throws what it likes; that is no bug of ours. @throws PlatformError always */
export function refuseQuery(error: unknown): never {
  if (error instanceof PlatformError) throw error;
  throw new PlatformError('SINK_QUERY', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}

/** Raw events of a sink that cannot be asked for them. */
export const noArchive = (sink: string): PlatformError =>
  new PlatformError('ARCHIVE_MISSING', `raw events in the sink "${sink}" cannot be read back`, {
    hint: 'a database can; without --from archive a backfill counts what the log still holds',
  });
