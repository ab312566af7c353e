import {PlatformError} from '../../errors.ts';
import {damageHint} from '../damage.ts';
import {lookAtWay} from '../unreached.ts';

/**
 * SQLSTATEs that pass by themselves: connection, transaction conflicts, resources, an operator's shutdown, system, a
 * server that only reads just now (25006): one that stands by, or is being moved, and a transaction that the server ended since this
 * process stood still in it (25P03).
 */
const passing = ['08', '25006', '25P03', '40', '53', '55', '57', '58'];

/** What is about a value: data exceptions, constraints, and a key that is too large for an index. */
const ofRow = ['22', '23', '54000'];

/** SQLSTATE of an error; undefined for an error that is not PostgreSQL's. */
export function stateOf(error: unknown): string | undefined {
  const {code} = (error ?? {}) as {code?: unknown};
  // No class begins with E; codes of Node do: EPIPE.
  return typeof code === 'string' && /^[0-9A-DF-Z][0-9A-Z]{4}$/.test(code) ? code : undefined;
}

/** A page with a wrong checksum, a broken index: what is on disk cannot be what was written. */
function damage(error: unknown, place?: string, hint = damageHint): PlatformError | undefined {
  const state = stateOf(error);
  if (state !== 'XX001' && state !== 'XX002') return undefined;
  return new PlatformError('SINK_DAMAGED', `${(error as Error).message} (SQLSTATE ${state})`, {
    cause: error,
    hint,
    ...(place === undefined ? {} : {place}),
  });
}

/** A failure of a statement of ours: SINK_UNAVAILABLE when it can pass, SINK_DAMAGED for a damaged page, SINK_ROW for a value, else SINK_REFUSED. */
export function statementError(error: unknown, place: string, wayOfDamage?: string): PlatformError {
  if (error instanceof PlatformError) return error;
  const state = stateOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const damaged = damage(error, place, wayOfDamage);
  if (damaged) return damaged;
  if (state === undefined) return connectionError(error, place);
  if (passing.some((known) => state.startsWith(known)))
    return new PlatformError('SINK_UNAVAILABLE', `${message} (SQLSTATE ${state})`, {cause: error, place});
  const code = ofRow.some((known) => state.startsWith(known)) ? 'SINK_ROW' : 'SINK_REFUSED';
  return new PlatformError(code, `${message} (SQLSTATE ${state})`, {
    cause: error,
    place,
    hint: `${wayOut(state)}, then: npx millrace resume`,
  });
}

function wayOut(state: string): string {
  if (state.startsWith('28'))
    return 'mend user, password or pg_hba.conf in the server (a secret that changed is read at the next start)';
  if (state === '3D000')
    return 'create the database, or name another one in url of the sink (npx millrace apply takes that)';
  return state === '42501'
    ? 'give the user of the sink that right, see docs/postgres.md'
    : 'mend it in the database';
}

/** Errors of Node's sockets, and of a client whose connection ended. */
const isOfNetwork = (error: unknown): boolean =>
  error instanceof Error && ('errno' in error || /^(Connection|Client) /.test(error.message));

/** What a client says when a server's answer is not to be trusted, or cannot be: trying again changes nothing. */
const refusedByUs: [RegExp, string][] = [
  [/^SASL: /, 'look at the password of the sink (a secret is read at the start)'],
  [/does not support SSL/, 'turn TLS on in the server (ssl = on), or write tls: {mode: off}'],
  [
    /(?:_CERT|CERT_|SELF_SIGNED|UNABLE_TO_|ALTNAME)|[Cc]ertificate/,
    'name the authority in tls.ca and the host as its certificate does (npx millrace apply takes that), or give the server such a certificate',
  ],
];

/** A failure that is no answer to a statement: SINK_UNAVAILABLE, or SINK_REFUSED for passwords and certificates. */
export function connectionError(error: unknown, place: string): PlatformError {
  if (error instanceof PlatformError) return error;
  if (stateOf(error) !== undefined) return statementError(error, place);
  const {code, message, errors} = error as {code?: unknown; message?: unknown; errors?: Error[]};
  // Several addresses of one host, each refused: its own message is empty.
  const said = errors?.map((each) => each.message).join('; ') || String(message ?? error);
  // What nobody looked for because no server of PostgreSQL says it.
  const isOdd = error instanceof TypeError || error instanceof RangeError;
  const text = isOdd ? `an answer that cannot be read: ${said}` : said;
  const [, hint] = refusedByUs.find(([pattern]) => pattern.test(`${text} ${code ?? ''}`)) ?? [];
  if (hint !== undefined)
    return new PlatformError('SINK_REFUSED', text, {
      cause: error,
      place,
      hint: `${hint}, then: npx millrace resume`,
    });
  return new PlatformError('SINK_UNAVAILABLE', text, {
    cause: error,
    place,
    hint: lookAtWay(text),
  });
}

/** A failure of a user's SQL, of the data that it reads, or of the way to the server. */
export const queryError = (error: unknown): PlatformError =>
  (error instanceof PlatformError ? error : undefined) ??
  damage(error) ??
  (stateOf(error) === undefined && isOfNetwork(error) ? connectionError(error, 'query') : undefined) ??
  new PlatformError('SINK_QUERY', error instanceof Error ? error.message : String(error), {
    cause: error,
    hint: 'one statement that only reads; tables are <domain>.<event type>',
  });
