import {PlatformError} from '../../errors.ts';

/** Codes of ClickHouse that pass by themselves: time-outs, memory, disk, load, connection. Everything else is for good. */
const passing = new Set([
  159, 160, 173, 198, 201, 202, 203, 204, 209, 210, 236, 241, 242, 243, 252, 285, 286, 305, 319, 394, 425,
  439, 999,
]);

/** ClickHouse's error code; undefined for an error that is not ClickHouse's. */
export function codeOf(error: unknown): number | undefined {
  const {code, message} = (error ?? {}) as {code?: string; message?: string};
  const text = /^\d+$/.test(String(code)) ? String(code) : /Code: (\d+)/.exec(message ?? '')?.[1];
  return text === undefined ? undefined : Number(text);
}

/** A failure of a statement of ours: SINK_UNAVAILABLE when it can pass, else SINK_REFUSED. */
export function statementError(error: unknown, place: string): PlatformError {
  if (error instanceof PlatformError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code === undefined || passing.has(code))
    return new PlatformError('SINK_UNAVAILABLE', message, {cause: error, place});
  return new PlatformError('SINK_REFUSED', `${message} (ClickHouse code ${code})`, {
    cause: error,
    place,
    hint: 'mend it in the database, then: npx millrace resume',
  });
}

/** A failure of a user's SQL. */
export const queryError = (error: unknown): PlatformError =>
  new PlatformError('SINK_QUERY', error instanceof Error ? error.message : String(error), {
    cause: error,
    hint: 'queries read only; tables are <domain>.<query>: npx millrace query "SHOW TABLES FROM <domain>"',
  });
