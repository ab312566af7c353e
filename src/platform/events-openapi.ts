/** The OpenAPI document of the paths that take events, made from the domains. https://spec.openapis.org/oas/v3.1.1.html */

import {eventIdBytesMax} from '../ingest/validate.ts';
import type {EventType, Field, Platform} from '../model/types.ts';
import {exampleEvent} from './events-example.ts';
import {encodings} from './events-request.ts';

type Schema = Record<string, unknown>;

const ref = (name: string): Schema => ({$ref: `#/components/schemas/${name}`});

/** Schema of a value, without whether it may be missing. */
function typeOf(field: Field): Schema {
  switch (field.type) {
    case 'string':
      return {type: 'string'};
    case 'int':
      return {type: 'integer', format: 'int32', minimum: -(2 ** 31), maximum: 2 ** 31 - 1};
    case 'long':
      return {
        type: ['integer', 'string'],
        format: 'int64',
        pattern: '^[+-]?[0-9]+$',
        description: 'All 64 bits count; as text where JSON numbers lose digits beyond 2^53.',
      };
    case 'double':
      return {type: 'number', format: 'double'};
    case 'money':
      return {
        type: ['number', 'string'],
        pattern: '^[+-]?[0-9]+(\\.[0-9]{1,2}0*)?$',
        description: 'An amount with at most two decimals.',
      };
    case 'boolean':
      return {type: 'boolean'};
    case 'timestamp':
      return {
        oneOf: [
          {type: 'string', format: 'date-time'},
          {type: 'integer', minimum: 0},
        ],
        description: 'ISO 8601 with a zone, or epoch milliseconds.',
      };
    case 'date':
      return {type: 'string', format: 'date'};
    case 'uuid':
      return {type: 'string', format: 'uuid'};
    case 'enum':
      return {type: 'string', enum: field.symbols ?? []};
  }
}

/** A field that is not required may be null. */
function nullable(schema: Schema): Schema {
  if (Array.isArray(schema.enum)) return {...schema, type: ['string', 'null'], enum: [...schema.enum, null]};
  if (Array.isArray(schema.oneOf)) return {...schema, oneOf: [...schema.oneOf, {type: 'null'}]};
  return {...schema, type: [schema.type, 'null'].flat()};
}

function fieldSchema(field: Field, example: unknown): Schema {
  if (field.role === 'id')
    return {
      type: 'string',
      minLength: 1,
      maxLength: eventIdBytesMax,
      description:
        'Names the event: an event whose id the topic already has is dropped as a duplicate. Made when missing.',
    };
  if (field.role === 'time')
    return {
      ...typeOf(field),
      description:
        'When it happened: ISO 8601 with a zone, or epoch milliseconds. The time of appending when missing.',
    };
  const type = typeOf(field);
  const description = [field.doc, type.description].filter(Boolean).join(' ');
  return {
    ...(field.required ? type : nullable(type)),
    ...(description === '' ? {} : {description}),
    examples: [example],
  };
}

function eventSchema(eventType: EventType): Schema {
  const example = exampleEvent(eventType);
  const required = eventType.fields
    .filter((field) => field.required && field.role !== 'id' && field.role !== 'time')
    .map(({name}) => name);
  return {
    type: 'object',
    title: `${eventType.domain}.${eventType.name}`,
    properties: Object.fromEntries(
      eventType.fields.map((field) => [field.name, fieldSchema(field, example[field.name])]),
    ),
    ...(required.length === 0 ? {} : {required}),
    ...(eventType.checks.length === 0
      ? {}
      : {description: `Checked: ${eventType.checks.map(({name, text}) => `${name}: ${text}`).join('; ')}`}),
    examples: [example],
  };
}

const failure = (description: string, retry = false) => ({
  description,
  ...(retry
    ? {headers: {'Retry-After': {description: 'Seconds to wait.', schema: {type: 'integer', minimum: 0}}}}
    : {}),
  content: {'application/json': {schema: ref('Failure')}},
});

const responses = {
  '200': {
    description: 'At least one event is in the log now, or was before; each has its verdict.',
    content: {'application/json': {schema: ref('Verdicts')}},
  },
  '400': failure('The body cannot be read or divided into events; nothing of it was taken.'),
  '401': failure('The token is missing or wrong.'),
  '403': failure('The host or origin is not served.'),
  '404': failure('There is no such event type.'),
  '405': failure('Events are sent with POST.'),
  '408': {description: 'The request took too long to arrive.'},
  '413': failure('The body, what it inflates to, or the number of events passes a limit.'),
  '415': failure('The content type or the encoding is not read.'),
  '422': {
    description:
      'Every event was rejected; each has its verdict. Or the schema of an Avro body does not fit.',
    content: {'application/json': {schema: {oneOf: [ref('Verdicts'), ref('Failure')]}}},
  },
  '429': failure('Too many events are under way: send the same request again after Retry-After.', true),
  '503': failure('The log is full, or the platform is ending: the same request may succeed later.', true),
};

function operation(eventType: EventType) {
  const event = ref(`${eventType.domain}.${eventType.name}`);
  const example = exampleEvent(eventType);
  const line = JSON.stringify(example);
  return {
    post: {
      operationId: `send_${eventType.domain}_${eventType.name}`,
      summary: `Send ${eventType.name} events`,
      tags: [eventType.domain],
      parameters: [
        {$ref: '#/components/parameters/IdempotencyKey'},
        {$ref: '#/components/parameters/Prefer'},
        {$ref: '#/components/parameters/ContentEncoding'},
      ],
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {oneOf: [event, {type: 'array', minItems: 1, items: event}]},
            examples: {one: {value: example}, batch: {value: [example]}},
          },
          'application/x-ndjson': {
            schema: {type: 'string', description: 'One event a line.'},
            example: `${line}\n`,
          },
          'application/avro': {
            schema: {description: 'An object container file, or one frame in the Confluent wire format.'},
          },
          'application/vnd.millrace.avro-frames': {
            schema: {
              description: 'Frames in the Confluent wire format, each behind its length as u32 big-endian.',
            },
          },
        },
      },
      responses: Object.fromEntries(
        Object.keys(responses).map((status) => [status, {$ref: `#/components/responses/${status}`}]),
      ),
    },
  };
}

const verdicts: Schema = {
  type: 'object',
  required: ['request', 'received', 'appended', 'duplicate', 'rejected', 'records'],
  properties: {
    request: {type: 'string', description: 'The Idempotency-Key, else a new name; dead letters carry it.'},
    received: {type: 'integer', description: 'appended + duplicate + rejected + dropped'},
    appended: {type: 'integer'},
    duplicate: {type: 'integer'},
    rejected: {type: 'integer'},
    dropped: {type: 'integer', description: 'Made no event by a transform; absent when there are none.'},
    records: {type: 'array', items: ref('Verdict')},
  },
};

const verdict: Schema = {
  type: 'object',
  required: ['index', 'event_id', 'status'],
  properties: {
    index: {type: 'integer', description: 'Place of the event in the request, from 0.'},
    event_id: {type: ['string', 'null']},
    status: {type: 'string', enum: ['appended', 'duplicate', 'rejected', 'dropped']},
    code: {type: 'string', description: 'Why it was rejected.'},
    message: {type: 'string'},
  },
};

const failureSchema: Schema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: {code: {type: 'string'}, message: {type: 'string'}, hint: {type: 'string'}},
    },
  },
};

const parameters = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'Names the request: events without an id get ids from it, so that the same request sent again changes nothing.',
    schema: {type: 'string', minLength: 1, maxLength: 255},
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    description: '`return=minimal`: only events that were not appended are listed.',
    schema: {type: 'string', enum: ['return=minimal']},
  },
  ContentEncoding: {
    name: 'Content-Encoding',
    in: 'header',
    description: 'How the body is packed.',
    schema: {type: 'string', enum: [...encodings, 'identity']},
  },
};

/** The document. @param url where the platform is or will be served. */
export function openApiOf({name, domains}: Platform, url: string): Record<string, unknown> {
  const eventTypes = domains.flatMap((domain) => domain.eventTypes);
  return {
    openapi: '3.1.0',
    info: {
      title: `${name}: events`,
      version: '1',
      description:
        'Events are validated, durable before they are acknowledged, and dropped when their id is known.',
    },
    servers: [{url}],
    security: [{token: []}],
    tags: domains.map((domain) => ({name: domain.name})),
    paths: Object.fromEntries(
      eventTypes.map((eventType) => [
        `/v1/events/${eventType.domain}/${eventType.name}`,
        operation(eventType),
      ]),
    ),
    components: {
      securitySchemes: {token: {type: 'http', scheme: 'bearer'}},
      parameters,
      responses,
      schemas: {
        ...Object.fromEntries(
          eventTypes.map((eventType) => [`${eventType.domain}.${eventType.name}`, eventSchema(eventType)]),
        ),
        Verdicts: verdicts,
        Verdict: verdict,
        Failure: failureSchema,
      },
    },
  };
}
