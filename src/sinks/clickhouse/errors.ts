import {PlatformError} from '../../errors.ts';
import {damageHint} from '../damage.ts';
import {lookAtWay} from '../unreached.ts';

/** Codes of ClickHouse that pass by themselves: time-outs, memory, disk, load, connections, replicas, Keeper. Everything else is for good. */
const passing = new Set([
  159, 160, 173, 198, 201, 202, 203, 204, 209, 210, 225, 236, 241, 242, 243, 244, 252, 254, 279, 285, 286,
  305, 319, 341, 394, 416, 425, 439, 499, 517, 571, 745, 999,
]);

/** Codes about a value: text that is none of its type, a number out of range, NULL where there is none, a constraint. */
const ofRow = new Set([
  6, 26, 27, 38, 41, 69, 72, 117, 131, 321, 349, 376, 407, 467, 469, 675, 676, 677, 678,
]);

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
export function statementError(error: unknown, place?: string): PlatformError {
  if (error instanceof PlatformError) return error;
  const damaged = damage(error, place);
  if (damaged) return damaged;
  const code = codeOf(error);
  if (code === undefined) return connectionError(error, place);
  const message = `${textOf(error)} (ClickHouse code ${code})`;
  const at = place === undefined ? {} : {place};
  if (passing.has(code)) return new PlatformError('SINK_UNAVAILABLE', message, {cause: error, ...at});
  return new PlatformError(ofRow.has(code) ? 'SINK_ROW' : 'SINK_REFUSED', message, {
    cause: error,
    ...at,
    hint: `${wayOut(code)}, then: npx millrace resume`,
  });
}

/** Who we say that we are is not believed. */
const ofUser = [192, 193, 194, 516];
const waysOut: [codes: number[], way: string][] = [
  [ofUser, 'look at username and password of the sink (a secret that changed is read at the next start)'],
  [[291, 497], 'give the user of the sink that right, see docs/clickhouse.md'],
  [[81], 'leave database out or name another one (npx millrace apply takes that), or create it'],
  [[60], 'what was there is gone: npx millrace rebuild fills it from the log'],
  [[115], 'leave that setting out, or upgrade the server'],
];
const wayOut = (code: number): string =>
  waysOut.find(([codes]) => codes.includes(code))?.[1] ?? 'mend it in the database';

const shownMax = 400;

/** What an error says, also one of several attempts, whose own message is empty; a page of a proxy is cut short. */
function textOf(error: unknown): string {
  const {message, errors} = (error ?? {}) as {message?: unknown; errors?: Error[]};
  const text = errors?.map((each) => each.message).join('; ') || String(message ?? error).trim();
  return text.length > shownMax ? `${text.slice(0, shownMax)} ...` : text;
}

const certificate = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|certificate/;

/** A failure that is no answer of ClickHouse: SINK_UNAVAILABLE, or SINK_REFUSED for a certificate that proves nothing. */
function connectionError(error: unknown, place?: string): PlatformError {
  const {code} = (error ?? {}) as {code?: unknown};
  const text = textOf(error);
  const at = place === undefined ? {} : {place};
  if (certificate.test(`${code ?? ''} ${text}`))
    return new PlatformError('SINK_REFUSED', `the server does not prove who it is: ${text}`, {
      cause: error,
      ...at,
      hint: 'name the authority in tls.ca and the host as its certificate does (npx millrace apply takes that), or give the server such a certificate, then: npx millrace resume',
    });
  return new PlatformError('SINK_UNAVAILABLE', text, {
    cause: error,
    ...at,
    hint: ofAnswer.test(text) ? 'see what url of the sink names, and what stands before it' : lookAtWay(text),
  });
}

/** What `agent.ts` and `post.ts` say of an answer that is none. */
const ofAnswer = /^(?:what answers there is no|the answer (?:has|comes)|HTTP status)/;

/** Whether an error is of the way to a server and not an answer of ClickHouse. */
const isOfConnection = (error: unknown): boolean => {
  const {code, errors, message} = (error ?? {}) as {code?: unknown; errors?: unknown; message?: unknown};
  return (
    codeOf(error) === undefined &&
    (typeof code === 'string' ||
      errors !== undefined ||
      /^Timeout error|socket hang up/.test(String(message)) ||
      ofAnswer.test(String(message)))
  );
};

/** Without the format that we add to the statement, and without guesses at tables of the database's own. */
const readable = (message: string): string =>
  message
    .replace(/\s*\bFORMAT JSON\w*/g, '')
    .replace(/\s*Maybe you meant:? [^?]*\bsystem\.[^?\n]*\??/g, '')
    .trim();

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A failure of a user's SQL, or of the data that it reads. */
export function queryError(error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  const damaged = damage(error);
  if (damaged) return damaged;
  const [large] = /^the answer (?:has|unpacks to) more than \d+ bytes/.exec(messageOf(error)) ?? [];
  if (large) return new PlatformError('SINK_QUERY', large, {cause: error, hint: 'select less, or add LIMIT'});
  if (isOfConnection(error)) return connectionError(error);
  if (ofUser.includes(codeOf(error) ?? 0)) return statementError(error);
  return new PlatformError('SINK_QUERY', readable(messageOf(error)), {
    cause: error,
    hint: 'queries read only; tables are <domain>.<query>: npx millrace query "SHOW TABLES FROM <domain>"',
  });
}
