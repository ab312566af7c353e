import {PlatformError} from '../../errors.ts';
import {damageHint} from '../damage.ts';

/** SQLSTATE classes that pass by themselves: connection, transaction conflicts, resources, an operator's shutdown, system. */
const passing = ['08', '40', '53', '55', '57', '58'];

/** What is about a value: data exceptions, constraints, and a key that is too large for an index. */
const ofRow = ['22', '23', '54000'];

/** SQLSTATE of an error; undefined for an error that is not PostgreSQL's. */
export function stateOf(error: unknown): string | undefined {
  const {code} = (error ?? {}) as {code?: unknown};
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** A page with a wrong checksum, a broken index: what is on disk cannot be what was written. */
function damage(error: unknown, place?: string): PlatformError | undefined {
  const state = stateOf(error);
  if (state !== 'XX001' && state !== 'XX002') return undefined;
  return new PlatformError('SINK_DAMAGED', `${(error as Error).message} (SQLSTATE ${state})`, {
    cause: error,
    hint: damageHint,
    ...(place === undefined ? {} : {place}),
  });
}

/** A failure of a statement of ours: SINK_UNAVAILABLE when it can pass, SINK_DAMAGED for a damaged page, SINK_ROW for a value, else SINK_REFUSED. */
export function statementError(error: unknown, place: string): PlatformError {
  if (error instanceof PlatformError) return error;
  const state = stateOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const damaged = damage(error, place);
  if (damaged) return damaged;
  if (state === undefined || passing.includes(state.slice(0, 2)))
    return new PlatformError('SINK_UNAVAILABLE', message, {cause: error, place});
  const code = ofRow.some((known) => state.startsWith(known)) ? 'SINK_ROW' : 'SINK_REFUSED';
  return new PlatformError(code, `${message} (SQLSTATE ${state})`, {
    cause: error,
    place,
    hint: 'mend it in the database, then: npx millrace resume',
  });
}

/** A failure of a user's SQL, or of the data that it reads. */
export const queryError = (error: unknown): PlatformError =>
  damage(error) ??
  new PlatformError('SINK_QUERY', error instanceof Error ? error.message : String(error), {
    cause: error,
    hint: 'one statement that only reads; tables are <domain>.<event type>',
  });
