/** What a request that brings events says before its body: which event type, which format, how it is packed. */
import type {IncomingHttpHeaders} from 'node:http';
import {PlatformError} from '../errors.ts';
import type {IncomingFormat} from '../ingest/incoming-types.ts';
import type {Domain} from '../model/types.ts';

export type Encoding = 'identity' | 'gzip' | 'deflate' | 'br' | 'zstd';

export type EventsHead = {
  domain: string;
  eventType: string;
  format: IncomingFormat;
  encoding: Encoding;
  /** Of the body as it is sent, bytes; undefined when the request does not say. */
  length: number | undefined;
  /** `Idempotency-Key`: the same request sent again changes nothing. */
  key: string | undefined;
  /** `Prefer: return=minimal`: only the records that were not appended are listed. */
  minimal: boolean;
};

/** Content type, without parameters -> format. */
export const contentTypes: Readonly<Record<string, IncomingFormat>> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
  'application/avro': 'avro',
  'avro/binary': 'avro',
  'application/vnd.apache.avro': 'avro',
  'application/vnd.millrace.avro-frames': 'avro-frames',
};

export const encodings: readonly Encoding[] = ['gzip', 'deflate', 'br', 'zstd'];

/** Longest `Idempotency-Key`, characters. */
const keyLengthMax = 255;

/** @param path behind `/v1/events`, still percent-encoded. @throws PlatformError NAME_UNKNOWN, METHOD, EVENTS_MEDIA, EVENTS_BODY */
export function readHead(
  {method, headers}: {method?: string | undefined; headers: IncomingHttpHeaders},
  path: string,
  domains: readonly Domain[],
): EventsHead {
  const {domain, eventType} = targetOf(path, domains);
  if (method !== 'POST')
    throw new PlatformError('METHOD', `events are sent with POST, not with ${method}`, {
      hint: `curl -X POST .../v1/events/${domain}/${eventType}`,
    });
  return {
    domain,
    eventType,
    format: formatOf(headers['content-type']),
    encoding: encodingOf(headers['content-encoding']),
    length: headers['content-length'] === undefined ? undefined : Number(headers['content-length']),
    key: keyOf(headers['idempotency-key']),
    minimal: /(?:^|[,;\s])return=minimal(?:$|[,;\s])/i.test(String(headers.prefer ?? '')),
  };
}

function targetOf(path: string, domains: readonly Domain[]): {domain: string; eventType: string} {
  const [, domainName = '', name = '', ...rest] = path.split('/');
  const domain = domains.find((each) => each.name === domainName);
  const eventType = domain?.eventTypes.find((each) => each.name === name);
  if (domain !== undefined && eventType !== undefined && rest.length === 0)
    return {domain: domain.name, eventType: eventType.name};
  const known = domain
    ? domain.eventTypes.map((each) => `/v1/events/${domain.name}/${each.name}`)
    : domains.map((each) => `/v1/events/${each.name}/<event type>`);
  throw new PlatformError('NAME_UNKNOWN', `there is no event type at /v1/events${path.slice(0, 200)}`, {
    hint: `there is ${known.slice(0, 20).join(', ')}`,
  });
}

function formatOf(header: string | undefined): IncomingFormat {
  if (header === undefined) return 'json';
  const type = header.split(';', 1)[0]!.trim().toLowerCase();
  const format = Object.hasOwn(contentTypes, type) ? contentTypes[type] : undefined;
  if (format === undefined)
    throw new PlatformError(
      'EVENTS_MEDIA',
      `the content type ${JSON.stringify(type.slice(0, 100))} is not read`,
      {
        hint:
          type === 'application/x-www-form-urlencoded'
            ? "curl sends this by default: add -H 'content-type: application/json'"
            : `send Content-Type: ${Object.keys(contentTypes).join(', ')}`,
      },
    );
  const charset = header.match(/;\s*charset\s*=\s*"?([^";\s]+)/i)?.[1]?.toLowerCase();
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii')
    throw new PlatformError('EVENTS_MEDIA', `the charset ${JSON.stringify(charset)} is not read`, {
      hint: 'send UTF-8',
    });
  return format;
}

function encodingOf(header: string | undefined): Encoding {
  const name = (header ?? 'identity').trim().toLowerCase();
  if (name === '' || name === 'identity') return 'identity';
  const encoding = encodings.find((each) => each === (name === 'x-gzip' ? 'gzip' : name));
  if (encoding !== undefined) return encoding;
  throw new PlatformError('EVENTS_MEDIA', `the encoding ${JSON.stringify(name.slice(0, 100))} is not read`, {
    hint: `send Content-Encoding: ${encodings.join(', ')}; one of them, or none`,
  });
}

function keyOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const key = String(header);
  if (key.length > 0 && key.length <= keyLengthMax) return key;
  throw new PlatformError(
    'EVENTS_BODY',
    `the Idempotency-Key has ${key.length} characters; it may have 1 to ${keyLengthMax}`,
  );
}
