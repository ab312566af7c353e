/** Functions of timestamps and dates. */
import type {FunctionSpec, Signature} from './functions.ts';

const part = (op: string, date: boolean): Signature[] => [
  {params: ['timestamp', 'zone?'], result: 'long', op: `${op}.timestamp`},
  ...(date ? [{params: ['date'], result: 'long', op: `${op}.date`}] : []),
];
const truncated = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const;
const elapsed = ['millisecond', 'second', 'minute', 'hour', 'day', 'week'] as const;
const added = [...elapsed, 'month', 'quarter', 'year'] as const;

/** By name; they are part of `functions`. */
export const timeFunctions: Record<string, FunctionSpec> = {
  year: {
    group: 'Times',
    doc: 'Year.',
    signatures: part('year', true),
    examples: [["year(date '2024-02-29')", '2024']],
  },
  month: {
    group: 'Times',
    doc: 'Month, 1 to 12.',
    signatures: part('month', true),
    examples: [["month(date '2024-02-29')", '2']],
  },
  day: {
    group: 'Times',
    doc: 'Day of the month, 1 to 31.',
    signatures: part('day', true),
    examples: [["day(date '2024-02-29')", '29']],
  },
  hour: {
    group: 'Times',
    doc: 'Hour, 0 to 23.',
    signatures: part('hour', false),
    examples: [
      ["hour(timestamp '2024-07-01 12:30:00')", '12'],
      ["hour(timestamp '2024-07-01 12:30:00', 'America/New_York')", '8'],
    ],
  },
  minute: {
    group: 'Times',
    doc: 'Minute, 0 to 59.',
    signatures: part('minute', false),
    examples: [["minute(timestamp '2024-07-01 12:30:00')", '30']],
  },
  second: {
    group: 'Times',
    doc: 'Second, 0 to 59.',
    signatures: part('second', false),
    examples: [["second(timestamp '2024-07-01 12:30:15')", '15']],
  },
  dayofweek: {
    group: 'Times',
    doc: 'Day of the week as ISO 8601 counts: 1 is Monday, 7 is Sunday.',
    signatures: part('dayofweek', true),
    examples: [["dayofweek(date '2024-02-29')", '4']],
  },
  dayofyear: {
    group: 'Times',
    doc: 'Day of the year, 1 to 366.',
    signatures: part('dayofyear', true),
    examples: [["dayofyear(date '2024-03-01')", '61']],
  },
  date_trunc: {
    group: 'Times',
    doc: `Start of the unit that holds the time: ${truncated.join(', ')}. Weeks begin on Monday; a local day begins at its first instant. A date has the units from day.`,
    signatures: [
      {
        params: ['unit', 'timestamp', 'zone?'],
        result: 'timestamp',
        op: 'date_trunc.timestamp',
        units: truncated,
      },
      {params: ['unit', 'date'], result: 'date', op: 'date_trunc.date', units: truncated.slice(3)},
    ],
    examples: [
      ["date_trunc('hour', timestamp '2024-07-01 12:30:00')", '2024-07-01T12:00:00.000Z'],
      ["date_trunc('day', timestamp '2024-07-01 02:00:00', 'America/New_York')", '2024-06-30T04:00:00.000Z'],
      ["date_trunc('week', date '2024-02-29')", '2024-02-26'],
    ],
  },
  date_diff: {
    group: 'Times',
    doc: `Whole units from the first time to the second, cut toward zero: ${elapsed.join(', ')}. Dates have day and week.`,
    signatures: [
      {params: ['unit', 'timestamp', 'timestamp'], result: 'long', op: 'date_diff.timestamp', units: elapsed},
      {params: ['unit', 'date', 'date'], result: 'long', op: 'date_diff.date', units: elapsed.slice(4)},
    ],
    examples: [
      ["date_diff('minute', timestamp '2024-07-01 12:00:00', timestamp '2024-07-01 13:30:59')", '90'],
      ["date_diff('day', date '2024-03-01', date '2024-02-01')", '-29'],
    ],
  },
  date_add: {
    group: 'Times',
    doc: `The time moved by a number of units: ${added.join(', ')}, in UTC. A month that lacks the day gives its last one. Dates have the units from day.`,
    signatures: [
      {params: ['unit', 'long', 'timestamp'], result: 'timestamp', op: 'date_add.timestamp', units: added},
      {params: ['unit', 'long', 'date'], result: 'date', op: 'date_add.date', units: added.slice(4)},
    ],
    examples: [
      ["date_add('minute', -90, timestamp '2024-07-01 12:00:00')", '2024-07-01T10:30:00.000Z'],
      ["date_add('month', 1, date '2024-01-31')", '2024-02-29'],
    ],
  },
  to_date: {
    group: 'Times',
    doc: 'The date of a timestamp, in UTC or in the zone given.',
    signatures: [{params: ['timestamp', 'zone?'], result: 'date', op: 'to_date'}],
    examples: [["to_date(timestamp '2024-07-01 02:00:00', 'America/New_York')", '2024-06-30']],
  },
  epoch_ms: {
    group: 'Times',
    doc: 'Milliseconds since 1970-01-01 UTC.',
    signatures: [{params: ['timestamp'], result: 'long', op: 'epoch_ms'}],
    examples: [["epoch_ms(timestamp '1970-01-02')", '86400000']],
  },
  from_epoch_ms: {
    group: 'Times',
    doc: 'The timestamp of milliseconds since 1970-01-01 UTC.',
    signatures: [{params: ['long'], result: 'timestamp', op: 'from_epoch_ms'}],
    examples: [['from_epoch_ms(86400000)', '1970-01-02T00:00:00.000Z']],
  },
};
