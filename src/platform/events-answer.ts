/** What the sender of events is told. */
import type {ServerResponse} from 'node:http';
import {type ErrorCode, PlatformError} from '../errors.ts';
import type {IncomingResult, RefusalCode} from '../ingest/incoming-types.ts';
import {verdictStatuses} from '../ingest/incoming-types.ts';
import {Throttled} from './events-rate.ts';
import {contentTypes, encodings} from './events-request.ts';
import {failureOf, securityHeaders} from './server.ts';

/** Status of each failure; a code that is missing here is a bug and 500. */
const statuses: Partial<Record<ErrorCode, number>> = {
  EVENTS_BODY: 400,
  NAME_UNKNOWN: 404,
  METHOD: 405,
  EVENTS_TOO_LARGE: 413,
  EVENTS_MEDIA: 415,
  EVENTS_SCHEMA: 422,
  EVENTS_KEY: 422,
  EVENTS_BUSY: 429,
  EVENTS_RATE: 429,
  DRAINING: 503,
  LOG_FULL: 503,
  LOG_DISK_FULL: 503,
  LOG_IO: 503,
  LOG_FENCED: 503,
  LOG_STANDBY: 503,
  INGEST_LOST: 503,
  REGISTRY_UNAVAILABLE: 503,
  REGISTRY_REFUSED: 503,
  TRANSFORM_LOAD: 503,
  TRANSFORM_STOPPED: 503,
};

/** Seconds after which the same request may succeed. */
const retryAfterSeconds: Partial<Record<ErrorCode, number>> = {
  EVENTS_BUSY: 1,
  DRAINING: 5,
  LOG_FULL: 10,
  LOG_DISK_FULL: 10,
  LOG_IO: 30,
  LOG_FENCED: 30,
  LOG_STANDBY: 5,
  INGEST_LOST: 30,
  REGISTRY_UNAVAILABLE: 5,
  REGISTRY_REFUSED: 30,
  TRANSFORM_LOAD: 30,
  TRANSFORM_STOPPED: 5,
};

const refusals: Record<RefusalCode, [ErrorCode, hint: string]> = {
  BODY_SYNTAX: ['EVENTS_BODY', 'nothing of it was taken; mend it and send it again'],
  BODY_EMPTY: ['EVENTS_BODY', 'send one event at least'],
  BATCH_TOO_LARGE: ['EVENTS_TOO_LARGE', 'send fewer events at once, or raise server.events.records'],
  BODY_CODEC: ['EVENTS_MEDIA', 'write the container file with another codec'],
  SCHEMA: ['EVENTS_SCHEMA', 'npx millrace schema show tells the schema of the event type'],
  KEY_REUSED: ['EVENTS_KEY', 'nothing of it was taken; send it under a key of its own'],
};

/** A refused batch as the failure that it is. */
export function refusalError({code, message}: IncomingResult & {kind: 'refused'}): PlatformError {
  const [error, hint] = refusals[code];
  return new PlatformError(error, message, {hint});
}

/** Sends JSON. @returns the status. */
function send(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Record<string, string>,
): number {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...securityHeaders,
    ...headers,
  });
  response.end(text);
  return status;
}

/** Answers a request that failed as a whole. @returns the status. */
export function answerFailure(response: ServerResponse, error: unknown): number {
  const code = error instanceof PlatformError ? error.code : undefined;
  const status = (code && statuses[code]) ?? 500;
  const seconds = error instanceof Throttled ? error.retryAfterSeconds : code && retryAfterSeconds[code];
  return send(response, status, `${JSON.stringify({error: failureOf(error)})}\n`, {
    ...(seconds === undefined ? {} : {'retry-after': String(seconds)}),
    ...(status === 405 ? {allow: 'POST'} : {}),
    ...(status === 415
      ? {'accept-post': Object.keys(contentTypes).join(', '), 'accept-encoding': encodings.join(', ')}
      : {}),
  });
}

/**
 * Answers a batch that was read: 200 when a record of it is in the log, 422 when every one was rejected. @returns the status.
 */
export function answerVerdicts(
  response: ServerResponse,
  request: string,
  {statuses: fates, ids, problems}: IncomingResult & {kind: 'done'},
  minimal: boolean,
): number {
  const counts = verdictStatuses.map(() => 0);
  for (const fate of fates) counts[fate]!++;
  let problem = 0;
  let list = '';
  fates.forEach((fate, index) => {
    const why = fate === 2 ? problems[problem++] : undefined;
    if (minimal && fate === 0) return;
    const id = ids[index];
    list += `${list === '' ? '' : ','}\n{"index":${index},"event_id":${id === null ? 'null' : JSON.stringify(id)},"status":"${verdictStatuses[fate]}"`;
    if (why !== undefined)
      list += `,"code":${JSON.stringify(why.code)},"message":${JSON.stringify(why.message)}`;
    list += '}';
  });
  const [appended, duplicate, rejected, dropped = 0] = counts;
  // Only a transform drops records.
  const more = dropped === 0 ? '' : `,"dropped":${dropped}`;
  const text = `{"request":${JSON.stringify(request)},"received":${fates.length},"appended":${appended},"duplicate":${duplicate},"rejected":${rejected}${more},"records":[${list}]}\n`;
  return send(
    response,
    rejected === fates.length ? 422 : 200,
    text,
    minimal ? {'preference-applied': 'return=minimal'} : {},
  );
}
