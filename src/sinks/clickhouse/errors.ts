import {PlatformError} from '../../errors.ts';
import {damageHint} from '../damage.ts';

/** Codes of ClickHouse that pass by themselves: time-outs, memory, disk, load, connection. Everything else is for good. */
const passing = new Set([
  159, 160, 173, 198, 201, 202, 203, 204, 209, 210, 236, 241, 242, 243, 252, 285, 286, 305, 319, 394, 425,
  439, 999,
]);

/** Codes about a value: text that is none of its type, a number out of range, NULL where there is none, a constraint. */
const ofRow = new Set([6, 26, 27, 38, 41, 69, 72, 117, 131, 321, 349, 407, 469, 675, 676, 677, 678]);

/** Codes for data on disk that cannot be what was written: checksums, codecs, sizes, missing files of a part. */
const broken = new Set([33, 40, 226, 227, 228, 246, 271, 354, 432, 740]);

/** ClickHouse's error code; undefined for an error that is not ClickHouse's. */
export function codeOf(error: unknown): number | undefined {
  const {code, message} = (error ?? {}) as {code?: string; message?: string};
  const text = /^\d+$/.test(String(code)) ? String(code) : /Code: (\d+)/.exec(message ?? '')?.[1];
  return text === undefined ? undefined : Number(text);
}

const damage = (error: unknown, place?: string): PlatformError | undefined =>
  broken.has(codeOf(error) ?? -1)
    ? new PlatformError('SINK_DAMAGED', (error as Error).message, {
        cause: error,
        hint: damageHint,
        ...(place === undefined ? {} : {place}),
      })
    : undefined;

/** A failure of a statement of ours: SINK_DAMAGED, SINK_UNAVAILABLE when it can pass, SINK_ROW for a value, else SINK_REFUSED. */
export function statementError(error: unknown, place: string): PlatformError {
  if (error instanceof PlatformError) return error;
  const damaged = damage(error, place);
  if (damaged) return damaged;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code === undefined || passing.has(code))
    return new PlatformError('SINK_UNAVAILABLE', message, {cause: error, place});
  return new PlatformError(
    ofRow.has(code) ? 'SINK_ROW' : 'SINK_REFUSED',
    `${message} (ClickHouse code ${code})`,
    {
      cause: error,
      place,
      hint: 'mend it in the database, then: npx millrace resume',
    },
  );
}

/** Without the format that we add to the statement, and without guesses at tables of the database's own. */
const readable = (message: string): string =>
  message
    .replace(/\s*\bFORMAT JSON\w*/g, '')
    .replace(/\s*Maybe you meant:? [^?]*\bsystem\.[^?\n]*\??/g, '')
    .trim();

/** A failure of a user's SQL, or of the data that it reads. */
export const queryError = (error: unknown): PlatformError =>
  damage(error) ??
  new PlatformError('SINK_QUERY', readable(error instanceof Error ? error.message : String(error)), {
    cause: error,
    hint: 'queries read only; tables are <domain>.<query>: npx millrace query "SHOW TABLES FROM <domain>"',
  });
