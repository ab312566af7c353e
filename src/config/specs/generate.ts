import type {FieldSpec} from '../fields.ts';

const shifted = (doc: string): FieldSpec => ({
  type: 'object',
  doc,
  example: '{share: 2%, by: 30s..20m}',
  fields: {
    share: {type: 'share', required: true, doc: 'Share of the events.'},
    by: {
      type: 'string',
      required: true,
      pattern: /^\s*\S+\s*\.\.\s*\S+\s*$/,
      examples: ['30s..20m'],
      doc: 'How far behind its place the event time lies, from and to; even in between.',
    },
  },
});

const rate: FieldSpec = {
  type: 'object',
  short: 'base',
  doc: 'Events per second of event time; `200/s`, or with a shape.',
  fields: {
    base: {type: 'rate', doc: 'Events per second.', default: '100/s'},
    daily: {
      type: 'object',
      doc: 'A day as people make it: most at `peak`, `low` of that twelve hours later. `base` is the rate at the peak.',
      fields: {
        low: {type: 'share', required: true, doc: 'Rate at the quietest hour, as a share of the highest.'},
        peak: {
          type: 'string',
          pattern: /^([01]\d|2[0-3]):[0-5]\d$/,
          examples: ['"20:00"'],
          doc: 'Time of day of the highest rate, UTC.',
          default: '18:00',
        },
      },
    },
    bursts: {
      type: 'object',
      doc: 'Now and then many more events, once in every period, at a time that the seed decides.',
      fields: {
        every: {type: 'duration', required: true, doc: 'The period.'},
        for: {type: 'duration', required: true, doc: 'How long a burst lasts.'},
        times: {
          type: 'number',
          min: 1,
          max: 1000,
          required: true,
          doc: 'The rate in it, as a multiple of the usual one.',
        },
      },
    },
  },
};

const sessions: FieldSpec = {
  type: 'object',
  doc: 'What an entity does one after the other: a state machine over event types.',
  fields: {
    entity: {
      type: 'string',
      required: true,
      doc: 'Field that says who it is; one entity may have several sessions.',
    },
    id: {
      type: 'string',
      doc: 'Field that holds the number of the session, where an event type has it.',
      default: 'session_id',
    },
    start: {type: 'string', required: true, doc: 'Event type that a session begins with.'},
    steps: {
      type: 'map',
      required: true,
      doc: 'Event type: {event type that follows: probability}. What is missing to 1 ends the session.',
      of: {
        type: 'map',
        doc: 'Event type: probability.',
        of: {type: 'number', min: 0, max: 1, doc: 'Probability.'},
      },
    },
    pause: {
      type: 'any',
      doc: 'Time between two events of a session: {lognormal: [median, sigma]}, {uniform: [1s, 1m]}, or a duration.',
      default: '10s',
    },
    open_max: {
      type: 'count',
      doc: 'Sessions that are kept at a time; where the rate wants more, the next one goes on early and pauses get shorter.',
      default: '65536',
    },
  },
};

/** The section `generate:` of a domain. Its `values` are read by `src/model/generate.ts`, which knows the fields. */
export const generateSpec: FieldSpec & {type: 'object'} = {
  type: 'object',
  doc: 'Synthetic events, the same ones for the same seed; `run` makes them, and `millrace generate`.',
  fields: {
    seed: {type: 'integer', min: 0, max: 2 ** 53 - 1, doc: 'Decides every event.', default: 1},
    start: {
      type: 'string',
      pattern: /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z)?$/,
      examples: ['2026-01-01', '2026-01-01T00:00:00Z'],
      doc: 'Event time of the first event, UTC. Default: now where a platform makes them as time goes by, else 2025-01-01.',
    },
    rate,
    keys: {
      type: 'map',
      keys: 'identifier',
      doc: 'Fields whose values name things that come again: users, products.',
      of: {
        type: 'object',
        doc: 'A key space.',
        fields: {
          count: {type: 'count', required: true, doc: 'How many there are.'},
          zipf: {
            type: 'number',
            min: 0,
            max: 4,
            doc: 'Skew: the k-th is drawn in proportion to 1/k^zipf; 0: all alike.',
            default: 0,
          },
          pattern: {
            type: 'string',
            pattern: /\{n\}/,
            examples: ['u-{n}'],
            doc: 'Text of the n-th; default: the name of the field without _id, and the number.',
          },
        },
      },
    },
    sessions,
    mix: {
      type: 'map',
      doc: 'Without sessions: event type: weight. Default: all alike.',
      of: {type: 'number', min: 0, doc: 'Weight.'},
    },
    values: {
      type: 'map',
      doc: 'Field, or <event type>.<field>: what its values are. Fields that are not named get values by their type and name.',
      of: {type: 'any', doc: 'A distribution.'},
    },
    faults: {
      type: 'object',
      doc: 'What goes wrong on purpose.',
      fields: {
        late: shifted('Events that arrive late.'),
        out_of_order: shifted('Events that overtake each other a little.'),
        duplicate: {type: 'share', doc: 'Events that are sent twice; the log keeps one.'},
        corrupt: {type: 'share', doc: 'Events whose bytes are damaged; they become dead letters.'},
        schema_drift: {
          type: 'share',
          doc: 'Events of a producer with a schema that nobody registered; they become dead letters.',
        },
      },
    },
  },
};
