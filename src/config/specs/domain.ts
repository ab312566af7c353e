import type {FieldSpec} from '../fields.ts';
import {generateSpec} from './generate.ts';
import {lookup, nulls, valueTypes} from './lookup.ts';
import {defaultsSpec, lateness, limits} from './platform.ts';
import {transformSpec} from './transform.ts';
import {typeSynonyms} from './type-synonyms.ts';

const metricTypes = ['int', 'long', 'double', 'money'] as const;

function fieldOf(
  what: string,
  types: readonly string[],
  initial: string,
  requiredByDefault: boolean,
): FieldSpec {
  return {
    type: 'list',
    doc: `${what}s of the event.`,
    default: [],
    of: {
      type: 'object',
      short: 'name',
      doc: `${what}: a name, or its long form.`,
      fields: {
        name: {type: 'identifier', required: true, doc: 'Name in events, expressions and tables.'},
        type: {
          type: 'enum',
          values: types,
          synonyms: typeSynonyms,
          doc: 'Type of its values.',
          default: initial,
        },
        required: {type: 'boolean', doc: 'Whether every event must have it.', default: requiredByDefault},
        symbols: {
          type: 'list',
          of: {type: 'string', doc: 'A symbol.'},
          doc: 'Values of an enum; needed for that type alone.',
        },
        doc: {type: 'string', doc: 'What it means; goes into the schema.'},
        aliases: {
          type: 'list',
          of: {type: 'identifier', doc: 'A name.'},
          doc: 'Names it had before; data under an old name is read under the new one.',
          default: [],
        },
        pii: {
          type: 'enum',
          values: ['hash', 'mask', 'drop'],
          doc: 'Personal data, for attributes that are text: everything that reads gets a keyed hash, a mask or NULL instead of the value.',
        },
      },
    },
  };
}

const eventType: FieldSpec = {
  type: 'object',
  doc: 'A kind of event.',
  fields: {
    name: {type: 'identifier', required: true, doc: 'Name; its topic is <domain>.<name>.'},
    key: {
      type: 'string',
      doc: 'Field that picks the partition: events with the same value stay in order.',
      default: 'event_id',
    },
    attributes: fieldOf('Attribute', valueTypes, 'string', false),
    dimensions: fieldOf('Dimension', valueTypes, 'string', false),
    metrics: fieldOf('Metric', metricTypes, 'double', true),
    derive: {
      type: 'map',
      keys: 'identifier',
      of: {type: 'expression', doc: 'An expression over the fields.'},
      doc: 'Columns computed from the fields when events are read.',
    },
    enrich: {
      type: 'list',
      default: [],
      doc: 'Columns taken from lookups when events are read.',
      of: {
        type: 'object',
        doc: 'One lookup.',
        fields: {
          lookup: {type: 'string', required: true, doc: 'Name of the lookup.'},
          on: {type: 'string', required: true, doc: 'Field or derived column that holds its key.'},
          take: {
            type: 'map',
            keys: 'identifier',
            required: true,
            of: {type: 'string', doc: 'Column of the lookup.'},
            doc: 'New column: column of the lookup.',
          },
        },
      },
    },
    checks: {
      type: 'map',
      keys: 'identifier',
      of: {type: 'expression', doc: 'A condition.'},
      doc: 'Conditions; an event for which one is false becomes a dead letter with its name, before the log. A record that another program appended to Kafka is judged when a query or the raw delivery reads it.',
    },
    transform: transformSpec,
  },
};

const windowSpec: FieldSpec = {
  type: 'object',
  required: true,
  example: '{type: tumbling, size: 1h}',
  doc: 'Which events belong together.',
  fields: {
    type: {
      type: 'enum',
      values: ['tumbling', 'sliding', 'session', 'calendar'],
      required: true,
      doc: 'Kind of window.',
    },
    size: {type: 'duration', doc: 'Length of a tumbling or sliding window; required there.'},
    slide: {
      type: 'duration',
      doc: 'Time from the start of a sliding window to that of the next; divides the size; required there.',
    },
    gap: {type: 'duration', doc: 'Silence that ends a session; required there.'},
    unit: {
      type: 'enum',
      values: ['day', 'week', 'month'],
      doc: 'Unit of a calendar window, required there; weeks begin on Monday.',
    },
    timezone: {
      type: 'string',
      doc: 'Time zone of the calendar; default UTC.',
      examples: ['America/New_York'],
    },
  },
};

// In an aggregation an absent option means the domain's default, so the specifications have none of their own.
const inherited = (fields: Record<string, FieldSpec>): Record<string, FieldSpec> =>
  Object.fromEntries(
    Object.entries(fields).map(([key, {default: _, ...spec}]) => [
      key,
      {...spec, doc: `${spec.doc} Default: that of \`defaults\`.`} as FieldSpec,
    ]),
  );

const aggregation: FieldSpec = {
  type: 'object',
  doc: 'A query that runs for ever.',
  fields: {
    name: {
      type: 'identifier',
      required: true,
      doc: 'Name; readers find its rows in the table <domain>.<name>: `window_start`, `window_end`, the columns of `group_by`, the measures, `events` (how many there are in the group) and `closed`.',
    },
    from: {
      type: 'list',
      orOne: true,
      required: true,
      of: {type: 'string', doc: 'An event type.'},
      doc: 'Event types that it reads.',
    },
    where: {
      type: 'expression',
      doc: 'Only events for which this is true count; one for which it is NULL does not.',
    },
    window: windowSpec,
    group_by: {
      type: 'list',
      orOne: true,
      of: {type: 'string', doc: 'A column.'},
      doc: 'Columns whose values make a group; without any there is one group.',
      default: [],
    },
    measures: {
      type: 'map',
      keys: 'identifier',
      of: {
        type: 'expression',
        doc: 'count(), sum(x), avg(x), min(x), max(x), distinct(x), quantile(x, 0.95), first(x), last(x), or other measures combined.',
      },
      doc: 'What is computed for each group and window. Money goes to the column `<name>_cents`, in whole cents; everything else to `<name>`.',
    },
    ...inherited(lateness),
    sinks: {
      type: 'list',
      orOne: true,
      of: {type: 'string', doc: 'A sink.'},
      doc: 'Where its rows go; default: defaults.aggregates.',
    },
    limits: {...limits, fields: inherited((limits as FieldSpec & {type: 'object'}).fields)} as FieldSpec,
  },
};

const input: FieldSpec = {
  type: 'object',
  doc: 'Files that become events.',
  fields: {
    name: {
      type: 'identifier',
      required: true,
      doc: 'Name, for `millrace ingest <name>`; part of the ids of its events.',
    },
    event_type: {type: 'string', required: true, doc: 'Event type that its rows become.'},
    from: {
      type: 'path',
      doc: 'File that `run` ingests, once per content; plain, .zip or .gz. Without it only `ingest` feeds the input.',
    },
    format: {type: 'enum', values: ['csv', 'jsonl'], doc: 'Format; default: by the file name.'},
    rate: {type: 'rate', doc: 'Rows are read at most so fast; without it as fast as it goes.'},
    null: nulls('Texts in the file that mean NULL.'),
    timestamp: {type: 'string', doc: 'Column that holds the time of the event; default: timestamp.'},
    timestamp_format: {
      type: 'string',
      doc: 'How that column is written, where it is not ISO 8601 or epoch milliseconds: %Y %y %m %b %d %H %I %p %M %S %f %z %s %%, as in strptime.',
    },
    timezone: {type: 'string', doc: 'Time zone of dates and times without one.', default: 'UTC'},
    order_by: {
      type: 'enum',
      values: ['timestamp', 'none'],
      doc: 'Whether rows are sorted by time first (on disk where they do not fit) or taken as they come.',
      default: 'timestamp',
    },
    map: {
      type: 'map',
      of: {type: 'string', doc: 'A column.'},
      doc: 'Field of the event: column of the file; a field without an entry has the same name. `event_id: <column>` takes the ids from a column: an id that the log has is a duplicate and counts once. Without it ids are made of input, file name and row.',
    },
  },
};

const listOf = (of: FieldSpec, doc: string): FieldSpec => ({type: 'list', of, doc, default: []});

/** Keys of `domains/*.yaml`. */
export const domainSpec: FieldSpec & {type: 'object'} = {
  type: 'object',
  doc: 'A domain: its events and what is computed from them.',
  fields: {
    domain: {type: 'identifier', doc: 'Name; default: the file name.'},
    event_types: listOf(eventType, 'Kinds of events.'),
    lookups: listOf(lookup, 'Tables that events are enriched from.'),
    aggregations: listOf(aggregation, 'Queries.'),
    inputs: listOf(input, 'Files that become events.'),
    defaults: {...defaultsSpec, fields: inherited(defaultsSpec.fields)} as FieldSpec,
    generate: generateSpec,
    quality: {type: 'any', doc: 'Rules of quality, for a later version.', unavailable: true},
  },
};
